"""What a shift asks for by API: response clocks, silences, the hand-over."""

from __future__ import annotations

from typing import Any

from starlette.routing import Route

from agents.desk import handover, handover_json, handover_words, silence_commands
from agents.desk.api_call import Call, Problem, accepted, endpoint, text, texts
from agents.desk.commands import Refused
from agents.desk.describe import Names
from agents.desk.sessions import Scope
from agents.desk.silence_commands import Wanted
from agents.store import people_reads, readmodel
from pipeline.rulebook.schema import MINUTE


def clocks(call: Call) -> dict[str, Any]:
    """Response clocks that run, the one that is due first first; `left` in ms, negative when over. Query: drills=1 for
    those of drills."""
    now = call.desk.deps.clock.now()
    with call.desk.engine.connect() as connection:
        found = readmodel.running_clocks(
            connection, since=now - people_reads.FORGOTTEN, drills=call.query("drills") in ("1", "true"))
    call.write("clocks.read", "clocks")
    return {"at": now, "clocks": [handover_json.clock(each, now) for each in found]}


def silences(call: Call) -> dict[str, Any]:
    """Silences that have not ended. Query: all=1 for those too that ended in the last 30 days."""
    now = call.desk.deps.clock.now()
    back = now - silence_commands.MAX_LENGTH if call.query("all") in ("1", "true") else None
    with call.desk.engine.connect() as connection:
        found = silence_commands.known(connection, now, ended_since=back)
        cards = readmodel.cards(connection, [each.event_id for each in found if each.event_id])
    numbers = {card.head.id: card.head.short for card in cards}
    call.write("silences.read", "silences")
    return {"at": now, "silences": [handover_json.silence(each, now, numbers) for each in found]}


def silence(call: Call) -> dict[str, Any]:
    """Body: {"minutes", "reason", "owner", "event", "subjects": […], "levels": […], "groups": […], "regions": […],
    "even_highest": true where the highest level may be held back}; one matcher at least. owner: else the account."""
    minutes, highest = call.body.get("minutes"), call.body.get("even_highest", False)
    if not isinstance(minutes, int) or isinstance(minutes, bool) or abs(minutes) > 10_000_000:
        raise Problem(400, "bad_field", "minutes 要是整数")
    if not isinstance(highest, bool):
        raise Problem(400, "bad_field", "even_highest 要是 true 或 false")
    wanted = Wanted(minutes * MINUTE, text(call, "reason"), text(call, "owner", call.token.account),
                    text(call, "event", ""), *(texts(call, name) for name in (
                        "subjects", "levels", "groups", "regions")))
    return accepted(lambda: silence_commands.add(
        call.desk.engine, call.desk.book(), call.order(), wanted, even_highest=highest))


def expire(call: Call) -> dict[str, Any]:
    """End a silence now. What it held back is sent if nobody answered meanwhile."""
    ident = str(call.request.path_params["ident"])
    return accepted(lambda: silence_commands.expire(call.desk.engine, call.order(), ident))


def hand_over(call: Call) -> dict[str, Any]:
    """What the next shift has to know; `text` can be pasted into a chat. Query: since as 12h, 20:00 or a time."""
    desk, now, zone = call.desk, call.desk.deps.clock.now(), call.desk.deps.settings.zone
    try:
        since = handover.since_of(call.query("since"), now, zone)
    except Refused as refused:
        raise Problem(400, refused.code, str(refused)) from None
    book = desk.book()
    found = handover.facts(desk.engine, book, desk.deps.settings, now, since)
    call.write("handover.read", "handover")
    return handover_json.plain(found, handover_words.text(found, Names(book), zone))


def routes() -> list[Route]:
    """Routes below /api/v1."""
    return [
        Route("/clocks", endpoint(clocks, Scope.READ)),
        Route("/silences", endpoint(silences, Scope.READ)),
        Route("/silences", endpoint(silence, Scope.SILENCE), methods=["POST"]),
        Route("/silences/{ident}", endpoint(expire, Scope.SILENCE), methods=["DELETE"]),
        Route("/handover", endpoint(hand_over, Scope.READ)),
    ]
