"""Subjects and items in a few words, for the tests of matching."""

from __future__ import annotations

from typing import Any

from pipeline.rulebook.schema import Condition, Near, Pattern, RuleBook, Subject, Term
from pipeline.score.explained import Explained
from pipeline.score.fields import Fields
from pipeline.score.matcher import Match, Matcher
from tests import builders


def term(text: str = "", weight: float = 1.0, **how: Any) -> Term:
    return Term(text=text, weight=weight, **how)


def near(*words: str, within: int = 0, sentence: bool = True, ordered: bool = False) -> Term:
    return Term(near=Near(words=words, within=within, sentence=sentence, ordered=ordered))


def condition(written: Any) -> Condition:
    """A word, a pattern, or a mapping of all, any and none to lists of these, as it stands in a rule file."""
    if isinstance(written, str):
        return Condition(pattern=Pattern(text=written))
    if isinstance(written, Pattern):
        return Condition(pattern=written)
    return Condition(**{key: tuple(condition(each) for each in value) for key, value in written.items()})


def watch(*terms: str | Term, name: str = "polling", match: Any = None, exclude: tuple[str | Pattern, ...] = (),
          **how: Any) -> Subject:
    return Subject(**{
        "id": name, "title": name, "owner": "选办", "reason": "测试", "expires": "never",
        "terms": tuple(Term(text=each) if isinstance(each, str) else each for each in terms),
        "match": None if match is None else condition(match),
        "exclude": tuple(Pattern(text=each) if isinstance(each, str) else each for each in exclude), **how})


def book(*subjects: Subject, **how: Any) -> RuleBook:
    return builders.book(subjects=subjects, **how)


def matched(text: str, *subjects: Subject, title: str = "", at: int = builders.NOON, group: str = "",
            **how: Any) -> list[Match]:
    return Matcher(book(*subjects, **how)).match(Fields(title, text), at, group)


def matches(text: str, subject: Subject, **how: Any) -> bool:
    return bool(matched(text, subject, **how))


def shown(text: str, *subjects: Subject, title: str = "", **how: Any) -> list[tuple[str, str]]:
    """Each span as the pattern's name and the part of the original that it points at."""
    return [(span.term, (title if span.field == "title" else text)[span.start:span.end])
            for match in matched(text, *subjects, title=title, **how) for span in match.spans]


def explained(text: str, *subjects: Subject, title: str = "", at: int = builders.NOON, group: str = "",
              named: tuple[str, ...] = (), **how: Any) -> list[Explained]:
    return Matcher(book(*subjects, **how)).explain(Fields(title, text), at, group, named)
