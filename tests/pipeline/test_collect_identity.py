"""Ids, revisions, what was seen, and how items become records."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import codec, topics
from pipeline.collect.entries import batches
from pipeline.collect.identity import REMEMBERED, pack_seen, remember, seen_hash, unpack_seen
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
    packed = pack_seen([("a", "1"), ("b", "2"), ("a", "1")])
    assert unpack_seen(packed) == (seen_hash("a", "1"), seen_hash("b", "2"))
    assert unpack_seen(packed + b"xyz") == unpack_seen(packed)
    assert unpack_seen(b"") == ()


def test_entries_that_left_the_document_are_remembered_for_a_while() -> None:
    old = pack_seen((str(number), "r") for number in range(REMEMBERED + 50))
    kept = unpack_seen(remember(pack_seen([("new", "r")]), old))
    assert kept[0] == seen_hash("new", "r") and seen_hash("0", "r") in kept
    assert len(kept) == REMEMBERED


def test_a_whole_document_is_remembered_however_long() -> None:
    current = pack_seen((str(number), "r") for number in range(REMEMBERED + 50))
    assert remember(current, b"12345678") == current


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
