"""What commands about rules ask of the archive: books that were in force, what rules matched, items and events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, select

from agents.settings import Settings
from agents.store import engine, schema
from pipeline import codec
from pipeline.errors import SettingsError
from pipeline.rulebook.schema import RuleBook


def has_archive(settings: Settings) -> bool:
    """Whether there is one. Looking never makes one."""
    url = settings.store_url
    return not url.startswith("sqlite:///") or Path(url.removeprefix("sqlite:///")).exists()


@contextmanager
def open_archive(settings: Settings) -> Iterator[Connection]:
    """A connection to read by; SettingsError if there is no archive, or it is of another version."""
    if not has_archive(settings):
        raise SettingsError(f"没有存档 {engine.shown(settings.store_url)}。在运行闻讯的目录里执行，"
                            "或设 WENXUN_DATA_DIR、WENXUN_DATABASE_URL。")
    engine.require_current(settings.store_url)
    store = engine.open_store(settings.store_url)
    try:
        with store.connect() as connection:
            yield connection
    finally:
        store.dispose()


def book_of(connection: Connection, prefix: str) -> RuleBook:
    """The book whose hash begins so; SettingsError unless there is exactly one."""
    table = schema.books.c
    found = connection.execute(
        select(table.hash).where(table.hash.startswith(prefix, autoescape=True)).order_by(table.at.desc()).limit(9)
    ).scalars().all()
    if not found:
        raise SettingsError(f"存档里没有规则 {prefix}。用 wenxun rules history 看有哪些。")
    if len(found) > 1:
        raise SettingsError(f"{prefix} 开头的规则不止一份：{'、'.join(found[:8])}。多写几位。")
    text = connection.execute(select(table.book).where(table.hash == found[0])).scalar_one()
    decoded: RuleBook = codec.decode_as(RuleBook, text.encode())
    return decoded
