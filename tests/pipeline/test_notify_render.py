from __future__ import annotations

import json
import re
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.model import EscalationKind, EventStatus, Span, Why
from pipeline.notify import safe
from pipeline.notify.render import Message, Setting, as_html, render
from tests.builders import NOON, book
from tests.messages import decision, excerpt, head, page, system

DESK = "https://desk.example"


def rendered(escalation: object, **changes: object) -> Message:
    return render(escalation, Setting(**{"book": book(), "zone": ZoneInfo("Asia/Shanghai"), **changes}))  # type: ignore[arg-type]


def test_a_page_says_what_why_and_who_was_told_before() -> None:
    message = rendered(page(step=1), desk_url=DESK)
    assert message.subject == "【较大】E-0317 投票站三点关门的说法"
    assert message.text == """\
【较大】E-0317 投票站三点关门的说法

级别：一般 → 较大 · 处置中
话题：投票时间地点
原因：2 小时内 12 条、5 个独立来源，达到较大（10 条、4 个来源）
命中：投票站
数据：23 条、7 个独立来源，负面 9 条，提问 4 条，首条 11-22 10:00，最新 11-22 12:00
通知：第 2 次通知，前一位未确认

摘录：
1. 「投票站几点关门」 有人说下午三点截止
   新闻网 · 11-22 12:00 · http://xinwen.example/a1
2. 「投票站几点关门」 有人说下午三点截止
   新闻网 · 11-22 12:00 · http://xinwen.example/a2
3. 「投票站几点关门」 有人说下午三点截止
   新闻网 · 11-22 12:00 · http://xinwen.example/a3

查看并确认：https://desk.example/events/e1"""


def test_without_an_external_url_there_is_no_link() -> None:
    message = rendered(page())
    assert "查看" not in message.text and message.body["data"]["event"]["url"] == ""


def test_a_drill_is_marked_first_and_last() -> None:
    message = rendered(page(), banner="演示")
    assert message.subject.startswith("【演示】【较大】")
    assert "这是演示，不是真实事件。" in message.text and message.body["data"]["drill"] == "演示"


def test_a_system_notice_says_that_it_is_one() -> None:
    message = rendered(system(), desk_url=DESK)
    assert message.subject == "【系统】来源 新闻网 中断"
    assert message.text == "【系统】来源 新闻网 中断\n\n已 3 次未能读取\n\n查看：https://desk.example"
    assert message.body["type"] == "wenxun.system" and message.body["data"]["event"] is None


def test_a_test_message_says_that_it_is_one() -> None:
    assert rendered(system(kind=EscalationKind.TEST)).subject.startswith("【测试】")


@pytest.mark.parametrize(("level", "status", "why", "mark"), [
    (1, EventStatus.OPEN, Why.LOWERED, "【降为一般】"), (0, EventStatus.CALM, Why.CALMED, "【已平息】"),
    (0, EventStatus.CLOSED, Why.CLOSED, "【已关闭】")])
def test_a_falling_level_is_told_without_asking_for_an_answer(
    level: int, status: EventStatus, why: Why, mark: str
) -> None:
    fallen = head(level=level, status=status, decision=decision(why, level=level, previous=2))
    message = rendered(page(kind=EscalationKind.INFORM, level=level, level_name="一般" if level else "", head=fallen),
                       desk_url=DESK)
    assert message.subject.startswith(mark) and "通知：" not in message.text and "查看：" in message.text


def test_a_digest_lists_its_events_highest_level_first() -> None:
    events = (head("e2", number=2, level=1, level_name="一般", items=3), head("e1", number=1),
              head("e3", number=3, items=40))
    message = rendered(page(kind=EscalationKind.DIGEST, head=None, digest=events, level_name="较大"), desk_url=DESK)
    assert message.subject == "【较大】汇总：3 个事件"
    assert re.findall(r"E-\d{4}", message.text) == ["E-0003", "E-0001", "E-0002"]
    assert f"{DESK}/events/e2" in message.text and len(message.body["data"]["events"]) == 3


def test_a_long_digest_says_how_many_it_left_out() -> None:
    events = tuple(head(f"e{n}", number=n) for n in range(1, 31))
    assert "另有 10 个事件" in rendered(page(kind=EscalationKind.DIGEST, head=None, digest=events)).text


def test_official_statements_are_shown_apart_from_what_the_public_says() -> None:
    answered = head(statements=(excerpt("s1", title="投票站开到晚八点", source_name="区政府", official=True),))
    text = rendered(page(head=answered)).text
    assert text.index("摘录：") < text.index("官方回应：\n1. 「投票站开到晚八点」")


@given(st.integers(0, 400), st.text(max_size=200))
def test_the_short_text_keeps_its_size_in_bytes_and_never_splits_a_character(size: int, title: str) -> None:
    short = rendered(page(head=head(title=title)), short_bytes=size, desk_url=DESK).short
    assert len(short.encode("utf-8")) <= size
    assert "\ufffd" not in short


def test_the_short_text_fills_the_room_it_is_given_to_the_byte_before_a_whole_character() -> None:
    long = page(head=head(excerpts=tuple(excerpt(title="票" * 80, text="站" * 80) for _ in range(3))))
    sizes = {size: len(rendered(long, short_bytes=size).short.encode()) for size in range(300, 330)}
    assert all(size - 3 <= length <= size for size, length in sizes.items())


def test_the_short_text_keeps_the_link_when_the_rest_is_cut() -> None:
    short = rendered(page(head=head(title="很长的标题" * 50)), short_bytes=160, desk_url=DESK).short
    assert short.endswith("查看并确认：https://desk.example/events/e1") and "…" in short


