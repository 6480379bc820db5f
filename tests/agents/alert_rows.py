"""A store as the archive and the ledger leave it: pages that went out, alerts as they stand."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from agents.clock import Clock
from agents.deliverer.ledger import Ledger
from agents.store.schema import alerts, events
from pipeline import codec
from pipeline.model import AlertState, AlertStatus, Escalation
from tests.delivery_fakes import delivery_book, delivery_deps, parcel, store


class Rows:
    """now: where the installation's clock stands; real time by default."""

    def __init__(self, path: Path, now: int = 0) -> None:
        self._path, self.engine = path, store(path)
        self.deps = delivery_deps(path, delivery_book())
        if now:
            self.at(now)

    def at(self, now: int) -> None:
        self.deps = dataclasses.replace(self.deps, clock=Clock(start=now, gate=str(self._path / "not-open")))

    def sent(self, channel: str, escalation: Escalation, **changes: Any) -> None:
        """A row of the ledger for a page."""
        row = parcel(f"d-{escalation.id}", channel, escalation, decided_at=escalation.at, **changes)
        Ledger(self.engine).take((row,), (), 0)

    def alert(self, escalation: Escalation, status: AlertStatus, *, raised_at: int, changed_at: int = 0,
              **changes: Any) -> None:
        """What the archive has: the alert's state and its event."""
        head = escalation.head
        assert head is not None
        state = AlertState(event_id=head.id, alert_id=escalation.alert_id, event_version=head.version, revision=1,
                           level=escalation.level, status=status, raised_at=raised_at, **changes)
        with self.engine.begin() as connection:
            for table in (alerts, events):
                key = table.c.event_id if table is alerts else table.c.id
                connection.execute(table.delete().where(key == head.id))
            connection.execute(alerts.insert().values(
                event_id=head.id, event_version=head.version, revision=1, status=status.value, due_at=None,
                state=codec.encode(state).decode()))
            connection.execute(events.insert().values(
                id=head.id, number=head.number, subject=head.subject, status=head.status.value, level=head.level,
                level_name=head.level_name, peak=head.peak, version=head.version, title=head.title, items=head.items,
                sources=head.sources, opened_at=head.opened_at, last_item_at=head.last_item_at,
                changed_at=changed_at or raised_at, head=codec.encode(head).decode()))
