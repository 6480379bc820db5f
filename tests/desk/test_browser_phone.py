"""On-call's way from a message to an answer in a real browser the size of a phone, without JavaScript."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.store import schema
from pipeline import codec
from pipeline.model import Ack, AlertStatus, Comment, EventHead, Excerpt, HandOver, Snooze
from tests.desk import phone_kit, seed
from tests.desk.conftest import PASSWORD, make_stand
from tests.desk.phone_kit import ACCOUNT
from tests.desk.test_browser import Served, browser, overflow, pytestmark

__all__ = ["browser", "pytestmark"]
WIDTH, HEIGHT = 390, 844
LONG = "https://bbs.example/" + "forum.php?mod=viewthread&tid=2&" * 6


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    stand = make_stand(tmp_path, book=phone_kit.book())
    stand.account(ACCOUNT)
    stand.account("李敏")
    with Served(stand) as running:
        yield running


def busy(served: Served, **changes: Any) -> EventHead:
    """An event with clocks, what others did and an official item that was proposed."""
    said = Excerpt("5" * 20, "关于投票时间的说明：各投票站均开放至晚上八点", "", "县政府公告", LONG, seed.NOW - 240_000,
                   official=True)
    stand = served.stand
    one = phone_kit.waiting(stand, statements=(said,), **changes)
    seed.put_clocks(stand.engine, one, seed.clock(minutes_ago=200), seed.clock("briefing", 24), seed.clock("reply", 48))
    seed.put_line(stand.engine, one, "comment", 9, codec_comment(one))
    return one


def codec_comment(of: EventHead) -> Comment:
    return Comment(id="c" * 20, event_id=of.id, by="王强", at=seed.NOW - 540_000, text="已请县选举办核实，等回电")


def open_link(browser: Any, served: Served, path: str, **options: Any) -> tuple[Any, list[str]]:
    """The page of a link on a phone without JavaScript, and what its console complained of."""
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, locale="zh-CN",
                                  java_script_enabled=False, **options)
    page = context.new_page()
    page.set_default_timeout(60_000)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: None if request.url.startswith(served.url) else complaints.append(request.url))
    page.goto(served.url + path)
    return page, complaints


def decided(served: Served) -> list[Any]:
    return [codec.decode_as(codec.TYPES[row.type], row.record.encode()) for row in served.stand.rows(schema.commands)]


def test_from_the_message_to_an_answer_with_one_thumb(browser: Any, served: Served) -> None:
    one = busy(served)
    page, complaints = open_link(browser, served, phone_kit.link(served.stand, one))
    assert page.title().startswith("E-0317 重大") and "值班员甲" in page.inner_text(".who-line")
    for words in ("首次权威回应", "为什么是重大", "已请县选举办核实", "疑似官方信息，待确认", "青禾论坛"):
        assert words in page.inner_text("main"), words
    button = page.locator("button.primary")
    place = button.bounding_box()
    assert place is not None and place["height"] >= 48 and place["y"] + place["height"] < HEIGHT, "without scrolling"
    page.fill("#note", "已联系县选举办")
    button.click()
    page.wait_for_selector("text=已提交确认，升级将停止。")
    assert page.locator("button.primary").count() == 0
    done, = decided(served)
    assert isinstance(done, Ack) and (done.by, done.note, done.via) == (ACCOUNT, "已联系县选举办", "link")
    assert complaints == []
    page.context.close()


def test_the_other_answers_are_a_touch_away(browser: Any, served: Served) -> None:
    one = busy(served)
    page, complaints = open_link(browser, served, phone_kit.link(served.stand, one))
    page.click("button:has-text('1 小时')")
    page.wait_for_selector("text=已提交暂缓。")
    page.click("summary:has-text('转交')")
    page.select_option("#to", label="领导小组")
    page.fill("#to-note", "请领导定")
    page.click("button:has-text('对方会马上收到提醒')")
    page.wait_for_selector("text=已提交转交")
    page.click("summary:has-text('判错了')")
    page.check("input[value=wrong_level]")
    page.click("button:has-text('提交') >> visible=true")       # the browser itself asks for the reason
    assert len(decided(served)) == 2
    page.fill("#because", "只有一家在转")
    page.click("button:has-text('提交') >> visible=true")
    page.wait_for_selector("text=已记下：判错了")
    kinds = [type(each) for each in decided(served)]
    assert kinds[:2] == [Snooze, HandOver] and len(kinds) == 3 and complaints == []
    page.context.close()


def test_a_group_link_signs_in_once_and_comes_back(browser: Any, served: Served) -> None:
    one = busy(served)
    path = phone_kit.link(served.stand, one, "")
    page, complaints = open_link(browser, served, path)
    page.fill("#name", "李敏")
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_selector("text=已登录：李敏")
    assert page.url == served.url + path
    page.click("button.primary")
    page.wait_for_selector("text=已提交确认，升级将停止。")
    page.goto(served.url + path)
    assert "已登录：李敏" in page.inner_text(".who-line")
    assert [each.by for each in decided(served)] == ["李敏"] and complaints == []
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_state_of_the_page_scrolls_sideways(browser: Any, served: Served, scheme: str) -> None:
    stand = served.stand
    long = "网传" + "城东投票站下午三点关门" * 12 + "https://x.example/" + "a" * 90
    one = busy(served, title=long)
    drill = phone_kit.waiting(stand, subject="!polling", number=3)
    acked = seed.put_event(stand.engine, phone_kit.event(318))
    seed.put_alert(stand.engine, seed.alert(acked, AlertStatus.ACKED, acked_by="李敏", acked_at=seed.NOW - 60_000))
    seed.put_escalation(stand.engine, acked, alert_id=seed.alert(acked).alert_id)
    right = phone_kit.link(stand, one)
    paths = (right, f"{right}?done=ack", phone_kit.link(stand, drill), phone_kit.link(stand, acked),
             phone_kit.link(stand, one, alert="a" * 20), phone_kit.link(stand, one, hours=0), f"{right[:-2]}xx")
    page = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme).new_page()
    for path in paths:
        page.goto(served.url + path)
        for summary in page.locator("summary").all():
            summary.click()
        assert overflow(page) == 0, path
        small = page.evaluate("""[...document.querySelectorAll('button, summary, select, input:not([type=hidden])')]
            .filter(one => one.offsetParent && one.type != 'radio' && one.type != 'checkbox'
                    && one.getBoundingClientRect().height < 40).map(one => one.outerHTML)""")
        assert small == [], "a thumb hits it"
    page.context.close()
