"""`match` conditions as functions of what occurs in an item."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.rulebook.schema import Condition, Subject
from pipeline.score.index import Index, Sight
from pipeline.score.patterns import field_of

Test = Callable[[Sight], bool]


def never(sight: Sight) -> bool:
    return False


def compiled(condition: Condition, subject: Subject, index: Index) -> Test:
    """The condition as the schema says: a pattern, or every one of `all`, one of `any` and none of `none`."""
    if condition.pattern is not None:
        field = field_of(condition.pattern, subject)
        return never if field is None else _occurs(index.slot(condition.pattern, subject.fold), field)
    every, some, none = ([compiled(each, subject, index) for each in part]
                         for part in (condition.all, condition.any, condition.none))

    def test(sight: Sight) -> bool:
        for each in every:
            if not each(sight):
                return False
        for each in none:
            if each(sight):
                return False
        return not some or any(each(sight) for each in some)

    return test


def _occurs(slot: int, field: str) -> Test:
    return (lambda sight: sight.occurs(slot, field)) if field else (lambda sight: slot in sight.found)
