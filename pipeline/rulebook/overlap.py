"""How subjects overlap, from what they say alone: covered by another, a word in two of them, too broad a pattern.

Only what is certain is said: a subject that seems to be covered and is not would be deleted in good faith.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

import re2
from msgspec.structs import replace

from pipeline.rulebook import regexes
from pipeline.rulebook.conditions import required
from pipeline.rulebook.schema import Condition, Pattern, RuleBook, Subject, Term

_LATIN = re.compile("[ -~]+")
_CHINESE = re.compile("[\u3400-\u9fff]+")
_EVERYDAY = (
    "今天县里召开会议，部署下一阶段的重点工作。", "明天多云转晴，气温八到十六度，出门请带外套。",
    "这家店的面条很好吃，下次还来。", "孩子上学路上堵车，有没有人知道怎么回事？",
    "本周六上午九点在文化馆举办书法展，欢迎参加。", "iPhone 17 正式开售，价格 5999 元起。",
    "关于2026年度城乡居民医保缴费的通知", "求推荐周边好玩的地方，两天一夜。",
    "电话打了三次都没人接，太让人着急了！", "早上好，新的一天开始了",
)
"""Texts of every kind: a pattern that is in half of them says nothing."""


def patterns_of(subject: Subject) -> Iterator[Pattern]:
    """Every pattern that a subject names."""
    yield from subject.terms
    yield from subject.exclude
    yield from _inside(subject.match)


def _inside(condition: Condition | None) -> Iterator[Pattern]:
    if condition is None:
        return
    if condition.pattern is not None:
        yield condition.pattern
    for each in (*condition.all, *condition.any, *condition.none):
        yield from _inside(each)


def _alone(subject: Subject) -> Iterator[Term]:
    """Terms any of which reaches the threshold without another."""
    return (each for each in subject.terms if each.weight >= subject.threshold - 1e-9)


def broad(subject: Subject) -> Iterator[str]:
    """What of a subject lets nearly anything in, each in words."""
    if subject.match is not None:
        return
    for term in _alone(subject):
        if term.text and (len(term.text) == 1 and not term.word or _LATIN.fullmatch(term.text) and len(term.text) < 2):
            yield f"“{term.text}”只有一个字"
        elif term.regex and _matches_anything(term.regex):
            yield f"正则 /{term.regex}/ 在多数日常文字里都能匹配"


def _matches_anything(pattern: str) -> bool:
    found = re2.compile(pattern, regexes.options())
    return sum(found.search(text) is not None for text in _EVERYDAY) * 2 >= len(_EVERYDAY)


def doubled(subjects: list[Subject]) -> Iterator[tuple[str, Subject, Subject]]:
    """(word, the first subject, another) of words that suffice alone in both."""
    users: dict[tuple[str, str, str], list[Subject]] = defaultdict(list)
    for subject in subjects:
        if subject.match is None:
            for term in _alone(subject):
                if term.near is None:
                    users[term.text.lower(), term.regex, term.list].append(subject)
    for (text, regex, ident), found in users.items():
        word = text or (f"/{regex}/" if regex else f"@{ident}")
        yield from ((word, found[0], other) for other in found[1:] if _meet(found[0], other))


def _meet(one: Subject, other: Subject) -> bool:
    """Whether an item may be of both by its source."""
    return not one.groups or not other.groups or bool(set(one.groups) & set(other.groups))


def covers(subjects: list[Subject], book: RuleBook) -> Iterator[tuple[Subject, Subject]]:
    """(one, other) where every item that one matches is matched by other too."""
    lists = {each.id: frozenset(each.words) for each in book.lists}
    index = _Index(subjects, lists)
    for one in subjects:
        for other in index.near(one):
            if other is not one and _wider(one, other) and _all_covered(one, other, lists):
                yield one, other


class _Index:
    """Which subjects can cover which at all, so that not every pair of ten thousand is looked at: one of their terms is
    the same as a term of it, or part of its word."""

    def __init__(self, subjects: list[Subject], lists: dict[str, frozenset[str]]) -> None:
        self._lists = lists
        self._users: dict[str, list[Subject]] = defaultdict(list)
        self._holding: dict[str, list[str]] = defaultdict(list)
        for subject in subjects:
            for key in {_key(term) for term in subject.terms}:
                self._users[key].append(subject)
        for ident, words in lists.items():
            for word in words:
                self._holding[word.lower()].append(ident)

    def near(self, one: Subject) -> list[Subject]:
        """Those that have something for each term, or for a pattern without which nothing matches."""
        found: dict[str, Subject] = {}
        for place, term in enumerate(one.terms):
            some = self._having(term)
            found = some if not place else {ident: each for ident, each in found.items() if ident in some}
            if not found:
                break
        for pattern in required(one.match) if one.match is not None else ():
            found = found | self._having(pattern)
        return list(found.values())

    def _having(self, pattern: Pattern) -> dict[str, Subject]:
        return {each.id: each for key in self._keys(pattern) for each in self._users.get(key, ())}

    def _keys(self, pattern: Pattern) -> Iterator[str]:
        yield _key(pattern)
        word = pattern.text or min(self._lists.get(pattern.list, ()), default="")
        for start in range(len(word)):
            for end in range(start + 1, len(word) + 1):
                part = word[start:end].lower()
                yield part
                yield from (f"@{ident}" for ident in self._holding.get(part, ()))


def _key(pattern: Pattern) -> str:
    return pattern.text.lower() or pattern.name


def _wider(one: Subject, other: Subject) -> bool:
    """Whether nothing but words can keep an item of one from other."""
    return (other.match is None and other.active is None and other.fold == one.fold
            and set(other.scope) >= set(one.scope)
            and (not other.groups or bool(one.groups) and set(one.groups) <= set(other.groups))
            and set(other.exclude) <= set(one.exclude)
            and (other.expires == "never" or one.expires <= other.expires))


def _all_covered(one: Subject, other: Subject, lists: dict[str, frozenset[str]]) -> bool:
    """A pattern that one cannot match without, or every term of it, suffices for other; or the same terms weigh no less
    there, each against its threshold."""
    alone = list(_alone(other))
    must = required(one.match) if one.match is not None else ()
    if any(_covered(pattern, alone, lists) for pattern in must):
        return True
    if not one.terms:
        return False
    if all(_covered(term, alone, lists) for term in one.terms):
        return True
    shares = {_plain(each): each.weight / other.threshold for each in other.terms}
    return all(shares.get(_plain(term), 0.0) >= term.weight / one.threshold - 1e-9 for term in one.terms)


def _covered(pattern: Pattern, alone: list[Term], lists: dict[str, frozenset[str]]) -> bool:
    """Whether wherever the pattern occurs one of these terms does; of a list, one for each of its words."""
    if any(_holds(pattern, each, lists) for each in alone):
        return True
    words = lists.get(pattern.list, frozenset()) if pattern.list else frozenset()
    return bool(words) and all(
        any(_holds(replace(pattern, list="", text=word), each, lists) for each in alone) for word in words)


def _plain(term: Term) -> Pattern:
    return Pattern(text=term.text, regex=term.regex, list=term.list, near=term.near, word=term.word, field=term.field)


def _holds(narrow: Pattern, wide: Pattern, lists: dict[str, frozenset[str]]) -> bool:
    """Whether wherever `narrow` occurs `wide` occurs."""
    if wide.field not in ("", narrow.field):
        return False
    if wide.word and not narrow.word:
        return False
    if (narrow.text, narrow.regex, narrow.list, narrow.near) == (wide.text, wide.regex, wide.list, wide.near):
        return True
    words = lists.get(narrow.list, frozenset()) if narrow.list else {narrow.text} if narrow.text else frozenset()
    within = lists.get(wide.list, frozenset()) if wide.list else {wide.text} if wide.text else frozenset()
    return bool(words) and not wide.word and all(any(_part(each, word) for each in within) for word in words)


def _part(inner: str, word: str) -> bool:
    """Whether a text with `word` has `inner`: the same word, or Chinese within it, which needs no boundaries."""
    return inner == word or bool(_CHINESE.fullmatch(inner)) and inner in word
