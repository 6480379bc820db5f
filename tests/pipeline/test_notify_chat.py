from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from pipeline.notify import chat, dingtalk, feishu, safe, wecom
from pipeline.notify.card import Card, CardExcerpt
from pipeline.rulebook.schema import Person

LINK = "https://desk.example/a/" + "t0ken-_" * 12
DAY = Person(id="duty-day", name="白班值班员", channels=(), wecom="zhiban", dingtalk="ding-1", feishu="ou_1a2b3c",
             mobile="138 0000-0000")
LEAD = Person(id="lead", name="带班领导", channels=(), mobile="+86 13900000000")
NOBODY = Person(id="ops", name="运维", channels=())


def card(**changes: Any) -> Card:
    values: dict[str, Any] = {
        "title": "【重大】E-0317 投票站三点关门的说法", "level": "重大", "color": "#dc2626", "drill": False,
        "lines": (("级别", "较大 → 重大"), ("原因", "2 小时内 31 条、9 个独立来源")),
        "excerpts": (CardExcerpt("投票站几点关门", "有人说下午三点截止", "新闻网", "11:40", "http://xinwen.example/1"),),
        "link": LINK, "link_text": "查看并确认", "mention": "【重大】E-0317 投票站三点关门的说法", **changes}
    return Card(**values)


def wecom_markdown(value: Card, *people: Person) -> str:
    return str(wecom.markdown(value, people)["markdown"]["content"])


def wecom_mention(value: Card, *people: Person) -> str:
    found = wecom.mention(value, people or (DAY,))
    assert found is not None
    return str(found["text"]["content"])


def wecom_app(value: Card, *people: Person) -> str:
    body = wecom.app(value, "zhiban", 7, "d1e2f3a4b5")
    kind = body[body["msgtype"]]
    return "\n".join(str(kind.get(name, "")) for name in ("title", "description", "content"))


def ding(value: Card, *people: Person) -> str:
    body = dingtalk.payload(value, people)
    return "\n".join(str(body[body["msgtype"]][name]) for name in ("title", "text"))


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from [inner] if name == "content" and isinstance(inner, str) else texts(inner)
    if isinstance(value, list):
        for inner in value:
            yield from texts(inner)


def lark(value: Card, *people: Person) -> str:
    return "\n".join(texts(feishu.payload(value, people)))


ALL: list[Callable[..., str]] = [wecom_markdown, wecom_mention, wecom_app, ding, lark]


# ---------------------------------------------------------------- signatures


@pytest.mark.parametrize(("secret", "now", "expected"), [
    ("SECdemo-secret", 1_700_000_000_123, "hmmlKE1tANSne7MnT44d1tjX8cNsBbp6ATB/Uf1y49o="),
    ("SEC密钥+/=", 1_700_000_000_123, "jamvnbUfIaFiuLLLeKol0VLYly6GAoZG+KewuiRiyTM=")])
def test_the_signature_of_dingtalk_is_that_of_openssl(secret: str, now: int, expected: str) -> None:
    """printf '1700000000123\\nSECdemo-secret' | openssl dgst -sha256 -hmac 'SECdemo-secret' -binary | base64"""
    assert dingtalk.sign(secret, now) == expected


@pytest.mark.parametrize(("secret", "seconds", "expected"), [
    ("demo", 1_599_360_473, "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8="),
    ("密钥", 1_700_000_000, "cyn+2wyXar1IIl3eihT1dIzSxsVv1BFWCgy6prBcWJM=")])
def test_the_signature_of_feishu_is_that_of_openssl(secret: str, seconds: int, expected: str) -> None:
    """printf '' | openssl dgst -sha256 -mac HMAC -macopt hexkey:KEY -binary | base64
    with KEY of: printf '1599360473\\ndemo' | xxd -p"""
    assert feishu.sign(secret, seconds) == expected


def test_a_signature_is_safe_in_an_address_and_stands_after_what_is_there() -> None:
    url = dingtalk.signed("https://oapi.dingtalk.com/robot/send?access_token=t", "SEC密钥+/=", 1_700_000_000_123)
    assert url == ("https://oapi.dingtalk.com/robot/send?access_token=t&timestamp=1700000000123"
                   "&sign=jamvnbUfIaFiuLLLeKol0VLYly6GAoZG%2BKewuiRiyTM%3D")
    assert dingtalk.signed("https://h.example/robot", "SECdemo-secret", 1_700_000_000_123) == (
        "https://h.example/robot?timestamp=1700000000123&sign=hmmlKE1tANSne7MnT44d1tjX8cNsBbp6ATB%2FUf1y49o%3D")


