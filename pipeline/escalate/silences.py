"""What holds a due message back: silences that people made, and quiet hours of the rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from pipeline.model import DRILL, EventHead, Millis, Silence
from pipeline.rulebook.routing import quiet_until
from pipeline.rulebook.schema import DAY, RuleBook

SILENCE = b"s|"
QUIET = "quiet"
KEPT = DAY
"""How long a silence is kept after its end: a record that comes late is told from a new one."""
_DECODER = msgspec.msgpack.Decoder(Silence)


@dataclass(frozen=True, slots=True)
class Hold:
    """by: `silence:ID` or `quiet`. until: when it has to be looked at again."""
    by: str
    until: Millis


class Silences:
    """The silences of a partition. Of an id the record with the greatest `at` counts; which are active is a matter of
    the time that is asked for."""

    def __init__(self) -> None:
        self._by_id: dict[str, Silence] = {}

    def load(self, row: bytes) -> None:
        silence = _DECODER.decode(row)
        self._by_id[silence.id] = silence

    def take(self, silence: Silence, now: Millis) -> bool:
        """Whether it says anything new: not of one that was over long ago."""
        known = self._by_id.get(silence.id)
        if (known is not None and known.at >= silence.at) or end_of(silence) + KEPT < now:
            return False
        self._by_id[silence.id] = silence
        return True

    def row(self, ident: str) -> bytes:
        return msgspec.msgpack.encode(self._by_id[ident])

    def drop_past(self, now: Millis) -> Iterator[str]:
        """Ids of those that are forgotten."""
        past = [ident for ident, each in self._by_id.items() if end_of(each) + KEPT < now]
        for ident in past:
            del self._by_id[ident]
            yield ident

    def hold(self, head: EventHead, level_name: str, now: Millis) -> Hold | None:
        """The one that matches and ends last."""
        ends = [(end_of(each), each.id) for each in self._by_id.values()
                if each.starts_at <= now < end_of(each) and matches(each, head, level_name)]
        return Hold(f"silence:{max(ends)[1]}", max(ends)[0]) if ends else None


def end_of(silence: Silence) -> Millis:
    return silence.ends_at if silence.expired_at is None else min(silence.ends_at, silence.expired_at)


def matches(silence: Silence, head: EventHead, level_name: str) -> bool:
    """All matchers that are not empty fit; without any it fits nothing. A drill is silenced as its subject is."""
    asked = ((silence.event_id and (silence.event_id,), (head.id,)),
             (silence.subjects, (head.subject, head.subject.removeprefix(DRILL))),
             (silence.levels, (level_name,)), (silence.groups, head.groups), (silence.regions, head.regions))
    given = [(wanted, has) for wanted, has in asked if wanted]
    return bool(given) and all(any(each in wanted for each in has) for wanted, has in given)


def hold_of(head: EventHead, book: RuleBook, silences: Silences, now: Millis, *, quiet: bool = True) -> Hold | None:
    """What holds a message about this event back now; of two the one that ends last. quiet: whether quiet hours do.
    Of an event without a level the one it had last counts."""
    name = head.level_name or book.levels.name(head.decision.previous or head.peak)
    by_silence = silences.hold(head, name, now)
    until = quiet_until(book, name, now) if quiet else None
    if until is None or (by_silence is not None and by_silence.until >= until):
        return by_silence
    return Hold(QUIET, until)
