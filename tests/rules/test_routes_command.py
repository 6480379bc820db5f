"""`wenxun routes test`: who would be told when, as escalate and deliver decide it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agents.cli import main
from pipeline.model import EscalationKind
from pipeline.rulebook.parse import parse_book
from pipeline.rulebook.routing import quiet_until, route_for
from pipeline.rulebook.schema import DAY, RuleBook
from pipeline.unanswered import event_at, messages
from tests.rules.test_duty import at
from tests.rules.test_parse import GOOD, ZONE

POLICY = {
    **GOOD,
    "sources.yml": "sources:\n  - {id: news, name: 县新闻网, url: 'https://n.example.cn/rss', group: 本地论坛, "
                   "region: 石桥镇}\n",
    "subjects/polling.yml": GOOD["subjects/polling.yml"] + "team: leaders\n",
    "levels.yml": GOOD["levels.yml"] + """
  - {name: 重大, response: 一级响应, enter: {items: 30, sources: 8, window: 3h}}
clocks:
  - {id: answer, name: 首次权威回应, within: 5h, start_level: 较大, levels: {重大: 3h},
     warnings: [{at: 50, tell: [duty]}, {at: 100, tell: [leaders]}]}
""",
    "channels.yml": "channels:\n  - {id: console, type: console}\n  - {id: spare, type: console}\n",
    "roster.yml": """
people:
  - {id: day, name: 白班值班员, channels: [console, spare]}
  - {id: night, name: 夜班值班员, channels: [spare, console]}
  - {id: leader, name: 张带班, channels: [console]}
  - {id: backup, name: 李备勤, channels: [spare]}
teams:
  - id: duty
    name: 值班组
    shifts:
      - {members: [day], start: "08:00", end: "20:00"}
      - {members: [night], start: "20:00", end: "06:00"}
  - id: leaders
    name: 带班领导
    shifts: [{members: [leader, backup], rotate: 7d, since: 2026-11-02}]
  - {id: ops, name: 运维, shifts: [{members: [day]}]}
fallback: leader
overrides:
  - {date: 2026-12-01, team: leaders, members: [backup], reason: 换班}
""",
    "routes.yml": """
routes:
  - {id: major, levels: [重大], lead: leaders, repeat: 10m, until: 24h,
     steps: [{tell: [duty], channels: [console, spare]}, {tell: [leaders], after: 5m}]}
  - {id: town, levels: [较大], regions: [石桥镇], steps: [{tell: [leaders]}], repeat: 30m}
  - {id: forum, levels: [较大], groups: [本地论坛], steps: [{tell: [duty]}]}
  - {id: ours, levels: [较大], teams: [leaders], steps: [{tell: [leaders]}]}
  - {id: larger, levels: [较大], steps: [{tell: [duty]}, {tell: [leaders], after: 15m}]}
  - {id: low, levels: [一般], mode: digest, steps: [{tell: [duty]}], hours: "08:30-18:00"}
quiet:
  - {levels: [一般, 较大], hours: "22:00-07:00"}
