"""解释: why a text, an item or an event is judged as it is, rule by rule and factor by factor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from starlette.responses import Response

from agents.desk import audit, rule_words
from agents.desk.explains import MAX_CHARACTERS, SHOWN, SHOWN_MATCHED
from agents.desk.limits import Busy
from agents.desk.rule_words import Said
from agents.desk.web import Visit
from agents.store import readmodel, schema, warm
from agents.store.readmodel import ItemView
from pipeline import explain_words
from pipeline.explain import EventExplained, TextExplained, explain_event
from pipeline.ids import digest
from pipeline.model import SHADOW, EventHead, Millis, RawItem, Span, WarmEvent
from pipeline.rulebook.schema import INTAKE, RuleBook, WordList
from pipeline.rulebook.shadow import as_if_live, live_name
from pipeline.score.explained import Explained, Seen, Truth

MANY_SOURCES = 300
"""From so many on, a source is typed by its id instead of chosen."""


@dataclass(frozen=True, slots=True)
class Line:
    """A pattern in a rule and what became of it. texts: what it found there, each once."""

    said: Said
    weight: float | None
    occurs: bool
    texts: tuple[str, ...]
    elsewhere: bool
    miss: str = ""
    """Of words that should stand near each other, when some of them occur: what is wrong."""


@dataclass(frozen=True, slots=True)
class Check:
    """A line of a condition. holds: whether it is as the rule wants it; None of an alternative that is not needed.

    leaves: the patterns right under a group, those that occur first.
    """

    depth: int
    holds: bool | None
    text: str = ""
    line: Line | None = None
    leaves: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleView:
    """A rule beside a text."""

    found: Explained
    why_not: tuple[str, ...]
    spans: tuple[Span, ...]
    terms: tuple[Line, ...]
    exclude: tuple[Line, ...]
    condition: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """What stands in the form."""

    title: str = ""
    text: str = ""
    source: str = ""
    beside: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """An explanation of a text: the heaviest rules that match and the nearest that do not, and how many of each are not
    shown."""

    found: TextExplained
    matched: tuple[RuleView, ...]
    missed: tuple[RuleView, ...]
    more_matched: int
    more: int
    spans: tuple[Span, ...] = field(default=())


def page(visit: Visit) -> Response:
    """The box, empty; or an item (`?item=`) or an event (`?event=`) explained."""
    if visit.query("item"):
        return _item(visit, visit.query("item"))
    if visit.query("event"):
        return _event(visit, visit.query("event"))
    return _box(visit, visit.desk.book(), Asked())


def text(visit: Visit) -> Response:
    """A form with `title`, `text`, `source`, and `beside` for the rule book in shadow. Nothing of it is kept."""
    form, book = visit.form, visit.desk.book()
    asked = Asked(form.get("title", "").strip(), form.get("text", "").strip(), form.get("source", "").strip(),
                  form.get("beside") == "yes")
    wrong = refusal(book, asked)
    if wrong or book is None:
        return _box(visit, book, Asked(asked.title, asked.text, asked.source, asked.beside, wrong), status=400)
    try:
        found = visit.desk.explains.text(visit.session.account, judging_book(book, asked.beside), raw(asked, visit.now))
    except Busy as busy:
        return _box(visit, book, Asked(asked.title, asked.text, asked.source, asked.beside, str(busy)), status=429)
    _audit(visit, "", f"{len(asked.title) + len(asked.text)} 字")
    return _box(visit, book, asked, shown(found, book))


def refusal(book: RuleBook | None, asked: Asked) -> str:
    """What is wrong with what was typed; empty when it can be explained."""
    size = len(asked.title) + len(asked.text)
    if book is None:
        return "还没有规则书，没有可以解释的规则。"
    if not size:
        return "请写上标题或正文。"
    if size > MAX_CHARACTERS:
        return f"标题和正文合计最多 {MAX_CHARACTERS} 字，现在是 {size} 字。请删短一些。"
    if asked.source and book.source(asked.source) is None:
        return f"规则书里没有来源“{asked.source[:64]}”。"
    return ""


def raw(asked: Asked, now: Millis) -> RawItem:
    """What was typed, as an item first seen now."""
    return RawItem(id=digest("typed"), revision="0" * 16, source_id=asked.source, title=asked.title, text=asked.text,
                   url="", first_seen_at=now, published_at=now)


def judging_book(book: RuleBook, beside: bool) -> RuleBook:
    return as_if_live(book.shadow) if beside and book.shadow is not None else book


def shown(found: TextExplained, book: RuleBook | None) -> Shown:
    matched = tuple(rule_view(each, book) for each in found.matched[:SHOWN_MATCHED])
    missed = tuple(rule_view(each, book) for each in found.missed[:SHOWN])
    spans = tuple(span for view in matched for span in view.spans)
    return Shown(found, matched, missed, len(found.matched) - len(matched), len(found.missed) - len(missed), spans)


def rule_view(found: Explained, book: RuleBook | None) -> RuleView:
    lists = rule_words.lists_of(book)
    seen = [*found.terms, *_patterns(found.condition), *found.excluded_by]
    spans = tuple(Span(found.subject, rule_words.pattern(each.pattern, lists).text, place.field, place.start, place.end)
                  for each in seen for place in each.places)
    return RuleView(
        found, tuple(explain_words.misses(found)), spans, tuple(_line(each, lists) for each in found.terms),
        tuple(_line(each, lists) for each in found.excluded_by),
        tuple(_checks(found.condition, lists)) if found.condition is not None else ())


def _line(seen: Seen, lists: dict[str, WordList]) -> Line:
    texts = tuple(dict.fromkeys(place.text for place in seen.places))
    return Line(rule_words.pattern(seen.pattern, lists), seen.weight, seen.occurs, texts[:6],
                bool(seen.elsewhere) and not seen.occurs, explain_words.near_miss(seen) if seen.partly else "")


def _checks(truth: Truth, lists: dict[str, WordList], depth: int = 0, *, wanted: bool = True,
            needed: bool = True) -> Iterator[Check]:
    """A condition line by line. wanted: whether it shall be true; needed: whether all depends on this one."""
    holds = truth.value is wanted
    sign = holds if holds or needed else None
    if truth.seen is not None:
        yield Check(depth, sign, line=_line(truth.seen, lists))
        return
    parts = [(text, below) for text, below in (
        ("全部出现", truth.all), ("至少出现一个", truth.any), ("一个都不能出现", truth.none)) if below]
    if len(parts) > 1:
        yield Check(depth, sign, "同时满足")
        depth += 1
    for text, below in parts:
        values = [each.value for each in below]
        fits = {"全部出现": all(values), "至少出现一个": any(values), "一个都不能出现": not any(values)}[text]
        under = [list(_checks(each, lists, depth + 1, wanted=below is not truth.none,
                              needed=below is not truth.any or not fits)) for each in below]
        leaves = [found[0] for found in under if found[0].line is not None]
        leaves.sort(key=lambda one: one.line is not None and not one.line.occurs)
        yield Check(depth, (fits if fits or needed else None) if wanted else None, text, leaves=tuple(leaves))
        for found in under:
            yield from found if found[0].line is None else ()


def _patterns(truth: Truth | None) -> Iterator[Seen]:
    if truth is None:
        return
    if truth.seen is not None:
        yield truth.seen
    for part in (*truth.all, *truth.any):
        yield from _patterns(part)


def _box(visit: Visit, book: RuleBook | None, asked: Asked, found: Shown | None = None, *, status: int = 200,
         **more: Any) -> Response:
    sources = (INTAKE, *book.sources) if book else ()
    return visit.page(
        "explain.html", status, book=book, asked=asked, found=found, limit=MAX_CHARACTERS,
        sources=sources if len(sources) <= MANY_SOURCES else (), **{"item": None, "other_book": "", **more})


# ---------------------------------------------------------------- what the archive has


def _item(visit: Visit, item_id: str) -> Response:
    """An item of the archive, by default under the book that it was judged by; `book=now` for the present one."""
    with visit.desk.engine.connect() as connection:
        item = readmodel.item(connection, item_id)
        table = schema.scored.c
        judged = connection.execute(
            select(table.book).where(table.item_id == item_id, ~table.subject.startswith(SHADOW))
            .order_by(table.revision == (item.revision if item else "")).limit(1)).scalar()
        now_book = visit.desk.book()
        present = visit.query("book") == "now" or not judged or (now_book is not None and judged == now_book.hash)
        book = now_book if present else readmodel.book(connection, judged or "") or now_book
    if item is None or item.expired or book is None:
        why = "文字已过保存期，没有可以解释的内容。" if item is not None and item.expired else "没有这个条目。"
        return visit.message("不能解释", why, 404, "/rules/explain")
    visit.write_read("item.read", item.id, "解释")
    subject = live_name(visit.query("subject"))
    beside = visit.query("subject").startswith(SHADOW) and book.shadow is not None
    try:
        found = visit.desk.explains.text(
            visit.session.account, judging_book(book, beside), as_raw(item), [subject] if subject else ())
    except Busy as busy:
        return visit.message("请稍等", str(busy), 429, f"/items/{item.id}")
    return _box(visit, now_book, Asked(), shown(found, book), item=item,
                other_book="now" if not present else "", judged=book.hash)


def as_raw(item: ItemView) -> RawItem:
    return RawItem(id=item.id, revision=item.revision, source_id=item.source_id, title=item.title, text=item.text,
                   url=item.url, first_seen_at=item.first_seen_at, published_at=item.published_at,
                   backfill=item.backfill, ref=item.ref, urgent=item.urgent)


def _event(visit: Visit, ref: str) -> Response:
    """An event as it stands now under the present book; `at=decision`: as it was judged last, under that book."""
    try:
        with visit.desk.explains.hold(visit.session.account):
            return _event_shown(visit, ref)
    except Busy as busy:
        return visit.message("请稍等", str(busy), 429, f"/events/{ref}")


def _event_shown(visit: Visit, ref: str) -> Response:
    book = visit.desk.book()
    with visit.desk.engine.connect() as connection:
        head = readmodel.head(connection, ref)
        if head is None or book is None:
            return visit.message("不能解释", "没有这个事件。", 404, "/events")
        then = visit.query("at") == "decision"
        judge = (readmodel.book(connection, head.book) or book) if then else book
        at = head.decision.at if then else visit.now
        event = warm_event(connection, head, judge, at)
    visit.write_read("event.read", head.short or head.id, "解释")
    return visit.page("explain_event.html", book=book, head=head, found=explain_event(event, judge, at), then=then)


def warm_event(connection: Any, head: EventHead, book: RuleBook, at: Millis) -> WarmEvent:
    """An event with the rows that its windows reach."""
    widest = max((each.window for each in book.levels.thresholds()), default=0)
    since = min(at, head.decision.at) - max(widest, book.levels.events.join_within)
    rows = warm.members(connection, head.id, since)
    return WarmEvent(head=head, rows=tuple(rows),
                     counts=tuple(warm.counts(connection, [row.item_id for row in rows], since)))


def event_explained(connection: Any, head: EventHead, book: RuleBook, at: Millis) -> EventExplained:
    return explain_event(warm_event(connection, head, book, at), book, at)


def _audit(visit: Visit, about: str, detail: str) -> None:
    """That somebody asked, never what was typed."""
    with visit.desk.engine.begin() as connection:
        audit.write(connection, visit.now, visit.session.account, "rules.explain", about or "文字", detail)
