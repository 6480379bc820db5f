"""条目: one item whole, with what it said before, how its counts grew and which events it is in."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup
from starlette.responses import Response

from agents.desk import pages, rule_matches
from agents.desk.diff import Piece, changes
from agents.desk.web import Visit
from agents.store import readmodel
from pipeline.collect.sanitize import safe_html
from pipeline.model import Millis, Span

NAMES = (("comments", "评论"), ("forwards", "转发"), ("likes", "点赞"), ("views", "阅读"))
SHOWN = 12
"""Rows of the table of counts; the line has them all."""
EDITS = 10
"""Edits whose difference is worked out."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit: what it changed. at: when the later content was collected."""

    at: Millis
    title: list[Piece]
    text: list[Piece]


def item(visit: Visit) -> Response:
    """One item by its id."""
    item_id = str(visit.request.path_params["item_id"])
    with visit.desk.engine.connect() as connection:
        found = readmodel.item(connection, item_id)
    if found is None:
        text = f"找不到条目“{item_id[:40]}”。刚收到的内容要等几秒才入库，可以稍后刷新。"
        return visit.message("没有这个条目", text, 404, "/events")
    visit.write_read("item.read", found.id)
    book = visit.desk.book()
    return visit.page(
        "item.html", book=book, item=found, source=book.source(found.source_id) if book else None,
        spans=_spans(found), marks=list(found.scored.values()), edits=edits(found),
        more_edits=len(found.revisions) - EDITS, rows=list(reversed(found.counts))[:SHOWN], lines=_lines(found),
        said=rule_matches.of_item(visit.desk.engine, found.id), can_act=visit.can_act, done=pages.done(visit),
        # it was cleaned when it was collected; what comes from a topic is cleaned again before it is shown
        markup=Markup(safe_html(found.html, found.url)) if found.html else "")  # noqa: S704


def _lines(found: readmodel.ItemView) -> list[tuple[str, str]]:
    """(name, label) of the counts that the feed ever said."""
    return [(name, label) for name, label in NAMES
            if any(getattr(row.counts, name) is not None for row in found.counts)]


def edits(found: readmodel.ItemView) -> list[Edit]:
    """What each edit changed, the latest first. Nothing of an item whose texts are past their time."""
    if found.expired:
        return []
    contents = [(found.seen_at, found.title, found.text)] + [
        (each.seen_at, each.title, each.text) for each in found.revisions if each.title or each.text]
    return [Edit(at, changes(old_title, title), changes(old, text))
            for (at, title, text), (_, old_title, old) in zip(contents[:EDITS], contents[1:], strict=False)]


def _spans(found: readmodel.ItemView) -> list[Span]:
    """Why it matched, of every subject that judged the content as it is now."""
    same = (each for each in found.scored.values() if each.item.revision == found.revision)
    return [span for each in same for span in each.spans]
