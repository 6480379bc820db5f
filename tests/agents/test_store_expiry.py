"""After the retention time texts are gone everywhere and figures are still there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, insert

from agents.store import readmodel, schema
from agents.store.expiry import expire, thin_counts
from pipeline import codec
from pipeline.model import Counts, CountsBatch, CountsRow, EventStatus
from tests import messages
from tests.agents import store_fakes as fakes
from tests.builders import NOON, raw_batch, raw_item, scored_batch, scored_item

DAY = 86_400_000
WORDS = ("投票站", "三点", "截止", "关门", "http://")


@pytest.fixture
def store(tmp_path: Path) -> Engine:
    return fakes.new_store(tmp_path)


def outbox_row(ident: str, *, status: str = "confirmed", reported: bool = True) -> dict[str, object]:
    return {"id": ident, "escalation": codec.encode(messages.page()).decode(), "person": "duty-a",
            "channel": "console", "status": status, "attempts": 1, "decided_at": NOON, "next_try_at": 0,
            "lease_until": 0, "error": "", "reported": reported}


def fill(store: Engine) -> None:
    calm = fakes.head(7, "a1", status=EventStatus.CALM, level=0, statements=(messages.excerpt("s1", official=True),))
    fakes.put(
        store, raw_batch(raw_item(html="<p>投票站</p>", counts=Counts(comments=3)),
                         raw_item(revision="1" * 16, title="三点截止", first_seen_at=NOON + 1)),
        scored_batch(scored_item()), calm, fakes.alert(), messages.page(), fakes.delivery(),
        fakes.dead(value="投票站".encode()))
    with store.begin() as connection:
        connection.execute(insert(schema.outbox), outbox_row("o1"))


def everything_said(store: Engine) -> str:
    return json.dumps(fakes.dump(store, [*fakes.ARCHIVED, "outbox"]), ensure_ascii=False, default=str)


def test_no_text_is_left_and_every_figure_is(store: Engine) -> None:
    fill(store)
    assert all(word in everything_said(store) for word in WORDS)
    before = fakes.dump(store, ["members", "timeline", "alerts", "deliveries"])
    expire(store, NOON + DAY)
    said = everything_said(store)
    assert [word for word in WORDS if word in said] == []
    assert fakes.dump(store, ["members", "timeline", "alerts", "deliveries"]) == before
    event, item, scored = (fakes.rows(store, name)[0] for name in ("events", "items", "scored"))
    assert (event["items"], event["sources"], event["number"], event["peak"]) == (23, 7, 317, 2)
    assert (item["source_id"], item["first_seen_at"], item["expired"]) == ("xinwen", NOON, True)
    assert (scored["polarity"], scored["weight"], scored["expired"]) == ("neutral", 1.0, True)


@pytest.mark.sqlite
def test_the_bytes_are_gone_from_the_files_too(store: Engine, tmp_path: Path) -> None:
    def on_disk() -> bytes:
        return b"".join(path.read_bytes() for path in tmp_path.glob("wenxun.db*"))

    @event.listens_for(store, "connect")
    def as_sqlite_comes(connection: Any, record: Any) -> None:
        connection.execute("PRAGMA secure_delete=OFF")  # some distributions switch it on for all

    store.dispose()
    long = "有人说投票站三点就截止" * 2_000
    fakes.put(store, raw_batch(raw_item(text=long)), scored_batch(scored_item(text=long)))
    assert "三点就截止".encode() in on_disk()
    expire(store, NOON + DAY)
    assert "三点就截止".encode() not in on_disk()


def test_what_is_younger_keeps_its_texts(store: Engine) -> None:
    fill(store)
    before = everything_said(store)
    assert expire(store, NOON) == {}
    assert everything_said(store) == before


def test_an_open_event_and_a_message_under_way_keep_their_texts(store: Engine) -> None:
    fakes.put(store, fakes.head(7))
    with store.begin() as connection:
        connection.execute(insert(schema.outbox), [outbox_row("o1", status="pending", reported=False),
                                                   outbox_row("o2", reported=False)])
    assert expire(store, NOON + DAY) == {}
    assert fakes.rows(store, "events")[0]["title"] == "投票站三点关门的说法"
    assert len(fakes.rows(store, "outbox")) == 2


def test_a_second_run_finds_nothing_to_do(store: Engine) -> None:
    fill(store)
    assert expire(store, NOON + DAY) == {
        "items": 1, "counts": 1, "revisions": 1, "scored": 1, "events": 1, "escalations": 1, "dead_letters": 1,
        "outbox": 1}
    assert expire(store, NOON + DAY) == {}


def test_many_rows_are_dropped_in_several_transactions(store: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.store.expiry.CHUNK", 7)
    fakes.put(store, raw_batch(*(raw_item(f"a{n}") for n in range(30))))
    assert expire(store, NOON + DAY)["items"] == 30


def test_an_old_record_that_comes_again_brings_no_text_back(store: Engine) -> None:
    fill(store)
    expire(store, NOON + DAY)
    fakes.put(store, raw_batch(raw_item()), scored_batch(scored_item()), fakes.head(7), messages.page(), fakes.dead())
    said = everything_said(store)
    assert [word for word in WORDS if word in said] == []


def test_an_expired_event_is_still_shown_with_its_number_and_figures(store: Engine) -> None:
    fill(store)
    expire(store, NOON + DAY)
    with store.connect() as connection:
        view = readmodel.event(connection, "E-0317")
        letters = readmodel.dead_letters(connection)
    assert view is not None
    assert (view.head.title, view.head.items, view.expired) == (readmodel.EXPIRED_TITLE, 23, True)
    assert [member.scored for member in view.members] == [None] and view.members[0].expired
    assert view.escalations == () and len(view.timeline) > 0
    assert letters[0].letter is None


def series(store: Engine, item: str) -> list[int]:
    return sorted((row["at"] - NOON) // 60_000 for row in fakes.rows(store, "counts") if row["item_id"] == item)


def test_old_counts_keep_one_row_an_hour_and_the_first_and_new_ones_all(store: Engine) -> None:
    assert NOON % 3_600_000 == 0
    minutes = range(0, 4 * 60, 7)
    rows = [CountsRow("a", NOON + at * 60_000, Counts(comments=at)) for at in minutes]
    rows.append(CountsRow("b", NOON + 60_000, Counts(likes=1)))
    fakes.put(store, CountsBatch(source_id="xinwen", at=NOON, items=tuple(rows)))
    now = NOON + 2 * DAY + 2 * 3_600_000 + 60_000
    assert thin_counts(store, now) > 0
    kept = [0, 56, 119, *(at for at in minutes if at >= 120)]
    assert series(store, "a") == kept and series(store, "b") == [1]
    assert thin_counts(store, now) == 0
    fakes.put(store, CountsBatch(source_id="xinwen", at=NOON, items=tuple(rows)))
    thin_counts(store, now)
    assert series(store, "a") == kept, "a topic that is read again brings nothing back for good"


def test_thinning_takes_any_number_of_rows_and_goes_on_after_a_stop(store: Engine) -> None:
    rows = [CountsRow(f"i{item}", NOON + at * 1_000, Counts(comments=at)) for item in range(3) for at in range(900)]
    for some in range(0, len(rows), 300):
        fakes.put(store, CountsBatch(source_id="xinwen", at=NOON, items=tuple(rows[some:some + 300])))
    assert thin_counts(store, NOON + 4 * DAY) == 2_700 - 3 * 2
