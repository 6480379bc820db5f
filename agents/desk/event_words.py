"""An event as lines of plain Chinese, for the command line. Texts of feeds are made harmless."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from zoneinfo import ZoneInfo

from agents.desk import describe, handover_words, timeline_words
from agents.desk.describe import Names
from agents.desk.held_words import Silences
from agents.store.readmodel import EventCard, EventView
from pipeline.model import EventClock, EventStatus, Millis
from pipeline.notify import said, wording
from pipeline.notify.safe import line, link, shorten


def listed(card: EventCard, clocks: Iterable[EventClock], names: Names, now: Millis, zone: ZoneInfo) -> str:
    """`E-0317 较大 …（34 条，9 个来源）；待确认，…；首次权威回应 还剩 3 小时（17:00 到期）`."""
    head = card.head
    status = "" if head.status is EventStatus.OPEN else f"；{wording.EVENT_STATUS[head.status]}"
    next_clock = said.urgent(clocks)
    owed = f"；{said.clock(next_clock, now, zone)}" if next_clock is not None else ""
    answer = handover_words.answer(card.alert, names, now, zone)
    title = handover_words.title(head.title)
    return (f"{head.short or head.id} {head.level_name or '未达级'} {title}（{head.items} 条，{head.sources} 个来源）"
            f"{status}；{answer}{owed}")


def shown(view: EventView, names: Names, silences: Silences, now: Millis, zone: ZoneInfo, most: int) -> Iterator[str]:
    """The event with all that belongs to it; the last `most` lines of its timeline."""
    card = EventCard(view.head, view.alert, view.expired)
    head = view.head
    yield f"{'【演练】' if head.drill else ''}{listed(card, (), names, now, zone)}"
    yield f"主题 {line(names.subject(head.subject))}，{wording.EVENT_STATUS[head.status]}，{describe.why(head, names)}"
    if view.alert is not None:
        yield f"提醒编号 {view.alert.alert_id}"
    for clock in view.clocks.clocks if view.clocks else ():
        yield f"时限 {said.clock(clock, now, zone)}"
    for one in view.statements:
        verb = "不是官方回应" if one.rejected else "官方回应"
        words = line(one.title) or ("（文字已过保存期）" if one.expired else "")
        yield f"{verb} {words} {link(one.url)}（{line(one.by)} {said.at(one.at, now, zone)}）"
    for proposal in view.proposals:
        yield (f"待确认的官方内容 {shorten(line(proposal.title), 60)}（{line(proposal.source_name)}，"
               f"编号 {proposal.item_id}）")
    yield from _deliveries(view, names)
    lines = view.timeline[-most:] if most else ()
    yield f"时间线{f'（最近 {len(lines)} 条，共 {len(view.timeline)} 条）' if len(lines) < len(view.timeline) else ''}"
    for row in lines:
        told = timeline_words.line(row, names, silences)
        text = f"：{line(told.text)}" if told.text else ""
        text += f"，登记于 {said.at(told.registered_at, now, zone)}" if told.registered_at else ""
        yield f"  {wording.short_moment(row.at, zone)} {line(told.title)}{text}"


def _deliveries(view: EventView, names: Names) -> Iterator[str]:
    last = {(row.person, row.channel): row for row in sorted(view.deliveries, key=lambda row: (row.decided_at, row.at))}
    if last:
        yield "已通知 " + "；".join(
            f"{names.who(row.person)}，{names.channel(row.channel)}，{wording.DELIVERY_STATUS[row.status]}"
            for row in last.values())
