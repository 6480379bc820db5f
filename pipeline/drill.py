"""A drill played and scored: its items at their times, and what happened against its targets. Times are ms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pipeline.collect import identity
from pipeline.collect.privacy import mask
from pipeline.collect.text import one_line, tidy
from pipeline.ids import digest
from pipeline.model import DrillMark, Millis, RawItem
from pipeline.rulebook.drills import Drill, DrillSource
from pipeline.rulebook.schema.sources import DRILL_SOURCE

SOURCE = DRILL_SOURCE


@dataclass(frozen=True, slots=True)
class Turn:
    """An item that is due `at` ms after the beginning, by one of the drill's sources."""

    at: Millis
    source: DrillSource
    title: str
    text: str


def turns(drill: Drill) -> list[Turn]:
    """All items, in order of their times."""
    known = {each.id: each for each in drill.sources}
    found = [Turn(item.at + n * item.every, known[item.sources[n % len(item.sources)]], item.title, item.text)
             for item in drill.items for n in range(item.times)]
    return sorted(found, key=lambda turn: turn.at)


def item(turn: Turn, run: str, number: int, now: Millis) -> RawItem:
    """The number-th item of a run. Its id is of run and number, so that a repeat is the same item."""
    title, text = mask(one_line(tidy(turn.title))), mask(tidy(turn.text))
    mark = DrillMark(run, turn.source.name, f"drill:{turn.source.name}", turn.source.group, turn.source.region,
                     turn.source.official)
    return RawItem(id=item_id(run, number), revision=identity.revision(title, text), source_id=SOURCE, title=title,
                   text=text, url="", first_seen_at=now, published_at=now, drill=mark)


def item_id(run: str, number: int) -> str:
    return digest("drill", run, number)


# ---------------------------------------------------------------- the score sheet


@dataclass(frozen=True, slots=True)
class Facts:
    """What happened, as points in time; None or missing: not yet. began: the first item. paged_from: when the first
    level was reached that paged somebody."""

    began: Millis
    event: Millis | None = None
    levels: Mapping[str, Millis] = field(default_factory=dict)
    paged_from: Millis | None = None
    page: Millis | None = None
    ack: Millis | None = None
    statement: Millis | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """took: None while it has not happened. met: None while the target can still be met."""

    what: str
    target: Millis
    took: Millis | None
    met: bool | None


def sheet(drill: Drill, facts: Facts, now: Millis) -> list[Line]:
    """A line for each target. now: judges what has not happened yet."""
    return [_line(*each, now) for each in _asked(drill, facts)]


def over(lines: list[Line]) -> bool:
    """Nothing is left to wait for: everything happened, or it is too late."""
    return all(line.took is not None or line.met is False for line in lines)


_Asked = tuple[str, Millis, Millis | None, Millis | None, Millis]


def _asked(drill: Drill, facts: Facts) -> Iterator[_Asked]:
    """What, target, from when it counts, when it happened, and when it is too late whatever it counts from."""
    targets, began = drill.targets, facts.began
    reached = began + max([targets.event, *targets.levels.values()])
    if targets.event:
        yield "首条到形成事件", targets.event, began, facts.event, began + targets.event
    for name, target in targets.levels.items():
        yield f"首条到{name}", target, began, facts.levels.get(name), began + target
    if targets.page:
        yield "达级到通知送达", targets.page, facts.paged_from, facts.page, reached + targets.page
    if targets.ack:
        yield "送达到确认", targets.ack, facts.page, facts.ack, reached + targets.page + targets.ack
    if targets.statement:
        yield "首条到权威回应", targets.statement, began, facts.statement, began + targets.statement


def _line(what: str, target: Millis, since: Millis | None, at: Millis | None, latest: Millis, now: Millis) -> Line:
    if since is not None and at is not None:
        took = max(0, at - since)
        return Line(what, target, took, took <= target)
    return Line(what, target, None, False if now > (latest if since is None else since + target) else None)
