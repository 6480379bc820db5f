"""What a sender is given and what it answers. Failing is ordinary life here: an outcome, not an exception."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pipeline.model import Escalation, Millis
from pipeline.notify.render import Message
from pipeline.rulebook.schema import Channel, Person


@dataclass(frozen=True, slots=True)
class Letter:
    """id: the same at every attempt (of one message to one receiver, the delivery id): receivers drop repeats by it.

    people: all whom one message of a group channel mentions; `person` is the first of them. bundle: it lists several
    messages that the channel's rate held up; `escalation` is then the most urgent of them.
    """

    id: str
    person: Person
    escalation: Escalation
    message: Message
    people: tuple[Person, ...] = ()
    bundle: bool = False

    def __post_init__(self) -> None:
        if not self.people:
            object.__setattr__(self, "people", (self.person,))


@dataclass(frozen=True, slots=True)
class Sent:
    """The receiver said that it has it."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Not now. after: milliseconds that the receiver asked us to wait."""

    error: str
    after: Millis | None = None


@dataclass(frozen=True, slots=True)
class Bug(Retry):
    """Our own mistake: it says nothing about the channel."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Never in this form: a person has to change something."""

    error: str


Outcome = Sent | Retry | Refused
Send = Callable[[Channel, Letter], Awaitable[Outcome]]
"""A sender. Its errors name channel and file, never a secret, and no URL beyond the host."""
