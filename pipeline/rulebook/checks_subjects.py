"""What must hold inside a subject or a word list beyond each field's own kind."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from pipeline.rulebook import schema
from pipeline.rulebook.checks import inside
from pipeline.rulebook.conditions import forbidden, positive, required
from pipeline.rulebook.objects import Place

_DEFAULT = schema.Subject(id="", title="", owner="", reason="", expires="")


def pattern(value: schema.Pattern, path: str, place: Place) -> None:
    if value.text and not findable(value.text):
        place.problem(path, f"“{value.text}”里没有字，只有符号或看不见的字符。", "写至少含一个汉字、字母或数字的词")


def findable(word: str) -> bool:
    """Whether anything is left of a word when marks, punctuation and spaces are left out."""
    return any(unicodedata.category(each)[0] in "LNS" for each in word)


def near(value: schema.Near, path: str, place: Place) -> None:
    _once(value.words, path, "words", place)
    for index, word in enumerate(value.words):
        if not findable(word):
            place.problem(inside(path, f"words[{index}]"), f"“{word}”里没有字，只有符号或看不见的字符。", "换一个词")


def _once(words: Iterable[str], path: str, name: str, place: Place) -> None:
    first: dict[str, int] = {}
    for index, word in enumerate(words):
        known = first.setdefault(word.lower(), index)
        if known != index:
            place.problem(inside(path, f"{name}[{index}]"), f"词“{word}”重复，{name}[{known}] 已经有了。", "只留一处")


def words(value: schema.WordList, path: str, place: Place) -> None:
    _once(value.words, path, "words", place)
    for index, word in enumerate(value.words):
        if not findable(word):
            place.problem(inside(path, f"words[{index}]"), f"“{word}”里没有字，只有符号或看不见的字符。", "换一个词")


def active(value: schema.Active, path: str, place: Place) -> None:
    if value.start and value.end and value.end < value.start:
        place.problem(inside(path, "end"), f"结束 {value.end} 早于开始 {value.start}，永远不会匹配。",
                      f"写成 end: {value.start} 或更晚")


def subject(value: schema.Subject, path: str, place: Place) -> None:
    _something_to_find(value, path, place)
    _terms(value, path, place)
    _distinct_excludes(value, path, place)
    _fields(value, path, place)
    _contradictions(value, path, place)


def _something_to_find(value: schema.Subject, path: str, place: Place) -> None:
    if value.terms or value.match is None:
        return
    if value.match != schema.Condition() and not positive(value.match):
        place.problem(inside(path, "match"), "只说了不能出现什么，几乎所有条目都会匹配。",
                      "用 all 或 any 写出要出现的词")
    if value.threshold != _DEFAULT.threshold:
        place.problem(inside(path, "threshold"), "没有 terms，threshold 不起作用。", "删去这一行，或补上 terms:")


def _key(each: schema.Pattern) -> tuple[object, ...]:
    return each.text.lower(), each.regex, each.list, each.near, each.word, each.field


def _terms(value: schema.Subject, path: str, place: Place) -> None:
    first: dict[tuple[object, ...], int] = {}
    excluded = {_key(each) for each in value.exclude}
    for index, each in enumerate(value.terms):
        key, where = _key(each), inside(path, f"terms[{index}]")
        known = first.setdefault(key, index)
        if known != index:
            place.problem(where, f"词“{each.name}”重复，terms[{known}] 已经有了。", "只留一处")
        if key in excluded:
            place.problem(where, f"词“{each.name}”也写在 exclude 里，永远不会匹配。", "只留一处")
    total = sum(each.weight for each in value.terms)
    if value.terms and value.threshold > total + 1e-9:
        place.problem(inside(path, "threshold"), f"高于全部词的权重之和 {total:g}，永远不会匹配。",
                      f"写成 threshold: {total:g} 或更低")


def _distinct_excludes(value: schema.Subject, path: str, place: Place) -> None:
    first: dict[tuple[object, ...], int] = {}
    for index, each in enumerate(value.exclude):
        known = first.setdefault(_key(each), index)
        if known != index:
            place.problem(inside(path, f"exclude[{index}]"), f"“{each.name}”重复，exclude[{known}] 已经有了。",
                          "只留一处")


def _fields(value: schema.Subject, path: str, place: Place) -> None:
    if len(set(value.scope)) < len(value.scope):
        place.problem(inside(path, "scope"), f"{value.scope[0]} 写了两次。", "只留一处")
    for name in ("terms", "exclude"):
        for index, each in enumerate(getattr(value, name)):
            if each.field and each.field not in value.scope:
                place.problem(inside(path, f"{name}[{index}].field"),
                              f"{each.field} 不在 scope 里，永远不会匹配。",
                              f"把 {each.field} 加进 scope，或删去 field")


def _contradictions(value: schema.Subject, path: str, place: Place) -> None:
    if value.match is None:
        return
    needed = {_key(each): each for each in sorted(required(value.match), key=lambda one: one.name)}
    barred = {_key(each) for each in (*value.exclude, *forbidden(value.match))}
    for key in (key for key in needed if key in barred):
        place.problem(inside(path, "match"), f"“{needed[key].name}”既要出现又不能出现，永远不会匹配。",
                      "从 match 或 exclude 里删去一处")
