"""Where the feeds of a page are."""

from __future__ import annotations

import pytest

from pipeline.collect.discover import MAX_FOUND, feeds_of, is_page

HERE = "https://bbs.example.cn/forum.php"


def page(head: str = "", body: str = "") -> str:
    return f"<!DOCTYPE html><html><head>{head}</head><body>{body}</body></html>"


def urls(text: str, url: str = HERE) -> list[str]:
    return [each.url for each in feeds_of(text, url)]


RSS = 'type="application/rss+xml"'

TAGS = {
    "plain": (f'<link rel="alternate" {RSS} href="https://x.example/rss">', "https://x.example/rss"),
    "relative": (f'<link rel=alternate {RSS} href="rss.xml">', "https://bbs.example.cn/rss.xml"),
    "unquoted": ("<link rel=alternate type=application/atom+xml href=/feed/atom>", "https://bbs.example.cn/feed/atom"),
    "single quotes, other order": ("<link href='/j' type='application/feed+json' rel='alternate'/>",
                                   "https://bbs.example.cn/j"),
    "upper case, spaces": ('<LINK REL = "Alternate" TYPE = "Application/RSS+XML" HREF = "/R">', "https://bbs.example.cn/R"),
    "references": (f'<link rel="alternate" {RSS} href="forum.php?mod=rss&amp;fid=2&auth=0">',
                   "https://bbs.example.cn/forum.php?mod=rss&fid=2&auth=0"),
    "base": (f'<base href="https://cdn.example.cn/a/"><link rel="alternate" {RSS} href="b.xml">',
             "https://cdn.example.cn/a/b.xml"),
    "a bracket in the title": (f'<link rel="alternate" {RSS} title="今日 > 昨日" href="/r">', "https://bbs.example.cn/r"),
    "protocol-relative": (f'<link rel="alternate" {RSS} href="//feeds.example.cn/r#top">', "https://feeds.example.cn/r"),
    "type with charset": ('<link rel="alternate" type="application/rss+xml; charset=gbk" href="/r">',
                          "https://bbs.example.cn/r"),
}


@pytest.mark.parametrize("name", TAGS)
def test_a_link_tag_leads_to_its_feed(name: str) -> None:
    tag, wanted = TAGS[name]
    found = feeds_of(page(tag), HERE)
    assert found[0].url == wanted and found[0].advertised and "网页声明" in found[0].why
    assert [each.url for each in found if each.advertised] == [wanted]


@pytest.mark.parametrize("tag", [
    '<link rel="stylesheet" href="/a.css">', f"<!-- <link rel=alternate {RSS} href=/old> -->",
    f'<link rel="alternate" {RSS} href="javascript:alert(1)">', f'<link rel="alternate" {RSS} href="file:///etc/passwd">',
    f'<link rel="alternate" {RSS} href="http://[::1">', f'<link rel="alternate" {RSS}>',
    f'<link rel="alternate" {RSS} href="https://a.example:0/x">', '<link rel="alternate" hreflang="en" href="/en">'])
def test_what_is_no_feed_is_passed_over(tag: str) -> None:
    assert urls(page(tag)) == []


def test_the_main_feed_stands_before_that_of_comments_and_each_address_once() -> None:
    head = (f'<link rel="alternate" {RSS} title="评论" href="/comments/feed/">'
            f'<link rel="alternate" {RSS} href="/feed/">'
            f'<link rel="alternate" {RSS} href="http://bbs.example.cn/feed">')
    assert urls(page(head)) == ["https://bbs.example.cn/feed/", "https://bbs.example.cn/comments/feed/"]


SOFTWARE = [
    ("https://bbs.example.cn/forum.php?mod=forumdisplay&fid=12", '<meta name="generator" content="Discuz! X3.4">',
     ["https://bbs.example.cn/forum.php?mod=rss&fid=12&auth=0", "https://bbs.example.cn/forum.php?mod=rss&auth=0"]),
    ("https://bbs.example.cn/forum-7-1.html", '<a href="forum.php?mod=viewthread&tid=1">帖</a>',
     ["https://bbs.example.cn/forum.php?mod=rss&fid=7&auth=0", "https://bbs.example.cn/forum.php?mod=rss&auth=0"]),
    ("https://town.example.cn/c/life/news/12", '<meta name="generator" content="Discourse 3.2.0">',
     ["https://town.example.cn/c/life/news/12/l/latest.json", "https://town.example.cn/latest.json"]),
    ("https://town.example.cn/f/t/a/1", '<div data-base-uri="/f" id="data-preloaded">',
     ["https://town.example.cn/f/latest.json"]),
    ("https://n.example.cn/f/category/1", '<script>{"relative_path":"/f"}</script>',
     ["https://n.example.cn/f/api/recent"]),
    ("https://p.example.cn/forum/viewforum.php?f=2", '<body id="phpbb">',
     ["https://p.example.cn/forum/app.php/feed", "https://p.example.cn/forum/feed.php"]),
    ("https://w.example.cn/blog/2026/11/a/", '<link href="https://w.example.cn/blog/wp-content/a.css">',
     ["https://w.example.cn/blog/feed/"]),
    ("https://w.example.cn/a", '<meta name="generator" content="WordPress 6.5">', ["https://w.example.cn/feed/"]),
]


@pytest.mark.parametrize(("url", "mark", "wanted"), SOFTWARE)
def test_software_that_is_known_keeps_its_feeds_where_it_does(url: str, mark: str, wanted: list[str]) -> None:
    found = feeds_of(page(body=mark), url)
    assert [each.url for each in found] == wanted and not any(each.advertised for each in found)


def test_what_the_page_names_stands_before_what_its_software_is_known_for() -> None:
    tag = (f'<link rel="alternate" {RSS} href="forum.php?mod=rss&amp;auth=0">'
           '<meta name=generator content="Discuz! X3.4">')
    found = feeds_of(page(tag), "https://bbs.example.cn/forum-2-1.html")
    assert [(each.url.partition("?")[2], each.advertised) for each in found] == [
        ("mod=rss&auth=0", True), ("mod=rss&fid=2&auth=0", False)]


@pytest.mark.parametrize("text", ["", "{}", "<rss><channel/></rss>", "<opml/>", "词" * 100])
def test_only_pages_lead_anywhere(text: str) -> None:
    assert not is_page(text) and feeds_of(text, HERE) == ()


@pytest.mark.parametrize("text", [
    page("<link " * 50_000), page('<link href="' * 50_000), page("<link a='" * 50_000), page("<!--" * 100_000),
    page("<a " + "x=" * 200_000 + ">"), page(f"<link rel=alternate {RSS} href=/{{}}>" * 9000),
    page("<base href=" + "http://" * 60_000), page("<a " + "''" * 200_000), page("<link " + "a " * 200_000),
    page("http://wp-content" * 30_000 + "/wp-content/")])
def test_pages_made_to_hurt_are_read_in_time_that_grows_with_their_length(text: str) -> None:
    assert len(feeds_of(text, "https://x.example/" + "a" * 2000)) <= MAX_FOUND
