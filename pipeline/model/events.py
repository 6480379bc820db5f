"""Events: clusters of items with a level, and what changes them."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from pipeline.model.base import Millis, Record
from pipeline.model.items import DRILL, SHADOW, CountsRow, Span

FINAL_REASONS = ("不相关", "重复")
"""An event closed with a reason that begins so does not come back when new items join it."""


class Why(StrEnum):
    """Why a level is what it is. The Chinese sentence for each is in notify/wording.py."""
    BELOW = "below"                  # no threshold reached
    RAISED = "raised"                # items and independent sources in the window reached the next level's enter
    LOWERED = "lowered"              # under leave, and the hold time is over
    CALMED = "calmed"                # lowered to none: the event is calm
    CLOSED = "closed"                # by a person
    GROWING = "growing"              # comments, forwards … within the window grew by the next level's `growth`
    REPORTED = "reported"            # an urgent report of a department or a hotline
    RULES = "rules"                  # the rules changed: the same figures are another level now


class Factor(msgspec.Struct, frozen=True, array_like=True):
    """A factor of levels.yml as it stood: what there was, and what was asked for."""
    name: str
    value: float
    need: float


class Evidence(msgspec.Struct, frozen=True):
    """The figures a level was decided on: distinct items and independent sources within window (ms) up to `at`.

    growth: comments, forwards and likes that were added to the event's items within the window.
    factors: every factor of the threshold that decided, in the order of `wenxun rules factors`.
    """
    items: int
    sources: int
    window: Millis
    at: Millis
    need_items: int = 0
    need_sources: int = 0
    growth: int = 0
    need_growth: int = 0
    factors: tuple[Factor, ...] = ()


class LevelDecision(msgspec.Struct, frozen=True):
    """level and previous are ranks: 0 is none, 1 the lowest level of levels.yml. ref: of REPORTED, the ticket's; of
    RULES `removed` or `retired`, of an event whose subject the rules do not have any more."""
    level: int
    previous: int
    why: Why
    evidence: Evidence
    at: Millis
    name: str = ""
    ref: str = ""


class EventStatus(StrEnum):
    WATCHING = "watching"            # a cluster that has not reached any level
    OPEN = "open"
    CALM = "calm"
    CLOSED = "closed"


class Excerpt(msgspec.Struct, frozen=True):
    """A representative item, short enough for a message: text is at most 80 characters."""
    item_id: str
    title: str
    text: str
    source_name: str
    url: str
    at: Millis
    spans: tuple[Span, ...] = ()
    official: bool = False


class MemberRow(msgspec.Struct, frozen=True, array_like=True):
    """An item's part of an event, at most 200 bytes encoded: what the tracker's tables hold per item.

    at: event time. origin: a long one is its hash. flags: MUTE, NEGATIVE … of track/cluster.py, as bits.
    group, region: of its source, as 16 bits of a hash; 0 unknown (rows of before there were any).
    """
    item_id: str
    at: Millis
    origin: str
    flags: int
    terms: tuple[tuple[int, int], ...]
    group: int = 0
    region: int = 0


class EventHead(Record, frozen=True):
    """An event as it stands: whole, with a version. Topic events, key event id. Receivers drop versions they have.

    key: the record key of items.scored that its items have, where commands about it go.
    number: given when the event first reaches a level (E-0317). raises: how often its level rose.
    level_since: when the level last changed. below_since: since when its figures lie under `leave`. ladder: mark of the
    thresholds that its level was last judged by; empty without a level.
    floor_at: members up to here do not count any more (a person closed the event). muted: closed for good.
    growth: comments, forwards and likes that were added to its items since their first sight.
    groups, regions: of its sources, for routes. urgent_at: when the first urgent report came.
    statements: official items that joined it: proposals, until a person confirms one (alerts.Statement).
    seen_at: first sight of what its level rose by at last; 0 when rules raised it. For figures of how quick we are.
    joined: members that the record behind this head touched, repeats included; not part of the state.
    """

    id: str
    subject: str
    key: str
    version: int
    status: EventStatus
    level: int
    level_name: str
    peak: int
    decision: LevelDecision
    book: str
    title: str
    first_item_at: Millis
    last_item_at: Millis
    opened_at: Millis
    changed_at: Millis
    number: int = 0
    raises: int = 0
    items: int = 0
    sources: int = 0
    negative: int = 0
    questions: int = 0
    growth: int = 0
    excerpts: tuple[Excerpt, ...] = ()
    statements: tuple[Excerpt, ...] = ()
    closed_by: str = ""
    closed_reason: str = ""
    level_since: Millis = 0
    below_since: Millis | None = None
    floor_at: Millis = 0
    muted: bool = False
    ladder: str = ""
    groups: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    urgent_at: Millis | None = None
    seen_at: Millis = 0
    joined: tuple[MemberRow, ...] = ()

    @property
    def drill(self) -> bool:
        """Whether it is of a drill: told to people as 演练, and left out of every figure."""
        return self.subject.startswith(DRILL)

    @property
    def shadow(self) -> bool:
        """Whether it is of a shadow rule: shown beside the live events, never told to anybody."""
        return self.subject.startswith(SHADOW)

    @property
    def short(self) -> str:
        """E-0317 (S-0317 of a shadow rule, D-0317 of a drill), or an empty string before the first level."""
        kind = "S" if self.shadow else "D" if self.drill else "E"
        return f"{kind}-{self.number:04d}" if self.number else ""


class Tick(Record, frozen=True):
    """Time as a record on each partition of a stateful agent's topic. behind: items.raw has unread records."""
    at: Millis
    behind: bool = False


class Close(Record, frozen=True):
    """A person closes an event. Topic items.scored, key `EventHead.key`."""
    id: str
    event_id: str
    key: str
    by: str
    at: Millis
    reason: str


class WarmEvent(Record, frozen=True):
    """An event as the archive knew it, for a tracker that starts with empty tables. Topic items.scored.

    counts: of its items, in order of time.
    """
    head: EventHead
    rows: tuple[MemberRow, ...]
    counts: tuple[CountsRow, ...] = ()


class VerdictKind(StrEnum):
    """What a person says of an event or a match. A rule's false-positive ratio is made of these."""
    RELEVANT = "relevant"
    NOT_RELEVANT = "not_relevant"
    DUPLICATE = "duplicate"
    WRONG_LEVEL = "wrong_level"


class Verdict(Record, frozen=True):
    """A person's verdict on an event (event_id) or on an item's match with a subject (item_id). Topic events, keyed by
    the event, else by the item. The last one on the same thing counts. book: the rules that had matched."""
    id: str
    subject: str
    kind: VerdictKind
    by: str
    at: Millis
    event_id: str = ""
    item_id: str = ""
    note: str = ""
    book: str = ""
