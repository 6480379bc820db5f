"""交接班: what the next shift has to know, to read, to print and to copy."""

from __future__ import annotations

from starlette.responses import Response

from agents.desk import handover, handover_words, silence_views
from agents.desk.commands import Refused
from agents.desk.describe import Names
from agents.desk.rota import rota
from agents.desk.web import Visit

SHIFTS = (("8h", "8 小时"), ("12h", "12 小时"), ("24h", "24 小时"), ("3d", "3 天"), ("7d", "7 天"))
"""Since when the page offers to tell; anything that `wenxun handover --since` takes goes too."""


def handover_page(visit: Visit) -> Response:
    """`since`: `12h`, `20:00`, `2026-11-22 20:00`; `at`, of a field with date and time, before it."""
    desk = visit.desk
    settings, book = desk.deps.settings, desk.book()
    wanted, error = visit.query("at") or visit.query("since"), ""
    try:
        since = handover.since_of(wanted, visit.now, settings.zone)
    except Refused as refused:
        since, error = handover.since_of("", visit.now, settings.zone), str(refused)
    names = Names(book)
    found = handover.facts(desk.engine, book, settings, visit.now, since)
    numbers = {one.head.id: one.head.short for one in found.events}
    visit.write_read("handover.read", "handover", " ".join(one.head.short for one in found.events)[:500])
    return visit.page(
        "handover.html", 400 if error else 200, book=book, found=found, error=error, wanted=wanted, shifts=SHIFTS,
        rota=rota(names, visit.now, settings.zone), plain=handover_words.text(found, names, settings.zone),
        silences=[silence_views.view(each, visit.now, names, numbers) for each in found.silences])
