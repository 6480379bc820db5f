"""Counts: as publishers write them, and where each kind of feed has them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.collect.figures import figure, less_one
from pipeline.model import Counts
from tests.feed_texts import entry, parsed, rss

SPACES = ('xmlns:slash="http://purl.org/rss/1.0/modules/slash/" xmlns:thr="http://purl.org/syndication/thread/1.0" '
          'xmlns:media="http://search.yahoo.com/mrss/"')


@pytest.mark.parametrize(("written", "number"), [
    (0, 0), (5, 5), (2.7, 2), (10**12, 10**12), ("12", 12), (" 1,234 ", 1234), ("1.2k", 1200), ("1.2K", 1200),
    ("3.5万", 35_000), ("3.5w", 35_000), ("10万+", 100_000), ("１２３", 123), ("1.2亿", 120_000_000), ("1万亿", 10**12),
    ("328 条评论", 328), ("热度 1234万", 12_340_000), ("评论（12）", 12), ("阅读：3,001", 3001), ("约3000人", 3000),
    ("12 replies", 12), ("7 points", 7), ("2百万", 2_000_000),
])
def test_counts_are_read_as_people_write_them(written: Any, number: int) -> None:
    assert figure(written) == number


@pytest.mark.parametrize("written", [
    -1, "-5", "−5", 10**12 + 1, "2万亿", 1e13, float("nan"), float("inf"), True, None, [], {}, "", "很多",
    "12/34", "1.2.3",
    "2026-11-22", "3小时前", "12,34", "http://a.example/33", "1" * 41, "1e5", "0x10",
])
def test_what_is_no_count_is_none(written: Any) -> None:
    assert figure(written) is None


@pytest.mark.parametrize(("posts", "replies"), [(1, 0), (13, 12), (0, None), (None, None), ("4", 3)])
def test_replies_are_the_posts_but_one(posts: Any, replies: int | None) -> None:
    assert less_one(posts) == replies


@pytest.mark.parametrize(("extra", "expected"), [
    ("<slash:comments>12</slash:comments>", Counts(12)),
    ("<thr:total>7</thr:total>", Counts(7)),
    ("<slash:comments>0</slash:comments><thr:total>7</thr:total>", Counts(0)),
    ("<slash:comments>x</slash:comments><thr:total>7</thr:total>", Counts(7)),
    ("<slash:comments>-3</slash:comments>", None),
    ("<comments>http://news.example/1#comments</comments>", None),
    ("<comments>33</comments><upvotes>1.2k</upvotes>", Counts(33, None, 1200)),
    ("<stats><reposts_count>4</reposts_count><comments_count>5</comments_count><attitudes_count>6</attitudes_count>"
     "</stats>", Counts(5, 4, 6)),
    ('<media:community><media:statistics views="50" favorites="2"/></media:community>', Counts(views=50)),
    ("", None),
])
def test_counts_of_rss_entries(extra: str, expected: Counts | None) -> None:
    document = rss(entry(1, "题", "文", extra=extra)).replace('version="2.0"', f'version="2.0" {SPACES}', 1)
    assert [item.counts for item in parsed(document).items] == [expected]


@pytest.mark.parametrize(("prefix", "inside", "expected"), [
    ("thr", "<thr:total>7</thr:total>", Counts(7)), ("t", "<t:total>7</t:total>", Counts(7)),
    ("thr", '<link rel="replies" href="/c" thr:count="9"/>', Counts(9)),
    ("t", '<link rel="replies" href="/c" t:count="9"/>', Counts(9)),
    ("r", "<rsshub:comments>5</rsshub:comments><rsshub:upvotes>6</rsshub:upvotes>", Counts(5, None, 6)),
    ("thr", '<thr:in-reply-to ref="x"/>', None),
])
def test_counts_of_atom_entries(prefix: str, inside: str, expected: Counts | None) -> None:
    found = parsed(f'''<feed xmlns="http://www.w3.org/2005/Atom" xmlns:{prefix}="http://purl.org/syndication/thread/1.0"
        xmlns:rsshub="http://rsshub.app/xml/schemas"><title>题</title><entry><id>urn:1</id><title>题</title>
        <link href="http://a.example/1"/>{inside}</entry></feed>''')
    assert [(item.counts, item.url) for item in found.items] == [(expected, "http://a.example/1")]


@pytest.mark.parametrize(("members", "expected"), [
    ({"_extra": {"comments": 3, "upvotes": "1.2万"}}, Counts(3, None, 12_000)),
    ({"comments": 3, "upvotes": 4}, Counts(3, None, 4)),
    ({"_extra": {"comments": [1]}, "comments": -1}, None), ({"_extra": "x"}, None), ({"_other": {"comments": 3}}, None),
])
def test_counts_of_json_feed_entries(members: dict[str, Any], expected: Counts | None) -> None:
    document = {"version": "https://jsonfeed.org/version/1.1", "items": [{"id": "1", "title": "题", **members}]}
    assert [item.counts for item in parsed(json.dumps(document)).items] == [expected]


def test_other_counts_make_no_other_revision() -> None:
    one, two = (parsed(rss(entry(1, "题", "文", extra=f"<upvotes>{votes}</upvotes>"))).items[0] for votes in (1, 2))
    assert (one.id, one.revision) == (two.id, two.revision) and one.counts != two.counts
