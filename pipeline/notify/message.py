"""What a message is, and what it is written with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from pipeline.model import DRILL, SHADOW
from pipeline.notify.card import Card
from pipeline.notify.safe import line
from pipeline.rulebook.schema import RuleBook

SHORT_BYTES = 2048


class Message(msgspec.Struct, frozen=True):
    """subject: one line. short: at most the asked bytes of UTF-8. text: all of it, lines. body: for JSON. card: for
    chat programs. fields: for the places of templates, `number level title why link clock` and `text`, a sentence to
    read out; each one line, all keys always there."""

    subject: str
    short: str
    text: str
    body: dict[str, Any]
    card: Card
    fields: dict[str, str]

    def __repr__(self) -> str:
        """Without the signed link that all its texts carry."""
        return f"Message({self.subject!r})"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a message says beside the escalation. link: where it is answered (signed), empty: none.

    usual: items an hour that the subject has, over the last 7 days; now_items: those of the last hour. None: not known.
    """

    link: str = field(default="", repr=False)
    usual: float | None = None
    now_items: int | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """What a message is written with. desk_url: how receivers reach the desk, empty if they cannot.
    banner: words that mark a demonstration, in front of everything."""

    book: RuleBook
    zone: ZoneInfo
    desk_url: str = ""
    banner: str = ""
    short_bytes: int = SHORT_BYTES
    subjects: dict[str, str] = field(init=False, default_factory=dict)
    people: dict[str, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.subjects.update({subject.id: subject.title for subject in self.book.subjects})
        roster = self.book.roster
        self.people.update({person.id: person.name for person in roster.people})
        self.people.update({team.id: team.name for team in roster.teams})

    def subject(self, ident: str) -> str:
        """A subject's title; one of a drill or in shadow is called like the subject itself."""
        name = ident.removeprefix(DRILL).removeprefix(SHADOW)
        return line(self.subjects.get(name, "未归类话题" if name == "*" else name))

    def who(self, ident: str) -> str:
        """The name of a duty role or team; its id when the roster does not know it (any more)."""
        return line(self.people.get(ident, ident))

    def color(self, rank: int) -> str:
        ladder = self.book.levels.ladder
        return ladder[rank - 1].color if 0 < rank <= len(ladder) else "#888888"

    def event_link(self, event_id: str) -> str:
        return f"{self.desk_url}/events/{event_id}" if self.desk_url else ""
