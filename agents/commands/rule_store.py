"""What commands about rules ask of the archive: books that were in force, what rules matched, items and events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, func, select

from agents.settings import Settings
from agents.store import engine, readmodel, schema, warm
from pipeline import codec
from pipeline.errors import SettingsError
from pipeline.model import SHADOW, EventStatus, Millis, RawItem, WarmEvent
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
def open_engine(settings: Settings) -> Iterator[Engine]:
    """The archive's engine; SettingsError if there is no archive, or it is of another version."""
    if not has_archive(settings):
        raise SettingsError(f"没有存档 {engine.shown(settings.store_url)}。在运行闻讯的目录里执行，"
                            "或设 WENXUN_DATA_DIR、WENXUN_DATABASE_URL。")
    engine.require_current(settings.store_url)
    store = engine.open_store(settings.store_url)
    try:
        yield store
    finally:
        store.dispose()


@contextmanager
def open_archive(settings: Settings) -> Iterator[Connection]:
    """A connection to read by; SettingsError as `open_engine`."""
    with open_engine(settings) as store, store.connect() as connection:
        yield connection


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


@dataclass(frozen=True, slots=True)
class StoredItem:
    """An item of the archive and the book that scored it. notes: what a person should know of this."""

    item: RawItem
    book: RuleBook
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event of the archive with its rows, the book it is explained by, and at which time."""

    event: WarmEvent
    book: RuleBook
    at: Millis
    notes: tuple[str, ...] = ()


def stored_item(connection: Connection, item_id: str) -> StoredItem:
    """SettingsError if there is no such item, or its text is past its retention time."""
    view = readmodel.item(connection, item_id)
    if view is None:
        raise SettingsError(f"存档里没有条目 {item_id}。编号在值班台的条目页上。")
    if view.expired:
        raise SettingsError(f"条目 {item_id} 的文字已过保存期，只剩数字，解释不了。")
    item = RawItem(
        id=view.id, revision=view.revision, source_id=view.source_id, title=view.title, text=view.text, url=view.url,
        first_seen_at=view.first_seen_at, published_at=view.published_at, backfill=view.backfill, ref=view.ref,
        urgent=view.urgent)
    table = schema.scored.c
    hashes = connection.execute(select(table.book).where(table.item_id == item_id).order_by(
        table.subject.startswith(SHADOW), table.subject)).scalars().all()
    book, notes = _book_or_newest(connection, hashes[0] if hashes else "")
    return StoredItem(item, book, notes)


def stored_event(
    connection: Connection, ref: str, given: RuleBook | None, at: Millis | None, now: Millis
) -> StoredEvent:
    """given: a book to explain it by; by default the one of its last decision. at: default now, of an event that is
    over the time of its last item. SettingsError if there is no such event."""
    head = readmodel.head(connection, ref)
    if head is None:
        raise SettingsError(f"存档里没有事件 {ref}。写 E-0317 这样的编号，或 20 位的事件编号。")
    book, notes = (given, ()) if given is not None else _book_or_newest(connection, head.book)
    live = head.status in (EventStatus.OPEN, EventStatus.WATCHING)
    when = at if at is not None else now if live else head.last_item_at
    since = when - max([book.levels.events.join_within, DAY, *(each.window for each in book.levels.thresholds())])
    rows = tuple(warm.members(connection, head.id, since))
    counts = tuple(warm.counts(connection, [row.item_id for row in rows], since))
    return StoredEvent(WarmEvent(head=head, rows=rows, counts=counts), book, when, notes)


def _book_or_newest(connection: Connection, book_hash: str) -> tuple[RuleBook, tuple[str, ...]]:
    if book_hash and (found := readmodel.book(connection, book_hash)) is not None:
        return found, ()
    newest = readmodel.book(connection)
    if newest is None:
        raise SettingsError("存档里还没有规则。用 --rules 写明按哪个规则目录解释。")
    why = f"存档里没有当时的规则 {book_hash}" if book_hash else "还没有按规则看过它"
    return newest, (f"{why}，按最新的规则 {newest.hash} 解释",)
