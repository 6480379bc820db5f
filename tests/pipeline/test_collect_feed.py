"""Documents to items: every format, and what is no feed says what it is."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.collect.entries import MAX_ENTRIES, MAX_TEXT_BYTES, MAX_TITLE_BYTES
from pipeline.collect.feed import parse_feed
from pipeline.errors import NotAFeed
from pipeline.rulebook.schema import SourceFormat
from tests.builders import NOON
from tests.feed_texts import TITLES, county_news, entry, parsed, reading, rss, titles

HOUR = 3_600_000

ATOM = """<?xml version="1.0" encoding="utf-8"?><feed xmlns="http://www.w3.org/2005/Atom"><title>公告栏</title>
<entry><title type="html">投票站&lt;b&gt;改址&lt;/b&gt;</title><id>urn:1</id><link href="/notice/1"/>
<author><name>林书记员</name><email>lin@news.example</email><uri>http://news.example/u/7</uri></author>
<updated>2026-11-22T03:00:00Z</updated><content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>改到文化馆</p></div>
</content></entry></feed>"""

RDF = """<?xml version="1.0"?>
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"
xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:sy="http://purl.org/rss/1.0/modules/syndication/">
<channel rdf:about="http://a/">
<title>公告</title><sy:updatePeriod>hourly</sy:updatePeriod><sy:updateFrequency>2</sy:updateFrequency></channel>
<item rdf:about="http://a/1"><title>停水通知</title><link>http://a.example/1</link><dc:creator>王某</dc:creator>
<dc:date>2026-11-22T11:00:00+08:00</dc:date><description>东街停水</description></item></rdf:RDF>"""

JSON_FEED = {"version": "https://jsonfeed.org/version/1.1", "title": "公告", "items": [
    {"id": "1", "url": "http://a.example/1", "title": "停水通知", "content_html": "<p>东街<b>停水</b></p>",
     "authors": [{"name": "王某", "url": "http://a.example/u/wang"}], "date_published": "2026-11-22T11:00:00+08:00"},
    {"id": 2, "content_text": "没有标题的一条：5 < 6", "date_modified": "2026-11-22T10:00:00+08:00"}]}

DISCUZ = """<rss version="2.0"><channel><title>青山论坛</title><ttl>30</ttl>
<item><title>投票站几点关门？</title><link>http://bbs.example/thread-1-1-1.html</link>
<description><![CDATA[ 有人说 下午三点截止 ]]></description><category>县城生活</category><author>山里人</author>
<pubDate>2026年11月22日 上午11:00</pubDate></item></channel></rss>"""

DISCOURSE = {"users": [{"id": 1, "username": "shanliren", "avatar_template": "/a.png"}], "topic_list": {"topics": [
    {"id": 7, "title": "投票站几点关门", "slug": "topic", "created_at": "2026-11-22T03:00:00.000Z",
     "excerpt": "有人说 &hellip; 三点", "last_poster_username": "shanliren", "posters": [{"user_id": 1}]}]}}

NODEBB = {"topics": [{"tid": 9, "uid": 3, "title": "东街积水", "slug": "9/东街积水", "timestamp": 1795316400000,
                      "user": {"username": "shanliren"}, "teaser": {"user": {"username": "guest"}}},
                     {"tid": 10, "title": "删掉的", "deleted": True, "timestamp": 1795316400000}]}


@pytest.mark.parametrize("version", ["0.91", "0.92", "0.93", "2.0"])
def test_rss_of_every_version_is_read_oldest_first(version: str) -> None:
    found = parsed(county_news().replace('version="2.0"', f'version="{version}"', 1))
    assert titles(found) == TITLES
    assert [item.published_at for item in found.items] == [NOON - 3 * HOUR, NOON - 2 * HOUR, NOON - HOUR]


@pytest.mark.parametrize(("document", "title", "text", "url"), [
    (ATOM, "投票站改址", "改到文化馆", "http://news.example/notice/1"),
    (RDF, "停水通知", "东街停水", "http://a.example/1"),
    (DISCUZ, "投票站几点关门？", "有人说 下午三点截止", "http://bbs.example/thread-1-1-1.html"),
    (json.dumps(JSON_FEED, ensure_ascii=False), "停水通知", "东街停水", "http://a.example/1"),
    (json.dumps(DISCOURSE, ensure_ascii=False), "投票站几点关门", "有人说 … 三点", "http://news.example/t/topic/7"),
    (json.dumps(NODEBB), "东街积水", "", "http://news.example/topic/9/%E4%B8%9C%E8%A1%97%E7%A7%AF%E6%B0%B4"),
], ids=["atom", "rdf", "discuz", "json", "discourse", "nodebb"])
def test_each_format_gives_title_text_link_and_date(document: str, title: str, text: str, url: str) -> None:
    item = parsed(document).items[-1]
    assert (item.title, item.text, item.url, item.published_at) == (title, text, url, NOON - HOUR)


@pytest.mark.parametrize(
    "document", [ATOM, RDF, DISCUZ, json.dumps(JSON_FEED), json.dumps(DISCOURSE), json.dumps(NODEBB)])
def test_no_author_name_link_or_picture_survives(document: str) -> None:
    found = repr(parsed(document))
    authors = ("林书记员", "lin@", "/u/", "王某", "山里人", "shanliren", "guest", "avatar")
    assert not [word for word in authors if word in found]


def test_no_code_of_the_stage_reads_an_author() -> None:
    folder = Path(sys.modules[parse_feed.__module__].__file__ or "").parent
    for path in folder.glob("*.py"):
        code = path.read_text("utf-8")
        assert '"author' not in code and ".author" not in code and '"dc_creator' not in code, path


def test_json_feed_text_is_not_taken_for_markup() -> None:
    item = parsed(json.dumps(JSON_FEED)).items[0]
    assert item.text == item.title == "没有标题的一条：5 < 6"


@pytest.mark.parametrize(
    ("document", "minutes"), [(DISCUZ, 30), (RDF, 30), (rss(), None), (rss(head="<ttl>x</ttl>"), None)])
def test_the_publisher_may_say_how_long_to_wait(document: str, minutes: int | None) -> None:
    assert parsed(document).ttl == (None if minutes is None else minutes * 60_000)


def test_discourse_in_a_folder_or_a_category_links_to_its_topics() -> None:
    document = json.dumps(DISCOURSE)
    assert parsed(document, url="https://x.example/bbs/latest.json").items[0].url == "https://x.example/bbs/t/topic/7"
    assert parsed(document, url="https://x.example/c/life/5.json").items[0].url == "https://x.example/t/topic/7"


@pytest.mark.parametrize(("entry_of_03", "title", "words"), [
    ('<title mode="escaped" type="text/html">投票站&lt;b&gt;改址&lt;/b&gt;</title><content mode="escaped">'
     '&lt;p&gt;改到文化馆&lt;/p&gt;</content><issued>2026-11-22T11:00:00+08:00</issued>', "投票站改址", "改到文化馆"),
    ('<title>停水</title><summary>东街</summary><content mode="base64">5LiJ5Y+35oqV56Wo56uZ</content>'
     "<modified>2026-11-22T03:00:00Z</modified>", "停水", "三号投票站"),
])
def test_atom_0_3_is_read(entry_of_03: str, title: str, words: str) -> None:
    found = parsed(f'''<feed version="0.3" xmlns="http://purl.org/atom/ns#"><title>公告</title><entry>{entry_of_03}
        <id>tag:1</id><link rel="alternate" href="http://a.example/1"/><author><name>王某</name></author></entry></feed>''')
    item = found.items[0]
    assert (found.kind, found.title, item.title, item.text) == ("atom03", "公告", title, words)
    assert (item.url, item.published_at) == ("http://a.example/1", NOON - HOUR)


@pytest.mark.parametrize("version", ["https://jsonfeed.org/version/1", "https://jsonfeed.org/version/1.1"])
def test_json_feed_of_both_versions(version: str) -> None:
    person = {"name": "王某", "url": "http://a.example/u/wang", "avatar": "http://a.example/avatar.png"}
    found = parsed(json.dumps({
        "version": version, "title": "公告 <测试>", "home_page_url": "https://home.example/board/", "author": person,
        "authors": [person], "language": "zh-CN", "items": [
            {"id": 3, "url": "n/3", "title": "5 < 6 <b>", "content_html": "<p>见<a href='n/2'>前文</a></p>",
             "content_text": "见前文", "author": person, "authors": [person], "image": "http://a.example/avatar.png"},
            {"external_url": "https://other.example/2", "title": "没有编号", "summary": "只有 <摘要>"},
            {"id": "1", "content_text": "只有 <文字>"}, "不是条目", None]}))
    assert [(item.title, item.text, item.url) for item in reversed(found.items)] == [
        ("5 < 6 <b>", "见前文", "https://home.example/board/n/3"),
        ("没有编号", "只有 <摘要>", "https://other.example/2"), ("只有 <文字>", "只有 <文字>", "")]
    assert found.title == "公告 <测试>" and found.kind == "jsonfeed"
    assert 'href="https://home.example/board/n/2"' in found.items[-1].html
    assert not [word for word in ("王某", "/u/", "avatar") if word in repr(found)]


@pytest.mark.parametrize(("inside", "url"), [
    ("<guid>http://news.example/7</guid>", "http://news.example/7"), ("<guid>/7</guid>", "http://news.example/7"),
    ("<guid>7</guid>", ""), ("<guid isPermaLink='false'>http://news.example/7</guid>", ""),
    ("<guid>7</guid><link>/8</link>", "http://news.example/8"),
])
def test_a_guid_is_a_link_only_where_it_looks_like_one(inside: str, url: str) -> None:
    assert parsed(rss(f"<item><title>题</title>{inside}</item>")).items[0].url == url


def test_a_guid_is_the_same_wherever_the_document_came_from() -> None:
    one, two = (parsed(rss(entry(1, "题", "文")), url=url).items[0].id
                for url in ("http://a.example/rss", "https://b.example/x"))
    assert one == two


# ---------------------------------------------------------------- odd entries


def test_an_entry_without_title_takes_the_beginning_of_its_text() -> None:
    item = parsed(rss("<item><description>" + "东街积水。" * 20 + "</description></item>")).items[0]
    assert item.title == ("东街积水。" * 20)[:40] + "…"
    assert item.url == ""


def test_an_entry_without_title_and_link_and_text_is_passed_over() -> None:
    found = parsed(rss("<item><pubDate>x</pubDate></item>", entry(1, "有字的", "正文")))
    assert [item.title for item in found.items] == ["有字的"]
    assert found.skipped == 1


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "file:///etc/passwd", "data:text/html,x", "http://[::bad/", "ftp://a/"])
def test_only_web_links_are_kept(link: str) -> None:
    found = parsed(rss(f"<item><title>题</title><link>{link}</link></item>"))
    assert found.items[0].url == ""


def test_a_clock_in_2099_is_clamped_to_an_hour_from_now() -> None:
    assert parsed(rss(entry(1, "题", "文", "Thu, 01 Jan 2099 00:00:00 GMT"))).items[0].published_at == NOON + HOUR


def test_only_the_newest_entries_of_a_long_document_are_read() -> None:
    many = [entry(number, f"第 {number} 条", "文", f"2026-11-{number % 20 + 1:02d} 10:00")
            for number in range(MAX_ENTRIES + 100)]
    found = parsed(rss(*many))
    assert len(found.items) == MAX_ENTRIES
    stamps = [item.published_at or 0 for item in found.items]
    assert stamps == sorted(stamps) and stamps[0] > NOON - 19 * 24 * HOUR


def test_entries_without_dates_keep_the_documents_order_newest_first() -> None:
    assert titles(parsed(rss(*(entry(number, f"第 {number} 条", "文") for number in range(5))))) == [
        f"第 {number} 条" for number in range(5)]


def test_long_titles_and_texts_are_cut_and_marked() -> None:
    item = parsed(rss(entry(1, "题" * 5000, "文" * 100_000))).items[0]
    assert len(item.title.encode()) <= MAX_TITLE_BYTES and len(item.text.encode()) <= MAX_TEXT_BYTES
    assert item.truncated
    assert not parsed(rss(entry(1, "题", "文" * 60_000))).items[0].truncated


def test_personal_data_is_masked_in_titles_and_texts() -> None:
    item = parsed(rss(entry(1, "求助 13812345678", "<p>找 @张三，邮箱 zhang@a.example</p>"))).items[0]
    assert item.title == "求助 [电话]"
    assert item.text == "找 @[用户]，邮箱 [邮箱]"


@pytest.mark.parametrize("body", [
    "张三 电话13812345678", "一" * 55 + "13812345678", '{"13812345678": 1}', '{"' + "号" * 12 + '13812345678": 1}',
    "<html><head><title>张三13812345678</title></head></html>",
    "<html><head><link rel='alternate' type='application/rss+xml' href='/rss?q=13812345678'></head></html>",
    "<html><head><link rel='alternate' type='application/rss+xml' href='/@13812345678/rss'></head></html>",
])
def test_what_is_no_feed_is_told_without_personal_data(body: str) -> None:
    """The refusal is stored with the source's state and sent with its notice."""
    with pytest.raises(NotAFeed) as caught:
        parsed(body)
    assert not any(part in str(caught.value) for part in ("138123", "@"))


