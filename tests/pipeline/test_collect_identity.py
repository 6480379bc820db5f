"""Ids, revisions, what was seen, and how items become records."""

from __future__ import annotations

import random
from xml.sax.saxutils import escape

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from pipeline import codec, topics
from pipeline.collect.entries import batches
from pipeline.collect.identity import REMEMBERED, content_hash, pack_seen, remember, seen_hash, sift, unpack_seen
from pipeline.collect.links import canonical
from pipeline.model import RawItem
from tests.builders import NOON, raw_item
from tests.feed_texts import county_news, entry, parsed, rss


def cut_up(items: list[RawItem]) -> list[tuple[RawItem, ...]]:
    return [batch.items for batch in batches("xinwen", NOON, items, max_items=topics.MAX_BATCH_ITEMS,
                                             max_bytes=topics.MAX_RECORD_BYTES)]


def test_the_same_document_read_a_hundred_times_has_the_same_items() -> None:
    first = parsed(county_news())
    pairs = {(item.id, item.revision) for item in first.items}
    for minute in range(100):
        again = parsed(county_news(), now=NOON + minute * 60_000)
        assert {(item.id, item.revision) for item in again.items} == pairs


def test_an_edit_is_a_new_revision_of_the_same_item() -> None:
    before, after = parsed(rss(entry(1, "题", "原文"))).items[0], parsed(rss(entry(1, "题", "改了"))).items[0]
    assert before.id == after.id and before.revision != after.revision


def test_the_same_guid_from_another_source_is_another_item() -> None:
    assert parsed(county_news()).items[0].id != parsed(county_news(), source_id="other").items[0].id


def test_without_guid_the_link_names_an_entry_and_without_link_title_and_date() -> None:
    def ident(inside: str) -> str:
        return parsed(rss(f"<item>{inside}</item>")).items[0].id

    linked = ident("<title>一</title><link>http://a.example/1</link>")
    assert linked == ident("<title>二</title><link>http://a.example/1</link>")
    dated = ident("<title>一</title><pubDate>2026-11-21 10:00</pubDate>")
    assert dated != ident("<title>一</title><pubDate>2026-11-20 10:00</pubDate>")
    assert dated != linked


def test_a_relative_date_does_not_make_a_new_item_at_each_poll() -> None:
    def ident(date: str) -> str:
        return parsed(rss(f"<item><title>一</title><pubDate>{date}</pubDate></item>")).items[0].id

    assert ident("5 分钟前") == ident("10 分钟前")


def test_a_guid_that_all_entries_share_names_nothing() -> None:
    shared = [entry(number, f"题{number}", "文").replace(f"news-{number}", "same") for number in range(3)]
    assert len({item.id for item in parsed(rss(*shared)).items}) == 3


def test_what_was_seen_is_packed_in_eight_bytes_each() -> None:
    packed = pack_seen([("a", "1", "http://a.example/"), ("b", "2", ""), ("a", "1", "https://a.example")])
    assert unpack_seen(packed) == (seen_hash("a", "1"), content_hash("http://a.example/", "1"),
                                   seen_hash("b", "2"), content_hash("", "2"))
    assert unpack_seen(packed + b"xyz") == unpack_seen(packed)
    assert unpack_seen(b"") == ()


def test_entries_that_left_the_document_are_remembered_for_a_while() -> None:
    old = pack_seen((str(number), "r", f"http://a.example/{number}") for number in range(REMEMBERED + 50))
    kept = unpack_seen(remember(pack_seen([("new", "r", "")]), old))
    assert kept[0] == seen_hash("new", "r") and seen_hash("0", "r") in kept
    assert len(kept) == 2 * (REMEMBERED + 1)


def test_a_whole_document_is_remembered_however_long() -> None:
    current = pack_seen((str(number), "r", "") for number in range(2 * REMEMBERED + 50))
    assert remember(current, b"12345678").startswith(current)


# ---------------------------------------------------------------- twins


class Polls:
    """A source polled again and again, as the collector does it."""

    def __init__(self) -> None:
        self.seen, self.by_link = b"", False
        self.ids: list[str] = []

    def poll(self, document: str, now: int = NOON) -> list[RawItem]:
        """What is new in the document."""
        sifted = sift(parsed(document, by_link=self.by_link, now=now).items, self.seen, self.by_link)
        self.seen, self.by_link = sifted.seen, sifted.by_link
        self.ids += [item.id for item in sifted.fresh]
        return list(sifted.fresh)


def story(number: int, *, guid: str = "", link: str = "", title: str = "", text: str = "正文") -> str:
    named = f"<guid>{escape(guid)}</guid>" if guid else ""
    linked = f"<link>{escape(link)}</link>" if link else ""
    return f"<item><title>{title or f'第 {number} 条'}</title>{linked}{named}<description>{text}</description></item>"


