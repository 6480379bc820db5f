"""What the page of a link shows: the event as it stands, beside the alert that the link was sent for."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine

from agents.desk import reads
from agents.desk.desk_events import DeskEvent
from agents.store import people_reads
from pipeline.model import Act, EventHead, EventStatus, Excerpt, Millis
from pipeline.notify import content
from pipeline.notify.signed import Claim


@dataclass(frozen=True, slots=True)
class Seen:
    """superseded: a later raise of the level made another alert. arriving: the archive does not have this one yet."""

    event: DeskEvent
    acts: tuple[Act, ...]
    superseded: bool
    arriving: bool
    expired: bool

    @property
    def head(self) -> EventHead:
        return self.event.head

    @property
    def closed(self) -> bool:
        return self.head.status is EventStatus.CLOSED

    @property
    def excerpts(self) -> tuple[Excerpt, ...]:
        return content.representative(self.head)


def look(engine: Engine, claim: Claim, real: Millis) -> Seen | None:
    """None when the archive does not have the event."""
    found = reads.event_page(engine, claim.event_id, real)
    if found is None or found.event.head.shadow:
        return None
    with engine.connect() as connection:
        acts = people_reads.acts(connection, [claim.event_id]).get(claim.event_id, ())
    alert = found.event.alert
    other = alert is None or alert.alert_id != claim.alert_id
    known = any(each.alert_id == claim.alert_id for each in found.view.escalations)
    return Seen(found.event, acts, other and known, other and not known, found.view.expired)
