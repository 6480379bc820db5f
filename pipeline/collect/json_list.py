"""A JSON document of any shape -> entries, by the paths that sources.yml gives for it (`list:`, JMESPath)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import jmespath
import msgspec
from jmespath.exceptions import JMESPathError

from pipeline.collect.entries import Entry
from pipeline.collect.figures import counts
from pipeline.collect.privacy import mask
from pipeline.collect.text import one_line
from pipeline.errors import NotAFeed
from pipeline.rulebook.schema import JsonList

Find = Callable[[Any], Any]

_PLACE = re.compile(r"\{([^{}]*)\}")
_SHOWN = 8


def json_list(document: Any, rules: JsonList) -> list[Entry]:
    """The entries of the list; NotAFeed where there is no list at `items`, or no entry has a title."""
    find = _compiled(rules)
    members = find["items"](document)
    if not isinstance(members, list):
        raise NotAFeed(_no_list(document, rules.items, members))
    entries = [_entry(each, find) for each in members]
    if entries and not any(entry.title.strip() for entry in entries):
        first = next((each for each in members if isinstance(each, Mapping)), members[0])
        raise NotAFeed(f"按 list.title 写的 {rules.title}，{len(members)} 条里一个标题也没读到。"
                       f"第一条{_members(first)}。请在 sources.yml 里改 list.title")
    return entries


def _entry(each: Any, find: Mapping[str, Find]) -> Entry:
    return Entry(
        guid=find["id"](each), link=find["link"](each), title=find["title"](each), body=find["text"](each),
        date=find["date"](each),
        counts=counts(**{name: find[name](each) for name in ("comments", "forwards", "likes", "views")}))


# ---------------------------------------------------------------- paths


@lru_cache(maxsize=256)
def _compiled(rules: JsonList) -> Mapping[str, Find]:
    """For each field of the rules what reads it; of an empty one nothing is read."""
    find: dict[str, Find] = {}
    for name, written in msgspec.structs.asdict(rules).items():
        if name in ("link", "text") and "{" in written:
            find[name] = _template(written, link=name == "link")
        elif name in ("items", "comments", "forwards", "likes", "views"):
            find[name] = _path(written)
        else:
            find[name] = _words(_path(written))
    return find


def _path(written: str) -> Find:
    """None where the path leads nowhere, or to something its functions cannot take."""
    if not written:
        return lambda document: None
    search = jmespath.compile(written).search

    def find(document: Any) -> Any:
        try:
            return search(document)
        except (JMESPathError, ValueError, TypeError, RecursionError):
            return None
    return find


def _words(find: Find) -> Callable[[Any], str]:
    """Texts and numbers as text, a list of them on lines of their own, anything else as nothing."""
    def words(document: Any) -> str:
        value = find(document)
        return "\n".join(filter(None, map(_scalar, value))) if isinstance(value, list) else _scalar(value)
    return words


def _scalar(value: Any) -> str:
    return str(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else ""


def _template(written: str, *, link: bool) -> Callable[[Any], str]:
    """The text with its places filled. A link with an empty place is none; a text without any filled place neither.

    What is put into a link is escaped, unless the link begins with it: it may be a whole address then.
    """
    parts = _PLACE.split(written)
    finds = [_words(_path(each)) for each in parts[1::2]]

    def fill(document: Any) -> str:
        values = [find(document).strip() for find in finds]
        if not (all(values) if link else any(values)):
            return ""
        if link:
            values = [value if place == 0 and not parts[0] else quote(value, safe="/-._~%")
                      for place, value in enumerate(values)]
        return "".join(_alternating(parts[0::2], values)).strip()
    return fill


def _alternating(texts: list[str], values: list[str]) -> Iterator[str]:
    for at, words in enumerate(texts):
        yield words
        yield values[at] if at < len(values) else ""


# ---------------------------------------------------------------- what is wrong


def _no_list(document: Any, path: str, found: Any) -> str:
    what = "没有内容" if found is None else "是" + _kind(found)
    lists = list(_lists(document))
    if lists:
        advice = "；".join(f"{name}（{size} 条）" for name, size in lists[:3])
        return (f"按 list.items 写的 {path}，那里{what}，不是列表。应答里的列表有：{advice}。"
                "请在 sources.yml 里改 list.items")
    return (f"按 list.items 写的 {path}，那里{what}，不是列表；应答里没有任何列表，最外层{_members(document)}。"
            "请在浏览器里打开这个网址核对")


def _lists(document: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, int]]:
    """Paths of the lists in a document, as one would write them, and how long they are."""
    if isinstance(document, list) and document:
        yield path or "@", len(document)
    elif isinstance(document, Mapping) and depth < 4:
        for name, member in list(document.items())[:50]:
            step = name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,40}", name) else f'"{_shown(name)}"'
            yield from _lists(member, f"{path}.{step}" if path else step, depth + 1)


def _members(value: Any) -> str:
    if not isinstance(value, Mapping):
        return f"是{_kind(value)}"
    names: Iterable[str] = [_shown(str(name)) for name in list(value)[:_SHOWN]]
    return f"有：{'、'.join(names)}{' 等' if len(value) > _SHOWN else ''}" if value else "是空的"


def _shown(name: str) -> str:
    return one_line(mask(name[:40]))[:20]


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return "一个对象"
    return "一个列表" if isinstance(value, list) else "一段文字" if isinstance(value, str) else "一个数或真假值"
