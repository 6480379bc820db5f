"""The body of escalate with fakes: what goes out, in which order, on which partition, and what is counted."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from agents.clock import Clock
from agents.deps import Deps, RuleStore
from agents.escalator import Escalate
from agents.metrics import Metrics
from agents.settings import Settings
from pipeline import topics
from pipeline.escalate.escalator import Escalator
from pipeline.model import AlertState, EscalationKind, EventClocks, Heartbeat, Silence, Tick
from pipeline.rulebook.schema import HOUR
from tests.agents.test_role_bodies import FakeOut, FakeStates, FakeTable, value
from tests.builders import NOON
from tests.pipeline.escalate_kit import MINUTE, clocked, raised


@pytest.fixture
def deps() -> Deps:
    return Deps(Settings(), Clock(NOON, 0, 0.0), Metrics(), RuleStore(clocked()))


class Order(FakeOut):
    """What happens, in order: kinds of records, and `rows`."""

    def __init__(self) -> None:
        super().__init__()
        self.did: list[str] = []
        self.partitions: list[int | None] = []

    async def send(self, topic: str, key: str, record: Any, *, ident: str, partition: int | None = None) -> None:
        self.did.append(f"{type(record).__name__} acknowledged")
        self.partitions.append(partition)
        self.sent.append((topic, key, record))

    async def post(self, topic: str, key: str, record: Any, *, ident: str, partition: int | None = None) -> None:
        self.did.append(type(record).__name__)
        self.sent.append((topic, key, record))


class Rows(FakeTable):
    def __init__(self, order: Order) -> None:
        super().__init__()
        self._order = order

    def apply(self, partition: int, puts: Any) -> None:
        self._order.did.append("rows")
        super().apply(partition, puts)


def body(deps: Deps, out: FakeOut, table: FakeTable) -> Escalate:
    return Escalate(deps, out, table, FakeStates(Escalator()))  # type: ignore[arg-type]


async def test_escalations_are_acknowledged_before_the_rows_and_the_states_come_last(deps: Deps) -> None:
    out = Order()
    await body(deps, out, Rows(out))(raised(1, 3, 1, NOON), 0)
    assert out.did == ["Escalation acknowledged", "rows", "AlertState", "AlertState", "EventClocks"]
    assert {topic for topic, _, _ in out.sent} == {topics.ESCALATIONS} and {key for _, key, _ in out.sent} == {"e1"}
    assert out.records(EventClocks)[0].revision == 1 and out.records(AlertState)[-1].escalation_id


async def test_a_heartbeat_goes_on_to_the_same_partition_and_changes_nothing(deps: Deps) -> None:
    out, table = Order(), FakeTable()
    beat = Heartbeat(id="hb", at=NOON, partition=1)
    await body(deps, out, table)(beat, 3)
    assert (out.sent, out.partitions, table.rows) == ([(topics.ESCALATIONS, "heartbeat", beat)], [3], {})
    assert out.did == ["Heartbeat acknowledged"]


async def test_what_is_held_back_is_counted_by_what_holds_it_and_a_drill_not_at_all(deps: Deps) -> None:
    escalate = body(deps, FakeOut(), FakeTable())
    silence = Silence(id="s1", by="wang", at=NOON, owner="wang", reason="r", starts_at=NOON, ends_at=NOON + 6 * HOUR,
                      event_id="e1")
    for record in (silence, raised(1, 3, 1, NOON), raised(1, 3, 1, NOON, id="e2"),
                   raised(1, 3, 1, NOON, id="e3", subject="!polling"), Tick(at=NOON + 5 * MINUTE)):
        await escalate(record, 0)
    assert value(deps, "escalations_suppressed_total", by="silence") == 1
    assert value(deps, "escalations_total", kind="page") == 2, "two steps of e2"
    for hours in (1, 2, 3):
        await escalate(Tick(at=NOON + hours * HOUR), 0)
    assert value(deps, "escalations_total", kind=str(EscalationKind.CLOCK)) == 2, "50 and 100 % of e2's answer"
    assert value(deps, "escalations_suppressed_total", by="quiet") == 0


async def test_a_silence_of_another_partition_is_nobodys_trouble(deps: Deps) -> None:
    out, table = FakeOut(), FakeTable()
    silence = Silence(id="s1", by="wang", at=NOON, owner="wang", reason="r", starts_at=NOON, ends_at=NOON + HOUR,
                      levels=("较大",))
    escalate = body(deps, out, table)
    await escalate(silence, 0)
    await escalate(silence, 0)
    assert out.sent == [] and set(table.rows) == {b"s|s1", b"t"}
    with pytest.raises(TypeError, match="events holds no EventClocks"):
        await escalate(replace(EventClocks(event_id="e", revision=1, clocks=())), 0)
