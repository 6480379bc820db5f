"""A report that a person files (a department, a hotline clerk) -> an item like any other.

What is personal is masked here, before anything is written. The same ticket again is a revision of its item.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from pipeline.collect import identity
from pipeline.collect.links import public_link
from pipeline.collect.privacy import mask
from pipeline.collect.text import one_line, tidy
from pipeline.errors import WenxunError
from pipeline.ids import digest
from pipeline.model import Millis, RawBatch, RawItem
from pipeline.rulebook.schema import INTAKE, RuleBook, Source, SourceKind

MAX_TITLE, MAX_TEXT, MAX_REF, MAX_URL = 200, 5000, 64, 2000
"""Characters."""
TITLE_FROM_TEXT = 40
SAME_WITHIN = 10 * 60_000
"""Without a ticket number, the same words within this long are the same report: a click or a call that was repeated."""
AHEAD = 5 * 60_000
"""How far a person's clock may run ahead of ours."""


class BadReport(WenxunError):
    """A report that cannot be taken. The text says what to change; `code` is for programs."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Draft:
    """A report as it was typed in: nothing of it is masked yet. at: when it happened, None when nobody said."""

    title: str = ""
    text: str = ""
    ref: str = ""
    url: str = ""
    at: Millis | None = None
    urgent: bool = False


def report(draft: Draft, source_id: str, now: Millis) -> RawItem:
    """The report as an item, masked; BadReport says what is missing or too long.

    Its id is of source and ticket number; without a number, of the words and the time. A number that looks like
    personal data is masked too, and then does not name the report.
    """
    # masked last: white space and hidden characters would keep a number's parts apart
    title = mask(one_line(tidy(_at_most(draft.title, MAX_TITLE, "标题"))))
    text = mask(tidy(_at_most(draft.text, MAX_TEXT, "内容")))
    if not any(ch.isprintable() and not ch.isspace() for ch in title + text):
        raise BadReport("empty", "标题和内容至少写一项。")
    if draft.at is not None and draft.at > now + AHEAD:
        raise BadReport("bad_time", "发生时间还没有到，请核对。")
    if draft.at is not None and draft.at < 0:               # no page could show the first years of the calendar
        raise BadReport("bad_time", "发生时间在 1970 年以前，请核对。")
    written = one_line(tidy(_at_most(draft.ref, MAX_REF, "工单号")))
    ref, url = mask(written), _link(draft.url)
    name = f"ref {ref}" if ref and ref == written else digest(title, text, ref, now // SAME_WITHIN)
    # an urgent word about the same text is news as well
    revision = identity.revision(title, f"{text}\x1f加急" if draft.urgent else text)
    return RawItem(
        id=identity.item_id(source_id, name), revision=revision, source_id=source_id,
        title=title or _title_from(text), text=text, url=url, first_seen_at=now, published_at=draft.at, ref=ref,
        urgent=draft.urgent)


def batch(item: RawItem) -> RawBatch:
    """The record of topic items.raw that carries one report."""
    return RawBatch(source_id=item.source_id, polled_at=item.first_seen_at, items=(item,))


def desks(book: RuleBook | None) -> tuple[Source, ...]:
    """Where reports can be filed: the book's own intake sources, then the built-in one unless the book has it."""
    own = tuple(each for each in (book.sources if book else ()) if each.kind is SourceKind.INTAKE)
    builtin = () if any(each.id == INTAKE.id for each in own) else (INTAKE,)
    return tuple(each for each in own if each.enabled) + builtin


def desk_of(book: RuleBook | None, source_id: str) -> Source:
    """One of `desks` by its id, the first one for none; BadReport lists them."""
    known = desks(book)
    if not known:
        raise BadReport("no_source", "上报来源都已停用，请在 sources.yml 里启用一个（kind: intake）。")
    found = known[0] if not source_id else next((each for each in known if each.id == source_id), None)
    if found is None:
        names = "、".join(each.id for each in known)
        raise BadReport("bad_source", f"没有这个上报来源。可以用：{names}。")
    return found


def moment(text: str, zone: ZoneInfo) -> Millis | None:
    """`2026-11-22 03:12`, with `T` or an offset too, as epoch milliseconds; None for an empty text.

    Without an offset it is in the zone. BadReport when it cannot be read.
    """
    if not text.strip():
        return None
    try:
        at = datetime.fromisoformat(text.strip().replace("/", "-"))
        return int((at if at.tzinfo else at.replace(tzinfo=zone)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise BadReport("bad_time", "发生时间写作 2026-11-22 03:12。") from None


def _at_most(text: str, limit: int, what: str) -> str:
    text = text.strip()
    if len(text) > limit:
        raise BadReport("too_long", f"{what}有 {len(text)} 个字，最多 {limit} 个，请缩短。")
    return text


def _link(url: str) -> str:
    """Without what names a person; BadReport when it is none, so that nobody believes a link was kept."""
    url = _at_most(url, MAX_URL, "链接")
    kept = public_link(url, "") if url else ""
    if url and (not kept or mask(kept) != kept):
        raise BadReport("bad_url", "链接要以 http:// 或 https:// 开头，并且不带电话、账号等个人信息。")
    return kept


def _title_from(text: str) -> str:
    first = text.partition("\n")[0]
    return first if len(first) <= TITLE_FROM_TEXT else first[:TITLE_FROM_TEXT] + "…"
