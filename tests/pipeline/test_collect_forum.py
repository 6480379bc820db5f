"""Forum software: topics and posts of Discourse, NodeBB, phpBB and Discuz!, and what of them reaches no item."""

from __future__ import annotations

import json

import pytest

from pipeline.collect.bylines import phpbb_statistics, without_bylines
from pipeline.errors import NotAFeed
from pipeline.model import Counts
from pipeline.rulebook.schema import JsonList, SourceFormat
from tests.builders import NOON
from tests.feed_texts import parsed
from tests.forum_texts import (
    DISCOURSE_LIST,
    DISCOURSE_POSTS,
    DISCOURSE_TOPIC,
    FORUMS,
    HOT,
    NODEBB_LIST,
    NODEBB_TOPIC,
    PEOPLE,
    text,
)

HOUR = 3_600_000
X = "https://x.example"


@pytest.mark.parametrize(("name", "title", "words", "url"), [
    ("discourse list", "东街 <积水> 几天了", "路口 … 过不去", f"{X}/t/topic/7"),
    ("discourse topic", "Re: 东街积水", "路口过不去\n今早还是，@[用户]", f"{X}/t/topic/7/2"),
    ("discourse posts", "Re: 东街积水", "水退了", f"{X}/t/topic/7/5"),
    ("discourse rss", "东街积水", "路口过不去", f"{X}/t/topic/7"),
    ("nodebb list", "东街积水", "", f"{X}/topic/9/%E4%B8%9C%E8%A1%97%E7%A7%AF%E6%B0%B4"),
    ("nodebb topic", "Re: 东街积水", "路口过不去\n今早还是", f"{X}/post/91"),
    ("phpbb", "Re: 东街积水", "路口过不去\n今早还是，照片", "https://bbs.example/viewtopic.php?p=31#p31"),
    ("discuz", "投票站几点关门？", "有人说下午三点截止", "http://bbs.example/thread-1-1-1.html"),
])
def test_the_newest_of_each_forum_is_read(name: str, title: str, words: str, url: str) -> None:
    item = parsed(FORUMS[name], url=f"{X}/latest.json").items[-1]
    assert (item.title, item.text, item.url, item.published_at) == (title, words, url, NOON - HOUR)


@pytest.mark.parametrize("name", FORUMS)
def test_nobody_who_wrote_something_reaches_an_item(name: str) -> None:
    found = parsed(FORUMS[name], url=f"{X}/latest.json")
    assert found.items and not [word for word in PEOPLE if word in repr(found)]


def test_nobody_of_a_json_list_reaches_an_item_unless_a_path_asks_for_him() -> None:
    rules = JsonList(items="data.list", title="title", link="https://x.example/t/{tid}", text="{summary} {note}")
    found = parsed(text(HOT), form=SourceFormat.JSON, rules=rules)
    assert found.items and not [word for word in PEOPLE if word in repr(found)]


@pytest.mark.parametrize(("document", "expected"), [
    (DISCOURSE_LIST, [Counts(2, None, None, None), Counts(12, None, 5, 380)]),
    (DISCOURSE_TOPIC, [Counts(2, None, 9, 380), Counts(1, None, 6, 12)]),
    (DISCOURSE_POSTS, [Counts(0)]),
    (NODEBB_LIST, [Counts(3, None, 3, 65)]),
    (NODEBB_TOPIC, [Counts(1, None, None, 65), Counts(1, None, 2, None)]),
    (FORUMS["phpbb"], [None, Counts(12, None, None, 1340)]),
    (FORUMS["discuz"], [None]),
], ids=["discourse list", "discourse topic", "discourse posts", "nodebb list", "nodebb topic", "phpbb", "discuz"])
def test_the_counts_of_each_forum(document: object, expected: list[Counts | None]) -> None:
    body = document if isinstance(document, str) else text(document)
    assert [item.counts for item in parsed(body).items] == expected


@pytest.mark.parametrize(("url", "root"), [
    (f"{X}/latest.json", f"{X}/"), (f"{X}/bbs/latest.json?order=created", f"{X}/bbs/"), (f"{X}/top.json", f"{X}/"),
    (f"{X}/bbs/c/life/5/l/latest.json", f"{X}/bbs/"), (f"{X}/tag/水/l/latest.json", f"{X}/"),
    (f"{X}/topics-bbs/latest.json", f"{X}/topics-bbs/"), (f"{X}/latest/posts.json", f"{X}/"),
])
def test_topics_link_to_where_the_forum_lives(url: str, root: str) -> None:
    assert parsed(text(DISCOURSE_LIST), url=url).items[-1].url == f"{root}t/topic/7"


