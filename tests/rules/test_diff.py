"""What differs between two rule books, in words and in effect; and the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents.cli import main
from pipeline.effect import Comparison
from pipeline.rulebook.diff import Kind, changes
from pipeline.rulebook.parse import parse_book
from pipeline.rulebook.schema import MINUTE, RuleBook
from tests.agents.store_fakes import new_store, put
from tests.builders import NOON, raw_item
from tests.rules.test_parse import GOOD, ZONE

FILES = {
    **GOOD,
    "subjects/polling.yml": "id: polling\ntitle: 投票地点\nowner: 选办\nreason: 群众要知道\nexpires: 2027-12-31\n"
                            "terms: [投票站, {text: 投票, weight: 0.6}]\nexclude: [打榜]\n",
}
BOOK = parse_book(FILES, ZONE)
CASE = "cases:\n  - name: 三条\n    items:\n      - {source: 甲, title: 投票站搬了, repeat: {times: 3, sources: 2}}\n"


def edited(file: str, old: str, new: str) -> RuleBook:
    assert old in FILES[file]
    return parse_book({**FILES, file: FILES[file].replace(old, new)}, ZONE)


def said(after: RuleBook, before: RuleBook = BOOK) -> list[str]:
    return [f"{each.file} {each}" for each in changes(before, after)]


@pytest.mark.parametrize(("file", "old", "new", "line"), [
    ("subjects/polling.yml", "title: 投票地点", "title: 投票站", "主题 polling（投票站）：名称 投票地点 → 投票站"),
    ("subjects/polling.yml", "2027-12-31", "never", "主题 polling（投票地点）：到期日 2027-12-31 → never"),
    ("subjects/polling.yml", "terms: [投票站,", "terms: [投票站, 搬迁,", "主题 polling（投票地点）：词增加 搬迁"),
    ("subjects/polling.yml", ", {text: 投票, weight: 0.6}]", "]", "主题 polling（投票地点）：词删去 投票"),
    ("subjects/polling.yml", "weight: 0.6", "weight: 0.8", "主题 polling（投票地点）：词“投票”的权重 0.6 → 0.8"),
    ("subjects/polling.yml", "exclude: [打榜]", "exclude: []", "主题 polling（投票地点）：排除词删去 打榜"),
    ("subjects/polling.yml", "exclude:", "threshold: 0.6\nexclude:", "主题 polling（投票地点）：门槛 1 → 0.6"),
    ("subjects/polling.yml", "exclude:", "status: shadow\nexclude:", "主题 polling（投票地点）：状态 live → shadow"),
    ("subjects/polling.yml", "exclude:", "impact: 3\nexclude:", "主题 polling（投票地点）：影响程度 1 → 3"),
    ("subjects/polling.yml", "exclude:", "scope: [title]\nexclude:", "看的字段 title、text → title"),
    ("subjects/polling.yml", "exclude:", "match: {all: [投票, {none: [比赛]}]}\nexclude:",
     "主题 polling（投票地点）：条件 没有 → 全部（投票、都不（比赛））"),
    ("subjects/polling.yml", "[投票站,", "[{near: {words: [投票, 关门], within: 8, ordered: true}},",
     "主题 polling（投票地点）：词增加 投票…关门（8 字内、按先后）"),
    ("subjects/polling.yml", "[投票站,", "[{text: 投票站, word: true},", "词增加 投票站（整词）"),
    ("levels.yml", "items: 3,", "items: 4,", "级别 一般：进入门槛 1h 内 3 条、2 个来源 → 1h 内 4 条、2 个来源"),
    ("levels.yml", "enter: {items: 3, sources: 2, window: 1h}",
     "enter: [{items: 3, sources: 2, window: 1h}, {growth: 500, window: 2h}]\n    hold: 45m",
     "级别 一般：保持时间 30m → 45m"),
    ("levels.yml", "ladder:",
     "overrides: [{subject: polling, enter: {较大: {items: 5, sources: 2, window: 1h}}}]\nladder:",
     "新增 另用的阈值 polling"),
    ("levels.yml", "ladder:", "events: {calm_after: 6h, similarity: 0.4}\nladder:", "levels.yml 平息时间 1d → 6h"),
    ("roster.yml", "name: 值班员", "name: 夜班", "人员 duty-a（夜班）：名称 值班员 → 夜班"),
    ("roster.yml", "{id: ops, name: 运维, shifts: [{members: [duty-a]}]}",
     "{id: ops, name: 运维, shifts: [{members: [duty-a], start: '20:00', end: '08:00'}]}",
     "班组 ops（运维）：班次 值班 duty-a → 值班 duty-a，从 20:00，到 08:00"),
    ("routes.yml", "id: all\n", "id: all\n    repeat: 10m\n", "路由 all：重复间隔 0 → 10m"),
    ("routes.yml", "[{tell: [duty]}]", "[{tell: [duty]}, {tell: [ops], after: 15m}]",
     "路由 all：步骤 通知 duty → 通知 duty；通知 ops，晚 15m"),
    ("routes.yml", "id: all\n", "id: all\n    until: 1d\n    lead: ops\n", "路由 all：期限 0 → 1d"),
    ("routes.yml", "id: all\n", "id: all\n    lead: ops\n", "路由 all：牵头 没有 → ops"),
    ("routes.yml", "[{tell: [duty]}]", "[{tell: [duty], channels: [console]}]",
     "路由 all：步骤 通知 duty → 通知 duty，通道 console"),
    ("routes.yml", "routes:", "quiet: [{levels: [一般], hours: '22:00-07:00'}]\nroutes:",
     "安静时段 没有 → 适用级别 一般，时段 22:00-07:00"),
    ("routes.yml", "routes:", "budget: {一般: 5}\nroutes:", "预算 没有 → 一般 5"),
    ("levels.yml", "ladder:", "clocks: [{id: a, name: 回应, within: 5h, start_level: 一般}]\nladder:",
     "新增 时钟 a（回应）"),
    ("roster.yml", "fallback: duty-a",
     "fallback: duty-a\noverrides: [{date: 2026-12-01, team: ops, members: [duty-a]}]",
     "新增 换班 2026-12-01 ops 00:00"),
    ("roster.yml", "name: 值班员", "name: 值班员, mobile: '13800000000'",
     "人员 duty-a（值班员）：手机号 没有 → 13800000000"),
    ("roster.yml", "{id: ops, name: 运维, shifts: [{members: [duty-a]}]}",
     "{id: ops, name: 运维, shifts: [{members: [duty-a], calendar: workday, rotate: 7d, since: 2026-11-02}]}",
     "班次 值班 duty-a → 值班 duty-a，日历 workday，每人轮 7d，轮班起始日 2026-11-02"),
    ("sources.yml", "name: 县新闻网", "name: 县新闻网, region: 石桥镇", "来源 news（县新闻网）：地区 没有 → 石桥镇"),
    ("subjects/polling.yml", "exclude:", "team: ops\nexclude:", "主题 polling（投票地点）：归属班组 没有 → ops"),
    ("channels.yml", "channels:", "heartbeat: {url_file: secrets/beat.url, every: 2m}\nchannels:", "心跳 没有 → "),
    ("sentiment.yml", "好: 1", "好: 2", "sentiment.yml 词“好”的权重 1 → 2"),
    ("sources.yml", "name: 县新闻网", "name: 县新闻网, interval: 10m", "来源 news（县新闻网）：采集间隔 5m → 10m"),
    ("channels.yml", "{id: console, type: console}",
     "{id: console, type: console}\n  - {id: hook, type: webhook, url_file: a}", "新增 通道 hook"),
])
def test_a_change_is_said_in_words(file: str, old: str, new: str, line: str) -> None:
    found = said(edited(file, old, new))
    assert any(line in each for each in found), found
    assert all(each.startswith(file) for each in found)


def test_a_clock_is_told_field_by_field() -> None:
    levels = FILES["levels.yml"] + "clocks: [{id: a, name: 回应, within: 5h, start_level: 一般}]\n"
    before = parse_book({**FILES, "levels.yml": levels}, ZONE)
    after = parse_book({**FILES, "levels.yml": levels.replace("within: 5h", "within: 6h, levels: {较大: 3h}")}, ZONE)
    assert said(after, before) == ["levels.yml 时钟 a（回应）：时限 5h → 6h",
                                   "levels.yml 时钟 a（回应）：较大 的时限 没有 → 3h"]


def test_the_same_book_differs_in_nothing_and_any_other_in_something() -> None:
    assert changes(BOOK, parse_book(dict(reversed(FILES.items())), ZONE)) == []
    assert said(msgspec.structs.replace(BOOK, timezone="UTC")) == ["WENXUN_TIMEZONE 时区 Asia/Shanghai → UTC"]


def test_there_and_back_are_mirrored() -> None:
    more = parse_book({**FILES, "subjects/b.yml": FILES["subjects/polling.yml"].replace("polling", "b")}, ZONE)
    assert [(each.kind, each.file, each.entry) for each in changes(BOOK, more)] == [
        (Kind.ADDED, "subjects/b.yml", "主题 b（投票地点）")]
    assert [(each.kind, each.entry) for each in changes(more, BOOK)] == [(Kind.REMOVED, "主题 b（投票地点）")]


def test_the_order_of_routes_counts() -> None:
    two = "routes:\n  - {id: a, levels: [一般], steps: [{tell: [duty]}]}\n  - {id: b, steps: [{tell: [duty]}]}\n"
    turned = "routes:\n  - {id: b, steps: [{tell: [duty]}]}\n  - {id: a, levels: [一般], steps: [{tell: [duty]}]}\n"
    before, after = (parse_book({**FILES, "routes.yml": each}, ZONE) for each in (two, turned))
    assert said(after, before) == ["routes.yml 路由的顺序 a、b → b、a"]


def test_many_words_are_counted() -> None:
    words = "、".join(f"词{number:02d}" for number in range(12))
    many = edited("subjects/polling.yml", "[投票站,", "[投票站, " + ", ".join(f"词{n:02d}" for n in range(20)) + ",")
    assert said(many) == [f"subjects/polling.yml 主题 polling（投票地点）：词增加 {words} 等 20 个"]


# ---------------------------------------------------------------- in effect


def play(before: RuleBook, after: RuleBook, title: str = "投票站搬了", times: int = 3) -> Comparison:
    comparison = Comparison(before, after)
    comparison.play([raw_item(f"{number:020x}", source_id=f"s{number % 2}", title=title, text="",
                              first_seen_at=NOON + number * MINUTE, published_at=NOON + number * MINUTE)
                     for number in range(times)])
    return comparison


def test_items_that_match_otherwise_and_events_of_another_level_are_found() -> None:
    effect = play(BOOK, edited("subjects/polling.yml", "[打榜]", "[搬了]")).effect
    assert [(each.before, each.after) for each in effect.matches] == [(("polling",), ())] * 3
    assert {(each.subject, each.before, each.after) for each in effect.events} == {
        ("polling", "一般", ""), ("*", "", "一般")}
    assert effect.items == 3 and not effect.none


def test_thresholds_change_levels_and_pages_and_no_match() -> None:
    effect = play(BOOK, edited("levels.yml", "items: 3,", "items: 4,")).effect
    assert effect.matches == [] and effect.pages == (2, 0), "told, and that nobody answered"
    assert [(each.before, each.after, each.items) for each in effect.events] == [("一般", "", 3)]


def test_a_change_that_these_items_do_not_meet_has_no_effect() -> None:
    effect = play(BOOK, edited("subjects/polling.yml", "[打榜]", "[比赛]")).effect
    assert effect.none and effect.items == 3 and effect.pages == (2, 2)


# ---------------------------------------------------------------- the command


def write(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return str(root)


@pytest.fixture
def both(tmp_path: Path) -> tuple[str, str]:
    """Two directories, the second of which excludes what its case is about."""
    new = FILES["subjects/polling.yml"].replace("[打榜]", "[搬了]")
    return write(tmp_path / "a", FILES), write(
        tmp_path / "b", {**FILES, "subjects/polling.yml": new, "tests/a.test.yml": CASE})


def told(capsys: pytest.CaptureFixture[str], *options: str, code: int = 0) -> str:
    assert main(["rules", "diff", *options]) == code
    return capsys.readouterr().out


def test_words_and_effect_are_printed(both: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    out = told(capsys, *both)
    assert "subjects/polling.yml\n  主题 polling（投票地点）：排除词增加 搬了\n" in out
    assert "对 3 条内容的效果\n  不再匹配 polling  《投票站搬了》 3 条" in out
    assert "级别 一般 → 未达级  polling  3 条" in out


def test_exit_code_tells_only_when_asked(both: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    told(capsys, *both, "--exit-code", code=1)
    assert "规则内容相同" in told(capsys, both[0], both[0], "--exit-code")


def test_machines_get_all_of_it(both: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    found: dict[str, Any] = json.loads(told(capsys, *both, "--json"))
    assert found["same"] is False and found["changes"][0]["after"] == "搬了"
    assert len(found["effect"]["matches"]) == 3 and found["effect"]["pages"] == [1, 1]


def test_items_of_a_file_are_played(both: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [json.dumps({"source": f"s{n}", "title": "城西投票站又搬了", "at": f"2026-11-22T09:{n:02d}:00"})
             for n in range(5)]
    (tmp_path / "items.jsonl").write_text("\n".join(lines), "utf-8")
    out = told(capsys, *both, "--items", str(tmp_path / "items.jsonl"))
    assert "对 8 条内容的效果" in out and "《城西投票站又搬了》 5 条" in out


def test_titles_say_nothing_to_a_terminal_or_a_workflow(
    both: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    title = "城西投票站\x1b[2J又搬了\n::error::x"
    lines = [json.dumps({"source": f"s{n}", "title": title, "at": f"2026-11-22T09:0{n}:00"}) for n in range(5)]
    path = tmp_path / "items.jsonl"
    path.write_text("\n".join(lines), "utf-8")
    out = told(capsys, *both, "--items", str(path))
    assert "《城西投票站·[2J又搬了 ::error::x》 5 条" in out
    options = ["--against", both[0], "--rules", both[1], "--items", str(path), "--jobs", "1"]
    assert main(["rules", "backtest", *options]) == 0
    out += capsys.readouterr().out
    assert "投票地点 polling：城西投票站·[2J又搬了 ::error::x" in out and "\x1b" not in out and "\n::" not in out


def test_shipped_is_the_starter_rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path / "own")]) == 0
    capsys.readouterr()
    assert "规则内容相同" in told(capsys, "--shipped", str(tmp_path / "own"), "--exit-code")


def test_a_hash_is_looked_up_in_the_archive(
    both: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WENXUN_DATA_DIR", str(tmp_path / "data"))
    put(new_store(tmp_path / "data"), BOOK)
    assert "排除词增加 搬了" in told(capsys, BOOK.hash[:6], both[1])
    assert main(["rules", "diff", "0" * 16, both[1]]) == 2
    assert "存档里没有规则 0000000000000000" in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["a", "b", "c"]])
def test_two_sides_are_wanted(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "diff", *options]) == 2
    assert "要比较两份规则" in capsys.readouterr().err


def test_a_side_that_cannot_be_used_says_why(both: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "diff", both[0], "no-such-folder"]) == 1
    assert "没有这个规则目录" in capsys.readouterr().err
