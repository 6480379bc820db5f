"""Markup that may be shown: what is kept, what never is, and what hostile markup costs."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.collect.entries import batches
from pipeline.collect.privacy import mask
from pipeline.collect.sanitize import MAX_BYTES, safe_html
from pipeline.collect.text import to_text
from tests.builders import NOON
from tests.feed_texts import entry, parsed, rss

BASE = "https://bbs.example/t/1"
REL = 'rel="nofollow noopener noreferrer"'


@pytest.mark.parametrize(("markup", "kept"), [
    ("<b onclick=x() style='color:red' class=a id=b>粗</b><img src=x onerror=alert(1)>", "<b>粗</b>"),
    ("<a href='/t/2' target=_top>链</a>", f'<a href="https://bbs.example/t/2" {REL}>链</a>'),
    ("<a href=\"?a=1&amp;b=2\">链</a>", f'<a href="https://bbs.example/t/1?a=1&amp;b=2" {REL}>链</a>'),
    ("<a href='javascript:alert(1)'>坏</a><i>字</i>", "坏<i>字</i>"),
    ("<a href='/x?uid=7'>人</a>", f'<a href="https://bbs.example/x" {REL}>人</a>'),
    ("<script>alert(1)</script><style>b{}</style><b>字</b><iframe src=x></iframe>", "<b>字</b>"),
    ("<table><tr><td colspan=2>一<td>二<tr><th>三</table>",
     "<table><tbody><tr><td>一</td><td>二</td></tr><tr><th>三</th></tr></tbody></table>"),
    ("<ul><li>一<li>二</ul>", "<ul><li>一</li><li>二</li></ul>"),
    ("<div>一<div>二</div>三</div><em>四</em>", "<p>一</p><p>二</p>三<em>四</em>"),
    ("<pre>一\n  二</pre>", "<pre>一\n  二</pre>"), ("一<hr>二", "一<hr>二"),
    ("<!-- <b>x</b> --><i>字</i>", "<i>字</i>"),
    ("<b>一<p>二</b>三</p>", "<b>一<p>二</p></b>三"), ("<h7>一</h7><h2>二</h2>", "一<h2>二</h2>"),
    ("5 < 6 <b>&lt;script&gt;</b>", "5 &lt; 6 <b>&lt;script&gt;</b>"),
    ("<p title='a > b'>一</p><b>二",
     "<p>一</p><b>二</b>"),
    ("<p></p><b></b><i>字</i><p> </p>", "<i>字</i>"), ("<b>左\u202e右\u200b</b>", "<b>左右</b>"),
])
def test_the_allow_list_is_kept_and_nothing_else(markup: str, kept: str) -> None:
    assert safe_html(markup, BASE) == kept


@pytest.mark.parametrize("markup", [
    "", "没有标签", "<p>一</p><br>二<br/>", "<div>一</div><span>二</span><font color=red>三</font>", "<img src=x>",
    "<b></b>",     "<a href='mailto:a@b.example'>信</a>", "<a>无址</a>", "<svg><b>x</b></svg>", "<h1> </h1>一",
    "<b>" + "字" * MAX_BYTES + "</b>", "<b>一</b>" * 20_000,
])
def test_what_the_plain_text_says_as_well_is_not_kept(markup: str) -> None:
    assert safe_html(markup, BASE) == ""


@pytest.mark.parametrize(("markup", "kept"), [
    ("<b>电话</b> 13812345678", "<b>电话</b> [电话]"), ("<b>@张三</b> 好", "<b>@[用户]</b> 好"),
    ("<i>138&#49;2345678</i>", "<i>[电话]</i>"), ("<b>1381\u200b2345678</b>", "<b>[电话]</b>"),
    ("<b>138</b>12345678", ""), ("<b>zhang</b>@a.example", ""),
])
def test_personal_data_is_masked_or_the_markup_given_up(markup: str, kept: str) -> None:
    assert safe_html(markup, BASE) == kept


_TAG = re.compile(r'<(/?[a-z][a-z0-9]*|a href="https?://[^"<>]*" ' + re.escape(REL) + ")>")
_pieces = st.sampled_from([
    "<b>", "</b>", "<p>", "</p>", "<a href='//x.example/?q=1'>", "<a href=\"javascript:x\">", "</a>", "<table>", "<td>",
    "<li>", "<script>", "</script>", "<!--", "-->", "<![CDATA[", "]]>", "&lt;", "&#60;", "<", ">", "\"", "'", "=",
    "<svg>", "<math>", "<style>", "</style>", "<b ", "onclick=x", "字", "13812345678", "<title>", "<noscript>",
    "<template>", "<plaintext>", "<xmp>", "<select>", "\x00", "\u202e", "/"])


@settings(max_examples=300, deadline=None)
@given(st.lists(_pieces, max_size=30).map("".join))
def test_whatever_goes_in_only_tags_of_the_list_come_out(markup: str) -> None:
    clean = safe_html(markup, BASE)
    assert "<" not in _TAG.sub("", clean) and mask(to_text(clean)) == to_text(clean)
    assert not re.search(r"<(?:script|style|svg|math|title|template|select|img)", clean)


@pytest.mark.parametrize("piece", [
    "<b>", "<b id={}>", "<div>", "<blockquote>", "<ul><li>", "<a href=/{}>", "<b><p>", "<table>x", "<td><tr><th>", "<",
    "<!--",     "<b id=\"", "<a '\"", "<script>", "<b></b>", "</p>", "<h1>", "电话13812345678<b>x</b>"])
def test_hostile_markup_costs_no_more_than_its_length(piece: str) -> None:
    """With a parser alone the first of these takes minutes; the suite's own limit on a test would end it."""
    markup = "".join(piece.format(number) if "{}" in piece else piece for number in range(1_000_000 // len(piece)))
    assert len(safe_html(markup, BASE)) <= MAX_BYTES


def test_an_item_has_its_markup_where_that_says_more_than_its_text() -> None:
    listed, plain = (parsed(rss(entry(1, "题", body))).items[0] for body in ("<ul><li>一</li></ul>", "<p>一</p>"))
    assert (listed.text, listed.html, plain.html) == ("一", "<ul><li>一</li></ul>", "")


def test_relative_links_are_relative_to_the_entry_or_its_xml_base() -> None:
    document = '''<feed xmlns="http://www.w3.org/2005/Atom" xml:base="http://a.example/x/"><title>题</title>
        <entry xml:base="y/"><id>1</id><title>题</title><link href="1.html"/>
        <content type="html">&lt;a href="2.html">二&lt;/a></content></entry></feed>'''
    item = parsed(document).items[0]
    assert item.url == "http://a.example/x/y/1.html" and 'href="http://a.example/x/y/2.html"' in item.html
    assert 'href="http://news.example/2.html"' in parsed(rss(entry(1, "题", '<a href="2.html">二</a>'))).items[0].html


def test_a_record_too_small_for_text_and_markup_keeps_the_text() -> None:
    body = "<ul>" + "<li>" + "文" * 3000 + "</li></ul>"
    items = parsed(rss(entry(1, "题", body))).items
    (roomy,), (small,) = (list(batches("news", NOON, items, max_items=64, max_bytes=size)) for size in (20_000, 12_000))
    assert roomy.items == items and items[0].html
    assert (small.items[0].html, small.items[0].text, small.items[0].truncated) == ("", items[0].text, False)
