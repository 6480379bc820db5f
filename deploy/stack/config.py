"""The files that the stack writes for its programs. Configurations in deploy/ are used as they are; what has to
differ here, addresses and the place of a token, is written beside links to them."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from deploy.stack.layout import ALERT_TOKEN, DATABASE, HOST, MARK_NAME, ROLES, SITES, STAGES, Folder, StackError, write
from deploy.stack.programs import CWD, Choices, Program, rules_of

CHILD = Path(__file__).with_name("child.py")
DEBIANS_DESK, DEBIANS_TOKEN = "http://127.0.0.1:8000", "/etc/wenxun/secrets/alertmanager_token"
"""What differs in deploy/alertmanager/one-machine.yml and, as the label `desk`, in deploy/prometheus/prometheus.yml."""


def save(folder: Folder, choices: Choices, programs: Mapping[str, Program]) -> None:
    """Everything that the programs read, and stack.json for people and tests."""
    write(folder.choices, json.dumps(choices.as_json(), indent=2, ensure_ascii=False) + "\n")
    for each in programs.values():
        write(folder.spec(each.name), json.dumps(spec(folder, each), indent=1, ensure_ascii=False) + "\n")
    write(folder.config / "supervisord.conf", supervisord(folder, programs))
    prometheus(folder, choices)
    alertmanager(folder, choices)
    write(folder.state, json.dumps(state(folder, choices), indent=2, ensure_ascii=False) + "\n")


def load(folder: Folder) -> Choices | None:
    """What was chosen before, None in a new folder."""
    try:
        return Choices(**json.loads(folder.choices.read_text("utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        raise StackError(f"{folder.choices} 读不懂；删掉它再启动（端口会重新选），数据不受影响") from None


def spec(folder: Folder, program: Program) -> dict[str, Any]:
    """What child.py is told."""
    told = asdict(program)
    return {name: told[name] for name in ("name", "command", "environ", "files", "memory", "oom", "user")} | {
        "folder": str(folder["postgres"] if program.name == "postgres" else CWD),
        "starts": str(folder.run / f"{program.name}.starts")}


def supervisord(folder: Folder, programs: Mapping[str, Program]) -> str:
    """supervisor's own configuration. Nothing starts by itself: `start` begins stage by stage."""
    lines = [
        "; Written by deploy/stack at every start.",
        "[unix_http_server]", f"file={_plain(folder.socket)}", "chmod=0700", "",
        "[supervisord]", f"logfile={_plain(folder.log('supervisord'))}", "logfile_maxbytes=10MB", "logfile_backups=2",
        f"pidfile={_plain(folder.run / 'supervisord.pid')}", f"childlogdir={_plain(folder.logs)}", "umask=077",
        "identifier=wenxun", "nocleanup=true", "",
        "[rpcinterface:supervisor]", "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        "", "[supervisorctl]", f"serverurl=unix://{_plain(folder.socket)}"]
    for each in programs.values():
        lines += ["", *_section(folder, each)]
    return "\n".join(lines) + "\n"


def _section(folder: Folder, program: Program) -> list[str]:
    command = shlex.join((sys.executable, "-I", str(CHILD), str(folder.spec(program.name))))
    again = ["autorestart=true"] if program.mends_itself else ["autorestart=unexpected", "exitcodes=2"]
    return [
        f"[program:{program.name}]", f"command={_plain(command)}", "autostart=false", *again,
        f"priority={next(place for place, stage in enumerate(STAGES, 1) if program.name in stage)}",
        # The back-off is child.py's: supervisor's own gives up, and would try what a person must mend again.
        "startsecs=0", f'environment={MARK_NAME}="{program.name}"',
        f"stopsignal={program.stop}", f"stopwaitsecs={program.grace}", "killasgroup=true", "redirect_stderr=true",
        f"stdout_logfile={_plain(folder.log(program.name))}", "stdout_logfile_maxbytes=20MB",
        "stdout_logfile_backups=3"]


def _plain(text: object) -> str:
    return str(text).replace("%", "%%")


def prometheus(folder: Folder, choices: Choices) -> None:
    """A configuration folder: rules are a link, targets are this stack's, of the file one label may differ."""
    ports, source, target = choices.ports, Path(choices.monitoring) / "prometheus", folder.config / "prometheus"
    (target / "targets").mkdir(parents=True, exist_ok=True)
    link = target / "rules"
    link.unlink(missing_ok=True)
    link.symlink_to(source / "rules")
    text = (source / "prometheus.yml").read_text("utf-8")
    write(target / "prometheus.yml", text.replace(f"desk: {DEBIANS_DESK}", f"desk: {desk(choices)}"))
    found: dict[str, list[dict[str, Any]]] = {
        "roles": [{"targets": [f"{HOST}:{ports[role]}"], "labels": {"role": role}} for role in ROLES],
        "alertmanager": [{"targets": [f"{HOST}:{ports['alertmanager']}"]}],
        "monitoring": [{"targets": [f"{HOST}:{ports[part]}"], "labels": {"part": part}}
                       for part in ("prometheus", "alertmanager")]}       # no Grafana runs here
    for name, entries in found.items():
        write(target / "targets" / f"{name}.yml", yaml.safe_dump(entries, sort_keys=False))


def alertmanager(folder: Folder, choices: Choices) -> None:
    """deploy/alertmanager/one-machine.yml with this desk's address and this folder's token."""
    path = Path(choices.monitoring) / "alertmanager" / "one-machine.yml"
    text = path.read_text("utf-8")
    for before, after in ((f"{DEBIANS_DESK}/", f"{desk(choices)}/"),
                          (DEBIANS_TOKEN, json.dumps(str(folder.secret(ALERT_TOKEN)), ensure_ascii=False))):
        if text.count(before) != 1:
            raise StackError(f"{path} 里应恰好有一处 {before}；这个文件改过的话，也要改 deploy/stack/config.py")
        text = text.replace(before, after)
    write(folder.config / "alertmanager.yml", text)


def desk(choices: Choices) -> str:
    return f"http://{HOST}:{choices.ports['desk_page']}"


def state(folder: Folder, choices: Choices) -> dict[str, Any]:
    """stack.json: addresses, and where passwords are; none of them."""
    ports, password = choices.ports, str(folder.secret("grafana_ro_password"))
    url = {name: f"http://{HOST}:{ports[name]}" for name in ("prometheus", "alertmanager")}
    return {
        "folder": str(folder.root), "kafka": f"{HOST}:{ports['kafka']}",
        "database_url": f"postgresql://{DATABASE}@{HOST}:{ports['postgres']}/{DATABASE}",
        "database_password_file": str(folder.secret("postgres_password")), **url, "desk": desk(choices),
        "admin_password_file": str(folder.secret("admin_password")),
        "roles": {role: f"http://{HOST}:{ports[role]}/metrics" for role in ROLES},
        "rules": str(rules_of(folder, choices)),
        "phone": f"http://{HOST}:{ports['feeds'] + SITES - 1}/" if choices.feeds else None,
        "grafana_ro_password_file": password,
        "grafana": {"wenxun-prometheus": url["prometheus"], "wenxun-postgres": {
            "host": f"{HOST}:{ports['postgres']}", "database": DATABASE, "user": "grafana_ro",
            "password_file": password}},
        "supervisor_socket": str(folder.socket)}
