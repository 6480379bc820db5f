"""What commands that act have in common: the archive, the account in whose name, and whether the stream has it yet."""

from __future__ import annotations

import argparse
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from agents.desk.commands import Accepted, Order
    from agents.settings import Settings
    from pipeline.model import EventHead, Millis
    from pipeline.rulebook.schema import RuleBook

WAIT_SECONDS = 6.0
"""A running desk looks for commands every five."""
_LENGTH = re.compile(r"(\d{1,5})([mhd])")
_UNITS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}
WAITS = ("已记下，还没有送出：值班台（desk）没有在运行，或者连不上消息队列。不用重做，值班台恢复后自动送出；"
         "在那之前提醒会照常升级。")


@dataclass(frozen=True, slots=True)
class Place:
    """The installation that a command is about. now: its clock; real: real time."""

    settings: Settings
    engine: Engine
    now: Millis
    real: Millis

    def book(self) -> RuleBook | None:
        """The rules in force."""
        from agents.store import readmodel

        with self.engine.connect() as connection:
            return readmodel.book(connection)

    def head(self, ref: str) -> EventHead:
        """An event by number or id; SettingsError without one."""
        from agents.store import readmodel

        with self.engine.connect() as connection:
            found = readmodel.head(connection, ref)
        if found is None:
            raise SettingsError(f"没有事件 {ref}。写 E-0317 这样的编号；用 wenxun event list --all 看有哪些。")
        return found

    def order(self, account: str, event_id: str = "") -> Order:
        from agents.desk.commands import Order

        return Order(event_id, account, self.now, self.real, "cli")

    def write_read(self, account: str, action: str, about: str) -> None:
        """An audit line of somebody's reading."""
        from agents.desk import audit

        with self.engine.begin() as connection:
            audit.write(connection, self.now, account, action, about, "cli")


@contextmanager
def place() -> Iterator[Place]:
    """SettingsError if there is no archive here, or it is of another version."""
    from agents.clock import Clock
    from agents.commands.rule_store import open_engine
    from agents.settings import Settings

    settings = Settings.from_env(os.environ)
    with open_engine(settings) as store:
        yield Place(settings, store, Clock.parse(settings.clock).now(), Clock().now())


def named(parser: argparse.ArgumentParser) -> None:
    """The option that says who acts, and how long to wait for the stream."""
    parser.add_argument("--as", dest="account", metavar="ACCOUNT", default="",
                        help="in whose name (wenxun user list); default: the only admin")
    parser.add_argument("--wait", type=float, metavar="SECONDS", default=WAIT_SECONDS,
                        help="how long to wait until the desk has sent it; default 6")
    parser.add_argument("--format", choices=("text", "json"), default="text")


def account_of(at: Place, name: str) -> str:
    """The account that acts: one that exists and may; without a name the only admin there is."""
    from agents.desk import accounts
    from agents.desk.accounts import Role

    usable = [each for each in accounts.accounts(at.engine) if not each.disabled]
    able = [each for each in usable if each.role.may(Role.DUTY)]
    listed = "、".join(each.name for each in able) or "（一个也没有，用 wenxun user add 添加）"
    if name:
        found = next((each for each in usable if each.name == name), None)
        if found is None:
            raise SettingsError(f"没有可用的账号 {name}。可以写：{listed}。")
        if found not in able:
            raise SettingsError(f"账号 {name} 是“{found.role.label}”，不能处置事件。可以写：{listed}。")
        return found.name
    admins = [each.name for each in able if each.role is Role.ADMIN]
    if len(admins) != 1:
        raise SettingsError(f"每个操作都要记在一个账号名下：请写 --as 账号。可以写：{listed}。")
    return admins[0]


def reader_of(at: Place, name: str) -> str:
    """In whose name something is read: an existing account, else `cli`."""
    from agents.desk import accounts

    if name and accounts.find(at.engine, name) is None:
        raise SettingsError(f"没有账号 {name}；用 wenxun user list 看有哪些。")
    return name or "cli"


def act(args: argparse.Namespace, about: str, done: str, accept: Callable[[Place, str], Accepted]) -> int:
    """Accept a command in the name of an account and say what became of it: 0. SettingsError when it is refused."""
    import json

    from agents.desk.commands import Refused

    with place() as at:
        account = account_of(at, args.account)
        try:
            accepted = accept(at, account)
        except Refused as refused:
            raise SettingsError(f"{about}：{refused}" if about else str(refused)) from None
        taken = sent(at.engine, accepted.id, args.wait)
    if args.format == "json":
        print(json.dumps({"id": accepted.id, "by": account, "repeated": accepted.repeated, "sent": taken,
                          "note": accepted.note}, ensure_ascii=False))
        return 0
    said = f"{done}，此前已经提交过" if accepted.repeated else done
    print(f"{about}：{said}（{account}）。{accepted.note}" if about else f"{said}（{account}）。{accepted.note}")
    if not taken:
        print(WAITS)
    return 0


def sent(engine: Engine, ident: str, seconds: float) -> bool:
    """Whether the broker has it within this long."""
    from sqlalchemy import select

    from agents.store import schema

    until = time.monotonic() + max(0.0, seconds)
    query = select(schema.commands.c.sent_at).where(schema.commands.c.id == ident)
    while True:
        with engine.connect() as connection:
            if connection.execute(query).scalar() is not None:
                return True
        if time.monotonic() >= until:
            return False
        time.sleep(0.1)


def length(text: str, option: str) -> Millis:
    """`30m`, `2h`, `1d` in ms; SettingsError names the option."""
    found = _LENGTH.fullmatch(text.strip())
    if found is None:
        raise SettingsError(f"{option} {text}：时长写作 30m、2h 或 1d。")
    return int(found[1]) * _UNITS[found[2]]


def print_json(value: Any) -> int:
    import json

    print(json.dumps(value, ensure_ascii=False, indent=2))
    return 0
