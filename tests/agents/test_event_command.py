"""`wenxun event list|show|ack|snooze|close|comment|handover|statement`, as a user types them."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path

import pytest

from agents import cli
from agents.desk.commands import read_command
from agents.desk.sender import CommandSender
from agents.store.projection import Entry, project
from pipeline.model import Ack, Close, Comment, EventStatus, HandOver, Snooze, Statement
from pipeline.rulebook.schema import HOUR, MINUTE
from tests.agents import acting_kit
from tests.agents import store_fakes as fakes
from tests.agents.acting_kit import Place
from tests.desk import seed
from tests.desk.conftest import Broker

place = acting_kit.place


def archive(at: Place, *records: object) -> None:
    project(at.engine, [Entry(each, seed.NOW) for each in records])


def decoded(at: Place, kind: type) -> list[object]:
    found = [read_command(row.type, row.record) for row in at.commands()]
    return [each for each in found if isinstance(each, kind)]


# ---------------------------------------------------------------- acting


def test_every_act_is_a_command_in_the_name_of_an_account(place: Place) -> None:
    place.account("李敏", "duty")
    ref = "E-0317"
    said = [place.run(*words, "--as", "李敏") for words in (
        ("event", "ack", ref, "--note", "已联系"), ("event", "snooze", "E-0319", "--for", "30m"),
        ("event", "comment", ref, "已电话联系"), ("event", "handover", ref, "--to", "领导小组", "--note", "换班"),
        ("event", "statement", ref, "--url", "https://gonggao.example/88", "--at", "2026-11-22 03:00"),
        ("event", "close", "E-0318", "--reason", "重复"))]
    assert [status for status, _ in said] == [0] * 6
    kinds = (Ack, Snooze, Comment, HandOver, Statement, Close)
    records = [decoded(place, kind) for kind in kinds]
    assert [len(each) for each in records] == [1] * 6
    assert {(each.by, getattr(each, "via", "cli")) for found in records for each in found} == {  # type: ignore[attr-defined]
        ("李敏", "cli")}
    assert [action for account, action, _ in place.audit() if account == "李敏"] == [
        "alert.ack", "alert.snooze", "event.comment", "alert.hand_over", "event.statement", "event.close"]
    assert said[0][1].startswith("E-0317：已提交确认，不再通知下一位（李敏）。")


def test_without_a_running_desk_the_command_waits_and_says_so(place: Place) -> None:
    status, text = place.run("event", "ack", "E-0317")
    assert status == 0 and "值班台（desk）没有在运行" in text and "自动送出" in text and "（局长）" in text
    again = place.json("event", "ack", "E-0317")
    assert (again["repeated"], again["sent"], again["by"]) == (True, False, "局长")


def test_with_a_running_desk_the_command_is_sent_while_one_looks(
        place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    broker, stop = Broker(), threading.Event()

    async def desk() -> None:
        running = asyncio.create_task(CommandSender(place.engine, broker.open, retry_seconds=0.02).run())
        while not stop.is_set():
            await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    thread = threading.Thread(target=lambda: asyncio.run(desk()))
    thread.start()
    try:
        assert cli.main(["event", "comment", "E-0317", "在看", "--wait", "60", "--format", "json"]) == 0
    finally:
        stop.set()
        thread.join()
    assert json.loads(capsys.readouterr().out)["sent"] is True
    assert [type(record) for _, _, record in broker.sent] == [Comment]


@pytest.mark.parametrize(("words", "said"), [
    (("ack", "E-0999"), "没有事件 E-0999"),
    (("ack", "E-0318"), "E-0318：李敏 已经确认了这次提醒（6 分钟前），升级已停止。"),
    (("ack", "E-0317", "--alert", "0" * 20), "级别已变为重大"), (("ack", "E-0311"), "还没有发出提醒"),
    (("snooze", "E-0317", "--for", "soon"), "--for soon：时长写作 30m、2h 或 1d"),
    (("snooze", "E-0317", "--for", "3d"), "1 分钟到 24 小时"),
    (("close", "E-0317", "--reason", "烦"), "关闭原因要选一个"),
    (("close", "E-0317", "--reason", "其他"), "请写明原因"),
    (("handover", "E-0317", "--to", "nobody"), "leaders（领导小组）"), (("comment", "E-0317", " "), "请写备注的内容"),
    (("statement", "E-0317"), "请写回应的网址"), (("statement", "E-0317", "--url", "gonggao"), "http://"),
    (("statement", "E-0317", "--title", "答复", "--at", "昨天"), "--at 昨天"),
    (("statement", "E-0317", "--reject"), "--item"), (("statement", "E-0317", "--item", "x", "--title", "y"), "--item"),
    (("statement", "E-0317", "--item", "0" * 20), "不在这个事件里")])
def test_what_makes_no_sense_is_said_in_plain_words(place: Place, words: tuple[str, ...], said: str) -> None:
    status, text = place.run("event", *words)
    assert status == 2 and said in text and place.commands() == []


def test_an_event_long_closed_takes_no_ack_and_says_who_closed_it(place: Place) -> None:
    seed.put_event(place.engine, seed.head(320, 0, status=EventStatus.CLOSED, closed_by="王强", closed_reason="重复"))
    status, text = place.run("event", "ack", "E-0320")
    assert status == 2 and "王强" in text and "重复" in text


def test_a_proposed_item_is_confirmed_or_rejected(place: Place) -> None:
    proposed = place.json("event", "show", "E-0317")["proposals"][0]["item_id"]
    assert place.run("event", "statement", "E-0317", "--item", proposed, "--reject")[0] == 0
    assert place.run("event", "statement", "E-0317", "--item", proposed)[0] == 0
    assert [(each.rejected, each.item_id) for each in decoded(place, Statement)] == [  # type: ignore[attr-defined]
        (True, proposed), (False, proposed)]


# ---------------------------------------------------------------- in whose name


def test_with_several_admins_somebody_has_to_be_named(place: Place) -> None:
    place.account("主任", "admin")
    status, text = place.run("event", "ack", "E-0317")
    assert status == 2 and "--as" in text and "主任" in text and "局长" in text
    assert place.run("event", "ack", "E-0317", "--as", "主任")[0] == 0


@pytest.mark.parametrize(("name", "said"), [
    ("nobody", "没有可用的账号 nobody"), ("离任", "没有可用的账号 离任"), ("看客", "“只读”，不能处置事件")])
def test_an_account_that_may_not_act_is_refused(place: Place, name: str, said: str) -> None:
    place.account("看客", "viewer")
    place.account("离任", "duty", disabled=True)
    status, text = place.run("event", "ack", "E-0317", "--as", name)
    assert status == 2 and said in text and "局长" in text and place.commands() == []


@pytest.mark.sqlite
def test_without_an_archive_the_folder_is_named(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WENXUN_DATA_DIR", str(tmp_path / "none"))
    for words in (["event", "list"], ["event", "ack", "E-1"], ["silence", "list"], ["handover"]):
        assert cli.main(words) == 2 and str(tmp_path / "none") in capsys.readouterr().err
    assert not (tmp_path / "none").exists(), "looking makes no archive"


# ---------------------------------------------------------------- looking


def test_open_events_are_listed_with_their_alerts_and_the_clock_that_is_due_first(place: Place) -> None:
    one = seed.head(317)
    archive(place, fakes.clocks(1, fakes.clock(started_at=seed.NOW - HOUR, due_at=seed.NOW + 4 * HOUR),
                                fakes.clock("reply", name="答复", due_at=seed.NOW + 40 * HOUR), event_id=one.id))
    status, text = place.run("event", "list")
    lines = text.splitlines()
    assert status == 0 and [line[:6] for line in lines] == ["E-0317", "E-0318", "E-0319"]
    assert "待确认，已通知 值班组，12 分钟前提醒；首次权威回应 还剩 4 小时（07:12 到期）" in lines[0]
    every = place.json("event", "list", "--all")["events"]
    assert [each["number"] for each in every if each["status"] == "calm"] == ["E-0311"]
    assert next(each for each in every if each["number"] == "E-0317")["clocks"][0]["id"] == "answer"
    assert ("cli", "events.read", "events") in place.audit()


def test_drills_are_listed_only_when_asked_for(place: Place) -> None:
    assert place.run("event", "list", "--drills") == (0, "没有演练的事件。")
    archive(place, seed.head(3, id="d" * 20, subject="!polling"))
    assert "D-0003" not in place.run("event", "list", "--all")[1]
    assert place.run("event", "list", "--drills")[1].startswith("D-0003")
    assert place.run("event", "show", "D-0003")[1].startswith("【演练】D-0003")


def test_one_event_is_shown_with_clocks_statements_proposals_deliveries_and_timeline(place: Place) -> None:
    one = seed.head(317)
    said = fakes.statement(event_id=one.id, at=seed.NOW - 2 * MINUTE, by="王强", title="县选举办答复 @all")
    stopped = fakes.clock(started_at=seed.NOW - 2 * HOUR, due_at=seed.NOW + HOUR, stopped_at=seed.NOW - 2 * MINUTE,
                          stopped_by="王强", stopped_why="statement", ref="st1")
    archive(place, said, fakes.clocks(2, stopped, event_id=one.id))
    place.account("李敏", "duty")
    status, text = place.run("event", "show", "317", "--as", "李敏")
    assert status == 0 and text.startswith("E-0317 重大 网传城东投票站下午三点关门（41 条，9 个来源）；待确认")
    for part in ("时限 首次权威回应 已完成（03:10 王强 登记了官方回应）",
                 "官方回应 县选举办答复 ＠all http://gonggao.example/88（王强", "待确认的官方内容 关于投票时间的说明",
                 "编号 " + "f" * 20, "已通知 值班员甲", "未能送达", "时间线", "提醒编号 "):
        assert part in text
    assert ("李敏", "event.read", "E-0317") in place.audit()
    shown = place.json("event", "show", "317")
    assert shown["number"] == "E-0317" and shown["clocks"][0]["stopped_by"] == "王强"
    assert [each["id"] for each in shown["statements"]] == ["st1"]
    assert place.run("event", "show", "E-0999")[0] == 2


def test_a_long_timeline_is_cut_unless_all_of_it_is_asked_for(place: Place) -> None:
    one = seed.head(317)
    archive(place, *(Comment(id=f"c{n}", event_id=one.id, by="李敏", at=seed.NOW + n, text=f"第 {n} 次")
                     for n in range(60)))
    short, whole = place.run("event", "show", "317")[1], place.run("event", "show", "317", "--all")[1]
    assert "时间线（最近 40 条，共 67 条）" in short and "第 3 次" not in short and "第 59 次" in short
    assert "第 3 次" in whole and "最近" not in whole
