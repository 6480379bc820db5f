"""Bytes to text: whatever a feed declares, its words come out right."""

from __future__ import annotations

import html
import time

import pytest

from pipeline.collect.text import as_utf8_xml, clean, cut, decode, decoded, to_text
from tests.feed_texts import HEAD_LINES, TITLES, county_news, parsed, titles

NO_DECLARATION = ""


def declared(charset: str) -> str:
    return f'<?xml version="1.0" encoding="{charset}"?>'


@pytest.mark.parametrize(("declaration", "codec", "content_type"), [
    (declared("utf-8"), "utf-8", ""),
    (declared("gbk"), "gbk", ""),
    (declared("gb2312"), "gbk", ""),
    (declared("gb2312"), "gb18030", ""),
    (declared("utf-8"), "gbk", ""),
    (declared("gb2312"), "utf-8", ""),
    (declared("iso-8859-1"), "gbk", ""),
    (NO_DECLARATION, "gbk", ""),
    (NO_DECLARATION, "utf-8", ""),
    (NO_DECLARATION, "gbk", "text/xml; charset=gb2312"),
    (NO_DECLARATION, "gbk", "text/xml; charset=utf-8"),
    (NO_DECLARATION, "gbk", "text/xml; charset=ISO-8859-1"),
    (declared("utf-8"), "gbk", "application/xml; charset=utf-8"),
    (NO_DECLARATION, "utf-8-sig", "text/xml; charset=gbk"),
    (declared("gbk"), "utf-8-sig", ""),
    (declared("no-such-charset"), "gbk", "text/xml; charset=unicode_escape"),
    (declared("utf-16"), "utf-16", ""),
    (NO_DECLARATION, "utf-16-le", ""),
    (NO_DECLARATION, "utf-16-be", ""),
    (declared("utf-32"), "utf-32", ""),
])
def test_chinese_comes_out_right_whatever_is_declared(declaration: str, codec: str, content_type: str) -> None:
    body = county_news(declaration).encode(codec)
    assert titles(parsed(body, content_type=content_type)) == TITLES


@pytest.mark.parametrize(("declaration", "content_type"), [
    (declared("big5"), ""), (NO_DECLARATION, ""), (declared("gb2312"), ""),
    (declared("utf-8"), "text/xml; charset=utf-8")])
def test_big5_is_told_from_gbk(declaration: str, content_type: str) -> None:
    words = "縣選舉委員會公告：投票時間到下午六點，請市民攜帶證件，依時前往投票所。"
    assert words in decode((declaration + words).encode("big5"), content_type)


@pytest.mark.parametrize(("codec", "words"), [
    ("koi8-r", "Избирательный участок перенесён в дом культуры"),
    ("windows-1251", "Избирательный участок перенесён в дом культуры"),
    ("euc-kr", "투표소가 문화회관으로 변경되었습니다"),
    ("shift_jis", "投票所は文化会館に変更されました"),
    ("iso-8859-1", "Le café déménage à l'été: élections prévues"),
    ("windows-1252", "“Élections” – prévues à Noël"),
])
def test_other_declared_charsets_are_trusted_when_they_fit(codec: str, words: str) -> None:
    assert decode(f'<?xml version="1.0" encoding="{codec}"?><a>{words}</a>'.encode(codec)).endswith(f"<a>{words}</a>")


def test_latin_text_without_a_declaration_is_not_read_as_chinese() -> None:
    words = "Le café déménage à l'été: élections prévues à Besançon"
    assert decode(words.encode("cp1252")) == words


def test_short_gbk_that_happens_to_be_valid_utf8_is_read_as_declared() -> None:
    # D2 BB CA C0 is 一世 in GBK and also two valid Hebrew-like letters in UTF-8
    assert decode("一世".encode("gbk"), "text/xml; charset=gbk") == "一世"


@pytest.mark.parametrize("codec", ["gbk", "utf-8"])
def test_one_bad_byte_costs_only_itself(codec: str) -> None:
    body = county_news(declared(codec)).encode(codec)
    at = body.index("文化馆".encode(codec))
    assert titles(parsed(body[:at] + b"\xff" + body[at:])) == TITLES


@pytest.mark.parametrize("codec", ["gbk", "utf-8"])
def test_a_document_cut_in_the_middle_of_a_character_keeps_what_came(codec: str) -> None:
    body = county_news(declared(codec)).encode(codec)
    at = body.index("图书馆".encode(codec)) + 1
    found = titles(parsed(body[:at]))
    assert found[:2] == TITLES[:2]
    assert all("\ufffd" not in title for title in found)


def test_control_characters_and_references_to_them_vanish() -> None:
    body = county_news().replace("三号", "三\x0b号\x00").replace("投票站", "投&#x1F;票&#11;站&#xD800;")
    assert titles(parsed(body))[0] == TITLES[0]


def test_clean_keeps_ordinary_references() -> None:
    assert clean("&#x4e00;&#65;&#10;&#x110000;") == "&#x4e00;&#65;&#10;"


@pytest.mark.parametrize("text", ["👨\u200d👩\u200d👧 一家人", "投\u200b票站", "ＡＢＣ１２３", "❤\ufe0f", "می\u200cخ"])
def test_width_and_joiners_stay_as_they_were_written(text: str) -> None:
    assert to_text(f"<p>{text}</p>") == text


