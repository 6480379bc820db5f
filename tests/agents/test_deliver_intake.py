"""From records of topic escalations to rows: what is taken, what is set aside, what is held."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DataError, OperationalError

from agents.deliverer.intake import Intake
from agents.deliverer.ledger import Ledger
from agents.deliverer.parcel import Parcel, delivery_id
from pipeline import codec, topics
from pipeline.ids import digest
from pipeline.model import AlertState, AlertStatus, EscalationKind
from pipeline.rulebook.schema import Channel, ChannelType, Roster
from tests.builders import NOON, book
from tests.delivery_fakes import FakeBus, claim, delivery_book, delivery_deps, rows, store
from tests.messages import page, system

CONSOLE = Channel(id="hook", type=ChannelType.CONSOLE)
OTHER = Channel(id="other", type=ChannelType.CONSOLE)


@dataclass
class Record:
    value: bytes | None
    headers: list[tuple[str, bytes]] = field(default_factory=list)
    offset: int = 0
    topic: str = topics.ESCALATIONS
    partition: int = 0
    key: bytes = b"e1"


def record(value: Any, source: str = "escalate") -> Record:
    return Record(codec.encode(value), codec.encode_headers(value, source=source, at=NOON, ident="x"))


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    engine = store(tmp_path)
    yield engine
    engine.dispose()


def intake(
    engine: Engine, path: Path, bus: FakeBus | None = None, ledger: Ledger | None = None, **rules: Any
) -> Intake:
    deps = delivery_deps(path, rules.get("rules") or delivery_book(CONSOLE, OTHER))
    woken: list[str] = []
    made = Intake(deps, ledger or Ledger(engine), bus or FakeBus(), woken.extend)  # type: ignore[arg-type]
    made.woken = woken  # type: ignore[attr-defined]
    return made


async def test_an_escalation_is_a_row_for_every_receiver_and_channel(engine: Engine, tmp_path: Path) -> None:
    taker = intake(engine, tmp_path)
    await taker.take([record(page())])
    found = {(row.id, row.person, row.channel, row.decided_at) for row in rows(engine)}
    assert found == {(delivery_id("esc1", "duty-a", name), "duty-a", name, NOON) for name in ("hook", "other")}
    assert sorted(taker.woken) == ["hook", "other"]  # type: ignore[attr-defined]
    assert codec.decode_as(type(page()), rows(engine)[0].escalation.encode()) == page()


async def test_a_repeat_adds_nothing_and_alert_states_are_passed_over(engine: Engine, tmp_path: Path) -> None:
    taker, bus = None, FakeBus()
    taker = intake(engine, tmp_path, bus)
    state = AlertState(event_id="e1", alert_id="a", event_version=1, revision=1, level=2, status=AlertStatus.NOTIFIED,
                       raised_at=NOON)
    await taker.take([record(page()), record(state), record(page())])
    await taker.take([record(page())])
    assert len(rows(engine)) == 2 and bus.sent == []


async def test_a_system_notice_goes_to_the_people_of_ops(engine: Engine, tmp_path: Path) -> None:
    await intake(engine, tmp_path).take([record(system())])
    assert [(row.person, row.channel) for row in rows(engine)] == [("ops-a", "ops")]


@pytest.mark.parametrize("poison", [
    Record(b"{not json", [("ce_type", b"wenxun.escalation")]), Record(b"\xff\xfe", [("ce_type", b"wenxun.escalation")]),
    Record(b"{}", [("ce_type", b"wenxun.escalation")]), Record(None), Record(b"", [("ce_type", b"wenxun.nonsense")]),
    Record(b"{}")])
async def test_poison_is_set_aside_whole_and_its_neighbours_go_on(
    engine: Engine, tmp_path: Path, poison: Record
) -> None:
    bus = FakeBus(failures=1)
    await intake(engine, tmp_path, bus).take([record(page("before")), poison, record(page("after"))])
    [letter] = bus.on(topics.DEAD_LETTERS)
    assert (letter.topic, letter.value, letter.reason) == (topics.ESCALATIONS, poison.value or b"", "undecodable")
    assert len(rows(engine)) == 4


async def test_an_escalation_that_nobody_can_get_is_a_dead_letter(engine: Engine, tmp_path: Path) -> None:
    bus = FakeBus()
    nobody = book(roster=Roster(people=(), teams=(), fallback="gone"))
    await intake(engine, tmp_path, bus, rules=nobody).take([record(page())])
    assert "fallback" in bus.on(topics.DEAD_LETTERS)[0].error and rows(engine) == []


async def test_ops_hears_once_an_hour_that_nobody_could_be_told(engine: Engine, tmp_path: Path) -> None:
    bus = FakeBus()
    nobody = book(roster=Roster(people=(), teams=(), fallback="gone"))
    await intake(engine, tmp_path, bus, rules=nobody).take([record(page()), record(page(id="f" * 20))])
    told = bus.on(topics.ESCALATIONS)
    assert len(told) == 2 and len({each.id for each in told}) == 1, "one notice, however many pages"
    assert (told[0].kind, told[0].tell) == (EscalationKind.SYSTEM, ("ops",)) and "没有人可通知" in told[0].title
    await intake(engine, tmp_path, bus, rules=nobody).take([record(told[0])])
    assert len(bus.on(topics.DEAD_LETTERS)) == 3 and len(bus.on(topics.ESCALATIONS)) == 2, "none about itself"


async def test_a_full_disk_holds_the_records_until_it_is_not(engine: Engine, tmp_path: Path) -> None:
    class Full(Ledger):
        left = 2

        def take(self, *args: Any) -> None:
            if self.left:
                self.left -= 1
                raise OperationalError("INSERT", {}, OSError("database or disk is full"))
            super().take(*args)

    await intake(engine, tmp_path, ledger=Full(engine)).take([record(page())])
    assert len(rows(engine)) == 2


async def test_a_row_that_the_store_cannot_hold_is_set_aside_alone(engine: Engine, tmp_path: Path) -> None:
    class Strict(Ledger):
        def take(self, steps: Any, *args: Any) -> None:
            if any(parcel.channel == "other" for parcel in steps):
                raise DataError("INSERT", {}, ValueError("value too long"))
            super().take(steps, *args)

    bus = FakeBus()
    await intake(engine, tmp_path, bus, ledger=Strict(engine)).take([record(page())])
    assert [row.channel for row in rows(engine)] == ["hook"]
    assert [letter.reason for letter in bus.on(topics.DEAD_LETTERS)] == ["failed"]


async def test_a_replay_from_the_dead_letters_tries_again_only_what_was_given_up(
    engine: Engine, tmp_path: Path
) -> None:
    taker, ledger = intake(engine, tmp_path), Ledger(engine)
    await taker.take([record(page())])
    for channel, end in (("hook", ledger.confirm), ("other", ledger.bury)):
        [held] = claim(ledger, channel, 2**50, 2**51, 1)
        end([held], *((0,) if channel == "hook" else ("HTTP 404", 0)))
    await taker.take([record(page())])
    assert {row.channel: row.status for row in rows(engine)} == {"hook": "confirmed", "other": "dead"}
    await taker.take([record(page(), source="dlq")])
    assert {row.channel: row.status for row in rows(engine)} == {"hook": "confirmed", "other": "pending"}


def test_the_delivery_id_is_that_of_escalation_person_and_channel() -> None:
    assert delivery_id("e", "p", "c") == digest("e", "p", "c") != delivery_id("e", "pc", "")
    assert isinstance(Parcel(id="x", escalation="", person="", channel="", decided_at=0), Parcel)
