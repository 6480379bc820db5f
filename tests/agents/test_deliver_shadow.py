"""Nothing of a shadow rule leaves the deliverer: two guards, each tested without the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Engine

from agents.deliverer.ledger import Ledger
from agents.deliverer.letter import Outcome, Sent
from agents.deliverer.parcel import DEAD
from pipeline import codec, topics
from pipeline.model import Escalation, EscalationKind
from pipeline.rulebook.schema import Channel, ChannelType
from tests.agents.test_deliver_couriers import delivering
from tests.agents.test_deliver_intake import intake, record
from tests.delivery_fakes import FakeBus, delivery_book, delivery_deps, ledger_with, parcel, rows, store, until
from tests.messages import head, page

IN_SHADOW = head(subject="~bus", key="~bus")
RECORDED: list[Escalation] = [
    replace(page(), shadow=True),
    replace(page(), head=IN_SHADOW),
    replace(page(), kind=EscalationKind.DIGEST, head=None, digest=(head(), IN_SHADOW)),
    replace(page(), head=IN_SHADOW, shadow=True)]


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    engine = store(tmp_path)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("decided", RECORDED, ids=["flag", "head", "one of a digest", "both"])
async def test_what_a_shadow_rule_would_have_said_is_in_no_ledger_and_no_dead_letter(
    engine: Engine, tmp_path: Path, decided: Escalation,
) -> None:
    bus = FakeBus()
    await intake(engine, tmp_path, bus).take([record(decided), record(page("live")), record(decided, source="dlq")])
    assert {codec.decode_as(Escalation, row.escalation.encode()).id for row in rows(engine)} == {"live"}
    assert bus.on(topics.DEAD_LETTERS) == []


@pytest.mark.parametrize("decided", RECORDED, ids=["flag", "head", "one of a digest", "both"])
async def test_a_row_of_a_shadow_rule_that_got_into_the_ledger_is_not_sent(
    engine: Engine, tmp_path: Path, decided: Escalation,
) -> None:
    sent: list[str] = []

    async def send(channel: Channel, letter: Any) -> Outcome:
        sent.append(letter.escalation.id)
        return Sent()

    deps = delivery_deps(tmp_path, delivery_book(Channel(id="hook", type=ChannelType.CONSOLE)))
    ledger: Ledger = ledger_with(engine, parcel("p1", escalation=decided))
    async with delivering(deps, ledger, senders={ChannelType.CONSOLE: send}):
        await until(lambda: rows(engine)[0].status == DEAD)
    assert sent == [] and "影子规则" in rows(engine)[0].error