@pytest.mark.parametrize("reference", [
    "&#xD800;", "&#x0000000D800;", "&#x" + "0" * 5000 + "d800", "&#00000000055296;", "&#x123456789;", "&#" + "9" * 5000,
    "&#xDBFF;&#xDC00;", "&#x00000000000;"])
def test_references_to_no_character_cost_only_themselves(reference: str) -> None:
    found = parsed(rss(entry(1, f"停{reference}水", f"正文{reference}"))).items
    assert [(item.title, item.text) for item in found] == [("停水", "正文")]
    linked = f'<b>正文</b>{reference}<a href="http://a.example/{reference}">{reference}</a>'
    assert parsed(rss(entry(1, "题", linked))).items[0].text == "正文"
    bare = rss(entry(1, "停水", "正文").replace("停水", f"停{reference}水"))
    assert parsed(bare).items[0].title == "停水"


@pytest.mark.parametrize("body", [
    "a@b.example " * 40_000, "<b>a@b.example</b> " * 60_000, "13912345678 " * 40_000, "字" * 136_520 + "13812345678"])
def test_no_cut_leaves_half_a_number(body: str) -> None:
    for shift in range(12):
        item = parsed(rss(entry(1, "题", "x" * shift + body))).items[0]
        assert item.truncated and not re.search(r"\d{4}|b\.ex|a@b", item.text[-400:]), item.text[-60:]


