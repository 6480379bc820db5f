"""When and for whom a subject matches: status, last day, active times, source groups."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from pipeline.rulebook.schema import Active, Source, Status
from pipeline.score.score import Scorer
from tests import builders
from tests.pipeline.score_kit import book, matched, matches, watch

ZONE = ZoneInfo("Asia/Shanghai")


def when(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=ZONE).timestamp() * 1000)


def test_a_retired_subject_matches_nothing_and_a_shadow_one_does() -> None:
    found = matched("投票", watch("投票", status=Status.RETIRED), watch("投票", name="b", status=Status.SHADOW))
    assert [match.subject for match in found] == ["b"]


def test_an_item_that_only_shadow_subjects_match_is_the_open_subject_s() -> None:
    scorer = Scorer(book(watch("投票", status=Status.SHADOW)))
    assert list(scorer.score(builders.raw_item(title="投票", text=""))) == ["*", "~polling"]


def test_never_is_after_every_day() -> None:
    assert matches("投票", watch("投票", expires="never"), at=when("2999-01-01"))
    assert matches("投票", watch("投票", expires="2026-12-31"), at=when("2026-12-31T23:59:59"))
    assert not matches("投票", watch("投票", expires="2026-12-31"), at=when("2027-01-01"))


@pytest.mark.parametrize("active, at, true", [
    (Active(start="2026-11-01"), "2026-10-31T23:59", False), (Active(start="2026-11-01"), "2026-11-01T00:00", True),
    (Active(end="2026-11-30"), "2026-11-30T23:59", True), (Active(end="2026-11-30"), "2026-12-01T00:00", False),
    (Active(hours="06:00-22:00"), "2026-11-22T05:59", False), (Active(hours="06:00-22:00"), "2026-11-22T06:00", True),
    (Active(hours="06:00-22:00"), "2026-11-22T22:00", False),
    (Active(hours="22:00-06:00"), "2026-11-22T23:00", True), (Active(hours="22:00-06:00"), "2026-11-22T05:59", True),
    (Active(hours="22:00-06:00"), "2026-11-22T12:00", False), (Active(hours="00:00-00:00"), "2026-11-22T12:00", True),
    (Active(days=(7,)), "2026-11-22T12:00", True), (Active(days=(1, 2)), "2026-11-22T12:00", False),
    (Active(hours="22:00-06:00", days=(7,)), "2026-11-23T03:00", True),      # the night of Sunday, the 22nd
    (Active(hours="22:00-06:00", days=(1,)), "2026-11-23T03:00", False),
    (Active(hours="22:00-06:00", end="2026-11-22"), "2026-11-23T03:00", True),
    (Active(start="2026-11-01", end="2026-12-31", hours="06:00-22:00", days=(7,)), "2026-11-22T12:00", True),
])
def test_active_times_are_by_the_clock_of_the_book_s_zone(active: Active, at: str, true: bool) -> None:
    assert matches("投票", watch("投票", active=active), at=when(at)) is true


def test_another_zone_has_another_clock() -> None:
    morning = watch("投票", active=Active(hours="06:00-12:00"))
    assert matches("投票", morning, at=when("2026-11-22T11:00"))
    assert not matches("投票", morning, at=when("2026-11-22T11:00"), timezone="Europe/London")


def test_source_groups_keep_other_sources_out() -> None:
    sources = (Source(id="bbs", name="论坛", group="本地论坛", region="石桥镇"),
               Source(id="paper", name="日报", group="媒体"))
    scorer = Scorer(book(watch("投票", groups=("本地论坛",)), sources=sources))
    seen = {each: scorer.score(builders.raw_item(source_id=each, title="投票")) for each in ("bbs", "paper", "gone")}
    assert [list(each) for each in seen.values()] == [["polling"], ["*"], ["*"]]
    assert [next(iter(each.values())).group for each in seen.values()] == ["本地论坛", "媒体", ""]
    assert [next(iter(each.values())).region for each in seen.values()] == ["石桥镇", "", ""]


def test_reports_of_the_desk_have_a_group_too() -> None:
    scorer = Scorer(book(watch("投票", groups=("人工上报",))))
    assert list(scorer.score(builders.raw_item(source_id="intake", title="投票"))) == ["polling"]
