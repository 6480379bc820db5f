"""The journal behind a partition's rows against a plain dict."""

from __future__ import annotations

import random

import pytest

from agents.journal import CLEAN, MAX_ROW_BYTES, SLACK, Journal


class Store:
    """A table's rows, and the journal over them."""

    def __init__(self) -> None:
        self.rows: dict[int, bytes] = {}
        self.journal = Journal([], self.rows.__getitem__)
        self.writes = 0

    def put(self, puts: dict[bytes, bytes | None]) -> None:
        for number, row in self.journal.write(puts).items():
            self.writes += 1
            if row is None:
                del self.rows[number]
            else:
                self.rows[number] = row

    def reopened(self) -> dict[bytes, bytes]:
        return dict(Journal(list(self.rows), self.rows.__getitem__).items())


@pytest.mark.parametrize("seed", range(6))
def test_a_journal_read_at_any_time_says_what_a_dict_would(seed: int) -> None:
    chance, store, model = random.Random(seed), Store(), dict[bytes, bytes]()
    for step in range(600):
        puts: dict[bytes, bytes | None] = {}
        for _ in range(chance.randrange(1, 9)):
            key = b"k%d" % chance.randrange(chance.choice((5, 400)))
            puts[key] = None if chance.random() < 0.4 else b"%d" % step
        store.put(puts)
        for key, value in puts.items():
            if value is None:
                model.pop(key, None)
            else:
                model[key] = value
        if step % 37 == 0:
            assert dict(store.journal.items()) == store.reopened() == model
            store.journal = Journal(list(store.rows), store.rows.__getitem__)
    assert store.reopened() == model


def test_what_one_record_changes_is_one_row() -> None:
    store = Store()
    store.put({b"k%d" % n: b"v" for n in range(50)})
    assert (len(store.rows), store.writes) == (1, 1)


def test_old_rows_are_cleaned_and_the_journal_stays_in_proportion() -> None:
    store = Store()
    store.put({b"still": b"here"})
    for step in range(3000):
        store.put({b"busy%d" % (step % 10): b"%d" % step})
    assert len(store.rows) <= SLACK + 2 * 11 + CLEAN and store.reopened()[b"still"] == b"here"


def test_a_delete_outlives_every_older_row_that_has_the_key() -> None:
    store = Store()
    store.put({b"gone": b"1", b"kept": b"1"})
    store.put({b"gone": b"2"})
    store.put({b"gone": None})
    assert store.reopened() == {b"kept": b"1"}


def test_rows_are_put_before_the_ones_they_replace_are_deleted() -> None:
    store = Store()
    for step in range(400):
        store.put({b"k": b"%d" % step})
    rows = list(store.journal.write({b"k": b"last"}).values())
    assert rows[0] is not None and rows[-1] is None


def test_many_changes_at_once_are_several_rows_of_bounded_size() -> None:
    store = Store()
    store.put({b"%d" % n: b"x" * 1000 for n in range(1000)})
    assert len(store.rows) > 4 and max(map(len, store.rows.values())) <= MAX_ROW_BYTES + 2048


def test_a_delete_of_what_is_not_there_writes_nothing() -> None:
    store = Store()
    store.put({b"never": None})
    assert store.writes == 0
