"""Who is on duty: shifts, rotations, the Chinese calendar, overrides; and the hours in which nobody is."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.notify.route import receivers
from pipeline.rulebook.duty import duty_gaps, on_duty, spans, starts_on, turn
from pipeline.rulebook.duty_warnings import gap_words
from pipeline.rulebook.schema import DAY, Calendar, Override, Person, Roster, Shift, Team
from pipeline.rulebook.workdays import announced, workday

MINUTE = dt.timedelta(minutes=1)
at = dt.datetime.fromisoformat
SHANGHAI = ZoneInfo("Asia/Shanghai")
NAMES = ("ann", "bo", "chen", "dai")


def roster(*shifts: Shift, overrides: tuple[Override, ...] = ()) -> Roster:
    people = tuple(Person(id=name, name=name, channels=("hook", "mail")) for name in (*NAMES, "chief"))
    return Roster(people=people, teams=(Team(id="duty", name="值班组", shifts=shifts),), fallback="chief", ops="duty",
                  overrides=overrides)


def on(known: Roster, moment: str) -> tuple[str, ...]:
    return on_duty(known.teams[0], dt.datetime.fromisoformat(moment), known.overrides)


# ---------------------------------------------------------------- the calendar


@pytest.mark.parametrize(("day", "worked"), [
    ("2026-09-30", True), ("2026-10-01", False), ("2026-10-07", False), ("2026-10-08", True),
    ("2026-10-10", True), ("2026-10-11", False), ("2026-09-20", True), ("2026-02-14", True), ("2026-02-17", False),
    ("2026-11-23", True), ("2026-11-28", False)])
def test_offices_work_on_make_up_days_and_not_on_public_holidays(day: str, worked: bool) -> None:
    assert workday(dt.date.fromisoformat(day)) is worked


def test_a_year_is_known_or_goes_by_weekdays() -> None:
    assert announced(2026) and not announced(2099)
    assert [workday(dt.date(2099, 10, day)) for day in range(1, 8)] == [
        dt.date(2099, 10, day).isoweekday() <= 5 for day in range(1, 8)]


def test_shifts_of_workdays_and_of_days_off_share_all_days() -> None:
    office, spare = Shift(("ann",), calendar=Calendar.WORKDAY), Shift(("bo",), calendar=Calendar.HOLIDAY)
    known = roster(office, spare)
    assert [on(known, f"2026-10-{day:02}T12:00") for day in (1, 8, 10, 11)] == [("bo",), ("ann",), ("ann",), ("bo",)]
    for offset in range(365):
        day = dt.date(2026, 1, 1) + dt.timedelta(days=offset)
        assert starts_on(office, day) is not starts_on(spare, day)


def test_days_narrow_the_calendar_further() -> None:
    weekend_work = Shift(("ann",), days=(6, 7), calendar=Calendar.WORKDAY)
    begun = [day for offset in range(365) if starts_on(weekend_work, day := dt.date(2026, 1, 1) + dt.timedelta(offset))]
    assert [str(day) for day in begun] == [
        "2026-01-04", "2026-02-14", "2026-02-28", "2026-05-09", "2026-09-20", "2026-10-10"]


def test_a_night_shift_of_a_workday_reaches_into_the_day_off() -> None:
    known = roster(Shift(("ann",), "20:00", "08:00", calendar=Calendar.WORKDAY))
    assert [on(known, each) for each in ("2026-09-30T21:00", "2026-10-01T07:59", "2026-10-01T08:00",
                                         "2026-10-01T21:00")] == [("ann",), ("ann",), (), ()]


# ---------------------------------------------------------------- overrides


def test_an_override_is_instead_of_whoever_the_shifts_name_and_only_then() -> None:
    known = roster(Shift(("ann", "bo")), overrides=(
        Override("2026-12-01", "duty", ("chen",), "08:00", "20:00"), Override("2026-12-01", "other", ("dai",))))
    assert [on(known, f"2026-12-01T{clock}") for clock in ("07:59", "08:00", "19:59", "20:00")] == [
        ("ann", "bo"), ("chen",), ("chen",), ("ann", "bo")]


def test_an_override_over_midnight_belongs_to_the_day_it_starts_on() -> None:
    known = roster(Shift(("ann",)), overrides=(Override("2026-12-01", "duty", ("bo",), "22:00", "06:00"),))
    assert [on(known, each) for each in ("2026-12-01T05:00", "2026-12-01T22:00", "2026-12-02T05:59",
                                         "2026-12-02T06:00")] == [("ann",), ("bo",), ("bo",), ("ann",)]


def test_an_override_fills_a_gap() -> None:
    known = roster(Shift(("ann",), "08:00", "20:00"), overrides=(
        Override("2026-12-01", "duty", ("bo",), "20:00", "08:00"),))
    found = duty_gaps(known, at("2026-12-01"), 2)
    assert [(f"{each.begin:%d %H:%M}", f"{each.end:%d %H:%M}") for each in found] == [
        ("01 00:00", "01 08:00"), ("02 20:00", "03 00:00")]


# ---------------------------------------------------------------- rotations


def test_a_rotation_gives_each_a_turn_in_order_from_its_first_day() -> None:
    weekly = roster(Shift(("ann", "bo", "chen"), rotate=7 * DAY, since="2026-11-02"))
    assert [on(weekly, f"2026-11-{day:02}T12:00") for day in (1, 2, 8, 9, 16, 23)] == [
        ("chen",), ("ann",), ("ann",), ("bo",), ("chen",), ("ann",)]


def test_a_turn_on_a_weekend_is_nobodys_turn() -> None:
    """By workdays: Friday's follows Thursday's, and Monday's follows Friday's."""
    daily = roster(Shift(("ann", "bo", "chen"), calendar=Calendar.WORKDAY, rotate=DAY, since="2026-11-02"))
    week = [on(daily, f"2026-11-{day:02}T12:00") for day in range(2, 12)]
    assert [name[0] if name else "" for name in week] == [
        "ann", "bo", "chen", "ann", "bo", "", "", "chen", "ann", "bo"]


def test_a_week_of_holidays_is_nobodys_turn() -> None:
    weekly = Shift(("ann", "bo"), calendar=Calendar.WORKDAY, rotate=7 * DAY, since="2026-02-09")
    assert [turn(weekly, dt.date(2026, 2, day)) for day in (9, 14, 24)] == [0, 0, 1]


def test_a_night_shift_keeps_its_member_over_midnight() -> None:
    nights = roster(Shift(("ann", "bo"), "20:00", "08:00", rotate=DAY, since="2026-11-23"))
    assert [on(nights, each) for each in ("2026-11-23T20:00", "2026-11-24T07:59", "2026-11-24T20:00")] == [
        ("ann",), ("ann",), ("bo",)]


SINCE = dt.date(2026, 3, 2)
HOURS = st.sampled_from(["00:00", "02:00", "06:30", "08:00", "12:00", "20:00", "23:59"])
DAYS = st.lists(st.integers(1, 7), min_size=1, max_size=7, unique=True).map(tuple)
MEMBERS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True).map(tuple)
DATES = st.dates(dt.date(2025, 12, 20), dt.date(2027, 1, 10))
ROTATION = st.sampled_from([0, DAY, 2 * DAY, 7 * DAY])
CALENDARS = st.sampled_from([None, Calendar.WORKDAY, Calendar.HOLIDAY])


@st.composite
def shifts(draw: st.DrawFn, rotation: st.SearchStrategy[int] = ROTATION) -> Shift:
    rotate = draw(rotation)
    return Shift(draw(MEMBERS), draw(HOURS), draw(HOURS), draw(DAYS), draw(CALENDARS), rotate,
                 draw(DATES).isoformat() if rotate else "")


@st.composite
def rosters(draw: st.DrawFn) -> Roster:
    changes = st.builds(Override, st.dates(dt.date(2026, 9, 28), dt.date(2026, 10, 12)).map(dt.date.isoformat),
                        st.just("duty"), MEMBERS, HOURS, HOURS)
    return roster(*draw(st.lists(shifts(), max_size=3)), overrides=tuple(draw(st.lists(changes, max_size=2))))


@settings(max_examples=60, deadline=None)
@given(shifts(st.sampled_from([DAY, 2 * DAY, 3 * DAY, 7 * DAY])))
def test_a_rotation_covers_exactly(shift: Shift) -> None:
    """Each time one member; whole turns in order; over whole rounds everybody has as many turns, before `since` too."""
    known, since = roster(shift), dt.date.fromisoformat(shift.since)
    length = shift.rotate // DAY
    turns: dict[int, list[str]] = {}
    for offset in range(-60 * length, 60 * length):
        day = since + dt.timedelta(days=offset)
        if starts_on(shift, day):
            begin = dt.datetime.combine(day, dt.time.fromisoformat(shift.start))
            (who,) = on_duty(known.teams[0], begin)
            turns.setdefault(offset // length, []).append(who)
    assert all(len(set(people)) == 1 for people in turns.values())
    order = [turns[number][0] for number in sorted(turns)]
    first = [turns[number][0] for number in sorted(turns) if number >= 0]
    assert not first or first[0] == shift.members[0]
    count = len(shift.members)
    assert all(shift.members.index(after) == (shift.members.index(before) + 1) % count
               for before, after in zip(order, order[1:], strict=False))
    rounds = len(order) // count * count
    assert set(Counter(order[:rounds]).values()) <= {rounds // count}


# ---------------------------------------------------------------- gaps


@settings(max_examples=40, deadline=None)
@given(rosters(), st.integers(0, 12 * 24 * 60))
def test_gaps_are_what_looking_at_every_minute_finds(known: Roster, minute: int) -> None:
    begin, days = at("2026-09-29") + minute * MINUTE, 3
    team = known.teams[0]
    empty = {begin + number * MINUTE for number in range(days * 24 * 60)
             if not on_duty(team, begin + number * MINUTE, known.overrides)}
    found = duty_gaps(known, begin, days)
    told = [gap.begin + number * MINUTE for gap in found for number in range((gap.end - gap.begin) // MINUTE)]
    assert set(told) == empty and len(told) == len(empty)
    assert all(before.end < after.begin for before, after in zip(found, found[1:], strict=False)), "merged"


@settings(max_examples=60, deadline=None)
@given(rosters(), st.datetimes(at("2026-09-25"), at("2026-10-15"), timezones=st.just(dt.UTC)),
       st.lists(st.sampled_from(["duty", "ann", "nobody"]), max_size=2), st.sampled_from([(), ("mail",), ("fax",)]))
def test_somebody_is_always_told(known: Roster, moment: dt.datetime, tell: list[str], by: tuple[str, ...]) -> None:
    found = receivers(tell, known, int(moment.timestamp() * 1000), SHANGHAI, by)
    local = moment.astimezone(SHANGHAI).replace(tzinfo=None)
    expected = ["ann"] if "ann" in tell else []
    if "duty" in tell:
        expected += on_duty(known.teams[0], local, known.overrides)
    assert found and {each.person for each in found} == (set(expected) or {"chief"})
    assert {each.channel for each in found} == ({"mail"} if by == ("mail",) else {"hook", "mail"})


def test_spans_say_who_without_a_hole() -> None:
    known = roster(Shift(("ann",), "08:00", "20:00"), Shift(("bo",), "20:00", "06:00"))
    found = spans(known, known.teams[0], at("2026-11-23"), at("2026-11-24"))
    assert [(f"{each.begin:%H:%M}", each.people) for each in found] == [
        ("00:00", ("bo",)), ("06:00", ()), ("08:00", ("ann",)), ("20:00", ("bo",))]
    assert all(before.end == after.begin for before, after in zip(found, found[1:], strict=False))


def test_only_the_teams_asked_for_are_looked_at() -> None:
    known = roster(Shift(("ann",), "08:00", "20:00"))
    assert duty_gaps(known, at("2026-11-23"), 1, frozenset()) == []
    assert len(duty_gaps(known, at("2026-11-23"), 1)) == 2


@pytest.mark.parametrize(("shifts", "overrides", "said"), [
    ((Shift(("ann",), "06:00", "02:00"),), ("2026-11-24", "2026-12-03"), None),
    ((Shift(("ann",), "06:00", "02:00"),), (), ["每天 02:00–06:00（11月23日 至 12月22日）"]),
    ((Shift(("ann",), days=(1, 2, 3, 4, 5, 7)),), (), ["每周六 全天（11月28日 至 12月19日）"]),
    ((Shift(("ann",), days=(1, 2, 3, 4, 5)),), (), ["每周六 00:00 起的 2 天（11月28日 至 12月19日）"]),
    ((Shift(("ann",), "08:00", "20:00", days=(3,)), Shift(("bo",), days=(1, 2, 4, 5, 6, 7))), (),
     ["每周三 00:00–08:00（11月25日 至 12月16日）", "每周三 20:00–24:00（11月25日 至 12月16日）"]),
    ((Shift(("ann",), calendar=Calendar.HOLIDAY, days=(1,)),), (), ["11月23日起 30 天 "]),
    ((), (), ["11月23日起 30 天 "]),
])
def test_gaps_in_words(shifts: tuple[Shift, ...], overrides: tuple[str, ...], said: list[str] | None) -> None:
    known = roster(*shifts, overrides=tuple(Override(day, "duty", ("bo",), "02:00", "06:00") for day in overrides))
    words = gap_words(duty_gaps(known, at("2026-11-23")))
    assert words == (said or ["11月23日、11月25日、11月26日 等 28 天 02:00–06:00 "])


def test_a_single_night_without_anybody_is_said_as_such() -> None:
    known = roster(Shift(("ann",), "06:00", "02:00"), Shift(("bo",), "02:00", "06:00", days=(1, 2, 4, 5, 6, 7)))
    words = gap_words(duty_gaps(known, at("2026-11-23"), 7))
    assert words == ["11月25日 02:00–06:00 "]