@pytest.mark.parametrize(("one", "other"), [
    ("http://a.example/1", "https://a.example/1"),
    ("http://a.example/1/", "http://a.example/1"),
    ("http://a.example/1#top", "http://a.example/1"),
    ("http://a.example:80/1", "https://a.example:443/1"),
    ("http://A.Example/1", "http://a.example/1"),
    ("http://a.example", "http://a.example/"),
    ("http://a.example/%e4%b8%9c", "http://a.example/东"),
    ("http://a.example/?b=2&a=1", "http://a.example/?a=1&b=2"),
    ("http://a.example/1?utm_source=rss&utm_medium=feed", "http://a.example/1"),
    ("http://a.example/1?spm=a2c.1.2&from=rss", "http://a.example/1?from=timeline&isappinstalled=0"),
    ("http://a.example/1?id=7&fbclid=x&gclid=y", "http://a.example/1?id=7"),
    ("http://a.example/1?share_token=abc&share_source=weixin", "http://a.example/1"),
    ("http://a.example/1?_t=1795316400123", "http://a.example/1?_t=1795316460123"),
    ("http://a.example/1?t=1795316400", "http://a.example/1?t=1795316460"),
    ("http://a.example/1?r=0.8412345", "http://a.example/1"),
    ("http://a.example/1;jsessionid=AB12?id=3", "http://a.example/1?id=3"),
    ("http://a.example/1#wechat_redirect", "http://a.example/1"),
])
def test_links_that_differ_in_what_names_no_page_name_one_item(one: str, other: str) -> None:
    assert canonical(one) == canonical(other)
    for kind in ("guid", "link"):
        polls = Polls()
        polls.poll(rss(story(1, **{kind: one})))
        polls.poll(rss(story(1, text="改了", **{kind: other})))
        assert len(polls.ids) == 2 and len(set(polls.ids)) == 1, "an edit of the same item"


@pytest.mark.parametrize(("one", "other"), [
    ("http://a.example/1", "http://b.example/1"), ("http://a.example:8080/1", "http://a.example/1"),
    ("http://a.example/t.php?t=1", "http://a.example/t.php?t=2"), ("http://a.example/?p=1", "http://a.example/?p=2"),
    ("http://a.example/t/1#p123", "http://a.example/t/1#p124"), ("http://a.example/#/news/1", "http://a.example/#/news/2"),
    ("http://a.example/%B6%AB", "http://a.example/%CE%F7"), ("http://a.example/A", "http://a.example/a"),
    ("urn:1", "urn:2"), ("http://[", "http://[x"), ("discourse:1", "discourse:2"),
])
def test_links_to_different_pages_stay_apart(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)


def test_the_stored_link_stays_as_it_can_be_opened() -> None:
    link = "https://a.example/1/?utm_source=rss&token=7#top"
    assert parsed(rss(story(1, link=link))).items[0].url == link


def test_what_names_no_page_elsewhere_may_name_one_here() -> None:
    items = parsed(rss(*(story(number, link=f"http://a.example/?from={number}") for number in range(3)))).items
    assert len({item.id for item in items}) == 3


def test_entries_that_share_a_link_are_told_by_title_and_date() -> None:
    polls = Polls()
    document = rss(*(story(number, link="http://a.example/") for number in range(3)))
    assert len(polls.poll(document)) == 3
    assert polls.poll(document) == []
    assert len(set(polls.ids)) == 3


def test_guids_that_change_at_each_poll_are_found_out() -> None:
    polls = Polls()
    for number in range(4):
        fresh = polls.poll(rss(*(story(each, guid=f"{number}-{each}", link=f"http://a.example/{each}")
                                 for each in range(5))))
        assert len(fresh) == (5 if number == 0 else 0)
        assert polls.by_link == (number > 0)
    (edited,) = polls.poll(rss(story(3, guid="9", link="http://a.example/3", text="改了")))
    (again,) = polls.poll(rss(story(3, guid="10", link="https://a.example/3", text="又改了")))
    assert edited.id == again.id, "links name the entries now"


def test_one_entry_that_comes_again_under_a_new_guid_does_not_discredit_the_others() -> None:
    polls = Polls()
    polls.poll(rss(*(story(each, guid=str(each), link=f"http://a.example/{each}") for each in range(5))))
    assert polls.poll(rss(*(story(each, guid=str(each or 99), link=f"http://a.example/{each}")
                            for each in range(5)))) == []
    assert not polls.by_link


def dated(document: str, *dates: str) -> str:
    """With these dates on its entries, in order."""
    for date in dates:
        document = document.replace("<title>第", f"<pubDate>{date}</pubDate><title>\0", 1)
    return document.replace("\0", "第")


