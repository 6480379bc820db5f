"""`wenxun silence add|list|expire`, as a user types them."""

from __future__ import annotations

import pytest

from agents.desk.commands import read_command
from agents.store.projection import Entry, project
from pipeline.model import Silence
from pipeline.rulebook.schema import HOUR
from tests.agents import acting_kit
from tests.agents.acting_kit import Place
from tests.desk import seed

ADD = ("silence", "add", "--for", "2h", "--reason", "供水检修")

place = acting_kit.place


def records(at: Place) -> list[Silence]:
    found = [read_command(row.type, row.record) for row in at.commands()]
    return [each for each in found if isinstance(each, Silence)]


def test_a_silence_is_added_listed_and_ended(place: Place) -> None:
    status, text = place.run(*ADD, "--subject", "polling", "--level", "一般", "--level", "较大")
    assert status == 0 and text.startswith("已提交静默 2h（局长）。") and "没有在运行" in text
    one, = records(place)
    assert (one.subjects, one.levels, one.owner, one.by, one.ends_at - one.starts_at) == (
        ("polling",), ("一般", "较大"), "局长", "局长", 2 * HOUR)
    status, text = place.run("silence", "list")
    assert text == f"主题 polling；级别 一般、较大，到 05:12；供水检修；负责人 局长（编号 {one.id[:6]}）"
    assert place.json("silence", "list")["silences"][0]["id"] == one.id
    assert place.run("silence", "expire", one.id[:6])[0] == 0
    assert place.run("silence", "list") == (0, "没有生效的静默。")
    assert "已结束" in place.run("silence", "list", "--all")[1]
    assert place.json("silence", "list", "--all")["silences"][0]["active"] is False
    status, text = place.run("silence", "expire", one.id)
    assert status == 2 and "已经结束" in text
    assert [action for _, action, _ in place.audit() if action.startswith("silence.")] == [
        "silence.add", "silence.expire"]


def test_a_silence_of_an_event_is_told_by_its_number(place: Place) -> None:
    assert place.run(*ADD, "--event", "E-0317", "--owner", "李敏", "--even-highest")[0] == 0
    assert place.run("silence", "list")[1].startswith("事件 E-0317，到 05:12；供水检修；负责人 李敏")
    project(place.engine, [Entry(each, seed.NOW) for each in records(place)])
    assert "静默了这个事件 2 小时：供水检修" in place.run("event", "show", "E-0317")[1]


@pytest.mark.parametrize(("words", "said"), [
    (("--event", "E-0317"), "最高级别“重大”"), (("--level", "重大"), "最高级别“重大”"),
    (("--level", "特大"), "没有级别 特大"),
    (("--subject", "polling", "--level", "一般", "--for", "40d"), "30 天"), (("--for", "tomorrow"), "--for tomorrow"),
    (("--even-highest",), "至少写一个条件"), (("--event", "E-0999", "--even-highest"), "没有事件 E-0999"),
    (("--level", "一般", "--reason", " "), "请写静默的原因")])
def test_what_cannot_be_silenced_says_what_to_write(place: Place, words: tuple[str, ...], said: str) -> None:
    status, text = place.run(*ADD, *words)
    assert status == 2 and said in text and place.commands() == []


def test_a_silence_that_is_not_there_is_named(place: Place) -> None:
    status, text = place.run("silence", "expire", "abcdef")
    assert status == 2 and "没有静默 abcdef" in text and "wenxun silence list" in text