def test_without_a_secret_nothing_is_signed() -> None:
    assert dingtalk.signed("https://h.example/r?a=b", "", 1) == "https://h.example/r?a=b"
    assert feishu.signed({"msg_type": "text"}, "", 1) == {"msg_type": "text"}
    assert feishu.signed({"msg_type": "text"}, "demo", 1_599_360_473) == {
        "msg_type": "text", "timestamp": "1599360473", "sign": "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8="}


# ---------------------------------------------------------------- mentions


def test_wecom_mentions_by_account_else_by_number_in_a_text_before_the_card() -> None:
    assert wecom.mention(card(), (DAY, LEAD, NOBODY, DAY)) == {"msgtype": "text", "text": {
        "content": "【重大】E-0317 投票站三点关门的说法\n致：运维", "mentioned_list": ["zhiban"],
        "mentioned_mobile_list": ["13900000000"]}}
    assert wecom.mention(card(), (NOBODY,)) is None
    assert wecom_mention(card(), DAY) == "【重大】E-0317 投票站三点关门的说法"
    assert "致：运维" in wecom_markdown(card(), NOBODY) and "致：" not in wecom_markdown(card(), DAY)


def test_dingtalk_says_in_the_text_whom_the_at_object_names_and_never_everybody() -> None:
    body = dingtalk.payload(card(), (DAY, LEAD, NOBODY))
    assert body["at"] == {"atMobiles": ["13900000000"], "atUserIds": ["ding-1"], "isAtAll": False}
    assert body["actionCard"]["text"].endswith("致：运维\n\n@13900000000 @ding-1")
    assert (body["actionCard"]["singleTitle"], body["actionCard"]["singleURL"]) == ("查看并确认", LINK)


def test_feishu_mentions_in_the_card_and_links_by_its_button() -> None:
    elements = feishu.payload(card(), (DAY, LEAD))["card"]["elements"]
    assert elements[-2]["text"] == {"tag": "lark_md", "content": "<at id=ou_1a2b3c></at> 致：带班领导"}
    assert elements[-1]["actions"][0]["url"] == LINK


@pytest.mark.parametrize("wrong", [
    "@all", "@ALL", "all", "All", " @all ", "x></at><at id=all>", "a b", "ou_1\n", "|x", "甲"])
def test_an_account_that_would_mean_everybody_or_markup_mentions_nobody(wrong: str) -> None:
    person = Person(id="p", name="甲", channels=(), wecom=wrong, dingtalk=wrong, feishu=wrong, mobile="not a number")
    fitting = wrong.strip() == "ou_1"
    assert (wecom.mention(card(), (person,)) is not None) is fitting
    assert dingtalk.payload(card(), (person,))["at"]["atUserIds"] == (["ou_1"] if fitting else [])
    assert ("<at" in lark(card(), person)) is fitting


# ---------------------------------------------------------------- sizes


LONG = card(title="长" * 200, mention="长" * 200, lines=tuple((f"行{n}", "很\"长🙂的" * 400) for n in range(60)))


def test_texts_are_cut_to_the_byte_and_the_link_stays() -> None:
    content = wecom_markdown(LONG, DAY)
    assert 4090 < len(content.encode()) <= 4096 and content.endswith(f"…\n[查看并确认]({LINK})")
    assert len(wecom_mention(LONG, DAY).encode()) <= 2048
    text = wecom.app(LONG, "zhiban", 7, "d1e2f3a4b5")["text"]["content"]
    assert 2040 < len(text.encode()) <= 2048 and text.endswith(f'<a href="{LINK}">查看并确认</a>\n消息 d1e2f3a4')
    signed = feishu.signed(feishu.payload(LONG, (DAY,)), "demo", 1_599_360_473)
    for body in (dingtalk.payload(LONG, (DAY, LEAD)), signed):
        raw = msgspec.json.encode(body)
        assert 19_700 < len(raw) <= 20_000 and LINK.encode() in raw and "…".encode() in raw
        assert msgspec.json.decode(raw) == body
    assert dingtalk.payload(LONG, (DAY, LEAD))["actionCard"]["text"].endswith("@13900000000 @ding-1")


@pytest.mark.parametrize("size", range(60))
def test_a_cut_never_splits_a_character_and_never_exceeds(size: int) -> None:
    text = "甲\"乙\\🙂é" * 6
    for weigh in (chat.utf8, chat.in_json):
        shown = chat.cut(text, size, weigh)
        assert weigh(shown) <= size
        assert not shown or text.startswith(shown[:-1])
    blocks = [chat.Block(text, "**", "**"), chat.Block("后面", "> ")]
    whole = chat.fit(blocks, size + 20, last="[开](u)")
    assert chat.utf8(whole) <= size + 20 and whole.endswith("[开](u)") and whole.count("**") in (0, 2)


