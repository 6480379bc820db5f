from __future__ import annotations

import re
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.model import Escalation, EscalationKind
from pipeline.notify.digest import Bundle, render_bundle
from pipeline.notify.message import Setting
from tests.builders import book
from tests.messages import head, page, system

DESK = "https://desk.example"
KINDS = {
    "page": lambda n, level: page(f"p{n}", level=level, level_name=("", "一般", "较大", "重大")[level],
                                  head=head(f"e{n}", number=n, level=level)),
    "clock": lambda n, level: page(f"c{n}", kind=EscalationKind.CLOCK, head=head(f"e{n}", number=n)),
    "inform": lambda n, level: page(f"i{n}", kind=EscalationKind.INFORM, level=0, head=head(f"e{n}", number=n)),
    "digest": lambda n, level: page(f"d{n}", kind=EscalationKind.DIGEST, head=None, digest=tuple(
        head(f"e{n}{k}", number=10 * n + k) for k in range(3))),
    "drill": lambda n, level: page(f"r{n}", level=level, head=head(f"e{n}", number=n, subject="!polling")),
    "system": lambda n, level: system(f"s{n}", title=f"来源 {n} 中断"),
}


def bundled(escalations: list[Escalation], **changes: object) -> tuple[Bundle, ...]:
    setting = {"book": book(), "zone": ZoneInfo("Asia/Shanghai"), "desk_url": DESK, **changes}
    return render_bundle(escalations, Setting(**setting))  # type: ignore[arg-type]


def pages(count: int, level: int = 2) -> list[Escalation]:
    return [KINDS["page"](n, level) for n in range(1, count + 1)]


def numbers(text: str) -> set[str]:
    return set(re.findall(r"[DE]-\d{4,}", text))


def test_what_the_rate_held_up_is_listed_by_level_the_highest_first() -> None:
    one, = bundled([*pages(2), KINDS["page"](9, 3), KINDS["clock"](5, 2), system()])
    assert one.message.text == """\
【合并】5 条消息：重大
说明：通道的发送频率到了上限，以下消息合并为一条，逐条都已记录
重大 1 个：E-0009
较大 2 个：E-0001、E-0002
时限提醒 1 个：E-0005
系统通知 1 个：「来源 新闻网 中断」
查看：https://desk.example"""
    assert one.message.short == one.message.text and one.escalations[0].id == "p9"
    assert one.message.card.lines[1:] == (("重大 1 个", "E-0009"), ("较大 2 个", "E-0001、E-0002"),
                                          ("时限提醒 1 个", "E-0005"), ("系统通知 1 个", "「来源 新闻网 中断」"))
    assert [each["escalation_id"] for each in one.message.body["data"]["bundle"]] == ["p9", "p1", "p2", "c5", "sys1"]


def test_an_event_that_is_told_twice_stands_there_once() -> None:
    one, = bundled([page("p1"), page("p2", step=1)])
    assert one.message.text.count("E-0317") == 1 and len(one.escalations) == 2


def test_five_hundred_alerts_are_a_few_messages_with_every_number() -> None:
    found = bundled(pages(500))
    assert 2 <= len(found) <= 4
    assert set().union(*(numbers(one.message.short) for one in found)) == {f"E-{n:04d}" for n in range(1, 501)}
    assert found[0].message.subject == f"【合并】{len(found[0].escalations)} 条消息（1/{len(found)}）：较大"


@given(st.lists(st.tuples(st.sampled_from(sorted(KINDS)), st.integers(1, 3)), min_size=1, max_size=60),
       st.integers(500, 2048))
def test_every_escalation_is_in_one_message_and_every_text_lists_it(
    wanted: list[tuple[str, int]], size: int,
) -> None:
    given_in = [KINDS[kind](n, level) for n, (kind, level) in enumerate(wanted, 1)]
    found = bundled(given_in, short_bytes=size)
    assert sorted(one.id for each in found for one in each.escalations) == sorted(one.id for one in given_in)
    for each in found:
        message = each.message
        heads = (one for told in each.escalations for one in (told.digest or (told.head,)) if one)
        listed = {one.short for one in heads}
        card = "\n".join(text for _, text in message.card.lines)
        assert listed <= numbers(message.short) & numbers(message.text) & numbers(card)
        assert len(message.short.encode()) <= size
        assert len({one.drill for one in each.escalations}) == 1


@pytest.mark.parametrize("banner", ["", "演示"])
def test_drills_stand_apart_and_say_so_in_front(banner: str) -> None:
    real, drill = bundled([*pages(1), KINDS["drill"](2, 2)], banner=banner)
    assert not real.message.card.drill and "演练" not in real.message.text
    assert drill.message.card.drill and numbers(drill.message.text) == {"D-0002"}
    assert all(text.startswith("【演练】") for text in (
        drill.message.subject, drill.message.short, drill.message.card.title, drill.message.card.mention))
    assert drill.message.fields["text"].startswith("演练") and "不是真实事件" in drill.message.text


def test_order_of_arrival_makes_no_difference() -> None:
    assert bundled(pages(30)) == bundled(pages(30)[::-1])
