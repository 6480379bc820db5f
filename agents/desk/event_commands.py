"""What people do about an event beside answering and closing it: hand it over, note something, say what was answered.

Accepted like every command (commands.py). The same word of the same person again is the same command.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from agents.desk.commands import Accepted, Order, Refused, accept, ago, current, earlier, one_note, standing, unexpired
from agents.store import people_reads, readmodel
from pipeline.collect.links import public_link
from pipeline.collect.privacy import mask
from pipeline.collect.text import one_line, tidy
from pipeline.ids import digest
from pipeline.model import AlertStatus, Comment, EventHead, HandOver, Millis, Statement
from pipeline.model.alerts import REGISTERED_LATER
from pipeline.notify import wording
from pipeline.rulebook.schema import RuleBook

MAX_COMMENT = 1000
MAX_TITLE, MAX_TEXT, MAX_URL = 200, 2000, 2000
"""Characters of a statement."""
AHEAD = 5 * 60_000
"""How far a person's clock may run ahead of ours."""


def hand_over(engine: Engine, book: RuleBook | None, order: Order, alert_id: str, to: str, note: str = "") -> Accepted:
    """Hand the alert that the person saw to a duty role or team (id or name); it is paged and has to answer. One that
    was answered can be handed over too."""
    target = receiver(book, to)
    with engine.begin() as connection:
        head, alert = standing(connection, order.event_id)
        state = unexpired(current(head, alert, alert_id, order.at))
        if state.handed_to == target and state.status is not AlertStatus.ACKED:
            raise Refused("handed", f"已转交给 {who(book, target)}，正在等对方确认。")
        ident = digest(head.id, "alert.hand_over", alert_id, target, order.by, state.revision)
        record = HandOver(id=ident, event_id=head.id, alert_id=alert_id, by=order.by, at=order.at, to=target,
                          note=one_note(note), via=order.via)
        detail = "；".join(part for part in (f"转交给 {who(book, target)}", record.note) if part)
        return accept(connection, order, record, ident, "alert.hand_over", detail)


def receiver(book: RuleBook | None, name: str) -> str:
    """The id of a duty role or team, by id or by name; Refused lists them."""
    if book is None:
        raise Refused("no_rules", "规则还没有读到，不知道可以转交给谁。请稍后再试。")
    known = _roster(book)
    wanted = name.strip()
    found = [ident for ident, _ in known if ident == wanted] or [ident for ident, title in known if title == wanted]
    if len(found) != 1:
        options = "、".join(f"{ident}（{title}）" for ident, title in known[:30])
        said = f"名称 {wanted[:64]} 不止一个，请写编号" if found else f"值班表里没有 {wanted[:64] or '这个人或班组'}"
        raise Refused("unknown_receiver", f"{said}。可以转交给：{options}。")
    return found[0]


def who(book: RuleBook | None, ident: str) -> str:
    """`领导小组（leaders）`."""
    return next((f"{name}（{ident}）" for known, name in _roster(book) if known == ident), ident)


def _roster(book: RuleBook | None) -> list[tuple[str, str]]:
    """(id, name) of teams, then of duty roles."""
    if book is None:
        return []
    return [(each.id, each.name) for each in book.roster.teams] + [(each.id, each.name) for each in book.roster.people]


def comment(engine: Engine, order: Order, text: str) -> Accepted:
    """Note something on an event, closed or not. Personal data in it is masked before it is written."""
    words = mask(tidy(text)).strip()
    if not any(each.isprintable() and not each.isspace() for each in words):
        raise Refused("empty", "请写备注的内容。")
    if len(words) > MAX_COMMENT:
        raise Refused("too_long", f"备注有 {len(words)} 个字，最多 {MAX_COMMENT} 个，请缩短或分成几条。")
    with engine.begin() as connection:
        head, _ = standing(connection, order.event_id)
        last = next(iter(earlier(connection, head.id, Comment)), None)
        if last is not None and (last.by, last.text) == (order.by, words):
            return accept(connection, order, last, last.id, "event.comment", words)
        ident = digest(head.id, "event.comment", order.by, words, last.id if last else "")
        record = Comment(id=ident, event_id=head.id, by=order.by, at=order.at, text=words, via=order.via)
        return accept(connection, order, record, ident, "event.comment", words)


# ---------------------------------------------------------------- the office's own word


@dataclass(frozen=True, slots=True)
class Said:
    """A statement as it was typed in, nothing of it masked. published_at: when it was said, None for now. clocks: ids
    of levels.yml that it stops, empty for the first."""

    title: str = ""
    text: str = ""
    url: str = ""
    source_name: str = ""
    published_at: Millis | None = None
    clocks: tuple[str, ...] = ()


def statement(engine: Engine, book: RuleBook | None, order: Order, said: Said) -> Accepted:
    """Attach a statement by URL or by hand. Refused says what is missing."""
    title, text, url = _words(said)
    at = order.at if said.published_at is None else said.published_at
    if not 0 <= at <= order.at + AHEAD:
        raise Refused("bad_time", "发布时间还没有到，或无法识别，请核对。")
    with engine.begin() as connection:
        head, _ = standing(connection, order.event_id)
        clocks = _clocks(connection, book, head, said.clocks)
        ident = digest(head.id, "event.statement", url, title, text)
        record = Statement(
            id=ident, event_id=head.id, by=order.by, at=order.at, title=title, published_at=min(at, order.at),
            text=text, url=url, source_name=mask(one_line(said.source_name))[:64], clocks=clocks, via=order.via)
        return _accept(connection, order, record)


