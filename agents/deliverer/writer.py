"""From a load to the letter that a sender takes: who is written to, what it says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agents.deliverer.claims import Load
from agents.deliverer.letter import Letter
from agents.deliverer.parcel import Parcel
from pipeline.ids import digest
from pipeline.model import Escalation
from pipeline.notify.digest import render_bundle
from pipeline.notify.message import Facts, Message
from pipeline.notify.render import render
from pipeline.rulebook.schema import Person, Roster

if TYPE_CHECKING:
    from agents.deliverer.office import Office

BUNDLE_BYTES = 1900
"""Of a bundle: every channel that bundles takes this much whole, whichever of its texts it shows."""


class Unsendable(Exception):
    """A record that must never leave: of a shadow rule, or held back."""


@dataclass(frozen=True, slots=True)
class Written:
    """load: what the letter carries. left: rows that did not fit into it."""

    letter: Letter
    load: Load
    left: tuple[Parcel, ...] = ()


async def write(load: Load, channel_id: str, office: Office) -> Written:
    """CodecError for a row that holds no escalation; Unsendable if one of them must not go out."""
    records = {each.id: each.record() for each in load.parcels}
    if any(each.unsendable for each in records.values()):     # intake lets none through
        raise Unsendable
    if load.bundle:
        return _bundled(load, records, office)
    escalation = next(iter(records.values()))
    people = _people(load.parcels, office.deps.rules.book.roster)
    channel = office.channel(channel_id)
    alone = people[0].id if channel is not None and channel.addressed else ""
    message = render(escalation, office.setting(), await office.facts.find(escalation, alone))
    return Written(_letter(load.parcels, people, escalation, message), load)


def _bundled(load: Load, records: dict[str, Escalation], office: Office) -> Written:
    """As many as fit into one message; what it carries is confirmed by it."""
    setting = replace(office.setting(), short_bytes=BUNDLE_BYTES)
    once = list({each.id: each for each in records.values()}.values())
    carried = {each.id for each in render_bundle(once, setting)[0].escalations}
    [bundle] = render_bundle([each for each in once if each.id in carried], setting, Facts())
    parcels = tuple(each for each in load.parcels if records[each.id].id in carried)
    left = tuple(each for each in load.parcels if records[each.id].id not in carried)
    letter = _letter(parcels, _people(parcels, office.deps.rules.book.roster), bundle.escalations[0], bundle.message)
    ident = digest("bundle", *sorted(each.id for each in parcels))
    return Written(replace(letter, id=ident, bundle=True), replace(load, parcels=parcels), left)


def _letter(
    parcels: tuple[Parcel, ...], people: tuple[Person, ...], escalation: Escalation, message: Message
) -> Letter:
    """Its id is one of the deliveries' own, at every attempt the same."""
    return Letter(min(each.id for each in parcels), people[0], escalation, message, people)


def _people(parcels: tuple[Parcel, ...], roster: Roster) -> tuple[Person, ...]:
    """Each once, in the order of their rows; somebody whom the roster lost is still named."""
    names = dict.fromkeys(each.person for each in parcels)
    return tuple(roster.person(name) or Person(id=name, name=name, channels=()) for name in names)
