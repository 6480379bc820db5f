"""Which alerts that went out by a channel still stand, and which ended lately: from the ledger and the archive."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, Row, and_, func, or_, select

from agents.deps import Deps
from agents.store.schema import alerts, events, outbox
from pipeline import codec
from pipeline.model import AlertState, AlertStatus, DeliveryStatus, Escalation, EscalationKind, Millis
from pipeline.notify import alertmanager
from pipeline.notify.message import Setting
from pipeline.notify.render import render
from pipeline.rulebook.schema import DAY, HOUR

LOOK_BACK = 30 * DAY
ENDED_FOR = HOUR
"""How long an end is told again: a receiver that was away hears it."""


class Standing:
    def __init__(self, deps: Deps, engine: Engine) -> None:
        self._deps, self._engine = deps, engine

    def read(self, channel: str, real: Millis) -> list[alertmanager.Alert]:
        """Blocking. real: no alert starts or ends later than now. An alert whose state the archive does not have yet
        stands; so does one that was answered: the event goes on."""
        settings = self._deps.settings
        setting = Setting(self._deps.rules.book, settings.zone, settings.link_url, settings.banner)
        found = (self._alert(row, setting, real) for row in self._rows(channel))
        return alertmanager.merged(each for each in found if each is not None)

    def _rows(self, channel: str) -> list[Row[Any]]:
        """The last page of each alert that went out by the channel, with what the archive knows of it. An alert's level
        is the highest of its pages: when the event falls the alert stays what it is."""
        now = self._deps.clock.now()
        mine = (outbox.c.channel == channel, outbox.c.kind == EscalationKind.PAGE.value,
                outbox.c.status != DeliveryStatus.SUPPRESSED.value)
        last = (
            select(outbox.c.alert_id, func.max(outbox.c.decided_at).label("at"),
                   func.max(outbox.c.level).label("level"))
            .where(*mine, outbox.c.alert_id != "", outbox.c.decided_at > now - LOOK_BACK)
            .group_by(outbox.c.alert_id).subquery())
        open_or_late = or_(
            alerts.c.state.is_(None), alerts.c.status != AlertStatus.ENDED.value,
            and_(events.c.changed_at.is_not(None), events.c.changed_at > now - ENDED_FOR))
        query = (
            select(outbox.c.escalation, last.c.level, alerts.c.state, events.c.changed_at)
            .join(last, and_(last.c.alert_id == outbox.c.alert_id, last.c.at == outbox.c.decided_at))
            .outerjoin(alerts, alerts.c.event_id == outbox.c.event_id)
            .outerjoin(events, events.c.id == outbox.c.event_id)
            .where(*mine, open_or_late))
        with self._engine.connect() as connection:
            return list(connection.execute(query))

    def _alert(self, row: Row[Any], setting: Setting, real: Millis) -> alertmanager.Alert | None:
        page: Escalation = codec.decode_as(Escalation, row.escalation.encode())
        state: AlertState | None = codec.decode_as(AlertState, row.state.encode()) if row.state else None
        assert page.head is not None
        level = page.level_name if page.level == row.level else setting.book.levels.name(row.level)
        began = min(state.raised_at if state and state.alert_id == page.alert_id else page.at, real)
        if state is None or (state.alert_id == page.alert_id and state.status is not AlertStatus.ENDED):
            acked_by = state.acked_by if state else ""
            return alertmanager.firing(page.head, level, render(page, setting), began, acked_by)
        over = row.changed_at if state.alert_id == page.alert_id else state.raised_at
        if over is not None and over <= self._deps.clock.now() - ENDED_FOR:
            return None
        return alertmanager.ended(page.head, level, began, min(over or real, real))
