"""The article of a page that an entry links to, as plain text without navigation, comments and author."""

from __future__ import annotations

import msgspec

from pipeline.collect.entries import MAX_TEXT_BYTES
from pipeline.collect.privacy import mask
from pipeline.collect.text import cut, decode, tidy
from pipeline.model import RawItem

MAX_PAGE_BYTES = 2 * 1024**2


def article(body: bytes, content_type: str) -> str:
    """Masked and cut as an item's text; empty where no article is found. Expensive: only in a parse worker."""
    import trafilatura  # late: half a second, and only sources with `full_text` need it

    found = trafilatura.extract(
        decode(body, content_type), favor_precision=True, include_comments=False, include_tables=True,
        with_metadata=False)
    return cut(mask(cut(tidy(found or ""), 2 * MAX_TEXT_BYTES)[0]), MAX_TEXT_BYTES)[0]


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
