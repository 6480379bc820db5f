"""A ledger that cannot be written holds every message back: ops hear of it all the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from agents.deliverer import outage
from agents.deliverer.intake import Intake
from agents.deliverer.ledger import Ledger
from agents.deliverer.letter import Outcome, Retry, Sent
from agents.deliverer.outage import PATIENCE_SECONDS, Outage
from agents.deliverer.parcel import Parcel
from pipeline import codec
from pipeline.model import Escalation, EscalationKind
from tests.agents.test_deliver_intake import CONSOLE, OTHER, record
from tests.delivery_fakes import FakeBus, delivery_book, delivery_deps, rows, store
from tests.messages import page

FULL = OperationalError("INSERT INTO outbox", {"escalation": "秘密"}, Exception("database or disk is full"))


class Rig:
    def __init__(self, path: Path) -> None:
        self.deps = delivery_deps(path, delivery_book(CONSOLE, OTHER))
        self.seconds = 0.0
        self.answers: list[Outcome] = []
        self.tried: list[Parcel] = []
        self.outage = Outage(self.deps, self.attempt, lambda: self.seconds)

    async def attempt(self, parcel: Parcel) -> Outcome:
        self.tried.append(parcel)
        return self.answers.pop(0) if self.answers else Sent()


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


@pytest.mark.sqlite
async def test_ops_are_told_directly_and_once_with_what_to_do(rig: Rig) -> None:
    for rig.seconds in (0, PATIENCE_SECONDS - 1):
        await rig.outage.failed(FULL)
    assert rig.tried == [], "a short lock is no outage"
    for rig.seconds in (PATIENCE_SECONDS, 3 * PATIENCE_SECONDS):
        await rig.outage.failed(FULL)
    [parcel] = rig.tried
    notice: Escalation = codec.decode_as(Escalation, parcel.escalation.encode())
    assert (notice.kind, notice.tell) == (EscalationKind.SYSTEM, ("ops",))
    assert (parcel.person, parcel.channel) == ("ops-a", "ops")
    assert "database or disk is full" in notice.text and "磁盘空间" in notice.text and "outbox.db" in notice.text
    assert "秘密" not in notice.text and "INSERT" not in notice.text


async def test_what_no_channel_took_is_tried_again_and_a_new_outage_is_told_again(rig: Rig) -> None:
    rig.answers = [Retry("HTTP 500")]
    for rig.seconds in (0, PATIENCE_SECONDS, PATIENCE_SECONDS + 5, PATIENCE_SECONDS + 9):
        await rig.outage.failed(FULL)
    assert len(rig.tried) == 2
    rig.outage.over()
    for rig.seconds in (100, 100 + PATIENCE_SECONDS):
        await rig.outage.failed(FULL)
    assert len(rig.tried) == 3


async def test_the_intake_tells_while_it_holds_and_loses_nothing(
    tmp_path: Path, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage, "PATIENCE_SECONDS", 0.0)
    engine = store(tmp_path)

    class Full(Ledger):
        left = 2

        def take(self, *args: Any) -> None:
            if self.left:
                self.left -= 1
                raise FULL
            super().take(*args)

    taker = Intake(rig.deps, Full(engine), FakeBus(), lambda _: None, outage=rig.outage)  # type: ignore[arg-type]
    try:
        await taker.take([record(page())])
        assert len(rig.tried) == 1 and len(rows(engine)) == 2
    finally:
        engine.dispose()
