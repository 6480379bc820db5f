"""Rules as people read them: patterns, conditions as a tree, active times, spellings, expiry. No HTML here."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from pipeline.rulebook.schema import NEVER, Active, Condition, Fold, Near, Pattern, RuleBook, Status, Subject, WordList

WARN_DAYS = 14
"""The owner of a rule is told this many days before it expires."""

STATUS: dict[Status, str] = {Status.SHADOW: "影子", Status.LIVE: "生效", Status.RETIRED: "停用"}
STATUS_TONE: dict[Status, str] = {Status.SHADOW: "wait", Status.LIVE: "good", Status.RETIRED: "quiet"}
_FIELDS = {"title": "标题", "text": "正文"}
_DAYS = "一二三四五六日"
_FOLDS = (("width", "全角和半角"), ("case", "大小写"), ("marks", "零宽字符和组合符号"), ("variants", "繁体和简体"),
          ("evasion", "词中夹的标点和空格"))


@dataclass(frozen=True, slots=True)
class Said:
    """A pattern in words. kind: 词, 正则, 词表 or 相近; notes: what narrows it. list: id of a word list."""

    kind: str
    text: str
    notes: tuple[str, ...] = ()
    list: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """A line of a condition and what stands under it. A leaf has `said` and no children."""

    text: str = ""
    said: Said | None = None
    children: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class Expiry:
    """Until when a rule holds. tone: bad once it is over, wait within the last WARN_DAYS days."""

    text: str
    tone: str = ""


def pattern(one: Pattern, lists: dict[str, WordList]) -> Said:
    """`投票站`, `/第\\d+站/`, a word list by its title, or words that stand near each other."""
    notes = []
    if one.near is not None:
        notes.append(_near(one.near))
    if one.word:
        notes.append("整词")
    if one.field:
        notes.append(f"只看{_FIELDS.get(one.field, one.field)}")
    if one.near is not None:
        text = ("…" if one.near.ordered else "、").join(one.near.words)
        return Said("相近", text, tuple(notes))
    if one.regex:
        return Said("正则", one.regex, tuple(notes))
    if one.list:
        known = lists.get(one.list)
        size = (f"{len(known.words)} 个词中的任一个",) if known else ("规则书里没有这份词表",)
        return Said("词表", known.title if known else one.list, (*size, *notes), one.list)
    return Said("词", one.text, tuple(notes))


def _near(near: Near) -> str:
    parts = [f"相隔不超过 {near.within} 字" if near.within else "不限距离"]
    parts += ["在同一句里"] if near.sentence else []
    parts += ["按这个先后"] if near.ordered else []
    return "、".join(parts)


def condition(one: Condition, lists: dict[str, WordList]) -> Node:
    """A condition as a tree; a group of one is that one."""
    if one.pattern is not None:
        return Node(said=pattern(one.pattern, lists))
    every = [condition(each, lists) for each in one.all]
    groups = [_group("至少出现一个", one.any, lists), _group("一个都不能出现", one.none, lists)]
    parts = [*every, *(each for each in groups if each is not None)]
    if len(parts) == 1:
        return parts[0]
    return Node("全部满足", children=tuple(parts))


def _group(text: str, members: tuple[Condition, ...], lists: dict[str, WordList]) -> Node | None:
    return Node(text, children=tuple(condition(each, lists) for each in members)) if members else None


def lists_of(book: RuleBook | None) -> dict[str, WordList]:
    return {each.id: each for each in book.lists} if book else {}


def used_lists(subject: Subject, lists: dict[str, WordList]) -> list[WordList]:
    """The word lists that a subject names anywhere, once each, in the order of their ids."""
    named = {each.list for each in (*subject.terms, *subject.exclude)}
    named |= {each.list for each in _patterns(subject.match)} if subject.match else set()
    return [lists[each] for each in sorted(named) if each in lists]


def _patterns(one: Condition) -> list[Pattern]:
    own = [one.pattern] if one.pattern is not None else []
    return own + [each for part in (*one.all, *one.any, *one.none) for each in _patterns(part)]


def scope(subject: Subject) -> str:
    """`标题和正文`, or the one field that is looked at."""
    return "和".join(_FIELDS.get(each, each) for each in subject.scope)


def active(when: Active | None) -> str:
    """`2026-11-01 至 2026-12-31，周一、周二，06:00-22:00`; `一直` without limits."""
    if when is None:
        return "一直"
    parts = []
    if when.start or when.end:
        parts.append(f"{when.start or '即日'} 至 {when.end or '不限'}")
    if len(when.days) < 7:
        parts.append("、".join(f"周{_DAYS[day - 1]}" for day in when.days if 1 <= day <= 7))
    if when.hours:
        parts.append(when.hours)
    return "，".join(parts) or "一直"


def folds(fold: Fold) -> tuple[list[str], list[str]]:
    """(spellings that count as the same, those that are told apart)."""
    on = [name for attribute, name in _FOLDS if getattr(fold, attribute)]
    return on, [name for _, name in _FOLDS if name not in on]


def expiry(subject: Subject, today: dt.date) -> Expiry:
    """What to say of a rule's last day."""
    if subject.expires == NEVER:
        return Expiry("长期有效")
    left = (dt.date.fromisoformat(subject.expires) - today).days
    if left < 0:
        return Expiry(f"已到期 {subject.expires}", "bad")
    if left <= WARN_DAYS:
        return Expiry(f"{subject.expires} 到期，{f'还有 {left} 天' if left else '今天是最后一天'}", "wait")
    return Expiry(f"{subject.expires} 到期")


def size(subject: Subject) -> str:
    """`12 个词`, `12 个词和一个条件`, `一个条件`."""
    words = f"{len(subject.terms)} 个词" if subject.terms else ""
    tree = "一个条件" if subject.match is not None else ""
    return "和".join(part for part in (words, tree) if part) or "没有词"
