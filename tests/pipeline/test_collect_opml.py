"""Lists of feeds: what other programs write is read, and what is written comes back."""

from __future__ import annotations

import pytest

from pipeline.collect.opml import MAX_FEEDS, NotOpml, exported, proposed, proposed_id, read, span, write
from pipeline.rulebook.schema import JsonList, Source, SourceFormat, SourceKind


def opml(body: str, declaration: str = '<?xml version="1.0" encoding="UTF-8"?>', version: str = "2.0") -> str:
    return f'{declaration}\n<opml version="{version}"><head><title>我的订阅</title></head><body>{body}</body></opml>'


NESTED = opml("""
<outline text="新闻"><outline text="本县" title="本县">
  <outline type="rss" text="县融媒体中心" xmlUrl="https://news.example.cn/rss.xml" htmlUrl="https://news.example.cn/"/>
</outline><outline title="省报" xmlurl="http://paper.example.cn/rss"/></outline>
<outline text="不分组" type="rss" url="https://c.example.cn/f"/>
<outline text="链接" type="link" url="https://d.example.cn/page"/>
<outline text="又一次" xmlUrl="https://news.example.cn/rss.xml"/>""")


def test_folders_become_groups_and_each_address_comes_once() -> None:
    found = read(NESTED.encode())
    assert found.title == "我的订阅" and not found.torn
    assert [(each.title, each.group, each.url) for each in found.feeds] == [
        ("县融媒体中心", "新闻 / 本县", "https://news.example.cn/rss.xml"), ("省报", "新闻", "http://paper.example.cn/rss"),
        ("不分组", "", "https://c.example.cn/f")]


ONE = '<outline text="县城论坛" xmlUrl="https://bbs.example.cn/rss"/>'
WRITTEN = {
    "OPML 1.0 without declaration": opml(ONE, "", "1.0").encode(),
    "GBK": opml(ONE, '<?xml version="1.0" encoding="gbk"?>').encode("gbk"),
    "GBK that says UTF-8": opml(ONE * 3).encode("gbk"),
    "UTF-16": opml(ONE, '<?xml version="1.0" encoding="utf-16"?>').encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf" + opml(ONE).encode(),
    "doctype": opml(ONE, '<?xml version="1.0"?><!DOCTYPE opml [<!ENTITY a SYSTEM "file:///etc/passwd">]>').encode(),
    "words before it": b"Warning: x\n" + opml(ONE).encode(),
    "upper case": opml(ONE).replace("outline", "OUTLINE").replace("xmlUrl", "XMLURL").replace("opml", "OPML").encode(),
    "control characters": opml(ONE).replace("县城", "县\x0b城").encode(),
}


@pytest.mark.parametrize("how", WRITTEN)
def test_however_it_is_written_it_is_read(how: str) -> None:
    found = read(WRITTEN[how])
    assert [(each.title, each.url) for each in found.feeds] == [("县城论坛", "https://bbs.example.cn/rss")]


def test_bare_ampersands_and_references_are_mended() -> None:
    found = read(opml('<outline text="A&B &nbsp;&eacute; &unknown; &amp;" xmlUrl="https://a.example/?mod=rss&fid=2&auth=0"/>'
                      ).encode())
    assert found.feeds[0].url == "https://a.example/?mod=rss&fid=2&auth=0"
    assert found.feeds[0].title == "A&B é &unknown; &"


def test_what_broke_off_is_said_and_what_came_before_is_kept() -> None:
    found = read(opml(ONE).partition("</body>")[0].encode())
    assert found.torn and len(found.feeds) == 1


@pytest.mark.parametrize("url", [
    "javascript:alert(1)", "file:///etc/passwd", "https://", "https://a.example:0/", "https://u:p@a.example/", "词",
    "https://a.example/ b", "https://a.example/" + "a" * 3000, "rsshub:/", "http://[::1"])
def test_what_is_no_address_is_counted(url: str) -> None:
    found = read(opml(f'<outline text="a" xmlUrl="{url}"/>').encode())
    assert found.feeds == () and found.passed == 1


