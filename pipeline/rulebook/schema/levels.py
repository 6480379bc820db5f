"""levels.yml: when an event reaches which level, and what makes an event."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.rulebook.schema.base import DAY, HOUR, MINUTE, Rule


class Threshold(Rule, frozen=True):
    """Reached when, within `window`, every factor that is not 0 is reached. See `wenxun rules factors`.

    items: distinct items. sources: independent ones. groups: source groups they belong to. speed: items per hour.
    heat: items, and interactions at `EventRules.interaction` items each. growth: comments, forwards and likes that came
    on items of `growth_sources` independent sources. negative: share of negative items, the lower bound of what the
    judged ones allow to say (0..1). impact: of the subject. official: items of official sources today.
    """

    window: int
    items: int = 0
    sources: int = 0
    groups: int = 0
    speed: float = 0.0
    heat: float = 0.0
    growth: int = 0
    growth_sources: int = 1
    negative: float = 0.0
    impact: int = 0
    official: int = 0

    @property
    def reach(self) -> int:
        """How far back it looks: at its window, and at the day that official items are counted on."""
        return max(self.window, DAY if self.official else 0)


class Level(Rule, frozen=True):
    """A response level. The ladder is written lowest first; rank is the place in it, from 1.

    enter: any of these reaches it. leave: it is kept while any of these holds; without any, while a `leave_ratio` of
    one of `enter` does.
    """

    name: str
    response: str
    enter: tuple[Threshold, ...]
    leave: tuple[Threshold, ...] = ()
    color: str = "#888888"
    leave_ratio: float = 0.6
    hold: int = 30 * MINUTE


class LevelOverride(Rule, frozen=True):
    """Other thresholds for one subject (`*` is the open subject). Only the levels named here exist for it, and they are
    left at `leave_ratio` of these."""

    subject: str
    enter: dict[str, tuple[Threshold, ...]]


class EventRules(Rule, frozen=True):
    """similarity: cosine from which an item joins an event. join_within: no member is further away in time.
    page_max_age: an item older than this at first sight raises no level. calm_after: calm this long ends the event.
    urgent_level: name of the level that an urgent report reaches alone; empty: none.
    interaction: what one comment, forward or like adds to `heat`, in items.
    confirm_above: a new rule book that raises more open events than this waits until a person confirms it."""

    similarity: float = 0.3
    join_within: int = 24 * HOUR
    page_max_age: int = 24 * HOUR
    calm_after: int = 24 * HOUR
    urgent_level: str = ""
    interaction: float = 0.01
    confirm_above: int = 10


class ClockWarning(Rule, frozen=True):
    """at: per cent of the time that has passed. tell: teams or people; empty: whoever the alert told so far."""

    at: int
    tell: tuple[str, ...] = ()


class ResponseClock(Rule, frozen=True):
    """How soon something is owed, from first detection on: the first authoritative answer, a briefing, the reply.

    start_level: name of the level from which it runs (an urgent report starts it at once). within: ms; levels: other
    lengths for some levels, the shortest that the event ever had counts.
    """

    id: str
    name: str
    within: int
    start_level: str
    levels: dict[str, int] = {}
    warnings: tuple[ClockWarning, ...] = (ClockWarning(at=50), ClockWarning(at=80), ClockWarning(at=100))


class Levels(Rule, frozen=True):
    """windows: names for lengths, as thresholds were written with; the thresholds have the lengths."""

    ladder: tuple[Level, ...]
    overrides: tuple[LevelOverride, ...] = ()
    events: EventRules = EventRules()
    windows: dict[str, int] = {}
    clocks: tuple[ResponseClock, ...] = ()

    def thresholds(self) -> Iterator[Threshold]:
        """Every one that is written."""
        for level in self.ladder:
            yield from (*level.enter, *level.leave)
        for override in self.overrides:
            for enter in override.enter.values():
                yield from enter

    def name(self, rank: int) -> str:
        """The level's name; rank 0 is `未达级`."""
        return self.ladder[rank - 1].name if 0 < rank <= len(self.ladder) else "未达级"
