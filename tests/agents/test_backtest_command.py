"""`wenxun rules backtest` as an operator uses it: what it says, what it refuses, its exit codes."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, update

from agents.cli import main
from agents.rule_files import load_book, starter_dir
from agents.store import schema
from agents.store.history_reads import Slice, contents, counts, marked_events, size, slices
from pipeline.model import Counts, CountsBatch, CountsRow, MemberRow, RawItem, Verdict, VerdictKind
from pipeline.rulebook.schema import DAY, HOUR, MINUTE
from tests import messages
from tests.agents.store_fakes import new_store, put
from tests.builders import NOON, raw_batch, raw_item

ZONE = "Asia/Shanghai"
Run = Callable[..., tuple[int, str, str]]
SPAN = ("--since", "2026-11-20", "--until", "2026-12-01")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Rules as they are live and as a candidate, and an archive that has the live ones."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WENXUN_DATA_DIR", str(tmp_path / "data"))
    for name in ("live", "candidate"):
        shutil.copytree(starter_dir(), tmp_path / name)
    return tmp_path


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*args: str) -> tuple[int, str, str]:
        code = main(["rules", "backtest", "--rules", str(folder / "candidate"), "--jobs", "1", *args])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def items(words: str = "投票站几点关门", count: int = 6, prefix: str = "a") -> list[RawItem]:
    return [raw_item(f"{prefix}{n}", source_id=f"s{n}", title=f"南门{words}", text="", first_seen_at=NOON + n * MINUTE,
                     published_at=NOON + n * MINUTE) for n in range(count)]


def archive(folder: Path, *records: Any) -> Engine:
    engine = new_store(folder / "data")
    put(engine, load_book(folder / "live", ZONE), *records)
    return engine


def verdict(kind: VerdictKind, event_id: str = "e1", **changes: Any) -> Verdict:
    values: dict[str, Any] = {
        "id": f"v{kind}", "subject": "polling-place", "kind": kind, "by": "值班员", "at": NOON + HOUR,
        "event_id": event_id, **changes}
    return Verdict(**values)


def head(*joined: str, **changes: Any) -> Any:
    rows = tuple(MemberRow(item, NOON, "o", 0, ()) for item in joined)
    values: dict[str, Any] = {"subject": "polling-place", "title": "南门投票站几点关门", "opened_at": NOON,
                              "last_item_at": NOON + HOUR, "joined": rows, **changes}
    return messages.head("e1", **values)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def without_the_event(folder: Path) -> None:
    """The candidate no longer wants anything about closing."""
    path = folder / "candidate" / "subjects" / "polling-place.yml"
    path.write_text(path.read_text("utf-8").split("\nexclude:")[0] + "\nexclude: [关门]\n", "utf-8")


def jsonl(path: Path, rows: list[RawItem]) -> Path:
    path.write_text("".join(json.dumps(
        {"source": each.source_id, "title": each.title, "at": each.first_seen_at}, ensure_ascii=False) + "\n"
        for each in rows), "utf-8")
    return path


# ---------------------------------------------------------------- what it says


def test_the_same_rules_change_nothing(folder: Path, run: Run) -> None:
    archive(folder, raw_batch(*items()))
    code, out, _ = run(*SPAN)
    assert code == 0
    assert "条目 6 条" in out and "两边是同一个规则版本" in out and "可以上线" in out
    assert "开放主题 *）不在内" in out and "--open" in out
    assert "新增 " not in out.split("合计")[1]


def test_a_lost_event_is_named_with_what_it_was(folder: Path, run: Run) -> None:
    archive(folder, raw_batch(*items()))
    without_the_event(folder)
    code, out, _ = run(*SPAN)
    assert code == 0, "nobody said that it is relevant"
    assert "消失 1 个事件" in out and "《南门投票站几点关门》" in out and "6 → 0" in out
    assert "还没有人判定过" in out


def test_a_lost_event_that_people_called_relevant_is_not_recommended(folder: Path, run: Run) -> None:
    archive(folder, raw_batch(*items()), head("a1", "a2", number=1), verdict(VerdictKind.RELEVANT))
    without_the_event(folder)
    code, out, _ = run(*SPAN)
    assert code == 3
    assert "不建议上线" in out and "丢了 1 个有人判定为相关的事件" in out and "有人判定为相关" in out
    code, out, _ = run(*SPAN, "--json")
    told = json.loads(out)
    assert code == 3 and told["recommended"] is False
    assert [each["title"] for each in told["refused"]] == ["南门投票站几点关门"]


def test_the_last_verdict_counts(folder: Path, run: Run) -> None:
    engine = archive(folder, raw_batch(*items()), head("a1", "a2", number=1), verdict(VerdictKind.RELEVANT))
    put(engine, verdict(VerdictKind.DUPLICATE, at=NOON + 2 * HOUR))
    without_the_event(folder)
    assert run(*SPAN)[0] == 0


def test_a_subject_people_had_enough_of_gets_no_louder_unsaid(folder: Path, run: Run) -> None:
    archive(folder, raw_batch(*items(), *items("停水了怎么办", prefix="b")), head("a1", number=1),
            verdict(VerdictKind.NOT_RELEVANT))
    edit(folder / "candidate" / "subjects" / "polling-place.yml", "terms:\n", "terms:\n  - 停水\n")
    code, out, _ = run(*SPAN)
    assert code == 0 and "更吵" in out and "判定为不相关" in out
    assert "新增 1 个事件" in out and "＋" in out


def test_json_has_everything_and_is_the_same_each_time(folder: Path, run: Run) -> None:
    archive(folder, raw_batch(*items()))
    without_the_event(folder)
    code, out, _ = run(*SPAN, "--json")
    told = json.loads(out)
    rule, = told["rules"]
    assert code == 0 and rule["subject"] == "polling-place" and rule["matches"] == [6, 0]
    assert [each["kind"] for each in told["events"]] == ["lost"]
    assert sum(day["live"] for day in told["days"]) == sum(rate["first"] for rate in told["pages"][0]) > 0
    assert run(*SPAN, "--json")[1] == out


def test_the_open_subject_is_there_when_asked_for(folder: Path, run: Run) -> None:
    archive(folder, raw_batch(*items("停水了怎么办", 9)))
    assert "两边都没有匹配到任何条目" in run(*SPAN)[1]
    out = run(*SPAN, "--open")[1]
    assert "开放主题 *" in out and "不在内" not in out


# ---------------------------------------------------------------- files


def test_files_of_every_form_say_the_same(folder: Path, run: Run) -> None:
    rows = items()
    plain = jsonl(folder / "items.jsonl", rows)
    with gzip.open(folder / "items.jsonl.gz", "wb") as packed:
        packed.write(plain.read_bytes())
    with (folder / "items.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["at", "source", "title", "text"])
        writer.writerows([each.first_seen_at, each.source_id, each.title, ""] for each in rows)
    without_the_event(folder)
    told = []
    for name in ("items.jsonl", "items.jsonl.gz", "items.csv"):
        code, out, _ = run("--items", str(folder / name), "--against", str(folder / "live"), "--json")
        assert code == 0
        told.append({key: value for key, value in json.loads(out).items() if key != "history"})
    assert told[0] == told[1] == told[2]
    assert told[0]["items"] == 6 and [each["kind"] for each in told[0]["events"]] == ["lost"]


@pytest.mark.parametrize(("name", "body", "said"), [
    ("x.jsonl", '{"source": "a", "title": "b", "at": 1795320000000}\n{"source": "a"\n', "x.jsonl:2: 不是 JSON"),
    ("x.jsonl", '\n{"title": "b", "at": 1795320000000}\n', "x.jsonl:2: 需要 source 和 title"),
    ("x.jsonl", '{"source": "a", "title": "b", "at": "昨天"}\n', "x.jsonl:1: 时间 '昨天'"),
    ("x.jsonl", "[1]\n", "x.jsonl:1: 应为一个 JSON 对象"),
    ("x.csv", "时间,来源\n1,2\n", "x.csv:1: 首行应是列名"),
    ("x.csv", "source,at,title\na,1795320000000,b\na,1795320000000\n", "x.csv:3: 有 2 列，首行有 3 列"),
    ("x.jsonl.gz", "not packed", "x.jsonl.gz: 无法读取"),
    ("x.jsonl", "\n", "没有条目"),
])
def test_a_bad_file_says_where_and_what(folder: Path, run: Run, name: str, body: str, said: str) -> None:
    (folder / name).write_text(body, "utf-8")
    code, _, err = run("--items", str(folder / name), "--against", str(folder / "live"))
    assert code == 1 and said in err


@pytest.mark.parametrize("name", ["x.jsonl.gz", "x.csv.gz"])
def test_a_small_packed_file_of_one_endless_line_is_not_unpacked_whole(folder: Path, run: Run, name: str) -> None:
    with gzip.open(folder / name, "wb") as file:
        file.write(b"source,at,title\n" if ".csv" in name else b"")
        file.write(bytes([97]) * (5 << 20))
    code, _, err = run("--items", str(folder / name), "--against", str(folder / "live"))
    assert code == 1 and f"{name}: 有一行超过 2 MiB" in err


def test_only_the_span_of_a_file_counts(folder: Path, run: Run) -> None:
    path = jsonl(folder / "items.jsonl", items())
    against = ("--items", str(path), "--against", str(folder / "live"), "--json")
    code, out, _ = run(*against, "--since", "2026-11-22T12:02", "--until", "2026-11-22T12:04")
    assert code == 0 and json.loads(out)["items"] == 2


# ---------------------------------------------------------------- what cannot be done


def test_texts_past_their_retention_are_said(folder: Path, run: Run) -> None:
    engine = archive(folder, raw_batch(*items()))
    forget = update(schema.items).values(title="", text="", expired=True)
    with engine.begin() as connection:
        connection.execute(forget.where(schema.items.c.id.in_(["a0", "a1"])))
    code, out, _ = run(*SPAN)
    assert code == 0 and "6 条条目里有 2 条已过文字保存期" in out and "条目 4 条" in out
    with engine.begin() as connection:
        connection.execute(forget)
    code, _, err = run(*SPAN)
    assert code == 1 and "6 条条目都已过文字保存期" in err


@pytest.mark.parametrize(("args", "said"), [
    (("--since", "昨天"), "应写成 30d"),
    (("--since", "2026-12-01", "--until", "2026-11-01"), "--since 应早于 --until"),
    (("--since", "2020-01-01", "--until", "2020-02-01"), "没有条目"),
    (("--against", "ffff"), "没有以 ffff 开头的规则版本"),
    (("--against", "nowhere"), "没有这个规则目录"),
    (("--items", "nowhere.jsonl"), "没有这个文件"),
])
def test_what_is_asked_wrongly_is_said(folder: Path, run: Run, args: tuple[str, ...], said: str) -> None:
    archive(folder, raw_batch(*items()))
    code, _, err = run(*args)
    assert code == 1 and said in err


@pytest.mark.sqlite
def test_without_an_archive_it_says_what_else_there_is(folder: Path, run: Run) -> None:
    code, _, err = run()
    assert code == 1 and "--items" in err and "--against" in err
    assert not (folder / "data").exists(), "nothing is made by looking"


def test_a_broken_candidate_is_told_as_check_tells_it(folder: Path, run: Run) -> None:
    archive(folder, raw_batch(*items()))
    edit(folder / "candidate" / "subjects" / "polling-place.yml", "threshold: 1", "treshold: 1")
    code, _, err = run(*SPAN)
    assert code == 1 and "subjects/polling-place.yml:" in err and "threshold" in err


def test_a_version_of_the_archive_can_be_the_other_side(folder: Path, run: Run) -> None:
    archive(folder, raw_batch(*items()))
    version = load_book(folder / "live", ZONE).hash
    code, out, _ = run(*SPAN, "--against", version[:6], "--json")
    assert code == 0 and json.loads(out)["live"]["hash"] == version


# ---------------------------------------------------------------- reading history


def test_history_has_every_content_of_an_item_at_its_time(tmp_path: Path) -> None:
    engine = new_store(tmp_path)
    first = raw_item("a1", title="一", first_seen_at=NOON)
    second = raw_item("a1", title="二", revision="2" * 16, first_seen_at=NOON + HOUR)
    third = raw_item("a1", title="三", revision="3" * 16, first_seen_at=NOON + 2 * HOUR)
    early = raw_item("b1", title="早", first_seen_at=NOON - DAY)
    late = raw_item("b1", title="改", revision="4" * 16, first_seen_at=NOON + MINUTE)
    put(engine, *(raw_batch(each) for each in (first, second, third, early, late, raw_item("c1"))))
    put(engine, CountsBatch(source_id="xinwen", at=NOON + 5, items=(CountsRow("a1", NOON + 5, Counts(likes=3)),)))
    with engine.connect() as connection:
        parts = list(slices(connection, NOON, NOON + DAY, 1))
        found = sorted((item.first_seen_at - NOON, item.title) for part in parts for item in contents(connection, part))
        grown = [(each.at - NOON, each.items[0].item_id) for part in parts for each in counts(connection, part)]
        assert size(connection, NOON, NOON + DAY) == (2, 0)
    assert found == [(0, "一"), (0, "投票站几点关门"), (MINUTE, "改"), (HOUR, "二"), (2 * HOUR, "三")]
    assert grown == [(5, "a1")]


def test_slices_lose_and_repeat_nothing(tmp_path: Path) -> None:
    engine = new_store(tmp_path)
    put(engine, raw_batch(*(raw_item(f"i{n}", first_seen_at=NOON + n // 3) for n in range(50))))
    with engine.connect() as connection:
        parts = list(slices(connection, NOON, NOON + DAY, 4))
        found = [item.id for part in parts for item in contents(connection, part)]
    assert len(parts) > 5 and sorted(found) == sorted(f"i{n}" for n in range(50))
    assert parts[0] == Slice(NOON, NOON + DAY, NOON + DAY, earlier=True)


def test_verdicts_are_those_of_events_of_the_span(tmp_path: Path) -> None:
    engine = new_store(tmp_path)
    put(engine, head("a1", "a2", number=1), verdict(VerdictKind.RELEVANT))
    with engine.connect() as connection:
        marked, = marked_events(connection, NOON, NOON + DAY)
        assert (marked.event_id, marked.kind, marked.items) == ("e1", "relevant", frozenset({"a1", "a2"}))
        assert marked_events(connection, NOON + DAY, NOON + 2 * DAY) == []
