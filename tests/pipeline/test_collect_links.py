"""Links lead to what was said, never to who said it."""

from __future__ import annotations

import pytest

from pipeline.collect.links import public_link

BASE = "http://bbs.example.cn/forum.php?mod=rss"


@pytest.mark.parametrize("link", [
    "http://bbs.example.cn/thread-13812345678-1-1.html",
    "https://news.example.cn:8443/a/2026/11/22/1.html?from=rss&id=7#part-2",
    "http://bbs.example.cn/forum.php?mod=viewthread&tid=1&extra=",
    "http://[2001:db8::1]/a",
    "https://news.example.cn/users-guide/2", "https://news.example.cn/people/2026/1122/c1.html",
    "https://weibo.com/ttarticle/p/show?id=2309", "https://x.com/i/status/1029",
])
def test_a_link_to_an_entry_is_kept_as_it_was_written(link: str) -> None:
    assert public_link(link, BASE) == link


@pytest.mark.parametrize(("link", "kept"), [
    ("/thread-1.html", "http://bbs.example.cn/thread-1.html"),
    ("https://li:secret@news.example.cn/1", "https://news.example.cn/1"),
    ("https://social.example/@xiaoli/1029", "https://social.example/"),
    ("https://social.example/%40xiaoli/1029", "https://social.example/"),
    ("https://forum.example/u/xiaoli", "https://forum.example/"),
    ("https://forum.example/u/xiaoli/summary", "https://forum.example/"),
    ("https://qa.example/people/xiaoli/answers", "https://qa.example/"),
    ("https://bbs.example.cn/memberlist.php?mode=viewprofile&u=58", "https://bbs.example.cn/"),
    ("https://weibo.com/1234567890/AbCdEf123?refer=a", "https://m.weibo.cn/status/AbCdEf123"),
    ("https://weibo.com/u/1234567890", "https://weibo.com/"),
    ("https://x.com/xiaoli/status/1029", "https://x.com/i/status/1029"),
    ("https://space.bilibili.com/1234567/dynamic", "https://www.bilibili.com/"),
    ("https://news.example.cn/a\x00b\u202ec\ud8001", "https://news.example.cn/abc1"),
    ("https://bbs.example.cn/space-uid-48213.html", "https://bbs.example.cn/"),
    ("https://bbs.example.cn/home.php?mod=space&uid=48213", "https://bbs.example.cn/"),
    ("https://bbs.example.cn/t.php?tid=1&authorid=48213&tel=13812345678", "https://bbs.example.cn/t.php?tid=1"),
    ("https://news.example.cn/1?share=li%40mail.example", "https://news.example.cn/1"),
    ("https://news.example.cn/1#by-@li", "https://news.example.cn/1"),
])
def test_what_names_a_person_is_left_out(link: str, kept: str) -> None:
    assert public_link(link, BASE) == kept


@pytest.mark.parametrize("link", ["", "javascript:alert(1)", "mailto:li@mail.example", "http://[", "data:,x",
                                  "http://a.example:99999/", "http://a.example/" + "x" * 3000])
def test_what_is_no_web_address_is_no_link(link: str) -> None:
    assert public_link(link, BASE) == ""
