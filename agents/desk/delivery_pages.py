"""投递: what became of every message, how the channels stand, and what nobody accounts for."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.responses import Response

from agents.desk import delivery_views, reads
from agents.desk.web import Visit
from agents.store import readmodel
from agents.store.account_reads import Query
from pipeline.model import DeliveryStatus


def deliveries(visit: Visit) -> Response:
    """`status`, `channel`, `event` filter the rows; the rest of the page is of all."""
    desk = visit.desk
    engine, book = desk.engine, desk.book()
    status, channel, ref = visit.query("status"), visit.query("channel"), visit.query("event")
    about = reads.event_id(engine, ref) if ref else ""
    wanted = Query(status=status if status in list(DeliveryStatus) else "", channel=channel, event=about or "")
    missing = bool(ref) and about is None
    with engine.connect() as connection:
        found = delivery_views.find(connection, wanted, visit.page_number()) if not missing else None
        dead = readmodel.dead_letters(connection, limit=20, waiting=True)
        dead_count = readmodel.dead_letter_count(connection)
        channels = delivery_views.channels(connection, book, desk.real.now())
        # Not asked for by open pages: it reads a day of the ledger.
        account = None if visit.polling else delivery_views.account(connection, visit.now)
    visit.write_read("deliveries.read", "deliveries", " ".join(part for part in (wanted.status, channel, ref) if part))
    return visit.page(
        "deliveries.html", book=book, found=found, status=wanted.status, channel=channel, ref=ref, dead=dead,
        dead_count=dead_count, channels=channels, account=account, real=desk.real.now(),
        statuses=list(DeliveryStatus), notices=reads.notices(engine),
        query=urlencode({"status": wanted.status, "channel": channel, "event": ref}))
