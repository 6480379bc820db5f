"""`wenxun up` (everything on one machine), `wenxun run` (some roles on a Kafka), `wenxun topics create|check`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from agents.settings import Settings

SHADOW = "a rule directory that runs in shadow beside it, never sending (WENXUN_SHADOW_RULES_DIR)"
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def add(groups: Any) -> None:
    up = groups.add_parser("up", help="run everything on this machine: broker, roles and desk in one go")
    up.add_argument("--rules", type=Path, metavar="DIR", help="rule directory (WENXUN_RULES_DIR)")
    up.add_argument("--shadow", type=Path, metavar="DIR", help=SHADOW)
    up.add_argument("--data", type=Path, metavar="DIR", help="where its files are kept (WENXUN_DATA_DIR)")
    up.set_defaults(run=run_up)
    run = groups.add_parser("run", help="run roles on KAFKA_BOOTSTRAP_SERVERS")
    run.add_argument("--roles", required=True, action="append", metavar="ROLES",
                     help="`all`, or some of collect,score,track,escalate,deliver,archive,desk,rules")
    run.add_argument("--rules", type=Path, metavar="DIR", help="rule directory (WENXUN_RULES_DIR)")
    run.add_argument("--shadow", type=Path, metavar="DIR", help=SHADOW)
    run.set_defaults(run=run_roles)
    topics = groups.add_parser("topics", help="create or check the topics on KAFKA_BOOTSTRAP_SERVERS")
    topics.add_argument("action", choices=("create", "check"))
    topics.set_defaults(run=run_topics)


def run_up(args: argparse.Namespace) -> int:
    """The parent: embedded broker and supervisor. 2 when there are no rules yet, or another instance runs."""
    from agents.settings import Settings
    from agents.supervisor import only_instance

    _log()
    environ = _environ(args)
    settings = Settings.from_env(environ)
    require_rules(settings)
    with only_instance(settings.data_dir):
        prepare_store(settings)
        return supervise(settings, environ)


def supervise(settings: Settings, environ: Mapping[str, str]) -> int:
    """Broker and supervised child with all roles, until a signal. Exit code of the whole."""
    from agents.commands.broker import published
    from agents.embedded import PARTITIONS, embedded_broker
    from agents.supervisor import Supervisor

    with embedded_broker() as address, published(settings.data_dir, address):
        child = {**environ, "KAFKA_BOOTSTRAP_SERVERS": address, "WENXUN_EMBEDDED": "1",
                 "WENXUN_PARTITIONS": str(PARTITIONS), "WENXUN_CREATE_TOPICS": "false"}
        command = [sys.executable, "-m", "agents", "run", "--roles", "all"]
        supervisor = Supervisor(command, child, settings.grace_seconds)
        host, port = settings.desk_bind
        print(f"值班台 / desk: {settings.external_url or f'http://{host}:{port}/'}   (Ctrl-C ends)", flush=True)
        with supervisor.signals():
            return supervisor.run()


def run_roles(args: argparse.Namespace) -> int:
    """Roles in this process. 0 after SIGTERM; 1 when a role failed or no broker answers, so that trying again may help;
    2 when settings, rules or topics must be mended."""
    from agents import runtime
    from agents.clock import Clock
    from agents.deps import Deps
    from agents.metrics import Metrics
    from agents.settings import Settings
    from agents.supervisor import follow_parent
    from agents.topics_admin import BrokerAway

    _log()
    environ = _environ(args)
    settings = Settings.from_env(environ)
    roles = runtime.parse_roles(",".join(args.roles))
    if "rules" in roles:
        require_rules(settings)
    if "archive" in roles and not settings.embedded:
        prepare_store(settings)
    follow_parent(environ, settings.grace_seconds)

    async def main() -> int:
        return await runtime.run_roles(Deps(settings, Clock.parse(settings.clock), Metrics(roles=roles)), roles)

    try:
        return asyncio.run(main())
    except BrokerAway as error:
        print(f"wenxun: {error}", file=sys.stderr)
        return 1


def run_topics(args: argparse.Namespace) -> int:
    """Create what is missing, or only check; 2 with a line for each problem."""
    from dataclasses import replace

    from agents import topics_admin
    from agents.settings import Settings

    settings = replace(Settings.from_env(os.environ), create_topics=args.action == "create")

    async def main() -> None:
        changelogs = _changelogs(settings)
        for name in await topics_admin.ensure(settings, changelogs):
            print(f"created {name}")
        print(f"{len(topics_admin.wanted(settings, changelogs))} topics as they should be")

    asyncio.run(main())
    return 0


def _changelogs(settings: Settings) -> list[str]:
    """Of every Faust role: its agent is bound, nothing is started."""
    from agents.app import FAUST
    from agents.clock import Clock
    from agents.deps import Deps
    from agents.metrics import Metrics
    from agents.runtime import bound_app

    deps = Deps(settings, Clock(), Metrics())
    return [name for role in FAUST for name in bound_app(deps, role).changelogs()]


def require_rules(settings: Settings) -> None:
    """SettingsError that names `wenxun init` if there is nothing to read, and nothing was in force before."""
    from agents.rule_history import History

    rules_dir = settings.rules_dir
    if (not rules_dir.is_dir() or not any(rules_dir.glob("*.yml"))) and not any(History(settings.data_dir).newest()):
        what = "holds no rule files" if rules_dir.is_dir() else "does not exist"
        raise SettingsError(f"rule directory {rules_dir} {what}; write commented starter rules with "
                            f"`wenxun init {rules_dir}`, then put your feeds into {rules_dir / 'sources.yml'}")


def prepare_store(settings: Settings) -> None:
    """Tables up to date, and a first account: its password is printed once, if no file names one."""
    from agents.clock import Clock
    from agents.desk.accounts import ensure_admin
    from agents.store.engine import open_store, upgrade

    settings.data_dir.mkdir(parents=True, exist_ok=True)
    upgrade(settings.store_url)
    engine = open_store(settings.store_url)
    try:
        password = ensure_admin(engine, settings, Clock.parse(settings.clock).now())
    finally:
        engine.dispose()
    if password:
        print(f"第一个管理员 / first administrator: admin   口令 / password (shown only now): {password}", flush=True)


def _environ(args: argparse.Namespace) -> dict[str, str]:
    """The environment with the command's options in it, so that a child sees the same."""
    environ = dict(os.environ)
    for option, name in (("rules", "WENXUN_RULES_DIR"), ("shadow", "WENXUN_SHADOW_RULES_DIR"),
                         ("data", "WENXUN_DATA_DIR")):
        if (value := getattr(args, option, None)) is not None:
            environ[name] = str(value)
    return environ


def _log() -> None:
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    for name in ("httpx", "httpcore", "alembic", "aiohttp"):
        logging.getLogger(name).setLevel(logging.WARNING)