def test_feed_addresses_of_old_readers_are_understood() -> None:
    body = '<outline xmlUrl="feed://a.example/x"/><outline xmlUrl="feed:https://b.example/x"/>'
    assert [each.url for each in read(opml(body).encode()).feeds] == ["http://a.example/x", "https://b.example/x"]


@pytest.mark.parametrize("body", [b"", b"<rss/>", "网页".encode(), b"\0" * 5000, b"<opml" * 10 + b"x" * 6_000_000])
def test_what_is_no_list_is_said(body: bytes) -> None:
    with pytest.raises(NotOpml):
        read(body)


def test_depth_and_number_are_bounded() -> None:
    deep = "<outline text='a'>" * 5000 + ONE
    assert read(opml(deep).encode()).feeds == ()
    many = "".join(f'<outline xmlUrl="https://a.example/{number}"/>' for number in range(MAX_FEEDS + 5))
    found = read(opml(many).encode())
    assert len(found.feeds) == MAX_FEEDS and found.passed == 5


@pytest.mark.parametrize(("url", "title", "wanted"), [
    ("https://news.example.cn/rss", "BBC News 中文", "bbc-news"), ("https://127.0.0.1:8080/x", "", "127-0-0-1"),
    ("https://www.example.gov.cn/rss", "县政府", "example-gov-cn"), ("https://x.example/", "A", "x-example"),
    ("rsshub:/weibo/search/hot", "微博热搜", "weibo-search-hot"), ("https://县.example/", "", "example"),
    ("https://x.example/", "Ünïted", "x-example"), ("https://x.example/", "县城论坛 BBS", "x-example")])
def test_ids_can_be_read(url: str, title: str, wanted: str) -> None:
    assert proposed_id(url, title) == wanted


def test_ids_are_made_free() -> None:
    found = proposed(read(NESTED.replace("c.example.cn", "news.example.cn").encode()).feeds, {"paper-example-cn"})
    assert [each.id for each in found] == ["news-example-cn", "paper-example-cn-2", "news-example-cn-2"]
    assert [each.group for each in found] == ["新闻 / 本县", "新闻", "其他"]
    assert {each.group for each in proposed(read(NESTED.encode()).feeds, group="导入")} == {"导入"}


SOURCES = (
    Source(id="gov", name="县政府 <公告> & \"通知\"", url="https://gov.example/rss?a=1&b=2", group="权威",
           official=True),
    Source(id="town", name="镇社区", url="https://town.example/latest.json", group="论坛",
           format=SourceFormat.DISCOURSE, interval=180_000, max_interval=3_600_000, enabled=False, full_text=True),
    Source(id="hot", name="微博热搜", url="https://rsshub.example/weibo/search/hot", route="rsshub:/weibo/search/hot",
           group="权威"),
)


def test_an_export_comes_back_whole() -> None:
    text = write(SOURCES)
    found = {each.id: each for each in proposed(read(text.encode()).feeds)}
    wanted = {each.id: each for each in SOURCES}
    assert found["gov"] == wanted["gov"] and found["town"] == wanted["town"]
    assert found["hot"].url == "rsshub:/weibo/search/hot" and found["hot"].group == "权威"
    assert 'xmlUrl="https://rsshub.example/weibo/search/hot"' in text       # what other readers need
    assert text.count("<outline text=") == 2                                # folders


def test_what_only_we_can_read_is_left_out() -> None:
    ours = (Source(id="a", name="热线", kind=SourceKind.INTAKE),
            Source(id="b", name="热榜", url="https://x.example/", format=SourceFormat.JSON,
                   list=JsonList(items="data", title="title")))
    assert exported((*ours, SOURCES[0])) == (SOURCES[0],) and "热榜" not in write(ours)


@pytest.mark.parametrize(("length", "words"), [
    (60_000, "1m"), (90_000, "90s"), (21_600_000, "6h"), (86_400_000, "1d"), (0, "0s")])
def test_lengths_are_written_as_the_rules_write_them(length: int, words: str) -> None:
    assert span(length) == words
