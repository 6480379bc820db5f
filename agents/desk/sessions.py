"""Sessions of the browser and tokens of the API. Only sha256 of either is stored.

Their times are real time, also in a demo whose clock runs fast: they guard against people, not events.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Engine, delete, insert, select, update

from agents.desk import audit
from agents.desk.accounts import AccountError, Role
from agents.store import schema
from pipeline.model import Millis

SESSION_LIFE = 12 * 3_600_000
SLIDE_AFTER = 5 * 60_000
"""A session is extended at most this often, so that reading a page is rarely a write."""

TOKEN_PREFIX = "wxt_"  # noqa: S105  (a prefix that secret scanners can find, no secret)


class Scope(StrEnum):
    """What a token may do. ack: everything about one event but closing it. silence: begin and end silences, which hold
    back pages of many. poll: have a source collected now. intake: file reports, and nothing else. alertmanager: put its
    alerts to ops, and nothing else. admin: let a change of the rules come into force."""

    READ = "read"
    ACK = "ack"
    CLOSE = "close"
    SILENCE = "silence"
    POLL = "poll"
    INTAKE = "intake"
    ALERTMANAGER = "alertmanager"
    ADMIN = "admin"

    @property
    def needs(self) -> Role:
        """The role that an account must have for it."""
        own = {Scope.READ: Role.VIEWER, Scope.INTAKE: Role.REPORTER, Scope.ALERTMANAGER: Role.REPORTER,
               Scope.ADMIN: Role.ADMIN}
        return own.get(self, Role.DUTY)


@dataclass(frozen=True, slots=True)
class Session:
    id: str
    account: str
    role: Role
    csrf: str


@dataclass(frozen=True, slots=True)
class Token:
    id: str
    name: str
    account: str
    role: Role
    scopes: frozenset[str]
    created_at: Millis = 0
    expires_at: Millis | None = None
    revoked_at: Millis | None = None


def open_session(engine: Engine, account: str, now: Millis) -> str:
    """A new session; the token for the cookie. Sessions that have expired are cleared away."""
    token = secrets.token_urlsafe(32)
    with engine.begin() as connection:
        connection.execute(delete(schema.sessions).where(schema.sessions.c.expires_at <= now))
        connection.execute(insert(schema.sessions).values(
            id=_digest(token), account=account, csrf=secrets.token_urlsafe(24), created_at=now,
            expires_at=now + SESSION_LIFE))
    return token


def find_session(engine: Engine, token: str, now: Millis) -> Session | None:
    """The live session of a cookie, extended; None when it expired, or its account was disabled."""
    table, people = schema.sessions, schema.accounts
    query = (select(table, people.c.role).join(people, people.c.name == table.c.account)
             .where(table.c.id == _digest(token), table.c.expires_at > now, people.c.disabled.is_(False)))
    with engine.connect() as connection:
        row = connection.execute(query).first()
    if row is None:
        return None
    if row.expires_at < now + SESSION_LIFE - SLIDE_AFTER:
        with engine.begin() as connection:
            connection.execute(update(table).where(table.c.id == row.id).values(expires_at=now + SESSION_LIFE))
    return Session(row.id, row.account, Role(row.role), row.csrf)


def end_session(engine: Engine, session: Session) -> None:
    with engine.begin() as connection:
        connection.execute(delete(schema.sessions).where(schema.sessions.c.id == session.id))


def create_token(
    engine: Engine, name: str, account: str, scopes: frozenset[Scope], *, now: Millis, expires_at: Millis | None,
    by: str = "cli",
) -> str:
    """A new API token, returned once. AccountError when the account is missing or the scopes pass its role."""
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    with engine.begin() as connection:
        row = connection.execute(select(schema.accounts).where(schema.accounts.c.name == account)).first()
        if row is None or row.disabled:
            raise AccountError(f"没有可用的账号 {account}；`wenxun user list` 列出全部账号")
        beyond = sorted(each for each in scopes if not Role(row.role).may(each.needs))
        if beyond:
            may = "、".join(each for each in Scope if Role(row.role).may(each.needs))
            raise AccountError(f"账号 {account} 是 {row.role}，它的令牌只能有 {may}，不能有 {'、'.join(beyond)}")
        connection.execute(insert(schema.tokens).values(
            id=_digest(token), name=name, account=account, scopes=" ".join(sorted(scopes)), created_at=now,
            expires_at=expires_at))
        audit.write(connection, now, by, "token.create", name, f"账号 {account}，范围 {' '.join(sorted(scopes))}")
    return token


def find_token(engine: Engine, token: str, now: Millis) -> Token | None:
    """The usable token; None when unknown, expired, revoked, or its account is disabled."""
    found = next((one for one in _tokens(engine, schema.tokens.c.id == _digest(token))), None)
    if found is None or found.revoked_at is not None or (found.expires_at is not None and found.expires_at <= now):
        return None
    return found


def tokens(engine: Engine) -> list[Token]:
    return _tokens(engine, schema.accounts.c.name != "", disabled=True)


def revoke_token(engine: Engine, which: str, *, now: Millis, by: str = "cli") -> str:
    """Revoke by name or by the first 8 digits of the id; AccountError when that is not exactly one live token."""
    live = [one for one in tokens(engine) if one.revoked_at is None]
    found = [one for one in live if one.name == which]
    if not found and len(which) >= 8:
        found = [one for one in live if one.id.startswith(which)]
    if len(found) != 1:
        count = f"有 {len(found)} 个" if found else "没有"
        raise AccountError(f"{count}令牌 {which}；`wenxun token list` 列出编号，用编号吊销")
    with engine.begin() as connection:
        connection.execute(update(schema.tokens).where(schema.tokens.c.id == found[0].id).values(revoked_at=now))
        audit.write(connection, now, by, "token.revoke", found[0].name, f"账号 {found[0].account}")
    return found[0].name


def _tokens(engine: Engine, where: object, *, disabled: bool = False) -> list[Token]:
    table, people = schema.tokens, schema.accounts
    query = select(table, people.c.role).join(people, people.c.name == table.c.account).where(where)  # type: ignore[arg-type]
    if not disabled:
        query = query.where(people.c.disabled.is_(False))
    with engine.connect() as connection:
        rows = connection.execute(query.order_by(table.c.created_at))
        return [Token(row.id, row.name, row.account, Role(row.role), frozenset(row.scopes.split()), row.created_at,
                      row.expires_at, row.revoked_at) for row in rows]


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
