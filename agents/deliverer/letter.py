"""What a sender is given and what it answers. Failing is ordinary life here: an outcome, not an exception."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pipeline.model import Escalation, Millis
from pipeline.notify.render import Message
from pipeline.rulebook.schema import Channel, Person


@dataclass(frozen=True, slots=True)
class Letter:
    """id: the delivery id, the same at every attempt: receivers can drop repeats by it."""

    id: str
    person: Person
    escalation: Escalation
    message: Message


@dataclass(frozen=True, slots=True)
class Sent:
    """The receiver said that it has it."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Not now. after: milliseconds that the receiver asked us to wait."""

    error: str
    after: Millis | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Never in this form: a person has to change something."""

    error: str


Outcome = Sent | Retry | Refused
Send = Callable[[Channel, Letter], Awaitable[Outcome]]
"""A sender. Its errors name channel and file, never a secret, and no URL beyond the host."""