@pytest.mark.parametrize("link", ["", "http://a.example/warnings"])
def test_a_warning_in_the_same_words_as_the_last_one_is_news(link: str) -> None:
    polls = Polls()
    old, new = (story(1, guid=guid, link=link) for guid in ("a", "b"))
    (first,) = polls.poll(dated(rss(old), "Sat, 21 Nov 2026 10:00:00 +0800"))
    both = dated(rss(new, old), "Sun, 22 Nov 2026 10:00:00 +0800", "Sat, 21 Nov 2026 10:00:00 +0800")
    (second,) = polls.poll(both)
    assert second.id != first.id and second.published_at != first.published_at
    assert polls.poll(both) == [] and not polls.by_link
    undated = Polls()
    undated.poll(rss(old))
    assert undated.poll(rss(new, old)) == [], "without dates it may be the same one under another name"


def test_entries_with_nothing_but_a_text_are_told_by_it() -> None:
    polls = Polls()
    document = rss(*(f"<item><description>第 {number} 条留言</description></item>" for number in range(3)))
    assert len(polls.poll(document)) == 3 and len(set(polls.ids)) == 3
    assert polls.poll(document) == []


def test_an_edit_that_is_taken_back_is_not_news() -> None:
    polls = Polls()
    for text, new in (("甲", 1), ("乙", 1), ("甲", 0)):
        assert len(polls.poll(rss(story(1, guid="1", text=text)))) == new
    assert not polls.by_link


TRACKED = st.sampled_from([
    "", "?utm_source=rss", "?utm_campaign=x&utm_medium=y", "?spm=1.2.3", "?from=feed", "?_=1795316400123", "#top",
    "?share_id=77&timestamp=1795316400", "?fbclid=a&gclid=b", "/", "/?rand=0.123456"])
SCHEMES = st.sampled_from(["http://a.example", "https://a.example", "http://a.example:80", "https://A.EXAMPLE:443"])
GUIDS = st.sampled_from(["none", "stable", "random", "link"])


@settings(max_examples=12, deadline=None, phases=(Phase.generate,))
@given(GUIDS, st.integers(1, 6), st.lists(TRACKED, min_size=4, max_size=4), st.lists(SCHEMES, min_size=4, max_size=4),
       st.integers(0, 2 ** 32))
def test_a_hundred_polls_give_each_entry_once(
    kind: str, size: int, twins: list[str], schemes: list[str], seed: int
) -> None:
    """Entries in any order, some missing, with any twin of their link and guids of any habit."""
    chance = random.Random(seed)
    polls, titles_seen = Polls(), list[str]()
    for number in range(100):
        places = chance.sample(range(size), size if number == 0 else chance.randint(1, size))
        entries = []
        for place in places:
            link = f"{chance.choice(schemes)}/news/{place}{chance.choice(twins)}"
            guid = {"none": "", "stable": f"news-{place}", "random": f"{number}/{chance.random()}", "link": link}[kind]
            entries.append(story(place, guid=guid, link=link))
        titles_seen += [item.title for item in polls.poll(rss(*entries), NOON + number * 60_000)]
    assert sorted(titles_seen) == sorted(f"第 {place} 条" for place in range(size))
    assert polls.by_link == (kind == "random")


# ---------------------------------------------------------------- records


def test_a_record_has_at_most_64_items_in_their_order() -> None:
    items = [raw_item(str(number)) for number in range(150)]
    parts = cut_up(items)
    assert [len(part) for part in parts] == [64, 64, 22]
    assert [item for part in parts for item in part] == items


def test_nothing_to_send_is_no_record() -> None:
    assert cut_up([]) == []


def test_an_item_whose_text_doubles_when_encoded_is_cut_and_marked() -> None:
    (part,) = cut_up([raw_item(text='"\\' * 100 * 1024)])
    assert part[0].truncated and len(part[0].text) > 100 * 1024
    (record,) = batches("x", NOON, part, max_items=64, max_bytes=topics.MAX_RECORD_BYTES)
    assert len(codec.encode(record)) <= topics.MAX_RECORD_BYTES


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 200 * 1024), st.sampled_from(["a", "票", '"', "\u0001", "😀"])), max_size=8))
def test_every_record_fits_and_no_item_is_lost(shapes: list[tuple[int, str]]) -> None:
    items = [raw_item(str(number), text=(letter * size).encode()[:200 * 1024].decode("utf-8", "ignore"))
             for number, (size, letter) in enumerate(shapes)]
    found = list(batches("xinwen", NOON, items, max_items=64, max_bytes=topics.MAX_RECORD_BYTES))
    assert all(len(codec.encode(batch)) <= topics.MAX_RECORD_BYTES for batch in found)
    assert [item.id for batch in found for item in batch.items] == [item.id for item in items]
    assert all(item.truncated or item == items[int(item.id)] for batch in found for item in batch.items)