@pytest.mark.parametrize("text", ["", "x", "很长的一段话" * 3000])
def test_labels_without_text_and_many_lines_stay_within_the_sizes(text: str) -> None:
    many = card(lines=tuple((f"标签{n}" * 5, text if n == 900 else "") for n in range(3000)), excerpts=())
    assert len(wecom_markdown(many, DAY).encode()) <= 4096
    for body in (dingtalk.payload(many, (DAY,)), feishu.signed(feishu.payload(many, (DAY,)), "demo", 1_599_360_473)):
        assert len(msgspec.json.encode(body)) <= 20_000
    assert chat.fit([chat.Block("", "长标签")], 5) == "" and chat.fit([chat.Block("")], 5, last="x") == "x"


def test_an_app_message_is_a_card_when_its_lines_fit_and_a_text_when_not_or_without_a_link() -> None:
    short = wecom.app(card(), "zhiban", 7, "d1e2f3a4b5")
    assert short["msgtype"] == "textcard" and short["textcard"]["url"] == LINK
    assert len(short["textcard"]["description"].encode()) <= 512 and len(short["textcard"]["title"].encode()) <= 128
    assert short["textcard"]["description"].endswith('<div class="gray">消息 d1e2f3a4</div>')
    assert wecom.app(LONG, "zhiban", 7, "d1")["msgtype"] == "text"
    bare = wecom.app(card(link=""), "zhiban", 7, "d1")
    assert bare["msgtype"] == "text" and "href" not in bare["text"]["content"]
    assert bare["text"]["content"].startswith("【重大】E-0317")


def test_wecom_drops_a_repeat_of_one_message_and_no_other() -> None:
    first, again, other = (wecom.app(card(), "zhiban", 7, ident) for ident in ("aaaaaaaa1", "aaaaaaaa1", "bbbbbbbb2"))
    assert first == again != other and first["enable_duplicate_check"] == 1


def test_every_number_of_a_bundle_is_in_the_message() -> None:
    numbers = "、".join(f"E-{n:04}" for n in range(1, 190))
    lines = (("说明", "合并为一条"), ("重大 189 个", numbers))
    bundle = card(title="【合并】189 条消息：重大", excerpts=(), lines=lines)
    for shown in (wecom_markdown(bundle, DAY), wecom_app(bundle), ding(bundle, DAY), lark(bundle, DAY)):
        assert numbers in shown


# ---------------------------------------------------------------- no link, drills, colours


def test_without_a_link_there_is_no_button_and_no_empty_link() -> None:
    bare = card(link="", excerpts=())
    assert dingtalk.payload(bare, (DAY,))["msgtype"] == "markdown"
    assert all("](" not in build(bare, DAY) for build in ALL)
    assert "action" not in [each["tag"] for each in feishu.payload(bare, (DAY,))["card"]["elements"]]


@pytest.mark.parametrize("build", ALL)
def test_a_drill_says_so_first(build: Callable[..., str]) -> None:
    marked = build(card(drill=True), DAY)
    assert re.match(r"[^【】]*【演练】【重大】", marked), marked
    already = build(card(drill=True, title="【演示】【演练】【重大】x", mention="【演示】【演练】x"), DAY)
    assert already.split("x")[0].count("演练") == 1


@pytest.mark.parametrize(("color", "wecom_hue", "template"), [
    ("#dc2626", "warning", "red"), ("#d97706", "warning", "orange"), ("#2563eb", "info", "blue"),
    ("#16a34a", "info", "green"), ("#888888", "comment", "grey"), ("red", "comment", "grey")])
def test_levels_have_the_nearest_colour_that_the_program_knows(color: str, wecom_hue: str, template: str) -> None:
    assert f'<font color="{wecom_hue}">' in wecom_markdown(card(color=color))
    assert feishu.payload(card(color=color), ())["card"]["header"]["template"] == template
    shown = color if color.startswith("#") else "#888888"
    assert f"<font color={shown}>" in ding(card(color=color))


# ---------------------------------------------------------------- hostile texts


