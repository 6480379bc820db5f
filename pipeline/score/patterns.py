"""The patterns of a subject, and where each is looked for."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.rulebook.schema import Condition, Pattern, Subject


def field_of(pattern: Pattern, subject: Subject) -> str | None:
    """The one field that a pattern is looked for in; empty: both; None: its field is out of the subject's scope."""
    if pattern.field:
        return pattern.field if pattern.field in subject.scope else None
    return "" if len(set(subject.scope)) != 1 else subject.scope[0]


def patterns_in(condition: Condition | None, helps: bool = True) -> Iterator[tuple[Pattern, bool]]:
    """Every pattern of a condition, and whether its occurrence helps to make the whole true."""
    if condition is None:
        return
    if condition.pattern is not None:
        yield condition.pattern, helps
    for each in (*condition.all, *condition.any):
        yield from patterns_in(each, helps)
    for each in condition.none:
        yield from patterns_in(each, not helps)
