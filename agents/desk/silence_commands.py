"""Silences: pages that match are held back until a time, recorded with why. Accepted like commands.py's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Connection, Engine, select

from agents.desk.commands import Accepted, Order, Refused, accept, ago, earlier, one_note
from agents.notices import system_notice
from agents.store import people_reads, readmodel, schema
from agents.store.people import over_at
from pipeline import codec
from pipeline.collect.privacy import mask
from pipeline.ids import digest
from pipeline.model import OPEN_SUBJECT, EventStatus, Millis, Silence
from pipeline.notify import wording
from pipeline.rulebook.schema import DAY, INTAKE, MINUTE, RuleBook

MAX_LENGTH = 30 * DAY
MAX_OWNER = 64
MOST = 200
"""At once: people need few, and every message that is due is held against each of them."""
SHORT_ID = 6
"""Digits of an id that name a silence where nobody would type all twenty."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A silence as it was typed in. event: number or id. length: ms from now. owner: who answers for it."""

    length: Millis
    reason: str
    owner: str
    event: str = ""
    subjects: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()


def add(engine: Engine, book: RuleBook | None, order: Order, wanted: Wanted, *, even_highest: bool = False) -> Accepted:
    """Begin a silence. even_highest: the person knows that it holds back the highest level too, which is asked for
    wherever it could. Refused says what is missing. The same one again while it lasts is the same silence."""
    if book is None:
        raise Refused("no_rules", "规则还没有读到，无法核对静默的条件。请稍后再试。")
    reason, owner = _named(wanted)
    fitting = _matchers(book, wanted)
    if not even_highest:
        _spares_the_highest(book, fitting.levels)
    with engine.begin() as connection:
        event_id, number = _event(connection, wanted.event, order.at)
        if not (event_id or fitting.subjects or fitting.levels or fitting.groups or fitting.regions):
            raise Refused("no_matcher", "至少写一个条件：事件、主题、级别、来源分组或地区。不能静默一切。")
        lists = ("|".join(each) for each in (fitting.subjects, fitting.levels, fitting.groups, fitting.regions))
        key = digest("silence", order.by, owner, reason, event_id, *lists, wanted.length)
        last = next(iter(earlier(connection, key, Silence)), None)
        if last is not None and _lasts(connection, last, order.at):
            return Accepted(last.id, repeated=True, note="同样的静默正在生效。")
        if len(known(connection, order.at)) >= MOST:
            raise Refused("too_many", f"已有 {MOST} 个静默，不能再加。请先结束不用的，或用条件更宽的一个代替几个。")
        record = Silence(
            id=digest(key, last.id if last else ""), by=order.by, at=order.at, owner=owner, reason=reason,
            starts_at=order.at, ends_at=order.at + wanted.length, event_id=event_id, subjects=fitting.subjects,
            levels=fitting.levels, groups=fitting.groups, regions=fitting.regions)
        detail = f"{wording.duration(wanted.length)}；{described(record, number)}；负责人 {owner}；{reason}"
        about = replace(order, event_id=key)            # what it means stands for the event
        done = accept(connection, about, record, record.id, "silence.add", detail, shown=record.id)
        if top := highest(book, fitting.levels):
            _tell_ops(connection, order, record, top, detail, ZoneInfo(book.timezone))
        return done


def _tell_ops(connection: Connection, order: Order, record: Silence, top: str, detail: str, zone: ZoneInfo) -> None:
    """The highest level is held back: not only the one who did it knows."""
    until = wording.short_moment(record.ends_at, zone)
    notice = system_notice(
        key=f"silence:{record.id}", episode=record.at, title=f"静默压住了最高级别“{top}”的提醒",
        text=f"{record.by} 添加了静默，到 {until} 为止不发“{top}”的提醒：{detail}。"
             "不应该这样，就在值班台的静默页结束它（wenxun silence expire）。")
    about = replace(order, event_id=notice.id)
    accept(connection, about, notice, notice.id, "silence.notice", notice.title, shown=record.id)


def expire(engine: Engine, order: Order, ref: str) -> Accepted:
    """End a silence now, by its id or the first digits of it; what it held back is sent if nobody answered yet."""
    with engine.begin() as connection:
        found = find(connection, ref, order.at)
        if over_at(found) <= order.at:
            raise Refused("ended", f"这个静默已经结束（{ago(order.at - over_at(found))}），不用再结束。")
        at = max(order.at, found.at + 1)                # the record with the greatest `at` counts
        record = msgspec.structs.replace(found, by=order.by, at=at, expired_at=order.at)
        about = replace(order, event_id=digest("silence", found.id))
        ident = digest(found.id, "silence.expire")
        return accept(connection, about, record, ident, "silence.expire", described(found, ""), shown=found.id)


