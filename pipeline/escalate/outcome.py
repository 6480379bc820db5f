"""What a record leads to."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.model import AlertState, Escalation, EventClocks


@dataclass(slots=True)
class Outcome:
    """escalations are to be acknowledged by the broker before puts are written: state says only what is out.

    puts: table rows (None deletes). late: records that changed nothing: repeats, and what came too late.
    """

    escalations: list[Escalation] = field(default_factory=list)
    states: list[AlertState] = field(default_factory=list)
    clocks: list[EventClocks] = field(default_factory=list)
    puts: dict[bytes, bytes | None] = field(default_factory=dict)
    late: int = 0
