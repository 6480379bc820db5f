"""PostgreSQL: how it is dialled, how long anything may take, and what its refusals mean.

The password is in a file (`?password_file=` of the URL; Settings adds it), read again at each connection: one that was
changed is in force without a restart, and it stands in no environment, process list or log.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL, ExceptionContext

from agents import secret_files

DRIVER = "postgresql+psycopg"
PASSWORD_FILE = "password_file"  # noqa: S105 - the name of a parameter
CONNECT_SECONDS = 10
STATEMENT_SECONDS = 60
"""Of one statement. Migrations, backups and rebuilds lift it for themselves."""
LOCK_SECONDS = 15
POOL: dict[str, Any] = {
    "pool_size": 5, "max_overflow": 10, "pool_timeout": 30, "pool_pre_ping": True, "pool_recycle": 1800}
_SESSION = {
    "statement_timeout": f"{STATEMENT_SECONDS}s", "lock_timeout": f"{LOCK_SECONDS}s",
    "idle_in_transaction_session_timeout": "120s"}
_CONNECT: dict[str, Any] = {
    "connect_timeout": CONNECT_SECONDS, "application_name": "wenxun", "client_encoding": "utf8",
    "keepalives": 1, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3,
    "tcp_user_timeout": 30_000, "options": " ".join(f"-c {name}={value}" for name, value in _SESSION.items())}
_HINTS = (
    ("password authentication failed", "the password is wrong: look at the file of WENXUN_DATABASE_PASSWORD_FILE"),
    ("no password supplied", "a password is wanted: name a file with it in WENXUN_DATABASE_PASSWORD_FILE"),
    ("no pg_hba.conf entry", "the server lets nobody in from this host: look at its pg_hba.conf"),
    ("does not exist", "make the role and the database first: docs/operating.md, Store"),
    ("Connection refused", "no server listens there, or it is starting"),
    ("starting up", "the server is starting"),
    ("shutting down", "the server is going down"),
    ("permission denied", "the role must own the database's tables"),
    ("timeout", "the server does not answer in time"),
)


def address(url: URL) -> URL:
    """The URL with our driver; `postgresql://` alone would mean another one."""
    return url.set(drivername=DRIVER) if url.drivername == "postgresql" else url


def split(url: URL) -> tuple[URL, Path | None]:
    """What the driver gets, and the file with the password. SettingsError if that cannot be read."""
    named = url.query.get(PASSWORD_FILE)
    if named is None:
        return url, None
    path = Path(str(named))
    secret_files.read("WENXUN_DATABASE_PASSWORD_FILE", path)
    return url.difference_update_query([PASSWORD_FILE]), path


def password(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip("\r\n")


def arguments(url: URL) -> dict[str, Any]:
    """Of each connection; what the URL says itself counts."""
    return {name: value for name, value in _CONNECT.items() if name not in url.query}


def hint(error: object) -> str:
    """What to do about it, in brackets, or nothing."""
    text = str(error)
    return next((f" ({said})" for words, said in _HINTS if words in text), "")


def without_rows(context: ExceptionContext) -> None:
    """Of an error only what happened: its DETAIL has the row's texts, and errors are logged."""
    error, shown = context.original_exception, context.sqlalchemy_exception
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    if primary:
        error.args = (primary,)
        if shown is not None:
            shown.args = (f"({type(error).__name__}) {primary}",)