def test_a_topic_and_its_posts_are_told_apart_and_keep_their_ids() -> None:
    once, again = (parsed(text(DISCOURSE_TOPIC), now=now) for now in (NOON, NOON + HOUR))
    assert [item.id for item in once.items] == [item.id for item in again.items]
    assert len({item.id for item in (*once.items, *parsed(text(DISCOURSE_LIST)).items)}) == 4


def test_what_a_document_calls_itself() -> None:
    assert [parsed(FORUMS[name]).title for name in ("phpbb", "discourse topic", "nodebb list")] == [
        "青山论坛", "东街积水", ""]


@pytest.mark.parametrize(("form", "body", "said"), [
    (SourceFormat.NODEBB, text(DISCOURSE_LIST), "不是NodeBB"),
    (SourceFormat.DISCOURSE, text(NODEBB_LIST), "不是Discourse"),
    (SourceFormat.NODEBB, "<rss version='2.0'/>", "/api/recent"),
    (SourceFormat.JSON, "<html></html>", "JSON 的接口网址"),
    (SourceFormat.JSON, "{}", "要写 list"), (SourceFormat.AUTO, '{"a": 1}', "format: json"),
])
def test_a_format_that_was_written_down_is_held_to(form: SourceFormat, body: str, said: str) -> None:
    with pytest.raises(NotAFeed) as caught:
        parsed(body, form=form)
    assert said in str(caught.value)


@pytest.mark.parametrize(("form", "body", "kind"), [
    (SourceFormat.NODEBB, text(NODEBB_LIST), "nodebb"), (SourceFormat.DISCOURSE, text(DISCOURSE_TOPIC), "discourse"),
    (SourceFormat.FEED, FORUMS["phpbb"], "atom10"), (SourceFormat.AUTO, text(NODEBB_TOPIC), "nodebb"),
])
def test_the_kind_of_a_document_is_named(form: SourceFormat, body: str, kind: str) -> None:
    assert parsed(body, form=form).kind == kind


# ---------------------------------------------------------------- lines about who wrote what


@pytest.mark.parametrize("markup", [
    "<p>他写道：今天水退了</p>", "<blockquote>路口过不去</blockquote>是的", "他说：— 不行 — 真的</p><hr />",
    "<p>统计数字 — 全县 — 12 — 30</p>结束", "<cite>县志</cite>", "本帖最后由大家讨论",
])
def test_what_people_write_themselves_stays(markup: str) -> None:
    assert without_bylines(markup) == markup and phpbb_statistics(markup) == (markup, None)


@pytest.mark.parametrize("piece", [
    "<blockquote><cite>", '<aside class="quote"><div class="title">', "<p>a — ", "本帖最后由 张 于 ", "<p><a >x写道",
    "<aside "])
def test_hostile_markup_is_searched_once(piece: str) -> None:
    body = piece * 100_000
    markup, found = phpbb_statistics(without_bylines(body))
    assert found is None and len(markup) <= len(body)


@pytest.mark.parametrize("document", [
    {"topic_list": {"topics": "x"}}, {"topic_list": []}, {"post_stream": {"posts": {}}}, {"topics": [1]},
    {"posts": [1], "tid": 1.5}, {"latest_posts": None}, {"topics": [{"title": "x"}]},
])
def test_what_only_resembles_a_forum_is_refused_or_empty(document: object) -> None:
    try:
        assert parsed(json.dumps(document)).items == ()
    except NotAFeed as error:
        assert "应答是 JSON" in str(error)


@pytest.mark.parametrize("value", [None, True, [], {}, "x" * 500, 1e400, -5, {"count": "x"}])
def test_odd_members_of_a_topic_cost_only_themselves(value: object) -> None:
    topic = dict.fromkeys(("id", "slug", "posts_count", "views", "like_count", "excerpt", "created_at"), value)
    post = dict.fromkeys(("pid", "replies", "upvotes", "content", "timestampISO"), value)
    for document in ({"topic_list": {"topics": [{**topic, "title": "东街积水"}]}},
                     {"tid": 1, "title": "东街积水", "posts": [{**post, "content": "路口"}]}):
        (item,) = parsed(json.dumps(document)).items
        assert "东街积水" in item.title and (item.counts is None or item.counts.comments is None)