PIECES = [
    "@all", "@所有人", "<@all>", "<@zhiban>", "<at id=all></at>", '<at user_id="all">所有人</at>', "@13900000000",
    "@ding-1", "# 标题", "\n## 标题", "\r\n# x", "**粗**", "__粗__", "[点](http://evil.example/x)",
    "![图](http://evil.example/x.png)",
    "http://evil.example/a?b=c", "https://evil.example", "www.evil.example", "evil.com", "//evil.example/x",
    "<a href=\"http://evil.example\">x</a>", '<font color="warning">', "</font>", "`x`", "```", "> 引", "- 项", "1. 项",
    "---", "===", "| a | b |", "&#60;at id=all&#62;", "&lt;at id=all&gt;", "\\u0040all",
    "\"}],\"at\":{\"isAtAll\":true},\"x\":\"", "\x00", "\x1b[31m", "\u202e", "\u200b", "\ud800", "\U0001f600", "～",
    "＠all", "{{.x}}", "${x}", "%40all", ":all:", "'", "甲", "乙丙", " ", "E-0317", "3.5%", "\u2028# x", "\u3000", "𝐀"]
_TAG = re.compile(r"<(?!font color=|/font>|at id=ou_1a2b3c>|/at>|a href=|/a>|div class=|/div>|br>)")
_HREF = re.compile(r"\]\(([^)]*)\)|<a href=\"([^\"]*)\"")


def hostile(chance: random.Random) -> str:
    return "".join(chance.choice(PIECES) for _ in range(chance.randint(1, 8)))


def hostile_card(chance: random.Random) -> Card:
    """As render makes one: every text through safe.line."""
    def text() -> str:
        return safe.line(hostile(chance))

    return card(
        title=f"【重大】{text()}", mention=f"【重大】{text()}", lines=(("原因", text()), ("", text())),
        excerpts=(CardExcerpt(text(), text(), text(), text(), safe.link("http://xinwen.example/" + hostile(chance))),),
        link=LINK if chance.random() < 0.7 else "")


def raw_card(chance: random.Random) -> Card:
    """As render must not make one: a second line of defence stands here."""
    def text() -> str:
        return hostile(chance)

    return card(title=text(), mention=text(), lines=((text(), text()), ("", text())), link=LINK, link_text=text(),
                excerpts=(CardExcerpt(text(), text(), text(), text(), text()),))


@pytest.mark.parametrize("make", [hostile_card, raw_card])
@pytest.mark.parametrize("seed", range(150))
def test_no_text_of_a_feed_is_a_mention_a_link_or_markup(seed: int, make: Callable[[random.Random], Card]) -> None:
    chance = random.Random(seed)
    value = make(chance)
    allowed = {LINK, *(chat.href(one.url) for one in value.excerpts)}
    for build in ALL:
        shown = build(value, DAY, LEAD)
        shown.encode("utf-8")                                       # no half of a character
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u200b\u202e\u2028]", shown)
        own = shown.replace("@13900000000 @ding-1", "") if build is ding else shown
        assert "@" not in own, "only the module writes mentions"
        assert not _TAG.search(own)
        assert {one or other for one, other in _HREF.findall(shown)} <= allowed
        bare = _HREF.sub("", shown)
        assert "://" not in bare and not re.search(r"(?:www|evil)\.[a-z]", bare)
        assert not re.search(r"^\s*(#{1,6} (?!<font)|[-+*] |---|===|```|\|)", shown, re.MULTILINE)
        assert "`" not in shown and "![" not in shown and "__粗" not in shown


@pytest.mark.parametrize("seed", range(60))
def test_no_text_of_a_feed_breaks_the_json_or_changes_its_members(seed: int) -> None:
    value = raw_card(random.Random(seed))
    calm = card()
    for build in (lambda one: wecom.markdown(one, (DAY,)), lambda one: wecom.mention(one, (DAY,)),
                  lambda one: dingtalk.payload(one, (DAY,)), lambda one: feishu.payload(one, (DAY,))["card"]["header"]):
        raw = msgspec.json.encode(build(value))
        assert b"\\u" not in raw, "WeCom refuses escapes of this form (40033)"
        assert list(msgspec.json.decode(raw)) == list(build(calm) or {})
    assert dingtalk.payload(value, (DAY,))["at"] == dingtalk.payload(calm, (DAY,))["at"]


def test_numbers_and_names_of_rule_files_stay_as_they_are() -> None:
    assert chat.plain("levels.yml 第 3.5 行，12:30，1.2.3") == "levels.yml 第 3.5 行，12:30，1.2.3"
    assert chat.plain("见 news.evil.com。") == "见 news．evil．com。"
    assert chat.plain("- 项") == "－ 项" and chat.plain("-5 度") == "-5 度" and chat.plain("1. 项") == "1． 项"
