"""Which counts are worth a record."""

from __future__ import annotations

import pytest

from pipeline.collect.counts import changed
from pipeline.model import Counts
from tests.builders import NOON, raw_item


@pytest.mark.parametrize(("before", "after", "told"), [
    (Counts(comments=1), Counts(comments=1), False), (Counts(comments=1), Counts(comments=2), True),
    (Counts(comments=2), Counts(comments=1), True), (Counts(likes=5), Counts(likes=6), True),
    (Counts(forwards=5), Counts(forwards=6), True), (None, Counts(comments=0), True), (Counts(comments=1), None, False),
    (Counts(views=1000), Counts(views=1099), False), (Counts(views=1000), Counts(views=1100), True),
    (Counts(views=5000), Counts(views=5100), True), (Counts(views=5), Counts(views=6), True),
    (Counts(views=100), Counts(views=50), False), (Counts(), Counts(views=1), True),
])
def test_views_are_told_when_they_grew_much_and_all_else_when_it_changed(
    before: Counts | None, after: Counts | None, told: bool
) -> None:
    known = {} if before is None else {"a": before}
    rows, remembered = changed([raw_item("a", counts=after)], known, frozenset(), NOON)
    assert [(row.item_id, row.at, row.counts) for row in rows] == ([("a", NOON, after)] if told else [])
    assert remembered == ({} if after is None else {"a": after if told else before})


def test_small_steps_add_up() -> None:
    known, told = {"a": Counts(views=1000)}, []
    for views in range(1000, 1300, 30):
        rows, known = changed([raw_item("a", counts=Counts(views=views))], known, frozenset(), NOON)
        told += [row.counts.views for row in rows]
    assert told == [1120, 1240]


def test_fresh_items_bring_their_counts_themselves_and_what_left_the_document_is_forgotten() -> None:
    rows, known = changed([raw_item("a", counts=Counts(likes=1))], {"old": Counts(likes=9)}, frozenset({"a"}), NOON)
    assert rows == () and known == {"a": Counts(likes=1)}


def test_a_record_has_five_hundred_rows_and_the_rest_comes_with_the_next_poll() -> None:
    items = [raw_item(f"i{n}", counts=Counts(likes=1)) for n in range(700)]
    first, known = changed(items, {}, frozenset(), NOON)
    second, known = changed(items, known, frozenset(), NOON)
    assert (len(first), len(second), len(known)) == (500, 200, 700)
