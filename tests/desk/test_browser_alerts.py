"""A person's way through the pages of alerts in a real browser, on a phone and on a desk, partly by keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.store import lines, schema
from pipeline import codec
from pipeline.model import AlertStatus, Comment, HandOver, Silence, Statement
from tests.desk import seed, seed_alerts
from tests.desk.conftest import make_stand
from tests.desk.test_browser import CHROMIUM, WIDTHS, Served, browser, open_page, overflow

__all__ = ["browser"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
    # playwright leaves its event loop to the garbage collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"),
]
PAGES = ("/", "/events/E-0317", "/events/E-0318", "/events/E-0322", "/events/E-0324", "/events/D-0004",
         "/events?drill=1", "/silences", "/silences?event=E-0317", "/deliveries", "/deliveries?status=dead",
         "/handover", "/drills", "/drills/RUN")


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Served]:
    stand = make_stand(tmp_path, book=seed_alerts.book())
    seed_alerts.night(stand.engine)
    seed_alerts.ledger(stand.engine, stand.desk.real.now())
    stand.account("李敏")
    stand.desk.poll = 400
    with Served(stand) as running:
        yield running


@pytest.mark.parametrize(("width", "height"), WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_of_alerts_scrolls_sideways(browser: Any, night: Served, width: int, height: int, scheme: str) -> None:
    page, complaints = open_page(browser, night, width, height, color_scheme=scheme)
    long = seed.put_silence(night.stand.engine, seed.silence(
        "long", groups=("论坛",), reason="无断点" * 60, owner="x" * 64))
    seed_alerts.put_row(night.stand.engine, "long", "y" * 60, "wecom-duty", "dead", error="z" * 400,
                        suppressed_by=f"silence:{long.id}")
    run = seed_alerts.played(night.stand.engine)
    for path in PAGES:
        page.goto(night.url + path.replace("RUN", run.id))
        assert overflow(page) == 0, path
    assert complaints == []
    page.context.close()


@pytest.mark.parametrize(("width", "height"), WIDTHS)
def test_every_entry_of_the_navigation_can_be_reached_and_read(
        browser: Any, night: Served, width: int, height: int) -> None:
    page, complaints = open_page(browser, night, width, height)
    names = page.locator(".main-nav a").all_inner_texts()
    assert names == ["值班", "事件", "静默", "投递", "交接班", "来源", "上报", "规则"]
    boxes = [each.bounding_box() for each in page.locator(".main-nav a").all()]
    for box, after in zip(boxes, boxes[1:], strict=False):
        assert box["x"] + box["width"] <= after["x"] + 1, "none lies over its neighbour"
    assert all(box["height"] >= 30 and box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
    for name in names:
        page.click(f".main-nav a >> text={name}")
        assert page.locator(".main-nav a[aria-current]").inner_text() == name
    assert complaints == []
    page.context.close()


@pytest.mark.parametrize(("width", "height"), WIDTHS)
def test_attach_a_statement_and_see_the_clock_stop(browser: Any, night: Served, width: int, height: int) -> None:
    page, complaints = open_page(browser, night, width, height)
    page.goto(night.url + "/events/E-0317")
    assert "快到期" in page.inner_text("#clocks")
    page.click("#attach-form summary")
    page.fill("#st-url", "https://gonggao.example/n/90")
    page.fill("#st-title", "各投票站均开放至晚上八点")
    page.click("#attach-form button.primary")
    page.wait_for_selector("text=已提交官方回应，选中的时限将停止。")
    row, = night.stand.rows(schema.commands)
    said = codec.decode_as(Statement, row.record.encode())
    assert said.clocks == ("answer",), "the first clock is ticked"
    _stopped(night, said)
    page.wait_for_selector("#clocks >> text=李敏 登记了官方回应")                    # by itself: the page is live
    page.wait_for_selector("#official >> text=李敏 确认")
    assert "已完成" in page.inner_text("#clocks") and complaints == []
    page.context.close()


def _stopped(night: Served, said: Statement) -> None:
    """What the archive writes when the escalator has taken the statement."""
    engine, one = night.stand.engine, seed.head(317, 3)
    seed.put_statement(engine, said)
    seed.put_line(engine, one, "answered", 0, said)
    seed.put_clocks(engine, one, seed.clock(hours=1.8, stopped_at=seed.NOW, stopped_by="李敏", stopped_why="statement"),
                    seed.clock("briefing", 2.5))


@pytest.mark.parametrize(("width", "height"), WIDTHS)
def test_say_that_a_proposal_is_none(browser: Any, night: Served, width: int, height: int) -> None:
    page, _ = open_page(browser, night, width, height)
    page.goto(night.url + "/events/E-0317")
    page.click("#proposed button >> text=不是")
    page.wait_for_selector("text=已记下：这条不是官方回应。")
    assert page.locator(".proposal").count() == 0
    row, = night.stand.rows(schema.commands)
    assert codec.decode_as(Statement, row.record.encode()).rejected
    page.context.close()


@pytest.mark.parametrize(("width", "height"), WIDTHS)
def test_hand_over_by_keyboard_alone(browser: Any, night: Served, width: int, height: int) -> None:
    page, complaints = open_page(browser, night, width, height)
    page.goto(night.url + "/events/E-0321")
    assert "无人应答" in page.inner_text("#alert")
    page.focus("#handover summary")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "to"
    page.select_option("#to", label="领导小组")
    page.keyboard.press("Tab")
    page.keyboard.type("请接手")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=已提交转交，马上通知对方。")
    assert "已提交转交给 领导小组" in page.inner_text("#alert")
    one = seed.head(seed_alerts.UNANSWERED, 3)
    state = seed.alert(one, AlertStatus.NOTIFIED, handed_to="leaders", told=("duty", "leaders"), revision=3)
    row, = night.stand.rows(schema.commands)
    over = codec.decode_as(HandOver, row.record.encode())
    with night.stand.engine.begin() as connection:
        connection.execute(schema.alerts.delete().where(schema.alerts.c.event_id == one.id))
        connection.execute(schema.timeline.insert().values(**lines.of_command(over)))
    seed.put_alert(night.stand.engine, state)
    page.wait_for_selector("#head >> text=已转交，待确认")                        # by itself
    assert complaints == []
    page.context.close()


@pytest.mark.parametrize(("width", "height"), WIDTHS)
def test_begin_a_silence_be_warned_and_end_it(browser: Any, night: Served, width: int, height: int) -> None:
    page, complaints = open_page(browser, night, width, height)
    page.goto(night.url + "/events/E-0317")
    page.click("text=静默这个事件")
    page.wait_for_selector("#add")
    assert page.input_value("#s-event") == "E-0317"
    page.check("input[name=level-3]")
    page.fill("#s-reason", "核实过，是测试页面")
    page.click("#add button")
    page.wait_for_selector("#top-warning")
    assert page.input_value("#s-reason") == "核实过，是测试页面" and page.is_checked("input[name=level-3]")
    box = page.locator("#top-warning").bounding_box()
    assert box is not None and box["y"] < 2 * height, "the warning is not below all lists"
    page.uncheck("input[name=level-3]")
    page.click("#add button")
    page.wait_for_selector("text=已添加静默")
    row, = night.stand.rows(schema.commands)
    made = codec.decode_as(Silence, row.record.encode())
    assert made.levels == ("一般", "较大")
    page.click("[id='" + made.id + "'] button")
    page.wait_for_selector("text=已提交结束静默")
    assert "提前结束" in page.inner_text("[id='" + made.id + "']")
    assert [text for text in complaints if "409" not in text] == []
    page.context.close()


def test_a_note_being_typed_survives_the_refresh_and_is_kept(browser: Any, night: Served) -> None:
    page, _ = open_page(browser, night, 390, 844)
    page.goto(night.url + "/events/E-0317")
    page.click("#attach-form summary")
    page.fill("#st-text", "正文还没有写完")
    page.fill("#comment", "正在打电话核实")
    page.focus("#st-url")
    with page.expect_response(lambda response: response.request.headers.get("x-wenxun-live") == "1"):
        seed.put_clocks(night.stand.engine, seed.head(317, 3), seed.clock("briefing", 2.5), revision=2)
    page.wait_for_function("!document.querySelector('#clocks').innerText.includes('首次权威回应')")
    assert (page.input_value("#comment"), page.input_value("#st-text")) == ("正在打电话核实", "正文还没有写完")
    page.click(".remark button")
    page.wait_for_selector("text=已记下备注。")
    row, = night.stand.rows(schema.commands)
    assert codec.decode_as(Comment, row.record.encode()).text == "正在打电话核实"
    page.context.close()


def test_the_hand_over_is_copied_and_prints_without_what_is_for_the_screen(browser: Any, night: Served) -> None:
    page, complaints = open_page(browser, night, 1280, 860)
    page.goto(night.url + "/handover")
    page.click("[data-copy]")
    page.wait_for_selector("[data-copied]:not(:empty)")
    chosen = page.evaluate("(() => { const t = document.getElementById('plain'); t.select(); return t.value; })()")
    assert chosen.startswith("交接班 2026-11-22 03:12") and "【处置中的事件 7 件，其中 6 件待确认】" in chosen
    assert page.is_visible("[data-print]")
    page.emulate_media(media="print")
    for hidden in (".top", ".filter", ".copy"):
        assert not page.is_visible(hidden), hidden
    assert page.is_visible("#handover") and complaints == []
    page.context.close()


def test_without_a_script_no_button_is_shown_that_needs_one(browser: Any, night: Served) -> None:
    page, _ = open_page(browser, night, 1280, 860, java_script_enabled=False)
    page.goto(night.url + "/handover")
    assert not page.is_visible("[data-copy]") and not page.is_visible("[data-print]") and page.is_visible("#plain")
    page.context.close()


def test_how_a_clock_stands_is_told_by_more_than_colour(browser: Any, night: Served) -> None:
    page, _ = open_page(browser, night, 1280, 860)
    said = page.locator("#duty .clock").all_inner_texts()
    assert len(said) >= 5
    for each in said:
        assert any(word in each for word in ("计时中", "已过半", "快到期", "已超时")), each
    colours = {page.evaluate("(e) => getComputedStyle(e).fill", each.element_handle())
               for each in page.locator("#duty .clock .fill").all()}
    assert len(colours) == 4
    page.context.close()


def test_hostile_text_runs_nothing_in_a_browser(browser: Any, tmp_path: Path) -> None:
    stand, bad = make_stand(tmp_path, book=seed_alerts.book()), seed.XSS
    one = seed.put_event(stand.engine, seed.head(title=bad, statements=(seed.Excerpt(
        item_id="9" * 20, title=bad, text=bad, source_name=bad, url="javascript:alert(4)", at=seed.NOW),)))
    muted = seed.put_silence(stand.engine, seed.silence(event_id=one.id, reason=bad, owner=bad))
    seed.put_alert(stand.engine, seed.alert(one, handed_to=bad, held_by=f"silence:{muted.id}"))
    seed.put_clocks(stand.engine, one, seed.clock(name=bad))
    seed_alerts.put_row(stand.engine, "1", bad, bad, "dead", of=one, error=bad)
    stand.account("李敏")
    with Served(stand) as served:
        page, complaints = open_page(browser, served, 1280, 860)
        page.on("dialog", lambda dialog: complaints.append("a dialog: " + dialog.message))
        for path in ("/", "/events/E-0317", "/silences", "/deliveries", "/handover"):
            page.goto(served.url + path)
            assert "<script>alert(1)</script>" in page.inner_text("main"), path
            assert page.locator("main img").count() == 0, path
        assert complaints == []
        page.context.close()