budget: {重大: 5}
""",
}


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    for name, text in POLICY.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


@pytest.fixture(scope="module")
def book() -> RuleBook:
    return parse_book(POLICY, ZONE)


def said(capsys: pytest.CaptureFixture[str], rules: Path, *options: str, code: int = 0) -> list[str]:
    assert main(["routes", "test", "--rules", str(rules), "--at", "2026-12-01 03:00", *options]) == code
    return capsys.readouterr().out.splitlines()


def millis(moment: str) -> int:
    return int(at(f"{moment}+08:00").timestamp() * 1000)


def test_it_says_who_is_told_when_by_which_channel(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, rules, "--level", "重大", "--subject", "polling")
    assert lines[:18] == [
        "事件：重大，投票地点（polling）",
        "时间：2026-12-01 03:00 星期二，工作日（Asia/Shanghai）",
        "路由：major（要人确认）；牵头：带班领导",
        "安静时段：最高一级不等",
        "预算：这一级一天 5 次，超过时告诉系统运维，通知照发",
        "",
        "如果一直没有人确认：",
        "  12月1日 03:00  级别上升，首次通知",
        "      值班组：夜班值班员（console，发不出去改用 spare）",
        "  12月1日 03:05  前一位未按时确认，通知下一位",
        "      带班领导：李备勤（spare）",
        "  12月1日 03:15  整轮无人确认，重新通知（第 2 轮）",
        "      值班组：夜班值班员（console，发不出去改用 spare）",
        "      兜底：张带班（console）",
        "  12月1日 03:20  整轮无人确认，重新通知（第 2 轮）",
        "      带班领导：李备勤（spare）",
        "  12月1日 03:30  之后每一轮都是：",
        "      值班组：夜班值班员（console，发不出去改用 spare）",
    ]
    assert "  12月1日 04:30  时限“首次权威回应”过了 50%，12月1日 06:00 到期" in lines
    changed = lines.index("  12月1日 06:00  从这时起换了人，每一轮是：")
    assert lines[changed + 1] == "      值班组：这时没有人值班"
    changed = lines.index("  12月1日 08:00  从这时起换了人，每一轮是：")
    assert lines[changed + 1] == "      值班组：白班值班员（console，发不出去改用 spare）"
    assert lines[-1] == "每 10 分钟重新通知一轮，到 12月2日 03:00 为止，那时标为“已过期”，通知兜底的张带班。"
    assert sum("从这时起换了人" in line for line in lines) == 4, "only when somebody else is told"


def test_quiet_hours_hold_what_may_wait(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, rules, "--level", "较大")
    assert lines[3:8] == ["安静时段：等到 12月1日 07:00 再通知", "", "如果一直没有人确认：",
                          "  12月1日 03:00  级别上升，首次通知——安静时段，先不发",
                          "  12月1日 05:30  时限“首次权威回应”过了 50%，12月1日 08:00 到期——安静时段，先不发"]
    first = lines.index("  12月1日 07:00  级别上升，首次通知")
    assert lines[first + 1:first + 3] == ["      值班组：这时没有人值班", "      改为兜底：张带班（console）"]
    assert lines[-1] == "不重复；一轮下来无人应答，通知兜底的张带班，显示“无人应答”。"


@pytest.mark.parametrize(("options", "route"), [
    ([], "larger"), (["--region", "石桥镇"], "town"), (["--group", "本地论坛"], "forum"),
    (["--group", "其他"], "larger"), (["--subject", "polling"], "ours"),
    (["--subject", "polling", "--group", "本地论坛", "--region", "石桥镇"], "town")])
def test_the_first_route_that_fits_is_taken(rules: Path, capsys: pytest.CaptureFixture[str], options: list[str],
                                            route: str) -> None:
    assert said(capsys, rules, "--level", "较大", *options)[2].startswith(f"路由：{route}（")
    found: dict[str, Any] = json.loads("\n".join(said(capsys, rules, "--level", "较大", "--format", "json", *options)))
    assert found["ok"] and found["route"] == route


def test_a_digest_waits_for_its_hours(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, rules, "--level", "一般")
    assert lines[2:] == ["路由：low（汇总，不打扰人）", "", "如果一直没有人确认：", "  12月1日 08:30  定时汇总",
                         "      值班组：白班值班员（console；spare）"]


def test_a_route_that_repeats_every_second_is_not_looked_at_for_ever(
        rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (rules / "routes.yml").write_text("routes: [{id: all, steps: [{tell: [duty]}], repeat: 1s}]\n", "utf-8")
    lines = said(capsys, rules, "--level", "重大")
    assert lines[-3] == "  ……通知得太密，只看到 12月1日 04:23:19 为止" and len(lines) < 30


def test_json_has_every_message_with_its_receivers(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads("\n".join(said(capsys, rules, "--level", "重大", "--subject", "polling", "--format", "json")))
    assert (found["route"], found["lead"], found["repeat"], found["quiet_until"]) == ("major", "leaders", 600_000, None)
    assert found["until"] == found["at"] + DAY == millis("2026-12-02 03:00")
    first = found["messages"][0]
    assert first | {"kind": "page", "why": "raised", "step": 0, "tell": ["duty"], "at": found["at"]} == first
    assert first["receivers"] == [
        {"person": "night", "name": "夜班值班员", "channel": "console", "alternatives": ["spare"]}]
    assert {each["clock"] for each in found["messages"]} == {"", "answer"}
    assert found["messages"][-1]["why"] == "expired" or found["messages"][-1]["kind"] == "clock"


@pytest.mark.parametrize(("options", "message"), [
    (["--level", "重要"], "--level 重要：没有这个级别。是不是 重大？"),
    (["--level", "重大", "--subject", "poling"], "--subject poling：没有这个主题。是不是 polling？"),
    (["--level", "重大", "--group", "报纸"], "--group 报纸：没有这个来源分组。已有：本地论坛、人工上报、其他"),
    (["--level", "重大", "--region", "东山"], "--region 东山：没有这个地区标签。已有：石桥镇"),
    (["--level", "重大", "--at", "明天"], "--at 明天：应写成 \"2026-12-01 03:00\""),
])
def test_what_the_rules_do_not_have_is_said(rules: Path, capsys: pytest.CaptureFixture[str], options: list[str],
                                            message: str) -> None:
    assert main(["routes", "test", "--rules", str(rules), *options]) == 2
    assert capsys.readouterr().err.startswith(f"wenxun: {message}")


def test_rules_that_cannot_be_used_are_1_with_their_problems(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (rules / "routes.yml").write_text("routes: []\n", "utf-8")
    assert main(["routes", "test", "--rules", str(rules), "--level", "重大"]) == 1
    assert "routes.yml:1:9: routes: 列表应至少有 1 项" in capsys.readouterr().err
    assert main(["routes", "test", "--rules", str(rules), "--level", "重大", "--format", "json"]) == 1
    assert not json.loads(capsys.readouterr().out)["ok"]


# ---------------------------------------------------------------- the choice of routes, and quiet hours


@pytest.mark.parametrize(("subject", "groups", "regions", "route"), [
    ("*", (), (), "larger"), ("~polling", (), (), "ours"), ("!polling", (), (), "ours"), ("gone", (), (), "larger"),
    ("polling", ("其他", "本地论坛"), (), "forum"), ("*", (), ("东山", "石桥镇"), "town")])
def test_every_matcher_fits_by_any_of_its_names(book: RuleBook, subject: str, groups: tuple[str, ...],
                                                regions: tuple[str, ...], route: str) -> None:
    found = route_for(book, "较大", subject, groups, regions)
    assert found is not None and found.id == route


def test_without_a_fitting_route_there_is_none(book: RuleBook) -> None:
    assert route_for(book, "特别重大", "*") is None


@pytest.mark.parametrize(("level", "moment", "until"), [
    ("较大", "2026-12-01 21:59", None), ("较大", "2026-12-01 22:00", "2026-12-02 07:00"),
    ("较大", "2026-12-02 06:59", "2026-12-02 07:00"), ("较大", "2026-12-02 07:00", None),
    ("一般", "2026-12-01 23:00", "2026-12-02 07:00"), ("重大", "2026-12-01 23:00", None)])
def test_quiet_hours_end(book: RuleBook, level: str, moment: str, until: str | None) -> None:
    assert quiet_until(book, level, millis(moment)) == (millis(until) if until else None)


def test_quiet_hours_that_follow_on_one_another_are_one() -> None:
    quiet = """quiet:
  - {levels: [一般], hours: "22:00-07:00"}
  - {levels: [一般], hours: "07:00-09:00", days: [3]}
"""
    book = parse_book({**POLICY, "routes.yml": POLICY["routes.yml"].split("quiet:")[0] + quiet}, ZONE)
    assert quiet_until(book, "一般", millis("2026-12-01 23:00")) == millis("2026-12-02 09:00")
    assert quiet_until(book, "一般", millis("2026-12-02 23:00")) == millis("2026-12-03 07:00")


def test_nobody_is_ever_told_of_a_page_without_a_receiver(book: RuleBook) -> None:
    for level in ("较大", "重大"):
        decided = list(messages(book, event_at(book, level, "polling", millis("2026-12-01 05:30")), 2 * DAY))
        assert [each.escalation.at for each in decided] == sorted(each.escalation.at for each in decided)
        assert all(each.receivers for each in decided if not each.escalation.suppressed_by)
        assert {each.escalation.kind for each in decided} == {EscalationKind.PAGE, EscalationKind.CLOCK}


def test_a_time_far_ahead_is_looked_at_as_well(book: RuleBook) -> None:
    moment = millis("2031-10-01 12:00")
    first = next(messages(book, event_at(book, "重大", "*", moment)))
    assert first.receivers and first.escalation.at == moment
