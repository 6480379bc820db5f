"""`wenxun rules explain` on a text, and on items and events as the archive has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from agents.cli import main
from pipeline import topics
from pipeline.model import Counts, CountsBatch, CountsRow, EventHead, RawBatch, RawItem, Tick
from pipeline.replay import Input, Replay
from pipeline.rulebook.parse import parse_book
from pipeline.rulebook.schema import HOUR, MINUTE, RuleBook
from tests.agents.store_fakes import new_store, put
from tests.builders import NOON, raw_item
from tests.rules.test_parse import GOOD, ZONE

FILES = {
    **GOOD,
    "subjects/polling.yml": "id: polling\ntitle: 投票地点\nowner: 选办\nreason: 群众要知道\nexpires: 2027-12-31\n"
                            "threshold: 1\nterms: [投票站, {text: 投票, weight: 0.6}, {text: 关门, weight: 0.3}]\n"
                            "match: {all: [投票, {none: [比赛]}]}\nexclude: [打榜]\n",
    "levels.yml": "ladder:\n"
                  "  - {name: 一般, response: 三级响应, enter: {items: 3, sources: 2, window: 1h}}\n"
                  "  - name: 较大\n    response: 二级响应\n    enter:\n"
                  "      - {items: 10, sources: 4, window: 2h}\n"
                  "      - {growth: 500, window: 3h}\n",
}
BOOK: RuleBook = parse_book(FILES, ZONE)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "rules" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return tmp_path / "rules"


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """What the archive has of an event of four items and three sources, one of which grew."""
    monkeypatch.setenv("WENXUN_DATA_DIR", str(tmp_path / "data"))
    store = new_store(tmp_path / "data")
    put(store, BOOK)
    flow = Replay(BOOK, 1)
    for number in range(4):
        item = raw_item(
            f"{number:020x}", source_id=f"s{number % 3}", title="城东投票站提前关门了", text="谁知道怎么回事？",
            first_seen_at=NOON + number * MINUTE, published_at=NOON + number * MINUTE,
            counts=Counts(comments=10) if not number else None)
        _record(store, flow, RawBatch(source_id=item.source_id, polled_at=item.first_seen_at, items=(item,)))
    later = CountsRow(f"{0:020x}", NOON + 30 * MINUTE, Counts(comments=210))
    _record(store, flow, CountsBatch(source_id="s0", at=later.at, items=(later,)))
    return store


def _record(store: Engine, flow: Replay, record: RawBatch | CountsBatch) -> None:
    put(store, record)
    if isinstance(record, RawBatch):
        put(store, *(batch for _, batch in flow.score(record)))
    heads = [each for each in flow.feed(Input(topics.ITEMS_RAW, record)) if isinstance(each, EventHead)]
    if heads:
        put(store, *heads)


def explain(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert main(["rules", "explain", *options]) == 0
    return capsys.readouterr().out


def explain_json(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(explain(capsys, *options, "--json"))
    return found


# ---------------------------------------------------------------- texts


@pytest.mark.parametrize(("options", "said"), [
    (["--title", "投票站关门"],
     ["标题  【投票站关门】", "✓ polling 投票地点  权重 1.9，门槛 1", "✓ 投票站  1  标题“投票站”"]),
    (["--text", "去投票，要关门了"],
     ["✗ polling", "没有匹配：权重合计 0.9，门槛 1，还差 0.1", "没有出现：投票站", "正文“关门”"]),
    (["--text", "投票站打榜"], ["没有匹配：出现了排除词“打榜”", "✗ 排除 打榜  正文“打榜”"]),
    (["--text", "投票站比赛"], ["没有匹配：条件（match）不成立", "✗ 条件", "✓ 投票（正文）", "✗ 一个都不出现："]),
    (["--text", "投票站", "--at", "2028-01-01T00:00:00"], ["规则已于 2027-12-31 到期"]),
    (["--text", "今天天气好"], ["没有一个主题的词出现在这段文字里", "--subject 编号", "匹配 0 个"]),
    (["--text", "今天天气好", "--subject", "polling"], ["✗ polling", "没有一个词出现"]),
    (["--text", "坏！去哪里投票？"], ["情感  负面", "提问  是"]),
    (["--text", "投票站", "--source", "news"], ["来源  县新闻网（其他）"]),
    (["--text", "投票站", "--source", "none"], ["没有写，或规则里没有这个来源"]),
    (["--text", "投票​站\x1b[31m\n关门"], ["正文  【投票·站】·[31m 【关门】"]),
])
def test_a_text_is_explained(
    options: list[str], said: list[str], rules: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    out = explain(capsys, "--rules", str(rules), *options)
    assert [each for each in said if each not in out] == [], out


def test_words_that_stand_otherwise_than_a_rule_wants_are_named_with_what_is_wrong(
        rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (rules / "subjects" / "bus.yml").write_text(
        "id: bus\ntitle: 接送车停开\nowner: 选办\nreason: 群众要知道\nexpires: never\nthreshold: 1\n"
        "terms:\n  - near: {words: [接送车, 停开], ordered: true, within: 5}\n", "utf-8")
    base = ("--rules", str(rules), "--text")
    out = explain(capsys, *base, "停开的是食堂，接送车照常")
    assert "没有匹配：“接送车…停开”的词都出现了，但先后不对" in out
    assert "接送车 在正文第 8 字；停开 在正文第 1 字" in out
    assert "没有出现" not in out and "没有一个" not in out
    assert "相隔 6 个字，超过 5" in explain(capsys, *base, "接送车因为下雪全部停开")
    missing = explain(capsys, *base, "接送车照常", "--subject", "bus")
    assert "没有匹配：没有一个词出现" not in missing and "“接送车…停开”缺“停开”：接送车 在正文第 1 字" in missing
    (rule,) = explain_json(capsys, *base, "停开的是食堂，接送车照常")["rules"]
    assert rule["terms"][0]["near"]["why"] == ["order"]


def test_a_long_text_is_cut_and_says_how_long_it_is(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = explain(capsys, "--rules", str(rules), "--text", "前" * 700 + "投票站")
    assert "（共 703 字）" in out and "✓ 投票站" in out


def test_a_text_as_json_has_every_pattern_with_its_places(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = explain_json(capsys, "--rules", str(rules), "--title", "投票站", "--text", "关门")
    rule = found["rules"][0]
    assert (rule["subject"], rule["matched"], rule["weight"]) == ("polling", True, 1.9)
    assert [(term["name"], [(each["field"], each["start"], each["end"]) for each in term["places"]])
            for term in rule["terms"]] == [("投票站", [("title", 0, 3)]), ("投票", [("title", 0, 2)]),
                                           ("关门", [("text", 0, 2)])]
    assert found["book"] == BOOK.hash


@pytest.mark.parametrize(("options", "said"), [
    ([], "写 --text（可加 --title）、--item 或 --event 中的一种"),
    (["--text", "投票", "--item", "x"], "中的一种"),
    (["--text", "投票", "--at", "昨天"], "时间 '昨天' 应写成"),
    (["--text", "投票", "--subject", "poling"], "没有主题 poling。有：polling"),
])
def test_what_cannot_be_explained_says_what_to_write(
    options: list[str], said: str, rules: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["rules", "explain", "--rules", str(rules), *options]) == 2
    assert said in capsys.readouterr().err


def test_rules_that_cannot_be_used_are_told_as_check_does(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (rules / "subjects" / "polling.yml").write_text("id: polling\n", "utf-8")
    assert main(["rules", "explain", "--rules", str(rules), "--text", "投票"]) == 1
    assert "subjects/polling.yml:1:1: 缺少字段 title" in capsys.readouterr().err


# ---------------------------------------------------------------- items and events of the archive


def test_an_item_is_explained_by_the_rules_it_was_seen_with(
    archive: Engine, capsys: pytest.CaptureFixture[str],
) -> None:
    out = explain(capsys, "--item", f"{2:020x}")
    assert "标题  城东【投票站】提前【关门】了" in out and BOOK.hash in out


def test_other_rules_can_be_asked_for(archive: Engine, rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (rules / "subjects" / "polling.yml").write_text(
        FILES["subjects/polling.yml"].replace("[打榜]", "[提前]"), "utf-8")
    out = explain(capsys, "--item", f"{2:020x}", "--rules", str(rules))
    assert "出现了排除词“提前”" in out and BOOK.hash not in out


def test_an_event_says_every_factor_and_what_is_missing(archive: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    at = "2026-11-22T12:40:00"
    out = explain(capsys, "--event", "E-0001", "--at", at)
    for said in ("E-0001  《城东投票站提前关门了》", "级别  一般，最高 一般，处置中", "✓ 一般（三级响应）  ← 现在",
                 "✓ 条数 4 条，要 3 条", "✗ 较大（二级响应）", "✗ 条数 4 条，要 10 条，还差 6 条", "或 3 小时内",
                 "还差 300 次", "离较大："):
        assert said in out, out
    assert "✗ 独立来源 3 个，要 4 个，还差 1 个" in out, out
    found = explain_json(capsys, "--event", "1", "--at", at)
    ways = found["levels"][1]["ways"]
    assert [[(each["name"], each["value"], each["missing"]) for each in way["factors"]] for way in ways] == [
        [("items", 4, 6), ("sources", 3, 1)], [("growth", 200, 300), ("growth_sources", 1, 0)]]


def test_figures_are_of_the_time_that_is_asked_for(archive: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    early = explain_json(capsys, "--event", "1", "--at", "2026-11-22T12:01:00")
    late = explain_json(capsys, "--event", "1", "--at", "2026-11-22T14:30:00")
    assert [each["levels"][0]["ways"][0]["factors"][0]["value"] for each in (early, late)] == [2, 0]


def test_a_book_that_is_not_kept_any_more_is_told(
    archive: Engine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:
    from sqlalchemy import update

    from agents.store import schema
    with archive.begin() as connection:
        connection.execute(update(schema.books).values(hash="f" * 16))
    out = explain(capsys, "--item", f"{2:020x}")
    assert f"存档里没有当时的规则 {BOOK.hash}，按最新的规则" in out


@pytest.mark.parametrize(("options", "said"), [
    (["--item", "none"], "存档里没有条目 none"), (["--event", "E-0009"], "存档里没有事件 E-0009"),
])
def test_what_the_archive_does_not_have_is_named(
    archive: Engine, options: list[str], said: str, capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["rules", "explain", *options]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.sqlite                                     # an archive is a file
def test_without_an_archive_none_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WENXUN_DATA_DIR", str(tmp_path / "none"))
    assert main(["rules", "explain", "--event", "1"]) == 2
    assert "没有存档" in capsys.readouterr().err and not (tmp_path / "none").exists()


# ---------------------------------------------------------------- explained as it was decided


def test_the_figures_are_those_that_the_level_was_decided_on() -> None:
    """At the moment of a decision, what explain counts is what the tracker counted."""
    from pipeline.explain import explain_event
    from pipeline.model import WarmEvent

    flow, rows, seen = Replay(BOOK, 1), {}, 0
    items: list[RawItem] = [
        raw_item(f"{number:020x}", source_id=f"s{number % 5}", title="城东投票站提前关门了", text="",
                 first_seen_at=NOON + number * 7 * MINUTE, published_at=NOON + number * 7 * MINUTE)
        for number in range(14)]
    for item in items:
        batch = RawBatch(source_id=item.source_id, polled_at=item.first_seen_at, items=(item,))
        for head in (each for each in flow.feed(Input(topics.ITEMS_RAW, batch)) if isinstance(each, EventHead)):
            rows.update({row.item_id: row for row in head.joined})
            found = explain_event(WarmEvent(head=head, rows=tuple(rows.values())), BOOK, head.changed_at)
            if head.level and head.decision.at == head.changed_at:
                way = next(way for way in found.levels[head.level - 1].ways if way.reached)
                assert [(each.name, each.value, each.need) for each in way.factors] == [
                    (each.name, each.value, each.need) for each in head.decision.evidence.factors]
                seen += 1
            assert (found.next.rank if found.next else 3) == head.level + 1
    assert seen == 2, "一般 and 较大 were reached"
    tick = Tick(at=NOON + 9 * HOUR)
    heads = [each for each in flow.feed(Input(topics.ITEMS_SCORED, tick)) if isinstance(each, EventHead)]
    assert heads and all(not any(level.reached for level in explain_event(
        WarmEvent(head=head, rows=tuple(rows.values())), BOOK, tick.at).levels) for head in heads)


def test_an_event_of_a_shadow_rule_is_explained_by_the_levels_it_is_judged_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WENXUN_DATA_DIR", str(tmp_path / "data"))
    own = "overrides: [{subject: polling, enter: {一般: {items: 2, sources: 2, window: 1h}}}]\n"
    files = {**FILES, "levels.yml": FILES["levels.yml"] + own,
             "subjects/polling.yml": FILES["subjects/polling.yml"] + "status: shadow\n"}
    shadow, store = parse_book(files, ZONE), new_store(tmp_path / "data")
    put(store, shadow)
    flow = Replay(shadow, 1)
    for number in range(3):
        item = raw_item(f"{number:020x}", source_id=f"s{number}", title="城东投票站提前关门了", text="",
                        first_seen_at=NOON + number * MINUTE, published_at=NOON + number * MINUTE)
        _record(store, flow, RawBatch(source_id=item.source_id, polled_at=item.first_seen_at, items=(item,)))
    out = explain(capsys, "--event", "S-0001", "--at", "2026-11-22T12:03:00")
    for said in ("S-0001  《城东投票站提前关门了》", "主题  ~polling 投票地点", "✓ 条数 3 条，要 2 条",
                 "这个主题到不了这一级：overrides 没有写它", "已经是这个主题能到的最高级别"):
        assert said in out, out
