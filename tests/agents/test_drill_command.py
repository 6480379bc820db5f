"""`wenxun drill run|list|score|end`, as a user types them, with a stream that is played by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from agents.clock import Clock
from agents.commands import drills
from agents.desk import drill_commands
from agents.desk.commands import Accepted, Order, read_command
from agents.desk.sender import unsent
from agents.store import drill_reads, schema
from agents.store.projection import Entry, project
from pipeline.model import (
    Ack,
    AlertState,
    Delivery,
    DeliveryStatus,
    Escalation,
    EventHead,
    RawBatch,
    Tick,
)
from pipeline.replay import Input, replay
from pipeline.rulebook.drills import read_drill
from pipeline.rulebook.schema import MINUTE
from pipeline.topics import EVENTS, ITEMS_RAW
from tests.agents import acting_kit
from tests.agents import store_fakes as fakes
from tests.agents.acting_kit import Place
from tests.builders import book
from tests.desk import seed

place = acting_kit.place
TEXT = """
id: rumour
title: 投票提前截止
owner: 监测组
reason: 试
sources: [{id: a, name: 演练甲}, {id: b, name: 演练乙}, {id: c, name: 演练丙}, {id: d, name: 演练丁}]
items:
  - {at: 0s, sources: [a, b, c, d], title: 投票站几点关门, text: 听说投票站提前关门, times: 10, every: 1s}
