"""Dates as Chinese feeds write them."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from pipeline.collect.dates import HOUR, is_relative, parse_date
from tests.builders import NOON
from tests.feed_texts import SHANGHAI, entry, parsed, rss

NOW = int(datetime(2020, 6, 24, 20, 0, tzinfo=SHANGHAI).timestamp() * 1000)


def read(text: str, zone: ZoneInfo = SHANGHAI) -> str | None:
    at = parse_date(text, zone, NOW)
    return None if at is None else f"{datetime.fromtimestamp(at / 1000, SHANGHAI):%Y-%m-%d %H:%M:%S}"


@pytest.mark.parametrize("text", [
    "Wed, 24 Jun 2020 15:05:00 +0800", "Wed, 24 Jun 2020 07:05:00 GMT", "Wed, 24 Jun 2020 15:05:00 CST",
    "Wed, 24 Jun 2020 15:05:00", "24 Jun 20 15:05 +0800", "2020-06-24T15:05:00+08:00", "2020-06-24T07:05:00Z",
    "2020-06-24T07:05:00.123456Z", "2020-06-24T15:05+0800", "2020-06-24 15:05", "2020/6/24 15:05", "2020.06.24 15:05",
    "2020年6月24日 下午3:05", "2020年6月24日下午3:05", "2020年06月24日15时05分", "2020年6月24日 15:05:00",
    "2020-6-24 下午 03:05", "２０２０年６月２４日　１５：０５", "6月24日 15:05", "06-24 15:05", "20200624150500",
    "Wed Jun 24 15:05:00 CST 2020", "Wed Jun 24 15:05:00 2020", "June 24, 2020 3:05 PM",
    "周三, 24 六月 2020 15:05:00 +0800", "Wednesday, 24-Jun-20 07:05:00 GMT",
    "1592982300", "1592982300000", "2020-06-24 02:05:00-05:00",
    "Mon, 24 Jun 2020 15:05:00 +0800", "Sunday, 24 June 2020 15:05:00 CST", "Wed, 24 Jun 20 15:05:00 +0800",
    "星期三, 24 6月 2020 15:05:00 +0800", "2020年六月24日 15:05", "六月 24, 2020 下午3:05", "24-六月-20 15:05",
    "发表于 2020-6-24 15:05", "2020-6-24 15:05:00 星期三", "2020年6月24日(周三) 15:05",
])
def test_one_moment_in_many_styles(text: str) -> None:
    assert read(text) == "2020-06-24 15:05:00"


@pytest.mark.parametrize(("text", "moment"), [
    ("3 小时前", "2020-06-24 17:00:00"), ("半小时前", "2020-06-24 19:30:00"),
    ("5\xa0分钟前", "2020-06-24 19:55:00"),
    ("10 秒前", "2020-06-24 19:59:50"), ("3 天前", "2020-06-21 20:00:00"), ("刚刚", "2020-06-24 20:00:00"),
    ("昨天 15:05", "2020-06-23 15:05:00"),
    ("前天 下午3:05", "2020-06-22 15:05:00"), ("今天 08:00", "2020-06-24 08:00:00"),
])
def test_discuz_counts_from_the_poll(text: str, moment: str) -> None:
    assert read(text) == moment
    assert is_relative(text)


@pytest.mark.parametrize(("text", "moment"), [
    ("2020年6月24日", "2020-06-24 00:00:00"), ("20200624", "2020-06-24 00:00:00"),
    ("2020-06-24 上午12:05", "2020-06-24 00:05:00"),
    ("2020-06-24 中午12:30", "2020-06-24 12:30:00"), ("12月24日 15:05", "2019-12-24 15:05:00"),
])
def test_what_is_left_out_is_filled_in(text: str, moment: str) -> None:
    assert read(text) == moment
    assert not is_relative(text)


def test_a_date_without_a_zone_is_in_the_sources_zone() -> None:
    assert read("2020-06-24 15:05", ZoneInfo("Asia/Tokyo")) == "2020-06-24 14:05:00"
    assert read("2020-06-24T05:05:00", ZoneInfo("UTC")) == "2020-06-24 13:05:00"


def test_cst_is_china_wherever_the_source_is() -> None:
    assert read("Wed, 24 Jun 2020 15:05:00 CST", ZoneInfo("America/Chicago")) == "2020-06-24 15:05:00"


@pytest.mark.parametrize("text", ["2099-01-01", "Fri, 01 Jan 2099 00:00:00 GMT", "4102444800", "2020-06-24 22:00"])
def test_the_future_is_an_hour_away_at_most(text: str) -> None:
    assert parse_date(text, SHANGHAI, NOW) == NOW + HOUR


@pytest.mark.parametrize("text", [
    "", "garbage", "2020-02-30", "0000-00-00 00:00:00", "1970-01-01", "晚上", "2020-13-01", "25:61", "32 Jun 2020",
    "99999999999999999999", "２", "-", "2020-06-24T24:99:00", "9" * 5000,
])
def test_what_is_no_date_is_none(text: str) -> None:
    assert read(text) is None


def test_milliseconds_are_kept() -> None:
    assert parse_date("2020-06-24T07:05:00.5Z", SHANGHAI, NOW) == parse_date("1592982300500", SHANGHAI, NOW)


def test_odd_dates_are_counted_and_their_entries_kept() -> None:
    dates = ("2099-01-01 00:00", "Thu, 01 Jan 2099 00:00:00 GMT", "日期不详", "", "2026-11-22 09:00")
    found = parsed(rss(*(entry(number, f"第 {number} 条", "文", date) for number, date in enumerate(dates))))
    assert (found.clamped, found.undated, len(found.items)) == (2, 1, 5)
    assert sorted(item.published_at or 0 for item in found.items)[-2:] == [NOON + HOUR] * 2
