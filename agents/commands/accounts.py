"""`wenxun user …` and `wenxun token …`: named accounts of the desk and tokens of its API."""

from __future__ import annotations

import argparse
import getpass
import os
import re
import sys
from collections.abc import Callable
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from agents.settings import Settings

_EXPIRES = re.compile(r"(\d{1,4})([hd])")
_HOURS = {"h": 1, "d": 24}


def add(groups: Any) -> None:
    _add_user(groups.add_parser("user", help="值班台的账号").add_subparsers(dest="what", required=True, metavar="WHAT"))
    _add_token(groups.add_parser("token", help="API 令牌").add_subparsers(dest="what", required=True, metavar="WHAT"))


def _add_user(kinds: Any) -> None:
    made = _command(kinds, "add", "添加账号", user_add, "NAME")
    made.add_argument("--role", choices=("reporter", "viewer", "duty", "admin"), required=True,
                      help="上报员（只能上报）、只读、值班或管理员")
    made.add_argument("--password-file", metavar="F", help="口令在这个文件的第一行；不给则输入，或生成后显示一次")
    changed = _command(kinds, "passwd", "修改口令，并结束这个账号的所有登录", user_passwd, "NAME")
    changed.add_argument("--password-file", metavar="F", help="新口令在这个文件的第一行")
    _command(kinds, "disable", "停用账号，它的登录和令牌随即失效", user_disable, "NAME")
    _command(kinds, "list", "列出账号", user_list)


def _add_token(kinds: Any) -> None:
    made = _command(kinds, "create", "创建令牌，只显示一次", token_create)
    made.add_argument("--name", required=True, help="这个令牌做什么用，例如 大屏")
    made.add_argument("--account", required=True, help="以哪个账号的名义")
    made.add_argument("--scope", required=True, action="append",
                      help="read、ack、close、poll、intake、alertmanager、admin，用逗号分开，也可以写几次")
    made.add_argument("--expires", metavar="90d", help="有效期，例如 12h、90d；不给则不过期")
    _command(kinds, "revoke", "吊销令牌", token_revoke, "NAME")
    _command(kinds, "list", "列出令牌", token_list)


def _command(kinds: Any, name: str, help_text: str, run: Callable[[argparse.Namespace], int],
             argument: str = "") -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = kinds.add_parser(name, help=help_text)
    if argument:
        parser.add_argument("name", metavar=argument)
    parser.set_defaults(run=run)
    return parser


# ---------------------------------------------------------------- user


def user_add(args: argparse.Namespace) -> int:
    from agents.desk import accounts

    with _store() as (engine, now, _):
        password, made = _new_password(args.password_file)
        accounts.add(engine, args.name, accounts.Role(args.role), password, now=now)
    print(f"已添加 {args.name}（{accounts.Role(args.role).label}）")
    _show(password if made else None)
    return 0


def user_passwd(args: argparse.Namespace) -> int:
    from agents.desk import accounts

    with _store() as (engine, now, _):
        password, made = _new_password(args.password_file)
        accounts.set_password(engine, args.name, password, now=now)
    print(f"已修改 {args.name} 的口令，之前的登录已全部结束")
    _show(password if made else None)
    return 0


def user_disable(args: argparse.Namespace) -> int:
    from agents.desk import accounts

    with _store() as (engine, now, _):
        accounts.disable(engine, args.name, now=now)
    print(f"已停用 {args.name}；`wenxun user passwd {args.name}` 重新启用")
    return 0


def user_list(args: argparse.Namespace) -> int:
    from agents.desk import accounts

    with _store() as (engine, _, settings):
        for one in accounts.accounts(engine):
            state = "已停用" if one.disabled else "可用"
            print("\t".join((one.name, one.role.value, state, _day(one.created_at, settings))))
    return 0


# ---------------------------------------------------------------- token


def token_create(args: argparse.Namespace) -> int:
    from agents.clock import Clock
    from agents.desk import sessions

    scopes = _scopes(",".join(args.scope))
    expires_at = Clock().now() + _length(args.expires) if args.expires else None
    with _store() as (engine, now, _):
        token = sessions.create_token(engine, args.name, args.account, scopes, now=now, expires_at=expires_at)
    print("令牌（只显示这一次）：", file=sys.stderr)
    print(token)
    return 0


def token_revoke(args: argparse.Namespace) -> int:
    from agents.desk import sessions

    with _store() as (engine, now, _):
        print(f"已吊销 {sessions.revoke_token(engine, args.name, now=now)}")
    return 0


def token_list(args: argparse.Namespace) -> int:
    from agents.clock import Clock
    from agents.desk import sessions

    real = Clock().now()
    with _store() as (engine, _, settings):
        for one in sessions.tokens(engine):
            past = one.expires_at is not None and one.expires_at <= real
            state = "已吊销" if one.revoked_at is not None else "已过期" if past else "可用"
            until = _day(one.expires_at, settings) if one.expires_at is not None else "不过期"
            print("\t".join((one.id[:8], one.name, one.account, ",".join(sorted(one.scopes)), state, until)))
    return 0


def _scopes(text: str) -> Any:
    from agents.desk.sessions import Scope

    try:
        return frozenset(Scope(part.strip()) for part in text.split(","))
    except ValueError:
        raise SettingsError(f"--scope {text}: 只能是 {'、'.join(Scope)}，用逗号分开") from None


def _length(text: str) -> int:
    found = _EXPIRES.fullmatch(text)
    if found is None or not int(found[1]):
        raise SettingsError(f"--expires {text}: 写作 12h 或 90d")
    return int(found[1]) * _HOURS[found[2]] * 3_600_000


# ---------------------------------------------------------------- helpers


@contextmanager
def _store() -> Iterator[tuple[Engine, int, Settings]]:
    """The store with its tables up to date, the installation's now, and the settings."""
    from agents.clock import Clock
    from agents.settings import Settings
    from agents.store.engine import open_store, upgrade

    settings = Settings.from_env(os.environ)
    upgrade(settings.store_url)
    engine = open_store(settings.store_url)
    try:
        yield engine, Clock.parse(settings.clock).now(), settings
    finally:
        engine.dispose()


def _new_password(file: str | None) -> tuple[str, bool]:
    """A password from a file, a person, or made up; and whether it was made up."""
    from agents.desk import accounts

    if file:
        return accounts.read_password(file, "--password-file"), False
    if not sys.stdin.isatty():
        return accounts.made_password(), True
    password = getpass.getpass("口令（直接回车则生成一个）：")
    if not password:
        return accounts.made_password(), True
    if getpass.getpass("再输入一次：") != password:
        raise SettingsError("两次输入的口令不一样，没有改动")
    return password, False


def _show(password: str | None) -> None:
    if password is not None:
        print(f"口令（只显示这一次）：{password}")


def _day(at: int, settings: Settings) -> str:
    return datetime.fromtimestamp(at / 1000, settings.zone).strftime("%Y-%m-%d")
