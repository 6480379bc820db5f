"""JSON lists by JMESPath: what is read, and what is said when the paths do not fit."""

from __future__ import annotations

from typing import Any

import pytest

from agents.feeds.worker import Job, handle
from pipeline.collect.entries import Parsed
from pipeline.errors import NotAFeed
from pipeline.model import Counts
from pipeline.rulebook.schema import JsonList, SourceFormat
from tests.builders import NOON
from tests.feed_texts import parsed, titles
from tests.forum_texts import HOT, text

RULES: dict[str, str] = {
    "items": "data.list", "title": "title", "link": "https://bbs.example/t/{tid}", "text": "{summary} {note}",
    "id": "tid", "date": "created", "comments": "stat.reply", "forwards": "stat.share", "likes": "stat.up",
    "views": "stat.hits"}


def read(document: Any = HOT, **rules: str) -> Parsed:
    return parsed(text(document), form=SourceFormat.JSON, rules=JsonList(**{**RULES, **rules}))


def test_each_part_is_read_from_its_path() -> None:
    item = read().items[-1]
    assert (item.title, item.text, item.url) == ("东街积水", "路口过不去", "https://bbs.example/t/42")
    assert item.published_at == NOON - 3_600_000 and item.counts == Counts(1200, 12, None, 35_000)


def test_what_goes_into_a_link_is_escaped_and_what_is_missing_makes_none() -> None:
    assert read().items[0].url == "https://bbs.example/t/a%20b/%3F"
    assert read(link="https://bbs.example/{nothing}/{tid}").items[-1].url == ""


@pytest.mark.parametrize(("link", "url"), [
    ("{base}/t/{tid}", "https://x.example/t/42"), ("path", "http://news.example/t/42"), ("", ""), ("user", ""),
    ("{bad}", ""), ("join('/', ['https://y.example', path])", "https://y.example//t/42"),
])
def test_a_link_may_be_a_path_or_a_template(link: str, url: str) -> None:
    each = {"tid": 42, "title": "题", "base": "https://x.example", "path": "/t/42", "user": {"name": "王某"},
            "bad": "javascript:alert(1)"}
    assert read({"data": {"list": [each]}}, link=link).items[0].url == url


@pytest.mark.parametrize(("items", "count"), [
    ("data.list", 2), ("data.list[?stat.hits]", 1), ("data.list[:1]", 1), ("@.data.list", 2), ("data.*[]", 2)])
def test_the_list_may_be_anything_jmespath_can_find(items: str, count: int) -> None:
    assert len(read(items=items).items) == count


def test_a_list_at_the_top_and_an_empty_list() -> None:
    assert titles(read(HOT["data"]["list"], items="@")) == ["东街积水", "公交改线"]       # type: ignore[index]
    assert read({"data": {"list": []}}).items == ()


def test_entries_without_id_and_link_are_known_by_their_titles() -> None:
    once, again = (read(id="", link="") for _ in range(2))
    assert [item.id for item in once.items] == [item.id for item in again.items] and len(once.items) == 2


@pytest.mark.parametrize(("rules", "document", "said"), [
    ({"items": "list"}, HOT, "按 list.items 写的 list，那里没有内容，不是列表。应答里的列表有：data.list（2 条）"),
    ({"items": "data"}, HOT, "那里是一个对象，不是列表。应答里的列表有：data.list（2 条）"),
    ({"items": "a"}, {"a": "x", "b": 1}, "那里是一段文字，不是列表；应答里没有任何列表，最外层有：a、b"),
    ({"items": "a"}, [1], "应答里的列表有：@（1 条）"),
    ({"items": "a"}, {}, "最外层是空的"),
    ({"items": "length(nothing)"}, {"a": 1}, "没有内容"),
    ({"title": "name"}, HOT, "2 条里一个标题也没读到。第一条有：tid、title、summary、note、created、user、stat。"),
    ({"title": "user"}, HOT, "请在 sources.yml 里改 list.title"),
    ({"items": "a"}, {"a": [1, 2]}, "第一条是一个数或真假值"),
    ({"items": "a"}, {"a": [{"13812345678": 1}]}, "第一条有：[电话]"),
])
def test_paths_that_do_not_fit_say_what_is_there(rules: dict[str, str], document: Any, said: str) -> None:
    with pytest.raises(NotAFeed) as caught:
        read(document, **rules)
    assert said in str(caught.value)


@pytest.mark.parametrize("path", ["length(tid)", "sum(title)", "join(',', tid)", "to_number(title)", "stat[::1]"])
def test_a_function_that_cannot_take_a_value_costs_only_that_value(path: str) -> None:
    found = read(comments=path, text=path, date=path)
    assert {item.title for item in found.items} == {"东街积水", "公交改线"}
    assert all(item.counts is None or item.counts.comments is None for item in found.items[1:])


def test_the_parse_worker_hands_the_rules_on_and_says_what_was_read() -> None:
    job = Job(body=text(HOT).encode(), content_type="application/json", form="json", source_id="hot",
              url="https://bbs.example/api", zone="Asia/Shanghai", now=NOON, backfill=False, rules=JsonList(**RULES))
    done = handle(job)
    assert (len(done.items), done.kind, done.error, done.charset) == (2, "json", "", "utf-8")
    assert handle(Job(**{**{name: getattr(job, name) for name in job.__struct_fields__}, "rules": None})).error
