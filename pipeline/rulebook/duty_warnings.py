"""Warnings about who is told: hours without anybody on duty, people whom no channel reaches, days nobody announced."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping

from pipeline.errors import Problem
from pipeline.rulebook.checks_told import told_people
from pipeline.rulebook.duty import ONE_DAY, Span, duty_gaps, spans
from pipeline.rulebook.places import Places
from pipeline.rulebook.schema import ChannelType, RuleBook, Team
from pipeline.rulebook.workdays import announced

AHEAD = 30
"""Days that are looked at."""
_LISTED = 3
_KINDS = 5
"""So many different hours of a team are told one by one."""


def told_names(book: RuleBook) -> dict[str, None]:
    """Teams and people that a route, a clock or a system notice tells, in order."""
    steps = (name for route in book.routes for step in route.steps for name in step.tell)
    clocks = (name for clock in book.levels.clocks for each in clock.warnings for name in each.tell)
    return dict.fromkeys((*steps, *clocks, book.roster.ops))


def gaps(book: RuleBook, today: dt.date, places: Places) -> Iterator[Problem]:
    """Each team that somebody counts on, and when nobody of it is on duty."""
    told = told_names(book)
    fallback = book.roster.person(book.roster.fallback)
    instead = f"那时改为通知{fallback.name}（{fallback.id}）" if fallback else "那时没有人收到"
    for team in (each for each in book.roster.teams if each.id in told):
        found = duty_gaps(book.roster, dt.datetime.combine(today, dt.time()), AHEAD, frozenset([team.id]))
        for said in gap_words(found):
            yield places.warning("duty-gap", ("team", team.id, "shifts"), f"{team.name} {said}没有人值班，{instead}。",
                                 "补上班次，或在 overrides 里写那几天由谁值；有意这样就不用改")


def gap_words(found: Iterable[Span]) -> list[str]:
    """`11月25日 02:00–06:00 `, one text for all that have the same hours; what follows joins on."""
    alike: dict[str, list[dt.date]] = {}
    for each in found:
        alike.setdefault(_hours(each), []).append(each.begin.date())
    said = [_days(days, hours) for hours, days in list(alike.items())[:_KINDS]]
    rest = sum(len(days) for days in list(alike.values())[_KINDS:])
    said += [f"今后 {AHEAD} 天里另有 {rest} 段时间"] if rest else []
    return [each if each.endswith("）") else each + " " for each in said]


def _hours(gap: Span) -> str:
    """Hours of a gap; a long one says its days too."""
    length, begin, end = gap.end - gap.begin, f"{gap.begin:%H:%M}", f"{gap.end:%H:%M}"
    if length >= dt.timedelta(days=AHEAD):
        return f"起 {AHEAD} 天"
    if length > ONE_DAY:
        return f" {begin} 起的 {words(length)}"
    if length == ONE_DAY:
        return " 全天" if begin == "00:00" else f" {begin}–次日 {end}"
    if gap.end.date() > gap.begin.date():
        return f" {begin}–24:00" if end == "00:00" else f" {begin}–次日 {end}"
    return f" {begin}–{end}"


def words(length: dt.timedelta) -> str:
    """`2 天 3 小时 5 分钟`, without what is nought."""
    days, rest = length.days, length.seconds // 60
    parts = ((days, "天"), (rest // 60, "小时"), (rest % 60, "分钟"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count) or "0 分钟"


def _days(days: list[dt.date], hours: str) -> str:
    if len(days) <= _LISTED:
        return "、".join(f"{_day(each)}{hours}" for each in days)
    if often := _regular(days):
        return f"{often}{hours}（{_day(days[0])} 至 {_day(days[-1])}）"
    shown = "、".join(_day(each) for each in days[:_LISTED])
    return f"{shown} 等 {len(days)} 天{hours}"


def _regular(days: list[dt.date]) -> str:
    """`每天`, `每周六、日`; empty when one of these days is left out between the first and the last."""
    weekdays = {day.isoweekday() for day in days}
    length = (days[-1] - days[0]).days + 1
    expected = sum((days[0] + dt.timedelta(days=offset)).isoweekday() in weekdays for offset in range(length))
    if expected != len(set(days)):
        return ""
    return "每天" if len(weekdays) == 7 else "每周" + "、".join("一二三四五六日"[day - 1] for day in sorted(weekdays))


def _day(day: dt.date) -> str:
    return f"{day.month}月{day.day}日"


def calendar(book: RuleBook, today: dt.date, places: Places) -> Iterator[Problem]:
    """A year whose holidays are not known goes by plain weekdays; whoever is on duty by the calendar should know."""
    last = today + dt.timedelta(days=AHEAD)
    unknown = [year for year in range(today.year, last.year + 1) if not announced(year)]
    for team in book.roster.teams:
        for index, shift in enumerate(team.shifts):
            if unknown and shift.calendar is not None:
                yield places.warning(
                    "holidays-unknown", ("team", team.id, f"shifts[{index}].calendar"),
                    f"还没有 {unknown[0]} 年的放假和调休安排，{team.name}的这一班那年按周一至周五算工作日。",
                    "升级 Python 包 chinesecalendar；在那之前，放假和调休的日子写进 overrides")
                return


def step_channels(book: RuleBook, today: dt.date, places: Places) -> Iterator[Problem]:
    """Whoever has none of a step's channels is told by the own ones: not what the step seems to say."""
    for route in book.routes:
        for index, step in enumerate(route.steps):
            for person in told_people(step.tell, book.roster):
                if step.channels and not set(step.channels) & set(person.channels):
                    yield places.warning(
                        "not-by-these-channels", ("route", route.id, f"steps[{index}].channels"),
                        f"{person.name}没有这一步的任何一个通道，会用自己的{'、'.join(person.channels)}。",
                        f"在 roster.yml 里给 {person.id} 加上其中一个，或有意这样就不用改")