def test_the_same_escalation_gives_the_same_message() -> None:
    assert rendered(page()) == rendered(page())


# ---------------------------------------------------------------- what feeds must not be able to do

PAYLOADS = (
    "@all 快看", "@所有人", "@everyone @here", '<at user_id="all">所有人</at>', "<@all>", "<!channel>", "&lt;at&gt;",
    "[点我](http://evil.example)", "![x](http://evil.example/p.png)", "**加粗** `code` ~~x~~ __y__",
    "<script>alert(1)</script>",
    "<font color=\"warning\">假</font>", "标题\r\nBcc: victim@example.org", "a\u202e倒写\u2066b", "零\u200b宽\ufeff字",
    "\x00\x1b[31m红", "第一行\u2028第二行\u2029第三行", "${jndi:ldap://x}", "\ud800孤",
    "【系统】\n\n查看并确认：http://evil.example",
)


def poisoned(payload: str) -> object:
    bad = excerpt(title=payload, text=payload, source_name=payload, url=f"http://x.example/{payload}",
                  spans=(Span("r", payload, "title", 0, 1),))
    return page(level_name=payload, head=head(
        title=payload, subject=payload, level_name=payload, excerpts=(bad,), statements=(bad,),
        decision=decision(Why.CLOSED), closed_by=payload, closed_reason=payload))


@pytest.mark.parametrize("payload", PAYLOADS)
def test_text_of_feeds_becomes_neither_a_mention_nor_markup(payload: str) -> None:
    message = rendered(poisoned(payload), banner=payload)
    everything = "\n".join([message.subject, message.short, message.text, *_strings(message.body)])
    assert not re.search(r"[@<>\[\]`*~|\\]", everything), everything
    assert not re.search("[\u200b\u202e\u2066\ufeff\x00\x1b\u2028\u2029\ud800]", everything)
    assert "\n" not in message.subject and "\r" not in message.text
    json.dumps(message.body, ensure_ascii=False).encode("utf-8")


PROBLEM = r"subjects/a.yml:7:5: terms[2].regex: “第\d+(站” 少一个 )，应为 “第\d{1,2}[站点](?:口|$)*”，或写成 \("


def test_a_mend_of_a_rule_file_can_be_copied_from_a_notice() -> None:
    message = rendered(system(text=f"仍在用上一份规则。\n{PROBLEM}"))
    assert PROBLEM in message.text.splitlines() and PROBLEM in message.short and PROBLEM in message.body["data"]["text"]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_stands_in_a_rule_file_mentions_nobody_and_links_nowhere(payload: str) -> None:
    message = rendered(system(text=f"a.yml:1:1: {payload}"))
    everything = "\n".join([message.short, message.text, *_strings(message.body)])
    assert not re.search(r"[@<>&`]|\]\(http", everything), everything
    assert not re.search("[\u200b\u202e\u2066\ufeff\x00\x1b\u2028\u2029\ud800]", everything)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_other_lines_of_a_notice_are_as_harmless_as_any(payload: str) -> None:
    message = rendered(system(text=f"E-0317 {payload}：一般 → 较大", title=payload))
    assert not re.search(r"[@<>\[\]`*~|\\]", message.text), message.text


def test_a_line_of_a_feed_cannot_pretend_to_be_a_line_of_ours() -> None:
    message = rendered(page(head=head(title="真\n\n查看并确认：http://evil.example")), desk_url=DESK)
    links = [row for row in message.text.splitlines() if row.startswith("查看并确认")]
    assert links == [f"查看并确认：{DESK}/events/e1"]


def _strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for one in value.values() for text in _strings(one)]
    if isinstance(value, list):
        return [text for one in value for text in _strings(one)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize(("url", "shown"), [
    ("https://a.example/x?y=1&z=2#t", "https://a.example/x?y=1&z=2#t"),
    ("http://a.example/投票", "http://a.example/%E6%8A%95%E7%A5%A8"),
    ("http://a.example/(x)[y]@all", "http://a.example/%28x%29%5By%5D%40all"),
    ("javascript:alert(1)", ""), ("http://user:pw@a.example/", ""), ("file:///etc/passwd", ""), ("", ""),
    ("http://[bad", ""), ("http://a.example/" + "x" * 600, "")])
def test_links_are_web_links_that_end_where_they_seem_to(url: str, shown: str) -> None:
    assert safe.link(url) == shown


@given(st.text(), st.integers(0, 50))
def test_cutting_by_bytes_is_exact(text: str, size: int) -> None:
    cut = safe.cut(text, size)
    assert len(cut.encode()) <= size
    clean = text.encode("utf-8", "replace").decode()
    assert cut == clean or cut == "" or clean.startswith(cut.removesuffix("…"))


def test_the_html_of_a_mail_is_escaped() -> None:
    assert as_html("a & b\n<c>\n\nd") == (
        '<!doctype html>\n<html lang="zh-CN"><body>\n<p>a &amp; b<br>\n&lt;c&gt;</p>\n<p>d</p>\n</body></html>\n')


def test_the_body_carries_figures_and_evidence_for_programs() -> None:
    body = rendered(page(), desk_url=DESK).body
    event = body["data"]["event"]
    assert (body["type"], body["version"], body["timestamp"]) == ("wenxun.page", 1, "2026-11-22T04:00:00.000Z")
    assert (event["number"], event["level"], event["previous_level"], event["items"], event["sources"]) == (
        "E-0317", 2, 1, 23, 7)
    assert event["terms"] == ["投票站"] and len(event["excerpts"]) == 3
    assert event["excerpts"][0]["at"] == "2026-11-22T04:00:00.000Z" and NOON == 1_795_320_000_000
