"""Named accounts: who may read, who may answer, who may see the audit. Passwords are argon2; none is ever logged."""

from __future__ import annotations

import re
import secrets
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Engine, delete, select, update

from agents import secret_files
from agents.desk import audit
from agents.settings import Settings
from agents.store import schema
from pipeline.errors import SettingsError, WenxunError
from pipeline.model import Millis

MIN_PASSWORD = 10
MAX_PASSWORD = 256
_NAME = re.compile(r"\w[\w.-]{0,31}")
_HASHER = PasswordHasher()


class AccountError(WenxunError):
    """An account that cannot be made, changed or found. The text is for the operator."""


class Role(StrEnum):
    """Each role may do what the one before it may. A reporter stands apart: it files reports and reads nothing else."""

    REPORTER = "reporter"
    VIEWER = "viewer"
    DUTY = "duty"
    ADMIN = "admin"

    def may(self, need: Role) -> bool:
        if need is Role.REPORTER:                   # filing is work, not reading
            return self is not Role.VIEWER
        order = list(Role)
        return order.index(self) >= order.index(need)

    @property
    def label(self) -> str:
        return {"reporter": "上报员", "viewer": "只读", "duty": "值班", "admin": "管理员"}[self.value]


@dataclass(frozen=True, slots=True)
class Account:
    name: str
    role: Role
    created_at: Millis = 0
    disabled: bool = False


def ensure_admin(engine: Engine, settings: Settings, now: Millis) -> str | None:
    """Make the first admin account `admin` when there is no admin at all.

    Returns the password if one was made up, for the caller to print once and nowhere else; None when it came from
    WENXUN_ADMIN_PASSWORD_FILE or an admin exists. SettingsError when that file cannot be used.
    """
    with engine.connect() as connection:
        known = connection.execute(
            select(schema.accounts.c.name)
            .where((schema.accounts.c.role == Role.ADMIN.value) | (schema.accounts.c.name == "admin"))).first()
    if known is not None:
        return None
    file = settings.admin_password_file
    password = secret_files.read("WENXUN_ADMIN_PASSWORD_FILE", file).splitlines()[0] if file else made_password()
    try:
        add(engine, "admin", Role.ADMIN, password, now=now, by="system")
    except AccountError as error:
        if find(engine, "admin") is not None:       # another process was first: its password counts
            return None
        raise SettingsError(f"WENXUN_ADMIN_PASSWORD_FILE: {error}") from None
    return None if file else password


def read_password(path: str, what: str) -> str:
    """The first line of a file; SettingsError names the option."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{what}={path}: 无法读取口令文件({type(error).__name__})") from None


def made_password() -> str:
    """20 characters that can be read aloud: no 0/O, 1/l; about 100 bits."""
    alphabet = "abcdefghijkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(alphabet) for _ in range(5)) for _ in range(4))


def add(engine: Engine, name: str, role: Role, password: str, *, now: Millis, by: str = "cli") -> None:
    """Make an account; AccountError when the name is taken or unusable or the password too short."""
    name = unicodedata.normalize("NFC", name)
    if not _NAME.fullmatch(name):
        raise AccountError(f"账号名 {name!r} 不可用：1 到 32 个字母、汉字、数字，或中间的 . - _")
    row = {"name": name, "role": role.value, "password": hashed(password), "created_at": now, "disabled": False}
    with engine.begin() as connection:
        if not audit.insert_once(connection, schema.accounts, row):
            raise AccountError(f"账号 {name} 已存在；改口令用 `wenxun user passwd {name}`")
        audit.write(connection, now, by, "user.add", name, f"角色 {role.value}")


def set_password(engine: Engine, name: str, password: str, *, now: Millis, by: str = "cli") -> None:
    """Change a password, end every session of the account and enable it again."""
    with engine.begin() as connection:
        changed = connection.execute(
            update(schema.accounts).where(schema.accounts.c.name == name)
            .values(password=hashed(password), disabled=False))
        if changed.rowcount == 0:
            raise _unknown(name)
        connection.execute(delete(schema.sessions).where(schema.sessions.c.account == name))
        audit.write(connection, now, by, "user.passwd", name)


def disable(engine: Engine, name: str, *, now: Millis, by: str = "cli") -> None:
    """No more sign-in, sessions end, tokens stop. The last admin stays: somebody must look after the rest."""
    with engine.begin() as connection:
        account = next((one for one in _accounts(connection) if one.name == name), None)
        if account is None:
            raise _unknown(name)
        admins = [one.name for one in _accounts(connection) if one.role is Role.ADMIN and not one.disabled]
        if admins == [name]:
            raise AccountError(
                f"{name} 是最后一个可用的管理员，不能停用；先用 `wenxun user add … --role admin` 添加一个")
        connection.execute(update(schema.accounts).where(schema.accounts.c.name == name).values(disabled=True))
        connection.execute(delete(schema.sessions).where(schema.sessions.c.account == name))
        audit.write(connection, now, by, "user.disable", name)


def accounts(engine: Engine) -> list[Account]:
    with engine.connect() as connection:
        return _accounts(connection)


def find(engine: Engine, name: str) -> Account | None:
    return next((one for one in accounts(engine) if one.name == name), None)


def check_password(engine: Engine, name: str, password: str) -> Account | None:
    """The account when the password is right. An unknown or disabled account takes as long as a wrong password."""
    table = schema.accounts
    with engine.connect() as connection:
        row = connection.execute(select(table).where(table.c.name == unicodedata.normalize("NFC", name))).first()
    usable = row is not None and not row.disabled
    right = _verify(row.password if row is not None and usable else _decoy(), password)
    if row is None or not usable or not right:
        return None
    if _HASHER.check_needs_rehash(row.password):
        with engine.begin() as connection:
            connection.execute(update(table).where(table.c.name == row.name).values(password=hashed(password)))
    return Account(row.name, Role(row.role), row.created_at)


def hashed(password: str) -> str:
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise AccountError(f"口令要有 {MIN_PASSWORD} 到 {MAX_PASSWORD} 个字符")
    return _HASHER.hash(unicodedata.normalize("NFC", password))


def _verify(known: str, password: str) -> bool:
    try:
        return _HASHER.verify(known, unicodedata.normalize("NFC", password[: MAX_PASSWORD + 1]))
    except (VerificationError, InvalidHashError):
        return False


@cache
def _decoy() -> str:
    return _HASHER.hash(secrets.token_urlsafe(16))


def _accounts(connection: audit.Connection) -> list[Account]:
    rows = connection.execute(select(schema.accounts).order_by(schema.accounts.c.name))
    return [Account(row.name, Role(row.role), row.created_at, bool(row.disabled)) for row in rows]


def _unknown(name: str) -> AccountError:
    return AccountError(f"没有账号 {name}；`wenxun user list` 列出全部账号")