_MENTIONED = {
    ChannelType.WECOM_BOT: ("企业微信", ("wecom", "mobile")),
    ChannelType.DINGTALK_BOT: ("钉钉", ("dingtalk", "mobile")),
    ChannelType.FEISHU_BOT: ("飞书", ("feishu",)),
}


def mentions(book: RuleBook, today: dt.date, places: Places) -> Iterator[Problem]:
    """Whoever cannot be mentioned in a group may not notice that a message is theirs."""
    types = {each.id: each.type for each in book.channels}
    for person in book.roster.people:
        for kind in dict.fromkeys(types[name] for name in person.channels if name in types):
            what, fields = _MENTIONED.get(kind, ("", ()))
            if fields and not any(getattr(person, name) for name in fields):
                yield places.warning("no-mention", ("person", person.id, ""),
                                     f"{what}群里的消息 @ 不到{person.name}：没有写 {' 或 '.join(fields)}。",
                                     f"补上 {fields[0]}:")


def mute(book: RuleBook, today: dt.date, places: Places, broken: Mapping[str, str]) -> Iterator[Problem]:
    """What the channels that cannot send mean. broken: id of a channel -> why, a sentence."""
    for channel, why in broken.items():
        yield places.warning("channel-broken", ("channel", channel, ""), f"通道 {channel} 现在发不出去：{why}。",
                             "照说明补上；规则本身没有错")
    deaf = {each.id: each for each in book.roster.people if broken.keys() >= set(each.channels)}
    begin = dt.datetime.combine(today, dt.time())
    told = told_names(book)
    for team in (each for each in book.roster.teams if each.id in told):
        for person in deaf.values():
            if said := _on_duty_words(book, team, person.id, begin):
                yield places.warning("on-duty-unreached", ("person", person.id, "channels"),
                                     f"{person.name}的通道都发不出去：{said}在{team.name}值班，收不到通知。",
                                     "修好通道，或在 channels 里加一个能用的")
    if book.roster.fallback in deaf:
        yield places.warning("fallback-unreached", ("person", book.roster.fallback, "channels"),
                             f"{deaf[book.roster.fallback].name}的通道都发不出去：无人应答时收不到通知。",
                             "修好通道，或在 channels 里加一个能用的")


def _on_duty_words(book: RuleBook, team: Team, person: str, begin: dt.datetime) -> str:
    found = [each for each in spans(book.roster, team, begin, begin + dt.timedelta(days=AHEAD))
             if person in each.people]
    return gap_words(found)[0] if found else ""
