"""The article of a page that an entry links to, as plain text without navigation, comments and author."""

from __future__ import annotations

import re

import msgspec

from pipeline.collect.entries import MAX_TEXT_BYTES, masked_cut
from pipeline.collect.text import decode, tidy
from pipeline.model import RawItem

MAX_PAGE_BYTES = 2 * 1024**2

_ROLES = (r"(?:本[报网台刊]|特[约派]|实习|见习|全媒体|文字|摄影)*(?:记者|通讯员|作者|编辑|校对|审核|编审|摄影)"
          r"|责编|责任编辑|撰文|撰稿|供稿|供图|作者简介|[图文]|by")
_BYLINE = re.compile(
    rf"\s*[（(【\[]?(?:来源\s*[:：]\s*\S{{1,30}}\s+)?(?:(?:{_ROLES})(?:\s*[:：/丨|]\s*|\s+).{{1,40}}"
    r"|(?:本[报网台刊])?(?:特约|实习|见习)?(?:记者|通讯员)[\u4e00-\u9fff·]{2,4}(?:[ 、](?!\d)\S{2,4}){0,3}"
    r"(?:\s*(?:摄|摄影|文|图|报道|整理))?[)）\]】]?)$", re.IGNORECASE)
"""A line that does nothing but name who wrote or edited: no author is kept."""
_DATELINE = re.compile(
    r"[（(](?:[^（）()\n]{0,12}[^\w（）()])?(?:本[报网台刊])?(?:记者|通讯员)[ :：][^（）()\n]{1,40}[)）]")
"""`（记者 王某）` behind a place and a date."""


def article(body: bytes, content_type: str) -> str:
    """Masked and cut as an item's text; empty where no article is found. Expensive: only in a parse worker."""
    import trafilatura  # late: half a second, and only sources with `full_text` need it

    found = trafilatura.extract(
        decode(body, content_type), favor_precision=True, include_comments=False, include_tables=True,
        with_metadata=False)
    lines = [line for line in tidy(found or "").split("\n") if not _BYLINE.match(line)]
    return masked_cut(_DATELINE.sub("", "\n".join(lines)), MAX_TEXT_BYTES)[0]


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
