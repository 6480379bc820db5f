"""系统 notices: what a role tells the `ops` team about the system itself. Never an event."""

from __future__ import annotations

from agents.bus import Bus
from pipeline import topics
from pipeline.ids import digest
from pipeline.model import Escalation, EscalationKind, Millis

OPS: tuple[str, ...] = ("ops",)


def system_notice(
    *, key: str, episode: Millis, title: str, text: str, tell: tuple[str, ...] = OPS, at: Millis | None = None
) -> Escalation:
    """A notice. The same key and episode give the same id, and so one message, however often it is sent.

    key: what is wrong, for example `source:county-news`. episode: when this trouble began, by the installation's clock.
    at: when it is told (who is on duty then gets it), by default the episode.
    """
    return Escalation(
        id=digest("system", key, episode), kind=EscalationKind.SYSTEM, at=episode if at is None else at,
        why=title, tell=tell, title=title, text=text)


async def notice(
    bus: Bus, *, key: str, episode: Millis, title: str, text: str, tell: tuple[str, ...] = OPS, at: Millis | None = None
) -> None:
    """Send a notice and wait for the broker's ack. Raises what the bus raises; a repeat is safe."""
    record = system_notice(key=key, episode=episode, title=title, text=text, tell=tell, at=at)
    await bus.send(topics.ESCALATIONS, record.id, record, ident=record.id)
