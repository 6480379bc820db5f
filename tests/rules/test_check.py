"""`wenxun rules check`: what is wrong, what is only hardly meant, and how a workflow learns of both."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from agents.cli import main
from pipeline.rulebook.parse import parse_book, parse_with_places
from pipeline.rulebook.warnings import EXPIRY, warnings
from tests.rules.test_parse import GOOD, ZONE

TODAY = dt.date(2026, 11, 22)
TERMS = GOOD["subjects/polling.yml"]
ROSTER = GOOD["roster.yml"]
MANY = GOOD["sources.yml"] + "".join(
    f"  - {{id: n{number}, name: 网{number}, url: 'https://n{number}.example.cn/rss.xml'}}\n" for number in range(9))
"""Enough sources for every level."""


def warned(**changes: str) -> list[str]:
    named = {name.replace("_", "/") + ".yml": text for name, text in changes.items()}
    book, places = parse_with_places({**GOOD, "sources.yml": MANY, **named}, ZONE)
    return [f"{each.code} {each}" for each in warnings(book, TODAY, places)]


def test_good_files_have_no_warnings() -> None:
    assert warned() == []


@pytest.mark.parametrize(("expires", "code"), [
    ("2026-11-21", "expired"), ("2026-11-22", "expires-soon"), ("2026-12-06", "expires-soon"), ("2026-12-07", ""),
    ("never", ""),
])
def test_the_owner_is_told_fourteen_days_ahead_and_ever_after(expires: str, code: str) -> None:
    found = warned(subjects_polling=TERMS.replace("2027-12-31", expires))
    assert [each.split()[0] for each in found] == ([code] if code else [])
    assert not code or code in EXPIRY
    retired = TERMS.replace("2027-12-31", expires) + "status: retired\n"
    assert warned(subjects_polling=retired) == [], "nobody waits for a rule that was put aside"


SPARE = ROSTER.replace("teams:\n", "teams:\n  - {id: spare, name: 备班, shifts: [{members: [duty-a]}]}\n")
SHIFT = "name: 值班组, shifts: [{members: [duty-a]}]"
NIGHT = SHIFT.replace("[duty-a]", "[duty-a], start: '20:00', end: '08:00'")
DAY = "{members: [duty-a], start: '08:00', end: '20:00'}"


@pytest.mark.parametrize(("changes", "said"), [
    ({"subjects_polling": TERMS.replace("2027-12-31", "2026-12-01")},
     "expires-soon subjects/polling.yml:5:10: expires: 主题 polling（投票地点）9 天后到期，之后不再匹配；负责人：选办。"
     " 要继续就改 expires"),
    ({"subjects_polling": TERMS + "groups: [其他, 人工上报]\n",
      "sources": GOOD["sources.yml"].replace("id: news", "id: news, enabled: false")},
     "group-without-source subjects/polling.yml:7:10: groups[0]: 分组“其他”里没有启用的来源，从它那里什么也不会匹配。"
     " 启用一个来源，或改 groups"),
    ({"subjects_polling": TERMS + "active: {end: 2026-11-21}\n"},
     "active-over subjects/polling.yml:7:9: active: 主题 polling 只在 2026-11-21 以前匹配，已经过了。"
     " 改 active.end，或写 status: retired"),
    ({"subjects_polling": TERMS.replace("投票站", "/投票.*站/")},
     "looks-like-a-regex subjects/polling.yml:6:9: terms[0]: “/投票.*站/”按普通的词找，斜杠也要出现。"
     " 要用正则就写 {regex: '…'}"),
    ({"subjects_polling": TERMS + "exclude: [打榜，粉丝投票]\n"},
     "looks-like-a-list subjects/polling.yml:7:11: exclude[0]: “打榜，粉丝投票”是一个词，其中的逗号或顿号也要出现。"
     " 几个词用英文逗号分开，或每行写一个"),
    ({"words_venue": GOOD["words/venue.yml"].replace("礼堂", "“礼堂”")},
     "looks-quoted words/venue.yml:3:13: words[1]: ““礼堂””的引号也是词的一部分，也要出现。 删去引号，或改用英文引号"),
    ({"channels": GOOD["channels.yml"] + "  - {id: spare, type: console}\n"},
     "channel-unused channels.yml:3:5: channels[1]: 没有人用通道 spare。 写进 roster.yml 里某人的 channels，或删去"),
    ({"roster": SPARE},
     "team-never-told roster.yml:4:5: teams[0]: 没有路由通知班组 spare（备班）。 写进 routes.yml 的 tell，或删去"),
    ({"roster": ROSTER.replace("teams:", "  - {id: b, name: 乙, channels: [console]}\nteams:")},
     "person-never-told roster.yml:3:5: people[1]: 没有什么会通知到 乙。 排进班次，或写进 routes.yml 的 tell"),
    ({"roster": ROSTER.replace(SHIFT, NIGHT)},
     "gap-in-shifts roster.yml:4:35: teams[0].shifts: 班组 duty（值班组）每周有 84 小时没有人值班，"
     "那时改为通知 duty-a。 补上班次；有意这样就不用改"),
    ({"routes": GOOD["routes.yml"] + "  - {id: more, levels: [较大], steps: [{tell: [ops]}]}\n"},
     "route-never-reached routes.yml:4:5: routes[1]: 路由 more 用不到：前面的 all 已经适用于它的全部情形。"
     " 移到前面，或删去"),
    ({"sources": GOOD["sources.yml"] + GOOD["sources.yml"].split("\n", 1)[1].replace("id: news", "id: again")},
     "same-address sources.yml:3:34: sources[1].url: 来源 again 和 news 的地址相同，同样的内容会采两遍。 删去一个"),
    ({"sources": "# 还没有\n"}, "no-sources sources.yml:1:1: 还没有来源，什么也不会采集。 在 sources: 里写订阅地址"),
])
def test_what_is_allowed_and_hardly_meant_is_said_with_its_place(changes: dict[str, str], said: str) -> None:
    assert said in warned(**changes)


def test_a_night_shift_over_midnight_fills_the_hours_the_day_shift_leaves() -> None:
    assert warned(roster=ROSTER.replace(SHIFT, NIGHT.replace("}]", f"}}, {DAY}]"))) == []


def test_a_book_that_came_without_its_files_is_warned_of_by_file() -> None:
    book = parse_book({**GOOD, "sources.yml": MANY, "subjects/polling.yml": TERMS.replace("2027", "2025")}, ZONE)
    assert [(each.file, each.line, each.severity) for each in warnings(book, TODAY)] == [
        ("subjects/polling.yml", 1, "warning")]


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    for name, text in {**GOOD, "sources.yml": MANY}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def spoil(rules: Path) -> None:
    (rules / "channels.yml").write_text("channels:\n  - {id: a b, type: console}\n", "utf-8")


def alarm(rules: Path) -> None:
    (rules / "sources.yml").write_text("# 还没有\n", "utf-8")


@pytest.mark.parametrize(("change", "options", "code"), [
    (None, [], 0), (None, ["--strict"], 0), (alarm, [], 0), (alarm, ["--strict"], 3), (spoil, [], 1),
    (spoil, ["--strict"], 1),
])
@pytest.mark.parametrize("form", ["text", "json", "github"])
def test_errors_are_1_and_warnings_3_where_strict(rules: Path, change: object, options: list[str], code: int,
                                                  form: str) -> None:
    if callable(change):
        change(rules)
    assert main(["rules", "check", str(rules), "--format", form, *options]) == code


def test_text_says_warnings_after_what_was_read(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alarm(rules)
    main(["rules", "check", str(rules)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("规则没有问题：0 个来源，1 个主题，1 个词表，2 个级别")
    assert lines[1].startswith("提醒：sources.yml:1:1: 还没有来源")


def test_json_has_errors_and_warnings_apart(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alarm(rules)
    main(["rules", "check", str(rules), "--format", "json"])
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] and told["problems"] == [] and told["counts"]["subjects"] == 1
    assert [(each["file"], each["line"], each["code"], each["severity"]) for each in told["warnings"]] == [
        ("sources.yml", 1, "no-sources", "warning")]
    spoil(rules)
    main(["rules", "check", str(rules), "--format", "json"])
    told = json.loads(capsys.readouterr().out)
    assert not told["ok"] and told["problems"][0] | {"file": "channels.yml", "line": 2, "column": 10} == (
        told["problems"][0])


def test_a_workflow_shows_both_beside_the_files(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alarm(rules)
    main(["rules", "check", str(rules), "--format", "github"])
    assert capsys.readouterr().out.startswith(f"::warning file={rules}/sources.yml,line=1,col=1")
    spoil(rules)
    main(["rules", "check", str(rules), "--format", "github"])
    out = capsys.readouterr().out
    assert out.startswith(f"::error file={rules}/channels.yml,line=2,col=10") and out.count("\n") == 1


def test_a_file_in_gbk_is_refused_by_name_and_the_others_are_named_too(rules: Path,
                                                                      capsys: pytest.CaptureFixture[str]) -> None:
    (rules / "subjects" / "polling.yml").write_bytes(TERMS.encode("gbk"))
    (rules / "words" / "venue.yml").write_bytes(b"\xef\xbb\xbf" + GOOD["words/venue.yml"].encode())
    assert main(["rules", "check", str(rules)]) == 1
    (rules / "levels.yml").write_text(GOOD["levels.yml"].replace("items: 3", "items: 三"), "utf-8")
    (rules / "routes.yml").write_text(GOOD["routes.yml"] + "  - {id: b, subjects: [polling], steps: []}\n", "utf-8")
    assert main(["rules", "check", str(rules)]) == 1
    said = capsys.readouterr().err
    lines = [line.split(" ")[0] for line in said.split("共 1 处要改。\n")[1].splitlines()]
    assert lines == ["levels.yml:4:20:", "routes.yml:4:41:", "subjects/polling.yml:2:1:", "共"]
    assert "subjects/polling.yml:2:1: 文件是 GBK 编码，不是 UTF-8。" in said and "words/venue.yml" not in said