def confirm(
    engine: Engine, book: RuleBook | None, order: Order, item_id: str, clocks: Sequence[str] = (),
) -> Accepted:
    """Say that an official item that joined the event is a statement. Whoever does it first counts."""
    with engine.begin() as connection:
        head, _ = standing(connection, order.event_id)
        words = _proposed(connection, head, item_id)
        record = Statement(
            id=digest(head.id, "event.statement", item_id), event_id=head.id, by=order.by, at=order.at,
            title=words.title, published_at=min(words.published_at or order.at, order.at), text=words.text,
            url=words.url, source_name=words.source_name, item_id=item_id, via=order.via,
            clocks=_clocks(connection, book, head, clocks))
        return _accept(connection, order, record)


def reject(engine: Engine, order: Order, item_id: str, note: str = "") -> Accepted:
    """Say that an official item that joined the event is no statement on it. No clock is stopped."""
    with engine.begin() as connection:
        head, _ = standing(connection, order.event_id)
        words = _proposed(connection, head, item_id)
        for each in earlier(connection, head.id, Statement):
            if each.item_id == item_id and not each.rejected:
                when = ago(order.at - each.at)
                raise Refused("confirmed", f"{each.by} 已确认它是官方回应（{when}），时限已按它停止。有误请备注。")
        record = Statement(
            id=digest(head.id, "event.reject", item_id), event_id=head.id, by=order.by, at=order.at, title=words.title,
            published_at=min(words.published_at or order.at, order.at), text=one_note(note), url=words.url,
            source_name=words.source_name, item_id=item_id, rejected=True, via=order.via)
        return _accept(connection, order, record)


def _accept(connection: Connection, order: Order, record: Statement) -> Accepted:
    action = "event.reject" if record.rejected else "event.statement"
    what = record.source_name or record.item_id if record.item_id else record.title
    early = record.at - record.published_at         # it is the stop of clocks, and what somebody says it was
    if early > REGISTERED_LATER:
        what += f"；发布时间比登记早 {wording.duration(early)}"
    done = accept(connection, order, record, record.id, action, what)       # no words of an item: the audit is for ever
    first = next((each for each in earlier(connection, order.event_id, Statement) if each.id == record.id), None)
    if not done.repeated or first is None or first.by == order.by:
        return done
    verb = "否定了它" if record.rejected else "登记了同样的回应"
    return Accepted(done.id, True, f"{first.by} 已先{verb}（{ago(order.at - first.at)}）。")


def _words(said: Said) -> tuple[str, str, str]:
    """Title, text and URL, masked; the title is made up from the others when nobody gave one."""
    given = (("标题", said.title, MAX_TITLE), ("内容", said.text, MAX_TEXT), ("网址", said.url, MAX_URL))
    for what, value, limit in given:
        if len(value.strip()) > limit:
            raise Refused("too_long", f"{what}有 {len(value.strip())} 个字，最多 {limit} 个，请缩短。")
    title, text = mask(one_line(tidy(said.title))), mask(tidy(said.text)).strip()
    url = public_link(said.url.strip(), "") if said.url.strip() else ""
    if said.url.strip() and (not url or mask(url) != url):
        raise Refused("bad_url", "网址要以 http:// 或 https:// 开头，并且不带电话、账号等个人信息。")
    if not (title or text or url):
        raise Refused("empty", "请写回应的网址，或标题、内容至少一项。")
    first = text.partition("\n")[0]
    return title or (first if len(first) <= 40 else f"{first[:40]}…") or url, text, url


def _clocks(connection: Connection, book: RuleBook | None, head: EventHead, wanted: Sequence[str]) -> tuple[str, ...]:
    """Ids of clocks, known to the rules or running on the event."""
    running = people_reads.clocks_of(connection, [head.id]).get(head.id)
    known = {each.id: each.name for each in (running.clocks if running else ())}
    known |= {each.id: each.name for each in (book.levels.clocks if book is not None else ())}
    chosen = tuple(dict.fromkeys(each.strip() for each in wanted if each.strip()))
    missing = [each for each in chosen if each not in known]
    if missing:
        options = "、".join(f"{ident}（{name}）" for ident, name in known.items()) or "（规则里没有时限）"
        raise Refused("bad_clock", f"没有时限 {'、'.join(missing)[:100]}。可以写：{options}。")
    return chosen


@dataclass(frozen=True, slots=True)
class _Item:
    title: str
    text: str
    url: str
    source_name: str
    published_at: Millis | None


def _proposed(connection: Connection, head: EventHead, item_id: str) -> _Item:
    """An official item of the event, as it was published."""
    scored = next(iter(readmodel.scored_items(connection, [item_id], head.subject)), None)
    offered = next((each for each in head.statements if each.item_id == item_id), None)
    if scored is not None and offered is None and not (
            scored.official and readmodel.is_member(connection, head.id, item_id)):
        scored = None
    if scored is not None:
        item = scored.item
        return _Item(item.title[:MAX_TITLE], item.text[:MAX_TEXT], item.url, scored.source_name, item.published_at)
    if offered is not None:
        return _Item(offered.title[:MAX_TITLE], offered.text, offered.url, offered.source_name, offered.at)
    raise Refused("no_item", "这条内容不在这个事件里，或不是官方来源发布的。可以用网址或文字登记回应。")
