"""The article of a page that an entry links to, as plain text without navigation, comments and author."""

from __future__ import annotations

import re

import msgspec

from pipeline.collect.entries import MAX_TEXT_BYTES
from pipeline.collect.privacy import mask
from pipeline.collect.text import cut, decode, tidy
from pipeline.model import RawItem

MAX_PAGE_BYTES = 2 * 1024**2

_BYLINE = re.compile(
    r"\s*[（(【\[]?(?:(?:本[报网台刊]|特[约派]|实习|见习|全媒体|文字|摄影)*(?:记者|通讯员|作者|编辑|校对|审核|编审|摄影)"
    r"|责编|责任编辑|撰文|供稿|文|by)(?:\s*[:：/丨|]\s*|\s+).{1,40}$", re.IGNORECASE)
"""A line that does nothing but name who wrote or edited: no author is kept."""


def article(body: bytes, content_type: str) -> str:
    """Masked and cut as an item's text; empty where no article is found. Expensive: only in a parse worker."""
    import trafilatura  # late: half a second, and only sources with `full_text` need it

    found = trafilatura.extract(
        decode(body, content_type), favor_precision=True, include_comments=False, include_tables=True,
        with_metadata=False)
    lines = [line for line in tidy(found or "").split("\n") if not _BYLINE.match(line)]
    return cut(mask(cut("\n".join(lines), 2 * MAX_TEXT_BYTES)[0]), MAX_TEXT_BYTES)[0]


def with_article(item: RawItem, text: str) -> RawItem:
    """The item with the article for its text, where that says more. Its id and revision stay those of the feed's own
    content: the page around it changes, the entry does not."""
    if len(text) <= len(item.text):
        return item
    return msgspec.structs.replace(item, text=text, html="", truncated=False)


def is_page(content_type: str) -> bool:
    """Whether an answer is HTML; nothing else is read."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind in ("text/html", "application/xhtml+xml")