targets: {event: 1m, levels: {较大: 1m}, page: 1m, ack: 5m}
"""


@pytest.fixture
def script(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(drills, "FIRST_SECONDS", 0.0)
    fast = Clock(seed.NOW, Clock().now(), 600.0)
    monkeypatch.setattr(Clock, "parse", lambda text: fast)
    project(place.engine, [Entry(book(), seed.NOW)])
    path = tmp_path / "rumour.yml"
    path.write_text(TEXT, "utf-8")
    return path


def begun(at: Place) -> tuple[drill_reads.Run, list[Any]]:
    """A run whose items were sent, and what the stream made of them."""
    order = Order("", "局长", seed.NOW, seed.NOW)
    run = drill_commands.begin(at.engine, order, read_drill("rumour.yml", TEXT, book()))
    from pipeline.drill import turns

    for number, turn in enumerate(turns(run.drill)):
        drill_commands.send(at.engine, Order("", "局长", seed.NOW + turn.at, seed.NOW), run, number, turn)
    batches = [read_command(row.type, row.record) for row in at.commands()]
    inputs = [Input(ITEMS_RAW, each) for each in batches if isinstance(each, RawBatch)]
    decided = list(replay([*inputs, Input(EVENTS, Tick(at=seed.NOW + MINUTE))], book()))
    project(at.engine, [Entry(each, seed.NOW) for each in [*batches, *decided]])
    return run, decided


def answered(at: Place, decided: list[Any], acked: int) -> None:
    page = next(each for each in decided if isinstance(each, Escalation))
    state = next(each for each in decided if isinstance(each, AlertState))
    project(at.engine, [Entry(each, seed.NOW) for each in (
        Delivery(id="d1", escalation_id=page.id, event_id=page.event_id, person="duty-a", channel="console",
                 status=DeliveryStatus.CONFIRMED, attempts=1, at=page.at + 3000, decided_at=page.at),
        Ack(id="k1", event_id=page.event_id, alert_id=state.alert_id, by="局长", at=page.at + acked))])


def test_a_run_is_scored_by_what_the_archive_has(place: Place) -> None:
    run, decided = begun(place)
    assert "✗" not in place.run("drill", "score", run.id)[1], "its time is not over"
    answered(place, decided, 2 * MINUTE)
    status, text = place.run("drill", "score", run.id[:8])
    assert (status, text.splitlines()[0].split("（")[1]) == (0, f"{run.id[:8]}，目标 4 项，做到 4 项）"), text
    assert "✓ 首条到形成事件  2 秒，做到（目标 1 分钟）" in text and "✓ 送达到确认" in text
    sheet = place.json("drill", "score", run.id)
    assert sheet["met"] and [line["took_ms"] for line in sheet["lines"]] == [2000, 9000, 3000, 2 * MINUTE - 3000]


def test_a_target_that_was_missed_is_said_and_makes_the_status_1(place: Place) -> None:
    run, decided = begun(place)
    answered(place, decided, 9 * MINUTE)
    status, text = place.run("drill", "score", run.id)
    assert status == 1 and "✗ 送达到确认  8 分钟 57 秒，超过（目标 5 分钟）" in text


def test_what_a_drill_makes_is_in_no_list_and_ends_with_it(place: Place) -> None:
    before = place.run("event", "list")[1]
    run, decided = begun(place)
    assert place.run("event", "list")[1] == before
    number = next(each.short for each in decided if isinstance(each, EventHead) and each.number)
    assert number.startswith("D-") and number in place.run("event", "list", "--drills")[1]
    status, text = place.run("drill", "end", run.id[:6])
    assert (status, text) == (0, f"演练 {run.id[:8]} 已结束，关闭 1 个演练事件。")
    closing = [read_command(row.type, row.record) for row in place.commands() if row.record][-1]
    assert closing.reason == "其他：演练结束" and closing.key.startswith("!")  # type: ignore[union-attr]
    assert "已结束" in place.run("drill", "list")[1]
    assert [action for _, action, _ in place.audit() if action in ("drill.begin", "drill.end", "event.close")] == [
        "drill.begin", "drill.end", "event.close"]


def test_a_run_sends_its_items_says_that_no_desk_runs_and_closes_up(place: Place, script: Path) -> None:
    status, text = place.run("drill", "run", str(script), "--yes", "--wait", "1m")
    assert status == 1 and "没有在运行" in text and "✗ 首条到形成事件  没有发生" in text
    assert len(place.commands()) == 10 and "匹配主题：投票时间地点；10 条、4 个来源，持续 9 秒" in text


def test_what_the_stream_never_got_pages_nobody_when_the_desk_comes_back(place: Place, script: Path) -> None:
    place.run("drill", "run", str(script), "--yes", "--wait", "1m")
    with place.engine.connect() as connection:
        said = connection.execute(schema.audit.select().where(schema.audit.c.action == "drill.end")).one().detail
    assert unsent(place.engine) == [] and "；10 条没有发出的条目作废" in said


def test_a_run_that_somebody_else_ends_sends_no_more_items(
    place: Place, script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = drill_commands.send

    def watched(engine: Engine, order: Order, run: drill_reads.Run, number: int, turn: Any) -> Accepted:
        if number == 3:
            drill_commands.end(engine, order, run)
        return send(engine, order, run, number, turn)

    monkeypatch.setattr(drill_commands, "send", watched)
    status, text = place.run("drill", "run", str(script), "--yes")
    assert status == 1 and "演练已经结束，不再发出条目。" in text and text.count("  条目  ") == 3
    assert [action for _, action, _ in place.audit()].count("drill.end") == 1


@pytest.mark.parametrize(("words", "says"), [
    (("run", "nosuch"), "没有演练 nosuch"), (("score", "abc"), "没有演练 abc"), (("end", ""), "没有演练"),
    (("run", "bad.yml", "--yes"), "没有写任何目标"), (("run", "dull.yml", "--yes"), "不匹配任何主题"),
    (("run", "rumour.yml"), "--yes"), (("run", "rumour.yml", "--yes", "--wait", "soon"), "--wait soon"),
    (("run", "rumour.yml", "--yes", "--as", "nobody"), "没有可用的账号 nobody")])
def test_what_cannot_be_played_says_why(
    place: Place, script: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], says: str,
) -> None:
    monkeypatch.chdir(script.parent)
    Path("bad.yml").write_text(TEXT.partition("targets:")[0] + "targets: {}\n", "utf-8")
    Path("dull.yml").write_text(TEXT.replace("投票站", "停车场"), "utf-8")
    status, text = place.run("drill", *words)
    assert status == 2 and says in text and place.commands() == []


def test_drills_survive_a_migration(place: Place) -> None:
    begun(place)
    with place.engine.connect() as connection:
        assert [one.drill.id for one in drill_reads.runs(connection)] == ["rumour"]
    assert fakes.rows(place.engine, "drills")[0]["by"] == "局长"