@pytest.mark.parametrize("control", ["\u202e", "\u2066", "\u200f", "\u061c", "\ufeff", "\u0007", "\x9f"])
def test_controls_of_direction_and_others_go(control: str) -> None:
    assert to_text(f"投票{control}站") == "投票站"


def test_windows_quotation_marks_are_not_lost_as_control_characters() -> None:
    assert clean("don\x92t &#147;stop&#x94;") == "don’t “stop”"


@pytest.mark.parametrize("meta", [
    '<meta charset="gbk">', "<META http-equiv=Content-Type content='text/html; charset=gb2312'>",
    "<!--" + "x" * 2000 + "--><meta charset=gbk>"])
def test_a_page_is_read_in_the_charset_of_its_meta(meta: str) -> None:
    page = f"<html><head>{meta}<title>Ф №5: 投票站</title></head></html>"
    words, charset = decoded(page.encode("gbk"), "text/html")
    assert words == page and charset == "gb18030"


def test_a_meta_of_another_language_is_trusted_too() -> None:
    page = "<head><meta charset='windows-1251'><title>Избирательный участок</title></head>"
    assert decode(page.encode("cp1251"), "text/html") == page


def test_the_charset_that_was_used_is_said() -> None:
    bodies = ("投票".encode(), "投票站改址".encode("gbk"), "<a>投票</a>".encode("utf-16"))
    assert [decoded(body)[1] for body in bodies] == ["utf-8", "gb18030", "utf-16-le"]


# ---------------------------------------------------------------- XML


def test_a_doctype_and_its_entities_never_reach_the_parser() -> None:
    document = '<?xml version="1.0"?><!-- x --><!DOCTYPE rss [<!ENTITY a "b>"> <!ENTITY c SYSTEM "file:///etc/passwd">]><rss/>'
    assert as_utf8_xml(document) == b"<!-- x --><rss/>"
    assert as_utf8_xml('<!DOCTYPE rss SYSTEM "http://x.example/rss.dtd"><rss/>') == b"<rss/>"
    assert as_utf8_xml("<rss><![CDATA[<!DOCTYPE x>]]></rss>") == b"<rss><![CDATA[<!DOCTYPE x>]]></rss>"
    assert as_utf8_xml("<!DOCTYPE rss [ never ends") == b""


# ---------------------------------------------------------------- HTML


@pytest.mark.parametrize(("markup", "words"), [
    ("<p>投票站<b>改</b>址</p><p>时间不变</p>", "投票站改址\n时间不变"),
    ("一<br>二<BR/>三", "一\n二\n三"),
    ("<script>alert('x')</script>正文<style>p{}</style>", "正文"),
    ("<script>没有结尾 <b>正文</b>", "没有结尾 正文"),
    ("<!-- 评论 -->正文<!-- 没有结尾", "正文<!-- 没有结尾"),
    ("<![CDATA[正文]]>", "正文"),
    ("5 < 6 且 7 > 6", "5 < 6 且 7 > 6"),
    ("甲&nbsp;&nbsp;乙&amp;丙&#x4e01;", "甲 乙&丙丁"),
    ('<a href="x" title="a>b">链接</a>', "链接"),
    ("<img src=x onerror=alert(1)>图", "图"),
    ("<li>一</li>\n\n<li>二</li>", "一\n二"),
    ("<p>第一段有两行，\n  在源码里换行。</p>\n\n<p>Two\nwords</p>", "第一段有两行，在源码里换行。\nTwo words"),
    ("没有标签的文字\n第二行", "没有标签的文字\n第二行"),
    ("只有<b>粗体</b>\n第二行", "只有粗体\n第二行"),
    ("<pre>一\n  二</pre><p>三\n四</p>", "一\n二\n三四"),
    ("<table><tr><th>站</th><th>地点</th></tr>\n<tr><td>一号</td>\n<td>礼堂</td></tr></table>", "站 地点\n一号 礼堂"),
    ("<div><div>一</div></div><br><br><p>二</p>", "一\n二"),
    ("", ""),
])
def test_markup_becomes_plain_text(markup: str, words: str) -> None:
    assert to_text(markup) == words


@pytest.mark.parametrize("hostile", [
    "<" * 300_000, "<a " * 100_000, "<!--" * 80_000, "<![CDATA[" * 40_000, "<script>" * 40_000, "</script>" * 40_000,
    "<a b='" * 60_000, '<a b="' * 60_000 + ">", "&" * 300_000, "&#" * 150_000, "<style><!--" * 30_000, "<b>" * 100_000,
    "<?" * 150_000, "<!" * 150_000, " \n" * 200_000,
], ids=lambda hostile: hostile[:10])
def test_hostile_markup_takes_linear_time(hostile: str) -> None:
    began = time.perf_counter()
    to_text(hostile)
    assert time.perf_counter() - began < 2


def test_cut_keeps_whole_characters() -> None:
    assert cut("投票站", 7) == ("投票", True)
    assert cut("投票站", 9) == ("投票站", False)
    assert cut("", 0) == ("", False)
    assert len(HEAD_LINES) == 3


@pytest.mark.parametrize("hidden", [
    "&#xD8\x0000;", "&#xD8&#0;00;", "&#&#0;55296;", "&#" * 40 + "55296" + ";55296" * 40, "&#xD800;"])
def test_no_reference_to_half_a_character_closes_up_when_another_is_taken_out(hidden: str) -> None:
    read = decode(f"<a>青山{hidden}县</a>".encode())
    assert html.unescape(read).isprintable() and "\ud800" not in html.unescape(read) and "青山" in read
