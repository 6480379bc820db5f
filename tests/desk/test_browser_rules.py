"""A person's way through the rules in a real browser, on a phone and on a desk, with and without JavaScript."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.desk.accounts import Role
from agents.store import schema
from pipeline.model import VerdictKind
from tests.desk import seed, seed_rules
from tests.desk.conftest import Stand, make_stand
from tests.desk.test_browser import WIDTHS, Served, browser, open_page, overflow, pytestmark

__all__ = ["browser", "pytestmark"]


def make(tmp_path: Path) -> Stand:
    stand = make_stand(tmp_path, book=seed_rules.book(), banner="演示")
    seed.morning(stand.engine)
    seed_rules.fill(stand.engine)
    seed.put_book(stand.engine, seed_rules.book(hash="0f3c2a11d4e59b70", subjects=(seed_rules.CLOSING,)))
    stand.account("李敏", Role.ADMIN)
    stand.desk.deps.rules.state, stand.desk.deps.rules.workers = seed_rules.waiting(), seed_rules.workers()
    stand.desk.poll = 400
    return stand


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with Served(make(tmp_path)) as running:
        yield running


@pytest.mark.parametrize(("width", "height"), WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_of_the_rules_scrolls_sideways(
        browser: Any, served: Served, width: int, height: int, scheme: str) -> None:
    page, complaints = open_page(browser, served, width, height, color_scheme=scheme)
    rules = served.stand.desk.deps.rules
    long = many_faults()
    for state in (seed_rules.waiting(120), long):
        rules.state = state
        page.goto(served.url + "/rules")
        page.wait_for_selector("#subjects")
        assert overflow(page) == 0
    for path in ("/rules?status=shadow", "/rules/subjects/closing-time", "/rules/subjects/~queue", "/rules/shadow",
                 "/rules/explain", "/rules/explain?event=E-0317", "/events/S-0004", "/events/E-0330",
                 f"/rules/diff?from=0f3c2a11d4e59b70&to={seed.HASH}"):
        page.goto(served.url + path)
        assert overflow(page) == 0, path
    assert complaints == [], "the content policy and the script agree"
    page.context.close()


def many_faults() -> Any:
    """Files with many faults, one of them without a place to break the line."""
    return seed_rules.state(problems=(*seed_rules.broken().problems, f"subjects/{'x' * 90}.yml:1:1: " + "错" * 200))


@pytest.mark.parametrize(("width", "height"), WIDTHS)
@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_try_a_text_follow_it_to_the_rule_and_say_what_a_match_is(
        browser: Any, served: Served, width: int, height: int, script: bool) -> None:
    page, complaints = open_page(browser, served, width, height, java_script_enabled=script)
    page.click("nav >> text=规则")
    page.click(".page-nav >> text=解释")
    page.fill("#title", "城西投票站三点关门，是真的吗？")
    page.fill("#text", "门口排队的人很多，轮椅推不进去。")
    page.select_option("#source", "luntan")
    page.click(".explain-form button")
    page.wait_for_selector("#h-seen >> text=2 条规则命中")
    assert page.input_value("#title") == "城西投票站三点关门，是真的吗？", "to be changed and tried again"
    assert page.locator("main mark").count() >= 3 and overflow_or_none(page, script) in (0, None)
    page.click(".rule.hit a >> text=排队和轮椅通道")
    page.wait_for_selector("text=不会通知任何人")
    page.click("#matches .item >> nth=0 >> summary")
    page.fill("#matches input[name=note] >> nth=0", "是别的县")
    page.click("#matches button:text-is('无关') >> nth=0")
    page.wait_for_selector("text=已记下评价")
    row, = served.stand.rows(schema.commands)
    assert row.type == "verdict" and "是别的县" in row.record and VerdictKind.NOT_RELEVANT.value in row.record
    assert complaints == []
    page.context.close()


def overflow_or_none(page: Any, script: bool) -> int | None:
    return overflow(page) if script else None


@pytest.mark.parametrize(("width", "height"), WIDTHS)
@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_mark_an_event_as_a_duplicate_and_close_it(
        browser: Any, served: Served, width: int, height: int, script: bool) -> None:
    page, complaints = open_page(browser, served, width, height, java_script_enabled=script)
    page.goto(served.url + "/events/E-0319")
    page.check("#judge input[name=close]")
    if script:                                            # a refresh does not untick what somebody ticked
        with page.expect_response(lambda response: response.request.headers.get("x-wenxun-live") == "1"):
            seed.put_event(served.stand.engine, seed.head(500, 3, title="新的事件"))
        page.wait_for_timeout(200)
        assert page.is_checked("#judge input[name=close]")
    page.click("#judge button:text-is('重复')")
    page.wait_for_selector("text=已记下评价，并提交关闭。")
    assert sorted(row.type for row in served.stand.rows(schema.commands)) == ["event.close", "verdict"]
    assert complaints == []
    page.context.close()


@pytest.mark.parametrize(("width", "height"), WIDTHS)
def test_an_admin_lets_a_waiting_change_come_into_force_and_sees_it_happen(
        browser: Any, served: Served, width: int, height: int) -> None:
    page, complaints = open_page(browser, served, width, height)
    page.goto(served.url + "/rules")
    box = page.locator("button:text-is('确认生效')").bounding_box()
    assert box is not None and box["height"] < 60, "on one line"
    page.click("button:text-is('确认生效')")
    page.wait_for_selector("text=李敏 已决定让它生效")
    served.stand.desk.deps.rules.state = seed_rules.state(in_force=seed_rules.WAITING, at=seed.NOW)
    page.wait_for_selector("text=规则变更待确认", state="detached")          # by itself
    assert complaints == []
    page.context.close()
