"""Silences as people read them, and the form that makes one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine

from agents.desk import silence_commands
from agents.desk.describe import Names
from agents.store import people_reads
from pipeline.escalate.silences import matches
from pipeline.model import EventHead, Millis, Silence
from pipeline.rulebook.schema import RuleBook

LENGTHS = ((30, "30 分钟"), (60, "1 小时"), (120, "2 小时"), (240, "4 小时"), (480, "8 小时"), (1440, "24 小时"))
"""Minutes that the form offers."""


@dataclass(frozen=True, slots=True)
class SilenceView:
    """A silence at a time. what: its matchers, each a phrase. top: it may hold back the highest level."""

    silence: Silence
    what: tuple[str, ...]
    active: bool
    top: bool

    @property
    def ended_at(self) -> Millis:
        early = self.silence.expired_at
        return self.silence.ends_at if early is None else min(early, self.silence.ends_at)


@dataclass(frozen=True, slots=True)
class Typed:
    """What a person wrote into the form, as it stands in it."""

    event: str = ""
    subject: str = ""
    group: str = ""
    region: str = ""
    levels: tuple[str, ...] = ()
    minutes: str = "60"
    reason: str = ""
    owner: str = ""

    @classmethod
    def of(cls, form: Mapping[str, str], ladder: Sequence[str]) -> Typed:
        """levels: each is a field of its own, `level-1` …: a form's names are single."""
        text = {name: form.get(name, "").strip()[:200] for name in (
            "event", "subject", "group", "region", "minutes", "reason", "owner")}
        levels = tuple(name for rank, name in enumerate(ladder, 1) if form.get(f"level-{rank}"))
        return cls(levels=levels, **text)


def view(silence: Silence, now: Millis, names: Names, events: Mapping[str, str]) -> SilenceView:
    """events: id -> number of the events that silences name."""
    early = silence.expired_at is not None
    return SilenceView(silence, tuple(_what(silence, names, events)), now < silence.ends_at and not early,
                       holds_top(silence.levels, names))


def holds_top(levels: Sequence[str], names: Names) -> bool:
    """Whether a silence with this matcher of levels holds back pages of the highest level too."""
    ladder = names.levels.ladder
    return bool(ladder) and (not levels or ladder[-1].name in levels)


def in_force(engine: Engine, book: RuleBook | None, now: Millis) -> str:
    """`静默 2 个生效（含重大）`; empty without any. Those too that are on their way to the archive."""
    with engine.connect() as connection:
        found = [each for each in silence_commands.known(connection, now) if each.starts_at <= now]
    tops = {silence_commands.highest(book, each.levels) for each in found} if book is not None else set()
    top = "".join(tops)
    return f"静默 {len(found)} 个生效" + (f"（含{top}）" if top else "") if found else ""


def silencing(engine: Engine, head: EventHead, now: Millis, names: Names) -> list[SilenceView]:
    """Silences that hold back pages about this event now."""
    with engine.connect() as connection:
        found = people_reads.silences(connection, now)
    return [view(each, now, names, {head.id: head.short}) for each in found
            if each.starts_at <= now and matches(each, head, head.level_name)]


def _what(silence: Silence, names: Names, events: Mapping[str, str]) -> Iterable[str]:
    if silence.event_id:
        yield f"事件 {events.get(silence.event_id) or silence.event_id}"
    if silence.subjects:
        yield f"主题 {'、'.join(names.subject(each) for each in silence.subjects)}"
    if silence.levels:
        yield f"级别 {'、'.join(silence.levels)}"
    if silence.groups:
        yield f"来源分组 {'、'.join(silence.groups)}"
    if silence.regions:
        yield f"地区 {'、'.join(silence.regions)}"
