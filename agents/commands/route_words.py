"""What `wenxun routes test` prints: one alert that nobody answers, in words and as JSON."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from pipeline.model import OPEN_SUBJECT, Escalation, EscalationKind, EventHead, Millis, Receiver
from pipeline.notify.route import OPS, people
from pipeline.notify.wording import ESCALATION_WHY, duration
from pipeline.rulebook.routing import quiet_until, route_for
from pipeline.rulebook.schema import DAY, Route, RouteMode, RuleBook
from pipeline.rulebook.workdays import announced, workday
from pipeline.unanswered import MOST, Message, messages

_ROUNDS = 2
"""Rounds that are told step by step; those after them only when others are told."""


def as_json(book: RuleBook, head: EventHead) -> dict[str, Any]:
    route = _route(book, head)
    return {
        "ok": True, "version": book.hash, "level": head.level_name, "subject": head.subject, "at": head.changed_at,
        "time": _local(head.changed_at, book).isoformat(), "route": route.id if route else "",
        "lead": route.lead if route else "", "repeat": route.repeat if route else 0,
        "until": head.changed_at + route.until if route and route.until else None,
        "quiet_until": quiet_until(book, head.level_name, head.changed_at), "fallback": book.roster.fallback,
        "messages": [_message(each, book) for each in messages(book, head, _length(book, route))],
    }


def _message(each: Message, book: RuleBook) -> dict[str, Any]:
    decided = each.escalation
    return {
        "at": decided.at, "time": _local(decided.at, book).isoformat(), "kind": decided.kind.value, "why": decided.why,
        "step": decided.step, "repeat": decided.repeat, "tell": decided.tell, "suppressed_by": decided.suppressed_by,
        "clock": decided.clock, "percent": decided.percent,
        "receivers": [{"person": one.person, "name": _name(one.person, book), "channel": one.channel,
                       "alternatives": one.alternatives} for one in each.receivers],
    }


def lines(book: RuleBook, head: EventHead) -> Iterator[str]:
    """Who would be told when, in Chinese."""
    route = _route(book, head)
    yield from _heading(book, head, route)
    decided = list(messages(book, head, _length(book, route)))
    yield ""
    yield "如果一直没有人确认："
    yield from _course(decided, book)
    if len(decided) >= MOST:
        yield f"  ……通知得太密，只看到 {_when(decided[-1].escalation.at, book)} 为止"
    yield from _ending(book, head, route)


def _course(decided: list[Message], book: RuleBook) -> Iterator[str]:
    """Everything in order of time; of the later rounds only the first that reaches these people by these ways."""
    rounds: dict[int, list[Message]] = {}
    for each in filter(_late, decided):
        rounds.setdefault(each.escalation.repeat, []).append(each)
    same: list[Any] = []
    for each in decided:
        if not _late(each):
            yield from _told(each, book)
        elif whole := rounds.pop(each.escalation.repeat, None):
            ways = [(one.escalation.step, one.receivers) for one in whole]
            if not _begins(ways, same):
                yield from _round(whole, book, changed=bool(same))
                same = ways


def _begins(ways: list[Any], known: list[Any]) -> bool:
    """Whether it is the known round, or as much of it as there was time for."""
    return bool(known) and known[:len(ways)] == ways


def _round(whole: list[Message], book: RuleBook, *, changed: bool) -> Iterator[str]:
    said = "从这时起换了人，每一轮是" if changed else "之后每一轮都是"
    yield f"  {_when(whole[0].escalation.at, book)}  {said}："
    for each in whole:
        if each.escalation.suppressed_by:
            yield f"      {_held(each.escalation)}"
        yield from (f"      {name}：{reached}" for name, reached in _by_name(each, book))


def _late(each: Message) -> bool:
    decided = each.escalation
    return decided.kind is EscalationKind.PAGE and decided.repeat >= _ROUNDS and decided.why in ("unanswered", "next")


# ---------------------------------------------------------------- the event and its route


def _heading(book: RuleBook, head: EventHead, route: Route | None) -> Iterator[str]:
    subject = "不属于任何主题的条目（*）" if head.subject == OPEN_SUBJECT else f"{head.title}（{head.subject}）"
    yield f"事件：{head.level_name}，{subject}" + "".join(
        f"；{what} {'、'.join(names)}" for what, names in (("来源分组", head.groups), ("地区", head.regions)) if names)
    local = _local(head.changed_at, book)
    kind = "工作日" if workday(local.date()) else "休息日"
    unknown = "" if announced(local.year) else f"，{local.year} 年的放假安排还不知道，按星期几算"
    yield f"时间：{local:%Y-%m-%d %H:%M} 星期{'一二三四五六日'[local.weekday()]}，{kind}{unknown}（{book.timezone}）"
    if route is None:
        yield f"路由：没有适用的，立即通知兜底的{_name(book.roster.fallback, book)}"
        return
    how = "汇总，不打扰人" if route.mode is RouteMode.DIGEST else "要人确认"
    yield f"路由：{route.id}（{how}）" + (f"；牵头：{_lead(route.lead, book)}" if route.lead else "")
    until = quiet_until(book, head.level_name, head.changed_at)
    if until is not None and route.mode is RouteMode.PAGE:
        yield f"安静时段：等到 {_when(until, book)} 再通知"
    elif head.level == len(book.levels.ladder) and book.quiet:
        yield "安静时段：最高一级不等"
    limit = book.budget.get(head.level_name)
    if limit:
        yield f"预算：这一级一天 {limit} 次，超过时告诉系统运维，通知照发"


def _route(book: RuleBook, head: EventHead) -> Route | None:
    return route_for(book, head.level_name, head.subject, head.groups, head.regions)


def _length(book: RuleBook, route: Route | None) -> Millis:
    """How far to look: to the end of the alert and of the longest clock, and a day for what waits."""
    clocks = (length for each in book.levels.clocks for length in (each.within, *each.levels.values()))
    return max(DAY, route.until if route else 0, *clocks) + DAY


# ---------------------------------------------------------------- messages


def _told(each: Message, book: RuleBook) -> Iterator[str]:
    decided = each.escalation
    held = f"——{_held(decided)}" if decided.suppressed_by else ""
    yield f"  {_when(decided.at, book)}  {_what(decided, book)}{held}"
    for name, reached in _by_name(each, book):
        yield f"      {name}：{reached}"


def _held(decided: Escalation) -> str:
    return "安静时段，先不发" if decided.suppressed_by == "quiet" else f"不发（{decided.suppressed_by}）"


def _what(decided: Escalation, book: RuleBook) -> str:
    if decided.kind is EscalationKind.CLOCK:
        clock = next((each for each in decided.clocks if each.id == decided.clock), None)
        name = clock.name if clock is not None else decided.clock
        due = f"，{_when(clock.due_at, book)} 到期" if clock is not None and decided.percent < 100 else "，已到期"
        return f"时限“{name}”过了 {decided.percent}%{due}"
    words = ESCALATION_WHY.get(decided.why, decided.why)
    return f"{words}（第 {decided.repeat + 1} 轮）" if decided.why == "unanswered" else words


def _by_name(each: Message, book: RuleBook) -> Iterator[tuple[str, str]]:
    """Each team or person that is told -> the people and channels it comes to at that time; nothing if held back."""
    if each.escalation.suppressed_by:
        return
    local, left = _local(each.escalation.at, book), list(each.receivers)
    for name in each.escalation.tell:
        who = set(people([name], book.roster, local))
        mine = [one for one in left if one.person in who]
        left = [one for one in left if one not in mine]
        if mine:
            yield _team(name, book), _reached(mine, book)
        elif not who & {one.person for one in each.receivers}:
            yield _team(name, book), "这时没有人值班"
    if left:
        yield "改为兜底", _reached(left, book)


def _reached(found: list[Receiver], book: RuleBook) -> str:
    said = []
    for person, ways in groupby(found, key=lambda one: one.person):
        by = [one.channel + (f"，发不出去改用 {'、'.join(one.alternatives)}" if one.alternatives else "")
              for one in ways]
        said.append(f"{_name(person, book)}（{'；'.join(by)}）")
    return "、".join(said)


def _ending(book: RuleBook, head: EventHead, route: Route | None) -> Iterator[str]:
    fallback = _name(book.roster.fallback, book)
    if route is None or route.mode is RouteMode.DIGEST:
        return
    yield ""
    if route.repeat and route.until:
        yield (f"每 {duration(route.repeat)}重新通知一轮，到 {_when(head.changed_at + route.until, book)} 为止，"
               f"那时标为“已过期”，通知兜底的{fallback}。")
    elif route.repeat:
        yield f"每 {duration(route.repeat)}重新通知一轮，直到有人确认。"
    else:
        yield f"不重复；一轮下来无人应答，通知兜底的{fallback}，显示“无人应答”。"


# ---------------------------------------------------------------- names and times


def _name(person: str, book: RuleBook) -> str:
    known = book.roster.person(person)
    return f"{known.name}" if known is not None else person


def _team(name: str, book: RuleBook) -> str:
    wanted = book.roster.ops if name == OPS else name
    known = next((team for team in book.roster.teams if team.id == wanted), None)
    return known.name if known is not None else "兜底" if wanted == book.roster.fallback else "个人"


def _lead(name: str, book: RuleBook) -> str:
    return next((team.name for team in book.roster.teams if team.id == name), _name(name, book))


def _local(at: Millis, book: RuleBook) -> dt.datetime:
    return dt.datetime.fromtimestamp(at / 1000, ZoneInfo(book.timezone))


def _when(at: Millis, book: RuleBook) -> str:
    local = _local(at, book)
    return f"{local.month}月{local.day}日 {local:%H:%M}" + (f":{local:%S}" if local.second else "")
