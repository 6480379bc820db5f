"""What a rule book may say and probably does not mean. Nothing here keeps a book from being used."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator

from pipeline.errors import Problem
from pipeline.rulebook import schema
from pipeline.rulebook.channel_warnings import best_effort, in_clear
from pipeline.rulebook.checks_told import told_people
from pipeline.rulebook.duty_warnings import calendar, gaps, mentions, step_channels, told_names
from pipeline.rulebook.places import Places
from pipeline.rulebook.reach import reachability

SOON_DAYS = 14
"""The owner of a rule is told this long before its last day."""
EXPIRY = frozenset({"expired", "expires-soon"})
"""Codes that are the owner's to act on by a day."""

Check = Callable[[schema.RuleBook, dt.date, Places], Iterator[Problem]]


def warnings(book: schema.RuleBook, today: dt.date, places: Places | None = None) -> list[Problem]:
    """Every warning about a book that was read, by file and line. today: in the book's zone.

    Without `places` (a book from the topic) files are told by name only: line 1, column 1.
    """
    where = places or Places()
    found = [problem for check in CHECKS for problem in check(book, today, where)]
    return sorted(found, key=lambda each: (each.file, each.line, each.column))


def _expiry(book: schema.RuleBook, today: dt.date, places: Places) -> Iterator[Problem]:
    for each in book.subjects:
        if each.expires == schema.NEVER or each.status is schema.Status.RETIRED:
            continue
        left = (dt.date.fromisoformat(each.expires) - today).days
        where = ("subject", each.id, "expires")
        if left < 0:
            yield places.warning("expired", where,
                                 f"主题 {each.id}（{each.title}）已于 {each.expires} 到期，不再匹配；"
                                 f"负责人：{each.owner}。",
                                 "要继续就改 expires，不要了就写 status: retired")
        elif left <= SOON_DAYS:
            when = "今天" if left == 0 else f"{left} 天后"
            yield places.warning("expires-soon", where,
                                 f"主题 {each.id}（{each.title}）{when}到期，之后不再匹配；负责人：{each.owner}。",
                                 "要继续就改 expires")


def _empty(book: schema.RuleBook, today: dt.date, places: Places) -> Iterator[Problem]:
    if not book.sources:
        yield places.warning("no-sources", ("sources.yml", "", ""), "还没有来源，什么也不会采集。",
                             "在 sources: 里写订阅地址")
    if not book.subjects:
        yield places.warning("no-subjects", ("subjects/", "", ""), "还没有主题，所有条目都按“其他”处理。",
                             "在 subjects/ 里给每个主题写一个文件")


def _groups(book: schema.RuleBook, today: dt.date, places: Places) -> Iterator[Problem]:
    used = {each.group for each in (*book.sources, schema.INTAKE) if each.enabled}
    for subject in book.subjects:
        for index, name in enumerate(subject.groups):
            if name not in used:
                yield places.warning("group-without-source", ("subject", subject.id, f"groups[{index}]"),
                                     f"分组“{name}”里没有启用的来源，从它那里什么也不会匹配。",
                                     "启用一个来源，或改 groups")


def _active(book: schema.RuleBook, today: dt.date, places: Places) -> Iterator[Problem]:
    for each in book.subjects:
        if each.active is not None and each.active.end and each.active.end < today.isoformat():
            yield places.warning("active-over", ("subject", each.id, "active"),
                                 f"主题 {each.id} 只在 {each.active.end} 以前匹配，已经过了。",
                                 "改 active.end，或写 status: retired")


_LOOKS = (
    ("looks-like-a-regex", re.compile("/.+/"), "按普通的词找，斜杠也要出现。", "要用正则就写 {regex: '…'}"),
    ("looks-like-a-list", re.compile(".*[，、,].*"), "是一个词，其中的逗号或顿号也要出现。",
     "几个词用英文逗号分开，或每行写一个"),
    ("looks-quoted", re.compile("[“‘「].*[”’」]"), "的引号也是词的一部分，也要出现。", "删去引号，或改用英文引号"),
    ("looks-like-a-list-name", re.compile("@[a-z0-9_-]+"), "按普通的词找。", "要用词表就写 {list: 编号}"),
)
"""Other tools' notations, and keys of a Chinese keyboard, are parts of a word here; nobody should learn it from
silence."""


def _patterns(book: schema.RuleBook, today: dt.date, places: Places) -> Iterator[Problem]:
    for subject in book.subjects:
        for name in ("terms", "exclude"):
            for index, each in enumerate(getattr(subject, name)):
                yield from _looks(each.text, ("subject", subject.id, f"{name}[{index}]"), places)
    known = {each.id: each for each in book.lists}
    for words in book.lists:
        theirs = {word for name in words.include for word in known[name].words}
        for index, word in enumerate(words.words):
            if word not in theirs:
                yield from _looks(word, ("list", words.id, f"words[{index}]"), places)


def _looks(word: str, where: tuple[str, str, str], places: Places) -> Iterator[Problem]:
    for code, sign, message, hint in _LOOKS:
        if word and sign.fullmatch(word):
            yield places.warning(code, where, f"“{word}”{message}", hint)


def _unused(book: schema.RuleBook, today: dt.date, places: Places) -> Iterator[Problem]:
    """Somebody or something that nothing leads to."""
    told = set(told_names(book))
    on_duty = {person.id for person in told_people(tuple(told), book.roster)}
    used = {channel for person in book.roster.people for channel in person.channels}
    named = {route.lead for route in book.routes} | {each.team for each in book.subjects}
    for team in book.roster.teams:
        if team.id not in told | named:
            yield places.warning("team-never-told", ("team", team.id, ""),
                                 f"没有路由通知班组 {team.id}（{team.name}）。",
                                 "写进 routes.yml 的 tell，或删去")
    for person in book.roster.people:
        if person.id not in on_duty | named | {book.roster.fallback}:
            yield places.warning("person-never-told", ("person", person.id, ""), f"没有什么会通知到 {person.name}。",
                                 "排进班次，或写进 routes.yml 的 tell")
    for channel in book.channels:
        if channel.id not in used:
            yield places.warning("channel-unused", ("channel", channel.id, ""), f"没有人用通道 {channel.id}。",
                                 "写进 roster.yml 里某人的 channels，或删去")


_MATCHERS = ("levels", "subjects", "groups", "regions", "teams")


def _routes(book: schema.RuleBook, today: dt.date, places: Places) -> Iterator[Problem]:
    for index, route in enumerate(book.routes):
        for before in book.routes[:index]:
            if all(_within(getattr(route, name), getattr(before, name)) for name in _MATCHERS):
                yield places.warning("route-never-reached", ("route", route.id, ""),
                                     f"路由 {route.id} 用不到：前面的 {before.id} 已经适用于它的全部情形。",
                                     "移到前面，或删去")
                break


def _within(inner: tuple[str, ...], outer: tuple[str, ...]) -> bool:
    """Whether everything that fits the one fits the other; empty fits everything."""
    return not outer or bool(inner) and set(inner) <= set(outer)


def _same_address(book: schema.RuleBook, today: dt.date, places: Places) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for each in (source for source in book.sources if source.polled):
        known = first.setdefault(each.url, each.id)
        if known != each.id:
            yield places.warning("same-address", ("source", each.id, "url"),
                                 f"来源 {each.id} 和 {known} 的地址相同，同样的内容会采两遍。", "删去一个")


CHECKS: tuple[Check, ...] = (
    _expiry, _empty, _groups, _active, _patterns, _unused, gaps, calendar, step_channels, mentions, _routes,
    _same_address, best_effort, in_clear, reachability,
)