def known(connection: Connection, now: Millis, *, ended_since: Millis | None = None) -> list[Silence]:
    """Silences that have not ended, those too that are on their way to the archive; and those that ended since."""
    latest = {each.id: each for each in people_reads.silences(connection, now, ended_since=ended_since or 0)}
    for each in _accepted(connection):
        if each.id not in latest or latest[each.id].at < each.at:
            latest[each.id] = each
    wanted = [each for each in latest.values() if over_at(each) > (now if ended_since is None else ended_since)]
    return sorted(wanted, key=lambda one: (over_at(one) <= now, abs(over_at(one) - now), one.id))


def find(connection: Connection, ref: str, now: Millis) -> Silence:
    """A silence by its id, or by its first digits of those that are known; Refused when it is not exactly one."""
    wanted = ref.strip().lower()
    there = known(connection, now, ended_since=now - MAX_LENGTH)
    found = [each for each in there if each.id == wanted]
    if not found and len(wanted) >= SHORT_ID:
        found = [each for each in there if each.id.startswith(wanted)]
    if len(found) != 1:
        said = f"有 {len(found)} 个静默以 {wanted} 开头，请多写几位" if found else f"没有静默 {ref.strip()[:40]}"
        raise Refused("not_found", f"{said}。用 wenxun silence list 看有哪些。")
    return found[0]


def described(silence: Silence, number: str) -> str:
    """Its matchers: `级别 一般、较大；主题 polling`. number: of its event, if it has one and it is known."""
    parts = (("事件", (number or silence.event_id,) if silence.event_id else ()), ("主题", silence.subjects),
             ("级别", silence.levels), ("来源分组", silence.groups), ("地区", silence.regions))
    return "；".join(f"{name} {'、'.join(values)}" for name, values in parts if values)


def highest(book: RuleBook, levels: Iterable[str]) -> str:
    """The name of the highest level if a silence with these levels holds it back; else nothing."""
    chosen, ladder = tuple(levels), book.levels.ladder
    top = ladder[-1].name if ladder else ""
    return top if top and (not chosen or top in chosen) else ""


def _named(wanted: Wanted) -> tuple[str, str]:
    reason, owner = one_note(wanted.reason), mask(" ".join(wanted.owner.split()))[:MAX_OWNER]
    if not reason:
        raise Refused("no_reason", "请写静默的原因，接班的人要看得懂。")
    if not owner:
        raise Refused("no_owner", "请写负责人：谁对这次静默负责。")
    if not MINUTE <= wanted.length <= MAX_LENGTH:
        raise Refused("bad_length", "静默的时长要在 1 分钟到 30 天之间。")
    return reason, owner


def _matchers(book: RuleBook, wanted: Wanted) -> Wanted:
    """With every name known to the rules, in one order."""
    sources = (*book.sources, INTAKE)
    return replace(
        wanted,
        subjects=_known("主题", wanted.subjects, [OPEN_SUBJECT, *(each.id for each in book.subjects)]),
        levels=_known("级别", wanted.levels, [each.name for each in book.levels.ladder]),
        groups=_known("来源分组", wanted.groups, sorted({each.group for each in sources})),
        regions=_known("地区", wanted.regions, sorted({each.region for each in sources if each.region})))


def _known(what: str, chosen: Iterable[str], options: list[str]) -> tuple[str, ...]:
    names = {each.strip() for each in chosen} - {""}
    missing = sorted(names - set(options))
    if missing:
        listed = "、".join(options[:30]) or "（规则里一个也没有）"
        raise Refused("bad_matcher", f"没有{what} {'、'.join(missing)[:100]}。可以写：{listed}。")
    return tuple(each for each in options if each in names)


def _spares_the_highest(book: RuleBook, levels: tuple[str, ...]) -> None:
    top = highest(book, levels)
    if top:
        others = "、".join(each.name for each in book.levels.ladder[:-1])
        hint = f"否则请限定级别，例如只静默 {others}。" if others else ""
        raise Refused("highest_level", f"这个静默会压住最高级别“{top}”的提醒。"
                                       f"确要这样，请勾选“我知道”（命令行加 --even-highest）；{hint}")


def _event(connection: Connection, ref: str, now: Millis) -> tuple[str, str]:
    """(id, number), both empty without one."""
    if not ref.strip():
        return "", ""
    head = readmodel.head(connection, ref.strip())
    if head is None:
        raise Refused("not_found", f"没有事件 {ref.strip()[:40]}。")
    if head.status is EventStatus.CLOSED:
        raise Refused("closed", f"事件 {head.short or head.id} 已经关闭，不会再提醒，不用静默。")
    return head.id, head.short


def _lasts(connection: Connection, silence: Silence, now: Millis) -> bool:
    ended = earlier(connection, digest("silence", silence.id), Silence)
    return now < silence.ends_at and not ended


def _accepted(connection: Connection) -> list[Silence]:
    """Of the commands. They are few: people make them."""
    table = schema.commands
    rows = connection.execute(select(table.c.record).where(table.c.type == "alert.silence", table.c.record != ""))
    return [codec.decode_as(Silence, text.encode()) for text in rows.scalars()]
