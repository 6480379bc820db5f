"""What an event's level is decided on, as sums over its members: spread, growth, reports, and what few rules ask for.

All of it is found by halving, so that a figure costs the same of ten members and of ten thousand.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping

from pipeline.model import MemberRow, Millis
from pipeline.track.growth import Growth, Series
from pipeline.track.heat import Heat
from pipeline.track.members import JUDGED, MUTE, NEGATIVE, OFFICIAL, REPORT, URGENT, decode_member

_NO_GROWTH = Growth()
"""Of all events without any: most have one item and never grow, so they share it."""
_NO_MEMBERS: dict[str, bytes] = {}


class Times:
    """Moments in order."""

    __slots__ = ("_at",)

    def __init__(self) -> None:
        self._at: list[Millis] = []

    def add(self, at: Millis) -> None:
        insort(self._at, at)

    def remove(self, at: Millis) -> None:
        del self._at[bisect_left(self._at, at)]

    def between(self, after: Millis, until: Millis) -> int:
        """How many of (after, until]."""
        return max(0, bisect_right(self._at, until) - bisect_right(self._at, after))

    def first_from(self, at: Millis) -> Millis | None:
        where = bisect_left(self._at, at)
        return self._at[where] if where < len(self._at) else None

    def __bool__(self) -> bool:
        return bool(self._at)


class Details:
    """Of the members what only some thresholds ask for: source groups, judged sentiments, the office's own words.

    negative, others: of items whose sentiment could be told.
    """

    __slots__ = ("negative", "others", "official", "_groups")

    def __init__(self) -> None:
        self.negative, self.others, self.official = Times(), Times(), Times()
        self._groups: dict[int, Times] = {}

    def add(self, row: MemberRow) -> None:
        for times in self._of(row):
            times.add(row.at)

    def remove(self, row: MemberRow) -> None:
        for times in self._of(row):
            times.remove(row.at)
        if row.group in self._groups and not self._groups[row.group]:
            del self._groups[row.group]

    def groups(self, after: Millis, until: Millis) -> int:
        return sum(times.between(after, until) > 0 for times in self._groups.values())

    def _of(self, row: MemberRow) -> tuple[Times, ...]:
        if row.flags & MUTE:
            return ()
        if row.flags & OFFICIAL:
            return (self.official,)
        groups = (self._groups.setdefault(row.group, Times()),) if row.group else ()
        if not row.flags & JUDGED:
            return groups
        return (*groups, self.negative if row.flags & NEGATIVE else self.others)


class Signs:
    """heat, growth: of members that count. reports: event times of urgent reports, in order.

    members: the event's encoded rows, from which the details are made when a threshold first asks for them.
    """

    __slots__ = ("heat", "growth", "reports", "_members", "_details")

    def __init__(self, members: Mapping[str, bytes] = _NO_MEMBERS) -> None:
        self.heat = Heat()
        self.growth = _NO_GROWTH
        self.reports: tuple[Millis, ...] = ()
        self._members = members
        self._details: Details | None = None

    def add(self, row: MemberRow) -> None:
        """Count a member; its row is in `members` already."""
        if self._details is not None:
            self._details.add(row)
        if not row.flags & (MUTE | OFFICIAL):
            self.heat.add(row.at, row.origin)
        if row.flags & REPORT and row.flags & URGENT and not row.flags & MUTE:
            self.add_report(row.at)

    def remove(self, row: MemberRow) -> None:
        if self._details is not None:
            self._details.remove(row)
        if not row.flags & (MUTE | OFFICIAL):
            self.heat.remove(row.at, row.origin)
        if row.flags & REPORT and row.flags & URGENT and not row.flags & MUTE:
            where = self.reports.index(row.at)
            self.reports = self.reports[:where] + self.reports[where + 1:]

    def add_report(self, at: Millis) -> None:
        self.reports = tuple(sorted((*self.reports, at)))

    def grow(self, before: Series | None, after: Series | None, origin: str) -> None:
        """The series of an item that counts became another one."""
        if (before is None or not before.steps) and (after is None or not after.steps):
            return
        if self.growth is _NO_GROWTH:
            self.growth = Growth()
        self.growth.shift(before, after, origin)

    @property
    def details(self) -> Details:
        if self._details is None:
            self._details = Details()
            for row in self._members.values():
                self._details.add(decode_member(row))
        return self._details

    def reported(self, after: Millis, until: Millis) -> int:
        """Urgent reports of (after, until]."""
        return max(0, bisect_right(self.reports, until) - bisect_right(self.reports, after))
