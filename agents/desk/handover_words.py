"""A hand-over as plain Chinese that a person can paste into a chat: no mention, no markup, whatever feeds say."""

from __future__ import annotations

from collections.abc import Iterable
from zoneinfo import ZoneInfo

from agents.desk.commands import ago
from agents.desk.describe import Names
from agents.desk.handover import Handover, Message, OpenEvent
from agents.desk.silence_commands import SHORT_ID, described
from agents.store.people import over_at
from agents.store.readmodel import RunningClock
from pipeline.collect.health import Health
from pipeline.model import AlertState, AlertStatus, Millis, Silence
from pipeline.notify import said, wording
from pipeline.notify.safe import inert, line, shorten

SHOWN = 30
"""Lines of one part."""
TITLE = 60


def text(found: Handover, names: Names, zone: ZoneInfo) -> str:
    """All of it; a part that is empty says so where that is worth knowing."""
    now = found.at
    numbers = {each.head.id: each.head.short for each in found.events}
    parts = [
        (f"处置中的事件 {len(found.events)} 件，其中 {len(found.unanswered)} 件待确认",
         [_event(each, names, now, zone) for each in found.events]),
        (f"时限 {len(found.clocks)} 个在计时", _clocks(found.clocks, now, zone)),
        (f"静默 {len(found.silences)} 个生效", [silence(each, names, numbers, now, zone) for each in found.silences]),
        (f"未送达 {len(found.pending)} 条，未能送达 {len(found.dead)} 条",
         [_message(each, names, now, zone) for each in (*found.dead, *found.pending)]),
        (f"听不到的来源 {len(found.blind)} 个", [_source(each, now, zone) for each in found.blind]),
        (f"久无更新的来源 {len(found.silent)} 个", [_source(each, now, zone) for each in found.silent]),
        (f"规则到期 {len(found.rules)} 条", [line(each) for each in found.rules]),
        (f"本班平息或关闭 {len(found.settled)} 件",
         [f"{each.head.short} {title(each.head.title)}（{wording.EVENT_STATUS[each.head.status]}，"
          f"{said.at(each.head.changed_at, now, zone)}）" for each in found.settled])]
    head = [f"交接班 {wording.moment(now, zone)}，含 {wording.short_moment(found.since, zone)} 以来"]
    body = [part for name, lines in parts for part in _part(name, lines)]
    return "\n".join([*head, *body, *_rest(found)])


def _part(name: str, lines: list[str]) -> Iterable[str]:
    yield f"【{name}】"
    yield from (f"- {each}" for each in lines[:SHOWN])
    if lines[SHOWN:]:
        yield f"- ……共 {len(lines)} 条"


def _rest(found: Handover) -> Iterable[str]:
    if found.unsent:
        yield f"【有 {found.unsent} 条操作还没有发出】等值班台和消息总线恢复后自动发出"
    if found.dead_letters:
        yield f"【有 {found.dead_letters} 条记录无法处理】用 wenxun dlq list 查看"


def _event(one: OpenEvent, names: Names, now: Millis, zone: ZoneInfo) -> str:
    head = one.head
    proposed = f"；{one.proposals} 条官方内容待确认是否回应" if one.proposals else ""
    size = f"（{head.items} 条，{head.sources} 个来源）"
    told = answer(one.alert, names, now, zone)
    return f"{head.short or head.id} {head.level_name} {title(head.title)}{size}；{told}{proposed}"


def answer(alert: AlertState | None, names: Names, now: Millis, zone: ZoneInfo) -> str:
    """How an alert stands: `李敏 03:06 已确认`, `待确认，已通知 值班组，12 分钟前提醒`."""
    if alert is None:
        return "未提醒"
    if alert.status is AlertStatus.ENDED:
        return "提醒已结束"
    if alert.status is AlertStatus.ACKED:
        when = f" {said.at(alert.acked_at, now, zone)}" if alert.acked_at is not None else ""
        return f"{line(alert.acked_by)}{when} 已确认"
    state = "待确认" if alert.status is AlertStatus.NOTIFIED else wording.ALERT_STATUS[alert.status]
    if alert.status is AlertStatus.SNOOZED and alert.snoozed_until is not None:
        state = f"暂缓到 {said.at(alert.snoozed_until, now, zone)}"
    if alert.handed_to:
        state = f"已转交给 {names.who(alert.handed_to)}，待确认"
    if alert.held_by:
        held = f"{'静默' if alert.held_by.startswith('silence') else '安静时段'}中"
        state = f"{held}，暂不通知" if alert.status is AlertStatus.PENDING else f"{state}（{held}）"
    told = f"，已通知 {names.who(*alert.told)}" if alert.told else ""
    return f"{state}{told}，{ago(now - alert.raised_at)}{'提醒' if told else '达级'}"


def _clocks(running: Iterable[RunningClock], now: Millis, zone: ZoneInfo) -> list[str]:
    """A line for each event, in the order in which something is due."""
    by_event: dict[str, list[RunningClock]] = {}
    for each in running:
        by_event.setdefault(each.event_id, []).append(each)
    return [f"{own[0].number} {own[0].level_name} {title(own[0].title)}："
            + "；".join(said.clock(each.clock, now, zone) for each in own) for own in by_event.values()]


def silence(one: Silence, names: Names, numbers: dict[str, str], now: Millis, zone: ZoneInfo) -> str:
    """`级别 一般，到 05:12；检修；负责人 李敏（编号 3f2a90）`. numbers: of events, by id."""
    shown = described(one, numbers.get(one.event_id, ""))
    ended = "已结束，" if over_at(one) <= now else ""
    return (f"{line(shown)}，{ended}到 {said.at(over_at(one), now, zone)}；{line(one.reason)}；负责人 {line(one.owner)}"
            f"（编号 {one.id[:SHORT_ID]}）")


def _message(one: Message, names: Names, now: Millis, zone: ZoneInfo) -> str:
    about = f"{one.number} " if one.number else ""
    why = f"，{shorten(line(one.error), 80)}" if one.error else ""
    return (f"{wording.DELIVERY_STATUS[one.status]}：{about}给 {names.who(one.person)}，{names.channel(one.channel)}，"
            f"{said.at(one.since, now, zone)} 起，试过 {one.attempts} 次{why}")


def _source(one: Health, now: Millis, zone: ZoneInfo) -> str:
    since = f"，{said.at(one.since, now, zone)} 起" if one.since is not None else ""
    return f"{line(one.name)}：{one.word}{since}，{shorten(line(one.why), 80)}"


def title(written: str) -> str:
    """An event's title as it can be printed and pasted."""
    return shorten(inert(written), TITLE) if written else "（文字已过保存期）"
