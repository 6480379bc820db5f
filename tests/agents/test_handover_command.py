"""`wenxun handover`, as a user types it."""

from __future__ import annotations

from agents.store.projection import Entry, project
from pipeline.rulebook.schema import HOUR
from tests.agents import acting_kit
from tests.agents import store_fakes as fakes
from tests.agents.acting_kit import Place
from tests.desk import seed

place = acting_kit.place


def test_a_hand_over_is_text_for_a_chat(place: Place) -> None:
    one = seed.head(317)
    project(place.engine, [Entry(fakes.clocks(
        1, fakes.clock(started_at=seed.NOW - HOUR, due_at=seed.NOW + 4 * HOUR), event_id=one.id), seed.NOW)])
    place.run("silence", "add", "--for", "2h", "--reason", "供水检修", "--level", "一般")
    status, text = place.run("handover", "--since", "20:00")
    assert status == 0
    for part in ("交接班 2026-11-22 03:12，含 11-21 20:00 以来", "【处置中的事件 3 件，其中 2 件待确认】",
                 "- E-0317 重大", "【时限 1 个在计时】", "首次权威回应 还剩 4 小时（07:12 到期）", "【静默 1 个生效】",
                 "供水检修；负责人 局长", "【听不到的来源 1 个】", "- 青禾日报：",
                 "【本班平息或关闭 1 件】", "有 1 条操作还没有发出"):
        assert part in text
    assert ("cli", "handover.read", "handover") in place.audit()


def test_for_scripts_it_is_json_with_the_same_text(place: Place) -> None:
    place.account("李敏", "duty")
    found = place.json("handover", "--as", "李敏")
    assert found["since"] == seed.NOW - 12 * HOUR and found["unanswered"] == ["E-0317", "E-0319"]
    assert found["text"].startswith("交接班 ") and [each["id"] for each in found["blind"]] == ["ribao"]
    assert ("李敏", "handover.read", "handover") in place.audit()


def test_a_since_that_is_none_says_how_to_write_it(place: Place) -> None:
    status, text = place.run("handover", "--since", "shift")
    assert status == 2 and "--since shift" in text and "20:00" in text
    assert place.run("handover", "--as", "nobody")[0] == 2