def test_escapes_that_no_text_can_hold_cost_only_themselves() -> None:
    body = r'''{"version": "https://jsonfeed.org/version/1", "title": "公告\ud800", "items": [
        {"id": "\udfff1", "url": "https://a.example/\u0000x\ud83d", "title": "停\u0000水\ud800通知 \ud83d\ude00",
         "content_text": "一\u001b[31m\\ud800二\n三"}]}'''
    found = parsed(body)
    item, = found.items
    assert (found.title, item.title, item.url) == ("公告", "停水通知 😀", "https://a.example/x")
    assert item.text == "一[31m\\ud800二\n三"
    for names in (r'{"\ud800甲": 1}', r'{"a": {"\ud800乙": [1]}}'):
        with pytest.raises(NotAFeed) as caught:
            parsed(names)
        str(caught.value).encode()


def test_a_servers_warning_before_the_feed_does_not_hide_it() -> None:
    assert titles(parsed("<br /><b>Warning</b>: mysql in /var/www/x.php\n" + county_news())) == TITLES


def test_a_damaged_feed_still_gives_the_entries_that_can_be_read() -> None:
    assert titles(parsed(county_news().replace("</channel>", "").replace("文化馆", "文化馆 & 礼堂")))[1:] == TITLES[1:]


# ---------------------------------------------------------------- no feeds


