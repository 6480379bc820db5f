from __future__ import annotations

import json
import re
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.model import Act, ActKind, Escalation, EscalationKind, EventStatus, Span, Why
from pipeline.notify import safe
from pipeline.notify.digest import render_bundle
from pipeline.notify.render import Facts, Message, Setting, as_html, render
from tests.builders import NOON, book
from tests.messages import HOUR, MINUTE, act, clock, decision, excerpt, head, page, system

DESK = "https://desk.example"
NONE = Facts()


def rendered(escalation: Escalation, facts: Facts = NONE, **changes: Any) -> Message:
    return render(escalation, Setting(**{"book": book(), "zone": ZoneInfo("Asia/Shanghai"), **changes}), facts)


def test_a_page_says_all_that_on_call_needs_in_the_order_they_need_it() -> None:
    told = page(step=1, lead="leaders", clocks=(clock(),), acts=(act(),), head=head(statements=(
        excerpt("s1", title="投票站开到晚八点", text="", source_name="区政府", official=True),)))
    message = rendered(told, Facts(link="https://desk.example/a/TOKEN", usual=2.2, now_items=17), desk_url=DESK)
    assert message.subject == "【较大】E-0317 投票站三点关门的说法"
    assert message.text == """\
【较大】E-0317 投票站三点关门的说法

概况：7 个独立来源的 23 条内容在说「投票站三点关门的说法」，负面 9 条，提问 4 条
级别：一般 → 较大（二级响应） · 处置中
原因：2 小时内 12 条、5 个独立来源，达到较大（10 条、4 个来源）
对比：平时每小时约 2 条，近 1 小时 17 条
时限：首次权威回应 还剩 4 小时（16:00 到期）
通知：第 2 次通知，前一位未确认
进展：王某 11:50 确认：已电话核实
牵头：领导小组
命中：投票站
来源：新闻网等 7 个独立来源
话题：投票时间地点
时间：首条 11-22 10:00，最新 11-22 12:00

疑似官方信息，待确认：
1. 「投票站开到晚八点」
   区政府 · 11-22 12:00 · http://xinwen.example/s1

摘录：
1. 「投票站几点关门」 有人说下午三点截止
   新闻网 · 11-22 12:00 · http://xinwen.example/a1
2. 「投票站几点关门」 有人说下午三点截止
   新闻网 · 11-22 12:00 · http://xinwen.example/a2
3. 「投票站几点关门」 有人说下午三点截止
   新闻网 · 11-22 12:00 · http://xinwen.example/a3

查看并确认：https://desk.example/a/TOKEN"""


def test_the_card_and_the_fields_say_the_same() -> None:
    told = page(clocks=(clock(),), lead="leaders")
    message = rendered(told, Facts(link="https://desk.example/a/TOKEN"), desk_url=DESK)
    card = message.card
    assert (card.title, card.level, card.color, card.drill) == (message.subject, "较大", "#888888", False)
    assert all(f"{label}：{text}" in message.text for label, text in card.lines) and len(card.lines) >= 9
    assert [one.url for one in card.excerpts] == [f"http://xinwen.example/a{n}" for n in (1, 2, 3)]
    assert (card.link, card.link_text) == ("https://desk.example/a/TOKEN", "查看并确认")
    assert card.mention == ("【较大】E-0317 投票站三点关门的说法。首次权威回应 还剩 4 小时（16:00 到期）。"
                            "第 1 次通知，请确认")
    assert message.fields == {
        "number": "E-0317", "level": "较大", "title": "投票站三点关门的说法", "link": "https://desk.example/a/TOKEN",
        "why": "2 小时内 12 条、5 个独立来源，达到较大（10 条、4 个来源）", "clock": "首次权威回应还剩 4 小时",
        "text": "较大告警E-0317。投票站三点关门的说法。2 小时内 12 条、5 个独立来源，达到较大（10 条、4 个来源）。"
                "首次权威回应还剩 4 小时。第 1 次通知，请确认"}


def test_the_signed_link_is_in_no_repr() -> None:
    facts = Facts(link="https://desk.example/a/TOKEN")
    message = rendered(page(), facts)
    assert "TOKEN" in message.text and "TOKEN" not in repr((message, message.card, facts))
    bundle, = render_bundle([page()], Setting(book(), ZoneInfo("Asia/Shanghai")), facts)
    assert "TOKEN" in bundle.message.text and "TOKEN" not in repr(bundle)


def test_the_three_excerpts_are_of_as_many_sources_as_there_are() -> None:
    names = ("新闻网", "新闻网", "本地论坛", "新闻网", "广播")
    quoted = head(excerpts=tuple(excerpt(f"a{n}", source_name=name) for n, name in enumerate(names, 1)))
    assert [one.url[-2:] for one in rendered(page(head=quoted)).card.excerpts] == ["a1", "a3", "a5"]
    assert "来源：新闻网、本地论坛、广播等 7 个独立来源" in rendered(page(head=quoted)).text


