"""What the escalator knows of an event: its alert, its response clocks, what people did; and when something is due."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

import msgspec
from msgspec.structs import replace

from pipeline.acts import REMEMBERED
from pipeline.model import Act, AlertState, EventClocks, EventHead, Millis

MAX_HEARD = 32
"""Ids of commands that are remembered, to tell a repeat from another one that says the same."""

ALERT = b"a|"


class Held(msgspec.Struct, frozen=True):
    """What waits, by what, until when: a clock's warning, or news of a fall (no clock)."""
    clock: str
    percent: int
    by: str
    until: Millis


class Case(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row of the escalator's table. It has the fields of a WarmAlert, which rows once were.

    state: None while the event never reached a level. head: None of an event that is only known by what people said of
    it. heard: ids of the last commands that changed it. owed: those told have yet to hear of a fall.
    at: when it last changed.
    """

    event_id: str = ""
    state: AlertState | None = None
    head: EventHead | None = None
    acts: tuple[Act, ...] = ()
    clocks: EventClocks | None = None
    heard: tuple[str, ...] = ()
    held: tuple[Held, ...] = ()
    owed: Held | None = None
    at: Millis = 0

    @property
    def waits(self) -> bool:
        """Whether a silence or quiet hours hold anything of it back."""
        return bool(self.held) or self.owed is not None or (self.state is not None and bool(self.state.held_by))

    @property
    def last_at(self) -> Millis:
        return max(self.at, self.head.changed_at if self.head is not None else 0)

    def with_act(self, ident: str, act: Act) -> Case:
        """What a person did, remembered for whoever is told next. In the order of time: what a start sends again must
        not push out what was done after it."""
        acts = self.acts if act in self.acts else tuple(sorted((*self.acts, act), key=lambda each: each.at))
        acts = acts[-REMEMBERED:]
        return replace(self, acts=acts, heard=(*self.heard, ident)[-MAX_HEARD:])


_DECODER = msgspec.msgpack.Decoder(Case)


def encode_case(case: Case) -> bytes:
    return msgspec.msgpack.encode(case)


def decode_case(event_id: str, row: bytes) -> Case:
    return replace(_DECODER.decode(row), event_id=event_id)


class Agenda:
    """Event id -> when it is to be looked at next. Asking what is due costs nothing while nothing is."""

    __slots__ = ("_at", "_heap")

    def __init__(self) -> None:
        self._at: dict[str, Millis] = {}
        self._heap: list[tuple[Millis, str]] = []

    def put(self, event_id: str, at: Millis | None) -> None:
        if at == self._at.get(event_id):
            return
        if at is None:
            del self._at[event_id]
            return
        self._at[event_id] = at
        heappush(self._heap, (at, event_id))
        if len(self._heap) > 64 + 4 * len(self._at):     # entries that were moved stay in the heap until their time
            self._heap = [(each, ident) for ident, each in self._at.items()]
            heapify(self._heap)

    @property
    def first(self) -> Millis | None:
        """When the next event is to be looked at."""
        while self._heap and self._at.get(self._heap[0][1]) != self._heap[0][0]:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take_due(self, now: Millis) -> list[str]:
        """Events whose time has come, by id; each has to be put again."""
        found = set()
        while self._heap and self._heap[0][0] <= now:
            at, event_id = heappop(self._heap)
            if self._at.get(event_id) == at:
                del self._at[event_id]
                found.add(event_id)
        return sorted(found)