@pytest.mark.parametrize(("body", "said"), [
    (b"", "应答是空的"), (b" \n\t ", "应答是空的"), (b"\xef\xbb\xbf", "应答是空的"),
    ("<!DOCTYPE html><html><head><title>502 网关错误</title></head></html>".encode(), "应答是网页《502 网关错误》"),
    (b'<html><link rel="alternate" type="application/rss+xml" href="/feed.xml"></html>', "订阅地址是 http://news.example/feed.xml"),
    (b"<!doctype HTML>\n<p>hi</p>", "应答是网页"),
    (b"Forbidden", "应答是普通文字，不是订阅源：“Forbidden”"),
    (b"<opml version='2.0'><body/></opml>", "OPML 订阅清单"),
    (b"<sitemap><a>1</a></sitemap>", "根元素 <sitemap>"),
    (b'{"error": "login required"}', "应答是 JSON（内容：error）"), (b"[1, 2]", "应答是 JSON（内容：一个列表）"),
    (b'{"items": [', "不完整或已损坏"), (b"[" * 100_000, "不完整或已损坏"), (b'{"a":' * 50_000, "不完整或已损坏"),
    (b"<rss version='2.0'", "读不出来"), (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" * 4, "不是订阅源"),
])
def test_what_is_no_feed_says_what_it_is(body: bytes, said: str) -> None:
    with pytest.raises(NotAFeed) as caught:
        parsed(body)
    assert said in str(caught.value)


@pytest.mark.parametrize("body", [b"<rss version='2.0'><channel/></rss>", b"{}", b"hello"])
def test_a_discourse_source_that_answers_otherwise_is_told_the_address(body: bytes) -> None:
    with pytest.raises(NotAFeed, match=r"latest\.json"):
        parsed(body, form=SourceFormat.DISCOURSE)


def test_an_empty_feed_is_a_feed() -> None:
    assert parsed(rss()).items == ()
    assert parsed('{"version": "https://jsonfeed.org/version/1", "items": []}').items == ()


# ---------------------------------------------------------------- hostile


_opened: list[tuple[str, object]] = []
_watching = False


def _watch(event: str, args: tuple[object, ...]) -> None:
    if _watching and event in ("open", "socket.connect", "socket.getaddrinfo", "urllib.Request"):
        _opened.append((event, args[0]))


sys.addaudithook(_watch)


@pytest.mark.parametrize("document", [
    '<!DOCTYPE r [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'
    "<rss version='2.0'><channel><item><title>&c;</title></item></channel></rss>",
    '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + rss("<item><title>a&x;b</title></item>", declaration=""),
    '<!DOCTYPE r SYSTEM "http://127.0.0.1:9/evil.dtd">' + rss("<item><title>t</title></item>", declaration=""),
    '<?xml-stylesheet href="http://127.0.0.1:9/x.xsl"?>' + rss("<item><title>t</title></item>", declaration=""),
], ids=["laughs", "external-entity", "external-dtd", "stylesheet"])
def test_no_document_makes_the_parser_open_anything(document: str) -> None:
    global _watching
    parsed(document)                                    # modules that are imported late open their files here
    _opened.clear()
    _watching = True
    try:
        found = parsed(document)
    finally:
        _watching = False
    assert _opened == []
    assert "root:" not in repr(found) and "haha" not in repr(found)


@pytest.mark.parametrize("body", [b"http://127.0.0.1:9/x", b"/etc/passwd", b"file:///etc/passwd"])
def test_a_body_that_looks_like_an_address_is_not_opened(body: bytes) -> None:
    with pytest.raises(NotAFeed):
        parsed(body)


_pieces = st.sampled_from([
    b"<rss version='2.0'>", b"<channel>", b"<item>", b"</item>", b"<title>", b"</title>", b"<![CDATA[", b"]]>", b"<!--",
    b"&amp;", b"&#x0;", b"&x;", b"<feed xmlns='http://www.w3.org/2005/Atom'>", b"<entry>", b"<guid>", b"<link/>",
    b"\x00",
    b"\xff\xfe", "投票".encode(), "投票".encode("gbk"), b"<pubDate>",
    b"2026-13-45T99:99:99+99:99", b"{", b'"items":', b"[",
    b"]", b"}", b'{"topic_list":{"topics":[{"id":[1]}]}}', b"<?xml version='1.0' encoding='utf-7'?>", b"<!DOCTYPE x [",
    b"<content type='xhtml'>", b"<media:group>", b"<geo:lat>x</geo:lat>", b"<itunes:image href='x'/>"])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(_pieces, st.binary(max_size=12)), max_size=25).map(b"".join),
       st.sampled_from(["", "text/xml; charset=gbk", "application/json", "text/html; charset=\x00", "x" * 500]))
def test_any_bytes_give_items_or_a_plain_refusal(body: bytes, content_type: str) -> None:
    try:
        found = parse_feed(body, reading(), content_type=content_type)
    except NotAFeed as error:
        assert str(error)
    else:
        assert all(len(item.id) == 20 and len(item.revision) == 16 and item.title for item in found.items)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=4), st.sampled_from(["utf-8", "gbk", "utf-16"]))
def test_a_feed_with_any_damage_is_read_or_refused(place: int, damage: bytes, codec: str) -> None:
    body = county_news(f'<?xml version="1.0" encoding="{codec}"?>').encode(codec)
    at = place % len(body)
    try:
        found = parse_feed(body[:at] + damage + body[at + len(damage):], reading())
    except NotAFeed:
        return
    assert len(found.items) <= 4