def test_a_clock_message_begins_with_what_is_left() -> None:
    late = clock(due_at=NOON - 40 * MINUTE, warned=100)
    other = clock("brief", name="新闻发布", due_at=NOON + 20 * HOUR)
    message = rendered(page(kind=EscalationKind.CLOCK, why="clock", clock="answer", percent=100, clocks=(other, late)))
    assert message.subject == "【较大】【时限】E-0317 首次权威回应已超时 40 分钟：投票站三点关门的说法"
    assert "时限：首次权威回应 已超时 40 分钟（11:20 到期）；新闻发布 还剩 20 小时（11-23 08:00 到期）" in message.text
    assert "通知：" not in message.text and message.fields["clock"] == "首次权威回应已超时 40 分钟"


def test_a_hand_over_says_who_handed_it() -> None:
    handed = page(why="handed", acts=(act(ActKind.HAND_OVER, text="leaders，请接手，谢谢"),))
    message = rendered(handed)
    assert message.subject.startswith("【较大】【转交】E-0317") and "通知：王某 转交给您，请确认" in message.text
    assert "进展：王某 11:50 转交给领导小组：请接手，谢谢" in message.text and message.card.link_text == "查看并确认"


@pytest.mark.parametrize(("why", "kind", "mark", "said"), [
    ("unanswered", EscalationKind.PAGE, "【较大】【无人应答】", "第 2 轮通知，此前无人确认"),
    ("exhausted", EscalationKind.PAGE, "【较大】【无人应答】", "已通知全部人员，无人应答"),
    ("expired", EscalationKind.PAGE, "【较大】【无人应答，已过期】", "到最后期限仍无人应答")])
def test_that_nobody_answered_stands_in_front(why: str, kind: EscalationKind, mark: str, said: str) -> None:
    message = rendered(page(why=why, kind=kind, repeat=1))
    assert message.subject.startswith(f"{mark}E-0317") and said in message.text and said in message.card.mention


def test_only_what_a_person_confirmed_is_the_offices_word() -> None:
    maybe = tuple(excerpt(f"s{n}", title=title, official=True) for n, title in enumerate(("开到晚八点", "排队说明")))
    stated = act(ActKind.STATEMENT, by="李敏", text="开到晚八点")
    message = rendered(page(head=head(statements=maybe), acts=(stated,)))
    assert "官方回应：\n1. 开到晚八点（李敏 11:50 确认）\n\n疑似官方信息，待确认：\n1. 「排队说明」" in message.text
    assert ("官方回应", "开到晚八点（李敏 11:50 确认）") in message.card.lines
    assert [text for label, text in message.card.lines if label == "疑似官方信息，待确认"] == ["「排队说明」新闻网"]


def test_only_the_last_acts_are_told() -> None:
    done = tuple(act(ActKind.COMMENT, minutes_ago=10 * n, text=f"第{n}件") for n in range(1, 6))
    text = rendered(page(acts=done)).text
    assert "进展：王某 11:30 备注：第3件；王某 11:40 备注：第2件；王某 11:50 备注：第1件" in text


DRILL = head(subject="!polling", number=3)


@pytest.mark.parametrize("told", [
    page(head=DRILL), page(kind=EscalationKind.CLOCK, why="clock", clock="answer", clocks=(clock(),), head=DRILL),
    page(kind=EscalationKind.INFORM, level=1, head=DRILL), page(kind=EscalationKind.DIGEST, head=None, digest=(DRILL,)),
    page(why="handed", head=DRILL)], ids=lambda one: f"{one.kind}-{one.why}")
@pytest.mark.parametrize("banner", ["", "演示"])
def test_a_drill_says_so_in_front_of_everything(told: Escalation, banner: str) -> None:
    message = rendered(told, banner=banner)
    for text in (message.subject, message.text, message.short, message.card.title, message.card.mention,
                 message.body["data"]["subject"], message.body["data"]["text"]):
        assert text.startswith("【演练】"), text
    assert message.card.drill and message.card.lines[0][1].startswith("这是演练") and "不是真实事件" in message.text
    assert message.body["data"]["drill"].startswith("演练")
    assert all(text.startswith("演练") for name, text in message.fields.items() if text and name != "link")
    assert "话题：投票时间地点" in message.text or told.kind is EscalationKind.DIGEST


def test_what_is_usual_is_left_out_when_nobody_knows_it() -> None:
    assert "对比：" not in rendered(page()).text
    assert "对比：近 1 小时 0 条" in rendered(page(), Facts(now_items=0)).text


def test_without_an_external_url_there_is_no_link() -> None:
    message = rendered(page())
    assert "查看" not in message.text and message.body["data"]["event"]["url"] == ""


