"""Reports that people file, by form, API or command line: masked first, then accepted like any command."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Connection, Engine, func, select

from agents.desk.commands import Order, accept
from agents.store import schema
from pipeline.collect import intake
from pipeline.collect.intake import Draft
from pipeline.ids import digest
from pipeline.model import Millis, RawItem
from pipeline.rulebook.schema import RuleBook

OWN = 20
"""Reports of one account that are listed."""
SHARED = "（这个工单别人也上报过，内容不在这里列出）"


@dataclass(frozen=True, slots=True)
class Filed:
    """What became of a report. repeated: the same one was filed before. ref_masked: its number looked personal."""

    id: str
    item: RawItem
    repeated: bool
    ref_masked: bool


@dataclass(frozen=True, slots=True)
class OwnReport:
    """A report as the one who filed it sees it. title is empty until the archive has it, and after its time."""

    item_id: str
    at: Millis
    title: str
    archived: bool
    expired: bool


def file(engine: Engine, book: RuleBook | None, order: Order, source_id: str, draft: Draft) -> Filed:
    """Accept a report for topic items.raw; intake.BadReport when it cannot be taken.

    What is written, here and in the audit, is the masked item. The same ticket with other words is a revision; the
    words before them, filed again, are one more.
    """
    source = intake.desk_of(book, source_id)
    item = intake.report(draft, source.id, order.at)
    about = replace(order, event_id=item.id)
    with engine.begin() as connection:
        ident = _ident(connection, item)
        accepted = accept(connection, about, intake.batch(item), ident, "intake.report", f"来源 {source.id}")
    ref = " ".join(draft.ref.split())
    return Filed(accepted.id, item, accepted.repeated, item.ref != ref)


def _ident(connection: Connection, item: RawItem) -> str:
    """A hash of the report and of the one before it on the same ticket; the last one's own when it says the same."""
    table = schema.commands
    before = ["", *connection.execute(
        select(table.c.id).where(table.c.event_id == item.id, table.c.type == "items.raw")
        .order_by(table.c.accepted_at, table.c.id)).scalars()]
    same = digest("report", item.id, item.revision, item.url, before[-2]) if len(before) > 1 else ""
    return same if same == before[-1] and same else digest("report", item.id, item.revision, item.url, before[-1])


def own(engine: Engine, account: str) -> list[OwnReport]:
    """The latest reports of an account, newest first. Of a ticket on which others filed too, no words are shown."""
    line, item = schema.audit, schema.items
    with engine.connect() as connection:
        rows = connection.execute(
            select(line.c.object, func.max(line.c.at).label("at"), item.c.title, item.c.expired)
            .select_from(line.outerjoin(item, item.c.id == line.c.object))
            .where(line.c.account == account, line.c.action == "intake.report")
            .group_by(line.c.object, item.c.title, item.c.expired)
            .order_by(func.max(line.c.seq).desc()).limit(OWN)).all()
        shared = set(connection.execute(
            select(line.c.object).where(line.c.object.in_([row.object for row in rows]), line.c.account != account,
                                        line.c.action == "intake.report")).scalars()) if rows else set()
    return [OwnReport(row.object, row.at, SHARED if row.object in shared else row.title or "", row.title is not None,
                      bool(row.expired)) for row in rows]
