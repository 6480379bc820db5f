"""What channels may be and probably should not: nobody's only way to hear of an alert is a best effort."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from pipeline.errors import Problem
from pipeline.rulebook.places import Places
from pipeline.rulebook.schema import ChannelType, RuleBook


def best_effort(book: RuleBook, today: dt.date, places: Places) -> Iterator[Problem]:
    """Apprise calls a message sent that the service did not take."""
    types = {each.id: each.type for each in book.channels}
    for person in book.roster.people:
        kinds = {types.get(name) for name in person.channels}
        if kinds == {ChannelType.APPRISE}:
            yield places.warning("best-effort-only", ("person", person.id, ""),
                                 f"{person.name}只有 Apprise 通道，它是尽力而为，说成功不等于送达。",
                                 "再加一个别的通道，例如邮件或短信")