def test_a_demonstration_is_marked_first_and_last() -> None:
    message = rendered(page(), banner="演示")
    assert message.subject.startswith("【演示】【较大】") and not message.card.drill
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


def test_a_long_digest_lists_the_numbers_that_have_no_room() -> None:
    events = tuple(head(f"e{n}", number=n) for n in range(1, 31))
    message = rendered(page(kind=EscalationKind.DIGEST, head=None, digest=events))
    assert "另有 10 个事件" in message.text
    assert {*re.findall(r"E-\d{4}", message.text)} == {each.short for each in events}
    assert all("\n" not in text for _, text in message.card.lines)


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


def poisoned(payload: str) -> Escalation:
    bad = excerpt(title=payload, text=payload, source_name=payload, url=f"http://x.example/{payload}",
                  spans=(Span("r", payload, "title", 0, 1),))
    return page(level_name=payload, lead=payload, clocks=(clock(payload, name=payload, stopped_by=payload),),
                acts=tuple(Act(kind, payload, NOON, payload) for kind in ActKind), head=head(
        title=payload, subject=payload, level_name=payload, excerpts=(bad,), statements=(bad,),
        decision=decision(Why.CLOSED), closed_by=payload, closed_reason=payload))


@pytest.mark.parametrize("payload", PAYLOADS)
def test_text_of_feeds_becomes_neither_a_mention_nor_markup(payload: str) -> None:
    bad = poisoned(payload)
    for kind in EscalationKind:
        _is_harmless(rendered(replace(bad, kind=kind), banner=payload))
    _is_harmless(rendered(replace(bad, kind=EscalationKind.DIGEST, head=None, digest=(bad.head,))))
    setting = Setting(book(), ZoneInfo("Asia/Shanghai"), banner=payload)
    for bundle in render_bundle([bad, system(title=payload, text=payload)], setting):
        _is_harmless(bundle.message)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_no_text_at_all_becomes_a_mention_or_markup(payload: str) -> None:
    _is_harmless(rendered(poisoned(payload)))


def _is_harmless(message: Message) -> None:
    built = msgspec.to_builtins(message)
    everything = "\n".join(_strings(built))
    assert not re.search(r"[@<>\[\]`*~|\\]", everything), everything
    assert not re.search("[\u200b\u202e\u2066\ufeff\x00\x1b\u2028\u2029\ud800]", everything)
    single = (message.subject, *message.fields.values(), *_strings(built["card"]))
    assert not any("\n" in one or "\r" in one for one in single) and "\r" not in message.text
    assert len(message.card.mention) <= 200 and len(message.fields["text"]) <= 200
    json.dumps(built, ensure_ascii=False).encode("utf-8")


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


def test_what_a_feed_says_beside_our_link_is_no_link_in_any_text() -> None:
    """Mail programs, Apprise's services and gateways turn addresses in plain text into links."""
    trap = "到 https://desk.evil.example/a/x 或 www.evil.example 确认，写信 a@evil.example"
    bad = head(title=trap, excerpts=(excerpt(title=trap, text=trap, source_name="evil.example", url="",
                                             spans=(Span("polling", "evil.example", "title", 0, 12),)),),
               statements=(excerpt("s1", title=trap, text="", source_name="evil.example", url="", official=True),))
    for told in (page(head=bad), page(head=None, digest=(bad,), kind=EscalationKind.DIGEST)):
        message = rendered(told, Facts(link="https://desk.example/a/TOKEN"), desk_url=DESK)
        for text in (message.subject, message.short, message.text, *message.fields.values()):
            assert "evil.example" not in text
            assert set(re.findall(r"\S*://\S*", text)) <= {
                "https://desk.example/a/TOKEN", "查看并确认：https://desk.example/a/TOKEN",
                "查看：https://desk.example/a/TOKEN", "https://desk.example/events/e1"}
    assert "desk．evil．example" in rendered(page(head=bad)).text
    assert safe.inert("levels.yml 第 3.5 行") == "levels.yml 第 3.5 行"


def test_what_matched_is_told_in_its_own_words_and_a_title_keeps_its_last_sign() -> None:
    spans = (Span("polling", "@venue", "title", 0, 3), Span("polling", "/几点.+/", "title", 3, 7),
             Span("polling", "截止", "text", 7, 9), Span("polling", "cut", "text", 90, 93))
    told = rendered(page(head=head(title="几点关门？", excerpts=(excerpt(spans=spans),)), clocks=(clock(),)))
    assert "命中：投票站、几点关门、截止、cut\n" in told.text and told.body["data"]["event"]["terms"][0] == "投票站"
    assert "几点关门？首次权威回应 还剩" in told.card.mention and "？。" not in told.fields["text"]
