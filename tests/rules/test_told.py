"""Roster, channels, levels and routes together: whoever is told can be told."""

from __future__ import annotations

import pytest

from pipeline.errors import RuleBookError
from pipeline.rulebook.numbers import mended
from pipeline.rulebook.parse import parse_book
from pipeline.rulebook.schema import DAY, HOUR, MINUTE, Calendar, ClockWarning, Override, Quiet, RuleBook
from tests.rules.test_parse import GOOD, ZONE, problems

CHANNELS = GOOD["channels.yml"]
ROSTER = GOOD["roster.yml"]
SMS = CHANNELS + """
  - id: sms
    type: aliyun-sms
    key_file: secrets/ali.id
    secret_file: secrets/ali.key
    sign: 石桥镇
    template: SMS_123456789
    params: [number, level]
  - id: voice
    type: tencent-voice
    key_file: secrets/t.id
    secret_file: secrets/t.key
    app: "1400000000"
    template: "100001"
    params: [level, text]
  - {id: app, type: wecom-app, corp: ww0123456789abcdef, agent: 1000002, secret_file: secrets/app.key}
  - {id: gate, type: http, url: "http://127.0.0.1:9/sms", body: "to={mobile}&text={text}"}
  - {id: page, type: http, url: "http://127.0.0.1:9/page", body: "text={text}"}
  - {id: mail, type: smtp, host: smtp.example.org, sender: a@example.org}
"""


def book(**changes: str) -> RuleBook:
    return parse_book({**GOOD, **{f"{name}.yml": text for name, text in changes.items()}}, ZONE)


def told(channels: str, extra: str = "") -> dict[str, str]:
    roster = ROSTER.replace("channels: [console]", f"channels: [{channels}]{extra}")
    return {**GOOD, "channels.yml": SMS, "roster.yml": roster}


@pytest.mark.parametrize(("channels", "said"), [
    ("sms", "值班员用短信通道，但没有手机号。 补上 mobile: \"手机号\""),
    ("voice", "值班员用语音通道，但没有手机号。 补上 mobile: \"手机号\""),
    ("console, sms, voice", "值班员用短信通道，但没有手机号。 补上 mobile: \"手机号\""),
    ("app", "值班员用企业微信应用通道，但没有企业微信账号。 补上 wecom: 账号"),
    ("gate", "值班员用 HTTP 网关 gate 通道，但没有手机号。 补上 mobile: \"手机号\""),
    ("mail", "值班员用邮件通道，但没有邮箱。 补上 mail: 邮箱地址"),
])
def test_a_person_needs_what_the_channel_writes_to(channels: str, said: str) -> None:
    assert problems(told(channels)) == f"roster.yml:2:5: people[0]: {said}"


@pytest.mark.parametrize(("channels", "extra"), [
    ("sms, voice, gate", ', mobile: "13800000000"'), ("app", ", wecom: zhiban"), ("mail", ", mail: a@example.org"),
    ("page, console", "")])
def test_a_person_who_has_it_is_fine(channels: str, extra: str) -> None:
    assert parse_book(told(channels, extra), ZONE).roster.people[0].channels == tuple(channels.split(", "))


def test_a_channel_of_a_step_that_none_of_its_people_has_is_a_slip() -> None:
    routes = "routes:\n  - id: all\n    steps: [{tell: [duty], channels: [page, console]}]\n"
    message = problems({**GOOD, "channels.yml": SMS, "routes.yml": routes})
    assert message == ("routes.yml:3:39: routes[0].steps[0].channels[0]: 这一步通知的人都没有通道 page，永远用不到。 "
                       "在 roster.yml 里给其中的人加上 page，或从这里删去")


def test_whoever_only_stands_in_for_a_day_counts_too() -> None:
    routes = "routes:\n  - id: all\n    steps: [{tell: [duty], channels: [page, console]}]\n"
    roster = ROSTER.replace("teams:", "  - {id: b, name: 乙, channels: [page]}\nteams:") + (
        "overrides: [{date: 2026-12-01, team: duty, members: [b]}]\n")
    read = parse_book({**GOOD, "channels.yml": SMS, "routes.yml": routes, "roster.yml": roster}, ZONE)
    assert read.routes[0].steps[0].channels == ("page", "console")


