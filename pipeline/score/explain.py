"""Why a subject matches an item or not, from the same look at the item that matching takes."""

from __future__ import annotations

from itertools import islice

from pipeline.rulebook.schema import Condition, Pattern, Status, Subject, Term
from pipeline.score.explained import MAX_PLACES, Explained, NearMiss, Place, Seen, Truth, Unmet
from pipeline.score.fields import TEXT, TITLE, Fields
from pipeline.score.index import ROUNDING, Index, Sight
from pipeline.score.near_miss import apart
from pipeline.score.patterns import field_of


def explained(rule: Subject, index: Index, sight: Sight, fields: Fields, shut: tuple[Unmet, ...],
              group: str) -> Explained:
    """shut: what the subject's gate says."""
    looking = _Looking(rule, index, sight, fields)
    terms = tuple(looking.seen(each) for each in rule.terms)
    exclude = tuple(looking.seen(each) for each in rule.exclude)
    condition = None if rule.match is None else looking.truth(rule.match)
    weight = looking.weight(terms)
    said = {Unmet.RETIRED: rule.status is Status.RETIRED, **{each: True for each in shut},
            Unmet.EXCLUDED: any(each.occurs for each in exclude),
            Unmet.THRESHOLD: bool(rule.terms) and weight < rule.threshold - ROUNDING,
            Unmet.CONDITION: not rule.terms if condition is None else not condition.value}
    if not rule.terms and condition is not None and condition.value:
        weight = 1.0
    unmet = tuple(each for each, true in said.items() if true)
    return Explained(rule, unmet, weight, terms, exclude, condition, group)


class _Looking:
    """One subject's patterns in one item."""

    def __init__(self, rule: Subject, index: Index, sight: Sight, fields: Fields) -> None:
        self._rule, self._index, self._sight, self._fields = rule, index, sight, fields

    def seen(self, pattern: Pattern) -> Seen:
        slot = self._index.slot(pattern, self._rule.fold)
        wanted = field_of(pattern, self._rule)
        places = self._places(slot)
        within = [each for each in places if wanted is not None and wanted in ("", each.field)]
        beside = [each for each in places if each not in within]
        return Seen(pattern, tuple(islice(within, MAX_PLACES)), tuple(islice(beside, MAX_PLACES)),
                    pattern.weight if isinstance(pattern, Term) else None,
                    None if within or wanted is None else self._near_miss(pattern, wanted))

    def _places(self, slot: int) -> list[Place]:
        return [Place(field, start, end, self._fields.original(field)[start:end])
                for field, start, end in self._sight.places(slot)]

    def _near_miss(self, pattern: Pattern, wanted: str) -> NearMiss | None:
        """wanted: the field that the pattern looks at, empty for both."""
        if (near := pattern.near) is None:
            return None
        slots = [self._index.slot(Pattern(text=word, word=pattern.word), self._rule.fold) for word in near.words]
        found = {slot: tuple(islice((each for each in self._places(slot) if wanted in ("", each.field)), MAX_PLACES))
                 for slot in slots}
        words = tuple((word, found[slot]) for word, slot in zip(near.words, slots, strict=True))
        if not all(found.values()):
            return NearMiss(words)
        fields = [field == TITLE for field in (TITLE, TEXT) if wanted in ("", field)]
        return NearMiss(words, *apart(near, slots, self._sight.found, self._sight.spelled(slots[0]), fields))

    def truth(self, condition: Condition) -> Truth:
        if condition.pattern is not None:
            seen = self.seen(condition.pattern)
            return Truth(seen.occurs, seen)
        every, some, none = (tuple(self.truth(each) for each in part)
                             for part in (condition.all, condition.any, condition.none))
        value = all(each.value for each in every) and not any(each.value for each in none) and (
            not some or any(each.value for each in some))
        return Truth(value, None, every, some, none)

    def weight(self, terms: tuple[Seen, ...]) -> float:
        """The sum that is held against the threshold: each pattern once, also when it is written twice."""
        counted: dict[tuple[int, str | None], float] = {}
        for each in terms:
            if each.occurs and each.weight is not None:
                key = self._index.slot(each.pattern, self._rule.fold), field_of(each.pattern, self._rule)
                counted.setdefault(key, each.weight)
        return sum(counted.values())
