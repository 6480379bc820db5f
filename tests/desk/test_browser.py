"""A person's way through the desk in a real browser, on a phone and on a desk: sign in, see, answer."""

from __future__ import annotations

import asyncio
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from agents import desk
from agents.store import schema
from agents.store.projection import write_items
from pipeline import codec
from pipeline.model import AlertStatus, RawBatch
from tests.desk import seed
from tests.desk.conftest import PASSWORD, Stand, make_stand

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--headless", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage",
         "--no-first-run", "--disable-component-update", "--disable-sync"]
WIDTHS = [pytest.param(390, 844, id="phone"), pytest.param(1280, 860, id="desk")]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
    # playwright leaves its event loop to the garbage collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"),
]


class Served:
    """A desk on a loopback port, in a thread of its own: playwright blocks the test's."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self._task = self._loop.create_task(desk._serve(self.stand.desk, self._listening))
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._task)
        self._loop.close()

    def __enter__(self) -> Served:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(60)
        self.stand.engine.dispose()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    stand = make_stand(tmp_path, book=seed.book(), banner="演示")
    seed.morning(stand.engine)
    stand.account("李敏")
    stand.desk.poll = 400
    with Served(stand) as running:
        yield running


def open_page(browser: Any, served: Served, width: int, height: int, **options: Any) -> tuple[Any, list[str]]:
    """A signed-in page, and what its console complained of."""
    page = browser.new_context(viewport={"width": width, "height": height}, locale="zh-CN", **options).new_page()
    page.set_default_timeout(60_000)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(served.url)
    page.fill("#name", "李敏")
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_selector("#duty")
    return page, complaints


def overflow(page: Any) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.mark.parametrize(("width", "height"), WIDTHS)
def test_sign_in_see_the_event_and_answer(browser: Any, served: Served, width: int, height: int) -> None:
    page, complaints = open_page(browser, served, width, height)
    assert "个事件待确认" in page.inner_text("h1")
    page.click("text=网传城东投票站下午三点关门")
    page.wait_for_selector("#answer")
    assert page.title().startswith("E-0317")
    page.fill("#ack-note", "已联系县选举办")
    page.click("#answer button.primary")
    page.wait_for_selector("text=已提交确认，升级将停止。")
    assert "等待生效" in page.inner_text("#alert") or "恢复后发出" in page.inner_text("#alert")
    row, = served.stand.rows(schema.commands)
    assert "已联系县选举办" in row.record
    _acked(served)
    page.wait_for_selector("#alert >> text=李敏 已确认", timeout=60_000)      # by itself: the page is live
    assert complaints == [], "the content policy and the script agree"
    page.context.close()


def _acked(served: Served) -> None:
    """What the archive writes when the escalator has taken the answer."""
    one = seed.head(317, 3)
    state = seed.alert(one, AlertStatus.ACKED, acked_by="李敏", acked_at=seed.NOW, due_at=None, revision=3)
    with served.stand.engine.begin() as connection:
        connection.execute(schema.alerts.delete().where(schema.alerts.c.event_id == one.id))
    seed.put_alert(served.stand.engine, state)


@pytest.mark.parametrize(("width", "height"), WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_scrolls_sideways(browser: Any, served: Served, width: int, height: int, scheme: str) -> None:
    page, complaints = open_page(browser, served, width, height, color_scheme=scheme)
    item = seed.growing_post(served.stand.engine, seed.head(317, 3)).item.id
    long = "https://bbs.new.example/" + "forum.php?mod=rss&fid=2&" * 6
    error = "网站出错（503）" + "x" * 90
    seed.put_source(served.stand.engine, "ribao", failures=4, error=error, moved_to=long, moves=3)
    for path in ("/", "/events", "/events/E-0317", "/sources", "/sources?q=no", "/sources/ribao", f"/items/{item}",
                 "/intake", "/rules", "/deliveries", "/events?q=no", "/nowhere"):
        page.goto(served.url + path)
        assert overflow(page) == 0, path
    assert [text for text in complaints if "404" not in text] == []
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(244, 244, 241)" if scheme == "light" else "rgb(18, 22, 26)")
    page.context.close()


@pytest.mark.parametrize(("width", "height"), WIDTHS)
def test_see_what_is_not_heard_and_have_it_collected(browser: Any, served: Served, width: int, height: int) -> None:
    page, complaints = open_page(browser, served, width, height)
    page.click("nav >> text=来源")
    assert "1 个失联：青禾日报" in page.inner_text("#cover")
    page.click("#cover a >> text=青禾日报")
    page.click("button >> text=立即采集")
    page.wait_for_selector("#ask >> text=李敏 已请求立即采集")
    seed.put_source(served.stand.engine, "ribao", minutes_ago=0)
    page.wait_for_selector("#source-head >> text=正常")                   # by itself
    page.wait_for_selector("#ask button")
    assert complaints == []
    page.context.close()


@pytest.mark.parametrize(("width", "height"), WIDTHS)
def test_file_a_report_and_see_it_arrive(browser: Any, served: Served, width: int, height: int) -> None:
    page, complaints = open_page(browser, served, width, height)
    page.click("nav >> text=上报")
    page.fill("#title", "城东投票站门口积水")
    page.fill("#text", "来电 13800138321 反映轮椅进不去")
    page.fill("#ref", "GD-20261122-031")
    page.fill("#at", "2026-11-22T02:40")
    page.check("input[name=urgent][value=yes]")
    page.click("text=提交上报")
    page.wait_for_selector("text=已收到，正在入库。")
    page.wait_for_selector("#own >> text=正在入库")
    row, = served.stand.rows(schema.commands)
    batch = codec.decode_as(RawBatch, row.record.encode())
    with served.stand.engine.begin() as connection:
        write_items(connection, batch.items)
    page.click("#own >> text=城东投票站门口积水")                         # by itself
    assert "轮椅进不去" in page.inner_text(".body") and "13800138321" not in page.content()
    assert "工单 GD-20261122-031" in page.inner_text("#item-head") and "加急" in page.inner_text("#item-head")
    assert complaints == []
    page.context.close()


@pytest.mark.parametrize(("width", "height"), WIDTHS)
def test_an_item_shows_lines_and_marks_and_its_markup_opens(
        browser: Any, served: Served, width: int, height: int) -> None:
    item = seed.growing_post(served.stand.engine, seed.head(317, 3)).item.id
    page, complaints = open_page(browser, served, width, height)
    page.goto(f"{served.url}/items/{item}")
    assert page.locator(".spark polyline").count() == 3
    box = page.locator(".spark svg").first.bounding_box()
    assert box is not None and box["width"] > 80 and box["height"] == pytest.approx(40, abs=2)
    assert page.inner_text("ins >> nth=0").endswith("（已更新）")
    strike = page.evaluate("getComputedStyle(document.querySelector('del')).textDecorationLine")
    assert strike == "line-through", "told by more than colour"
    page.click("#markup summary")
    assert page.is_visible(".rich li >> text=八点关门")
    assert page.locator("main mark").count() >= 3 and complaints == []
    page.context.close()


@pytest.mark.parametrize(("width", "height"), WIDTHS)
def test_try_an_address_and_read_what_it_is(browser: Any, served: Served, width: int, height: int) -> None:
    page, complaints = open_page(browser, served, width, height)
    page.goto(served.url + "/sources")
    page.focus(".tester input[name=url]")
    page.keyboard.type("http://10.1.2.3/feed.xml")
    page.keyboard.press("Enter")
    page.wait_for_selector("h1 >> text=测试网址")
    assert "WENXUN_FEED_ALLOW_PRIVATE_CIDRS" in page.inner_text("main") and overflow(page) == 0
    assert complaints == []
    page.context.close()


def test_what_a_person_is_typing_survives_the_refresh(browser: Any, served: Served) -> None:
    page, _ = open_page(browser, served, 1280, 860)
    page.goto(served.url + "/events/E-0317")
    page.click("summary >> text=关闭事件")
    page.fill("#ack-note", "正在打电话核实")
    with page.expect_response(lambda response: response.request.headers.get("x-wenxun-live") == "1"):
        seed.put_event(served.stand.engine, seed.head(500, 3, title="新的事件"))
    page.wait_for_timeout(200)
    assert page.input_value("#ack-note") == "正在打电话核实"
    assert page.is_visible("#close-note")
    page.context.close()


def test_a_desk_that_went_away_is_noticed(browser: Any, served: Served) -> None:
    page, _ = open_page(browser, served, 390, 844)
    page.context.set_offline(True)
    page.wait_for_selector("text=连接中断", timeout=60_000)
    page.context.set_offline(False)
    page.wait_for_selector("#link", state="hidden", timeout=60_000)
    page.context.close()


def test_hostile_text_runs_nothing_in_a_browser(browser: Any, tmp_path: Path) -> None:
    stand = make_stand(tmp_path, book=seed.book())
    one = seed.put_event(stand.engine, seed.head(title=seed.XSS))
    seed.put_item(stand.engine, one, 1, seed.XSS, seed.XSS, terms=("script",), url="javascript:alert(3)")
    stand.account("李敏")
    with Served(stand) as served:
        page, complaints = open_page(browser, served, 1280, 860)
        page.on("dialog", lambda dialog: complaints.append("a dialog: " + dialog.message))
        page.goto(served.url + "/events/E-0317")
        page.wait_for_selector(".item mark")
        assert page.locator("main img").count() == 0 and complaints == []
        page.context.close()