def test_policy_is_read_as_it_is_written() -> None:
    roster = ROSTER.replace("shifts: [{members: [duty-a]}]", """shifts: [{members: [duty-a], start: "08:00",
      end: "20:00", calendar: workday, rotate: 2d, since: 2026-11-02}]""", 1) + """
overrides:
  - {date: 2026-12-01, team: duty, members: [duty-a], start: "08:00", end: "20:00", reason: 换班}
"""
    routes = """
routes:
  - {id: town, levels: [较大], groups: [其他], regions: [石桥镇], teams: [duty], lead: duty, steps: [{tell: [duty]}],
     repeat: 10m, until: 24h}
  - {id: all, steps: [{tell: [duty], channels: [console]}]}
quiet:
  - {levels: [一般], hours: "22:00-07:00", days: [1, 2]}
budget: {较大: 20}
"""
    levels = GOOD["levels.yml"] + """
clocks:
  - {id: answer, name: 首次权威回应, within: 5h, start_level: 一般, levels: {较大: 3h},
     warnings: [{at: 50, tell: [duty]}, {at: 100}]}
  - {id: brief, name: 新闻发布, within: 1d, start_level: 较大}
"""
    sources = GOOD["sources.yml"].replace("name: 县新闻网", "name: 县新闻网, region: 石桥镇")
    subject = {"subjects/polling": GOOD["subjects/polling.yml"] + "team: duty\n"}
    read = book(roster=roster, routes=routes, levels=levels, sources=sources, **subject)
    shift = read.roster.teams[0].shifts[0]
    assert (shift.calendar, shift.rotate, shift.since) == (Calendar.WORKDAY, 2 * DAY, "2026-11-02")
    assert read.roster.overrides == (Override("2026-12-01", "duty", ("duty-a",), "08:00", "20:00", "换班"),)
    town = read.routes[0]
    assert (town.groups, town.regions, town.teams, town.lead) == (("其他",), ("石桥镇",), ("duty",), "duty")
    assert (town.repeat, town.until, read.routes[1].steps[0].channels) == (10 * MINUTE, 24 * HOUR, ("console",))
    assert (read.quiet, read.budget) == ((Quiet(("一般",), "22:00-07:00", (1, 2)),), {"较大": 20})
    assert (read.sources[0].region, read.subjects[0].team) == ("石桥镇", "duty")
    answer, brief = read.levels.clocks
    assert (answer.within, answer.levels, answer.warnings) == (
        5 * HOUR, {"较大": 3 * HOUR}, (ClockWarning(50, ("duty",)), ClockWarning(100)))
    assert [each.at for each in brief.warnings] == [50, 80, 100]


@pytest.mark.parametrize(("typed", "meant"), [
    ("138 0000 0000", "13800000000"), ("138-0000-0000", "13800000000"), ("(138) 0000·0000", "13800000000"),
    ("１３８００００００００", "13800000000"), ("138O000000O", "13800000000"), ("l38OOOOOOOO", "13800000000"),
    ("+86 138 0000 0000", "13800000000"), ("8613800000000", "13800000000"), ("0086-13800000000", "13800000000"),
    ("+1 (415) 555-2671", "+14155552671"), ("00852 2123 4567", "+85221234567"), ("138 0000 000", ""),
    ("0571-88887777", ""),
    ("23800000000", ""), ("", ""), ("值班室", ""), ("+", "")])
def test_a_number_that_is_only_written_otherwise_is_known(typed: str, meant: str) -> None:
    assert mended(typed) == meant


@pytest.mark.parametrize("typed", ["13800000000", "19912345678", "+8613800000000", "+14155552671"])
def test_numbers_that_gateways_take(typed: str) -> None:
    people = ROSTER.replace("channels: [console]", f"channels: [console], mobile: '{typed}'")
    assert book(roster=people).roster.people[0].mobile == typed


def test_a_number_is_never_half_read() -> None:
    with pytest.raises(RuleBookError, match="mobile"):
        book(roster=ROSTER.replace("channels: [console]", "channels: [console], mobile: [13800000000]"))
