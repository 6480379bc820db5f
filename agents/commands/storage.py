"""`wenxun db`: the tables of the store, and what is kept in them."""

from __future__ import annotations

import argparse
import os
from typing import Any

from agents.commands import storage_backup, storage_rebuild


def add(groups: Any) -> None:
    parser = groups.add_parser("db", help="the SQL store: its tables, retention, backup, restore, rebuild")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    upgrade = verbs.add_parser("upgrade", help="bring the tables to this version's (archive does so at its start)")
    upgrade.set_defaults(run=_upgrade)
    current = verbs.add_parser("current", help="which revision the tables are at; exit code 1 if not this version's")
    current.set_defaults(run=_current)
    expire = verbs.add_parser("expire", help="drop texts older than the retention time now (archive does so hourly)")
    expire.add_argument("--days", type=_days, help="keep this many days instead of WENXUN_RETENTION_DAYS")
    expire.set_defaults(run=_expire)
    others = [storage_rebuild.add(verbs), *storage_backup.add(verbs)]
    for verb in (upgrade, current, expire, *others):
        verb.add_argument("--database", metavar="URL", help="SQLAlchemy URL instead of WENXUN_DATABASE_URL")


def _days(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 36500:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of days from 1 to 36500")
    return int(text)


def _upgrade(args: argparse.Namespace) -> int:
    from agents.store import engine

    url = _url(args)
    before, wanted = engine.current(url)
    engine.upgrade(url)
    print(f"{engine.shown(url)}：" + (f"已是最新版本 {wanted}" if before == wanted else
                                     f"已从 {before or '空库'} 升级到 {wanted}"))
    return 0


def _current(args: argparse.Namespace) -> int:
    from agents.store import engine

    url = _url(args)
    found, wanted = engine.current(url)
    if found == wanted:
        print(f"{engine.shown(url)}：{found}（最新）")
        return 0
    print(f"{engine.shown(url)}：{found or '空库'}，本程序需要 {wanted}；请运行 wenxun db upgrade")
    return 1


def _expire(args: argparse.Namespace) -> int:
    from agents.clock import Clock
    from agents.store import engine
    from agents.store.expiry import expire
    from pipeline.rulebook.schema import DAY

    settings = _settings()
    url, days = _url(args), args.days or settings.retention_days
    engine.require_current(url)
    store = engine.open_store(url)
    try:
        dropped = expire(store, Clock.parse(settings.clock).now() - days * DAY)
    finally:
        store.dispose()
    lines = [f"{name} {rows} 行" for name, rows in dropped.items()]
    print(f"超过 {days} 天的文字已清除：" + ("，".join(lines) or "没有"))
    return 0


def _settings() -> Any:
    from agents.settings import Settings

    return Settings.from_env(os.environ)


def _url(args: argparse.Namespace) -> str:
    return str(args.database or _settings().store_url)
