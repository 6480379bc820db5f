from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from pipeline.model import Receiver
from pipeline.notify.route import receivers
from pipeline.rulebook.duty import covers
from pipeline.rulebook.schema import Override, Person, Roster, Shift, Team

SHANGHAI = ZoneInfo("Asia/Shanghai")


def at(text: str) -> int:
    """2026-11-23 is a Monday."""
    return int(datetime.fromisoformat(text).replace(tzinfo=SHANGHAI).timestamp() * 1000)


def roster(*shifts: Shift, **changes: object) -> Roster:
    people = tuple(Person(id=name, name=name, channels=("hook", "mail")) for name in ("ann", "bo", "chief"))
    teams = (Team(id="duty", name="值班", shifts=shifts), Team(id="it", name="运维", shifts=(Shift(members=("bo",)),)))
    return Roster(**{"people": people, "teams": teams, "fallback": "chief", "ops": "it", **changes})  # type: ignore[arg-type]


DAY = Shift(members=("ann",), start="08:00", end="20:00")
NIGHT = Shift(members=("bo",), start="20:00", end="08:00")


def people(*args: object) -> list[str]:
    found = receivers(*args)  # type: ignore[arg-type]
    return list(dict.fromkeys(one.person for one in found))


@pytest.mark.parametrize(("time", "who"), [
    ("07:59", "bo"), ("08:00", "ann"), ("19:59", "ann"), ("20:00", "bo"), ("23:59", "bo"), ("00:00", "bo")])
def test_the_shift_that_covers_the_time_is_told_over_midnight_too(time: str, who: str) -> None:
    assert people(["duty"], roster(DAY, NIGHT), at(f"2026-11-24T{time}"), SHANGHAI) == [who]


@pytest.mark.parametrize(("moment", "on"), [
    ("2026-11-27T21:00", True), ("2026-11-28T07:59", True), ("2026-11-28T08:00", False), ("2026-11-28T21:00", False),
    ("2026-11-27T07:00", False)])
def test_a_night_shift_belongs_to_the_day_it_starts_on(moment: str, on: bool) -> None:
    friday_night = Shift(members=("bo",), start="20:00", end="08:00", days=(5,))
    assert covers(friday_night, datetime.fromisoformat(moment)) is on


def test_equal_start_and_end_cover_the_whole_day() -> None:
    assert people(["duty"], roster(Shift(members=("ann",))), at("2026-11-24T00:00"), SHANGHAI) == ["ann"]
    assert people(["duty"], roster(Shift(members=("ann",), start="08:00", end="08:00", days=(1,))),
                  at("2026-11-24T07:59"), SHANGHAI) == ["ann"]


def test_midnight_may_be_written_as_24_00() -> None:
    late = Shift(members=("ann",), start="16:00", end="24:00", days=(1,))
    assert covers(late, datetime.fromisoformat("2026-11-23T23:59"))
    assert not covers(late, datetime.fromisoformat("2026-11-24T00:00"))


def test_the_zone_decides_not_utc() -> None:
    assert people(["duty"], roster(DAY, NIGHT), at("2026-11-24T08:00"), ZoneInfo("UTC")) == ["bo"]


def test_people_are_told_as_they_are_in_order_and_once() -> None:
    found = receivers(["bo", "duty", "ann", "bo"], roster(DAY), at("2026-11-24T09:00"), SHANGHAI)
    assert found == (Receiver("bo", "hook"), Receiver("bo", "mail"), Receiver("ann", "hook"), Receiver("ann", "mail"))


@pytest.mark.parametrize("tell", [["duty"], [], ["nobody-knows"], ["duty", "nobody-knows"]])
def test_the_fallback_is_told_when_nobody_else_is(tell: list[str]) -> None:
    assert people(tell, roster(DAY), at("2026-11-24T22:00"), SHANGHAI) == ["chief"]


def test_the_fallback_is_not_added_when_one_team_has_somebody() -> None:
    assert people(["duty", "it"], roster(DAY), at("2026-11-24T22:00"), SHANGHAI) == ["bo"]


def test_a_person_without_channels_does_not_count_as_told() -> None:
    mute = (Person(id="ann", name="ann", channels=()), Person(id="chief", name="chief", channels=("hook",)))
    assert people(["ann"], roster(people=mute), at("2026-11-24T09:00"), SHANGHAI) == ["chief"]


def test_system_notices_go_to_whatever_the_roster_calls_ops() -> None:
    assert people(["ops"], roster(DAY), at("2026-11-24T09:00"), SHANGHAI) == ["bo"]


# ---------------------------------------------------------------- the channels of a step, overrides


@pytest.mark.parametrize(("channels", "expected"), [
    (("hook", "mail"), [Receiver("bo", "hook", ("mail",))]),
    (("mail", "hook"), [Receiver("bo", "mail", ("hook",))]),
    (("fax", "mail"), [Receiver("bo", "mail")]),
    (("mail",), [Receiver("bo", "mail")]),
    (("fax",), [Receiver("bo", "hook"), Receiver("bo", "mail")]),
    ((), [Receiver("bo", "hook"), Receiver("bo", "mail")])])
def test_the_channels_of_a_step_are_taken_in_its_order_and_the_rest_stand_by(
        channels: tuple[str, ...], expected: list[Receiver]) -> None:
    found = receivers(["bo"], roster(DAY), at("2026-11-24T09:00"), SHANGHAI, channels)
    assert list(found) == expected


def test_the_fallback_is_told_by_the_steps_channels_too_where_it_has_them() -> None:
    found = receivers(["duty"], roster(DAY), at("2026-11-24T22:00"), SHANGHAI, ("mail",))
    assert found == (Receiver("chief", "mail"),)


def test_whoever_stands_in_for_a_day_is_told_instead() -> None:
    changed = roster(DAY, NIGHT, overrides=(Override("2026-11-24", "duty", ("chief",), "08:00", "12:00"),))
    assert people(["duty"], changed, at("2026-11-24T09:00"), SHANGHAI) == ["chief"]
    assert people(["duty"], changed, at("2026-11-24T12:00"), SHANGHAI) == ["ann"]
    assert people(["duty"], changed, at("2026-11-25T09:00"), SHANGHAI) == ["ann"]
