"""What commands about rules ask of the archive: books that were in force, what rules matched, items and events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, func, select

from agents.settings import Settings
from agents.store import engine, schema
from pipeline import codec
from pipeline.errors import SettingsError
from pipeline.model import Millis
from pipeline.rulebook.lint import SILENT_DAYS, History, Past
from pipeline.rulebook.schema import DAY, RuleBook, Status
from pipeline.rulebook.shadow import name_in_shadow

MAX_BOOKS = 100
"""Looked back at, to see since when a rule is in shadow."""


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


def lint_history(connection: Connection, book: RuleBook, now: Millis) -> History:
    """What the archive knows of the book's subjects, for `wenxun rules lint`."""
    from agents.store.rule_reads import RuleFigures, rule_figures

    table = schema.items.c
    oldest = connection.execute(select(func.min(table.first_seen_at))).scalar()
    recent = select(func.count()).where(table.first_seen_at >= now - SILENT_DAYS * DAY)
    items = connection.execute(recent).scalar_one()
    names = {each.id: name_in_shadow(each.id) if each.status is Status.SHADOW else each.id for each in book.subjects}
    figures = rule_figures(connection, now, names.values())
    since = _in_shadow_since(connection, {each.id for each in book.subjects if each.status is Status.SHADOW})

    def past(ident: str, known: RuleFigures) -> Past:
        days = (now - since[ident]) // DAY if ident in since else 0
        return Past(known.matches.month, known.verdicts.judged, known.verdicts.not_relevant, days)

    return History(items, (now - oldest) // DAY if oldest is not None else 0,
                   {ident: past(ident, figures[name]) for ident, name in names.items()})


def _in_shadow_since(connection: Connection, subjects: set[str]) -> dict[str, Millis]:
    """Subject -> first publication of the oldest book from which on it was in shadow without a break."""
    table, found, waiting = schema.books.c, dict[str, Millis](), set(subjects)
    rows = connection.execute(
        select(table.first_at, table.book).where(table.at > 0).order_by(table.at.desc()).limit(MAX_BOOKS))
    for first_at, text in rows:
        if not waiting:
            break
        book = codec.decode_as(RuleBook, text.encode())
        shadows = {each.id for each in book.subjects if each.status is Status.SHADOW}
        waiting &= shadows
        found |= dict.fromkeys(waiting, first_at)
    return found
