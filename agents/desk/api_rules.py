"""Rules by API: how they stand, each with its figures, an answer to a change that waits, explanations."""

from __future__ import annotations

from typing import Any

from starlette.routing import Route

from agents.desk import explain_pages, rule_commands, rule_matches, rule_pages, rule_views, subject_pages
from agents.desk.api_call import Call, Problem, accepted, endpoint, plain, text
from agents.desk.explain_pages import Asked, Check, Shown
from agents.desk.limits import Busy
from agents.desk.rule_views import Row, Wanted
from agents.desk.sessions import Scope
from agents.store import readmodel
from agents.store.rule_reads import RuleFigures
from pipeline import explain_words
from pipeline.explain import EventExplained
from pipeline.rulebook.schema import Status
from pipeline.rulebook.shadow import name_in_shadow
from pipeline.score.explained import Seen


def rules(call: Call) -> dict[str, Any]:
    """State, workers, and a page of subjects with their figures. Query: status, q, page."""
    desk, status, page = call.desk, call.query("status"), call.query("page") or "1"
    if status and status not in list(Status):
        raise Problem(400, "bad_status", f"status 只能是 {'、'.join(Status)}")
    if not (page.isdecimal() and len(page) < 7):
        raise Problem(400, "bad_number", "page 要是整数")
    book, now = desk.book(), desk.deps.clock.now()
    stands = rule_pages.standing(desk, book)
    table = rule_views.table(book, desk.figures, now, rule_views.today(now, desk.deps.settings.zone),
                             Wanted(status, call.query("q")), int(page))
    state = stands.state
    if state and state.raises:
        call.write("rules.read", state.pending)
    return {
        "in_force": stands.in_force, "since": stands.since, "book": book.hash if book else "",
        "shadow": book.shadow.hash if book and book.shadow else "", "read_at": state.read_at if state else None,
        "problems": list(state.problems) if state else [], "pending": state.pending if state else "",
        "raise_count": state.raise_count if state else 0,
        "raises": plain(state.raises) if state else [],
        "workers": [{**plain(each.worker), "state": each.tone, "text": each.word} for each in stands.workers],
        "total": table.paging.total, "page": table.paging.page, "pages": table.paging.pages,
        "subjects": [_row(row) for row in table.rows]}


def subject(call: Call) -> dict[str, Any]:
    """One subject (`~id` as it runs in shadow): definition, figures, the latest matches and verdicts."""
    desk = call.desk
    book, now = desk.book(), desk.deps.clock.now()
    found, in_shadow, _ = subject_pages.find(book, str(call.request.path_params["subject"]))
    if found is None:
        raise Problem(404, "not_found", "没有这个主题")
    key = name_in_shadow(found.id) if in_shadow else found.id
    call.write("rule.read", key)
    return {
        "key": key, "shadow": in_shadow, "definition": plain(found),
        "figures": _figures(desk.figures.of([key], now)[key]),
        "matches": [{"item_id": each.item_id, "at": each.at, "weight": each.weight,
                     "item": plain(each.scored) if each.scored else None,
                     "verdict": str(each.said.kind) if each.said else ""}
                    for each in rule_matches.matches(desk.engine, key)],
        "verdicts": [{"kind": str(each.kind), "by": each.by, "at": each.at, "note": each.note,
                      "event_id": each.event_id, "item_id": each.item_id}
                     for each in rule_matches.of_subject(desk.engine, key)]}


def confirm(call: Call) -> dict[str, Any]:
    """Let a waiting change come into force, or not. Body: {"hash": …, "accept": true or false}."""
    agree, state = call.body.get("accept"), call.desk.deps.rules.state
    if not isinstance(agree, bool):
        raise Problem(400, "bad_field", "accept 要是 true 或 false")
    book = text(call, "hash")
    return accepted(lambda: rule_commands.answer(call.desk.engine, call.order(), state, book, agree))


def explain(call: Call) -> dict[str, Any]:
    """Why. Body: {"title", "text", "source", "shadow": true for the book in shadow}, or {"event": number or id}."""
    try:
        if call.body.get("event"):
            with call.desk.explains.hold(call.token.account):
                return _explain_event(call, text(call, "event"))
        return _explain_text(call)
    except Busy as busy:
        raise Problem(429, "busy", str(busy)) from None


def _explain_text(call: Call) -> dict[str, Any]:
    desk, book = call.desk, call.desk.book()
    beside = call.body.get("shadow", False)
    if not isinstance(beside, bool):
        raise Problem(400, "bad_field", "shadow 要是 true 或 false")
    asked = Asked(text(call, "title", "").strip(), text(call, "text", "").strip(), text(call, "source", "").strip(),
                  beside)
    wrong = explain_pages.refusal(book, asked)
    if wrong or book is None:
        raise Problem(400, "bad_text", wrong)
    found = desk.explains.text(call.token.account, explain_pages.judging_book(book, beside),
                               explain_pages.raw(asked, desk.deps.clock.now()))
    call.write("rules.explain", "文字")
    return _shown(explain_pages.shown(found, book))


def _explain_event(call: Call, ref: str) -> dict[str, Any]:
    desk, book = call.desk, call.desk.book()
    with desk.engine.connect() as connection:
        head = readmodel.head(connection, ref)
        if head is None or book is None:
            raise Problem(404, "not_found", "没有这个事件")
        found = explain_pages.event_explained(connection, head, book, desk.deps.clock.now())
    call.write("event.read", head.short or head.id, "解释")
    return _event(found)


def _shown(shown: Shown) -> dict[str, Any]:
    found = shown.found
    return {"book": found.book, "source": found.source.id if found.source else "",
            "sentiment": plain(found.sentiment), "question": found.question, "more_matched": shown.more_matched,
            "more_missed": shown.more,
            "rules": [{
                "subject": view.found.subject, "title": view.found.rule.title, "matched": view.found.matched,
                "weight": view.found.weight, "threshold": view.found.rule.threshold,
                "unmet": [str(each) for each in view.found.unmet], "why_not": list(view.why_not),
                "terms": [_seen(each) for each in view.found.terms if each.occurs or each.elsewhere],
                "excluded_by": [_seen(each) for each in view.found.excluded_by],
                "condition": [_check(each) for group in view.condition for each in (group, *group.leaves)],
            } for view in (*shown.matched, *shown.missed)]}


def _check(check: Check) -> dict[str, Any]:
    return {"depth": check.depth, "holds": check.holds, "text": check.line.said.text if check.line else check.text}


def _seen(seen: Seen) -> dict[str, Any]:
    return {"pattern": seen.name, "weight": seen.weight, "occurs": seen.occurs,
            "places": [{"field": each.field, "start": each.start, "end": each.end, "text": each.text}
                       for each in (*seen.places, *seen.elsewhere)]}


def _event(found: EventExplained) -> dict[str, Any]:
    return {
        "event": found.head.short or found.head.id, "at": found.at, "book": found.book, "level": found.head.level,
        "text": explain_words.next_line(found),
        "levels": [{"rank": level.rank, "name": level.name, "reached": level.reached, "by_report": level.by_report,
                    "ways": [{"window": way.threshold.window, "reached": way.reached,
                              "factors": [{"name": each.name, "value": each.value, "need": each.need,
                                           "missing": each.missing} for each in way.factors]}
                             for way in level.ways]} for level in found.levels]}


def _row(row: Row) -> dict[str, Any]:
    one = row.subject
    return {"id": one.id, "key": row.key, "title": one.title, "owner": one.owner, "status": str(one.status),
            "expires": one.expires, "expiry": row.expiry.text, "terms": len(one.terms), "impact": one.impact,
            **_figures(row.figures)}


def _figures(found: RuleFigures) -> dict[str, Any]:
    said = found.verdicts
    return {"matches": _spans(found.matches), "events": _spans(found.events), "pages": _spans(found.pages),
            "judged": said.judged, "false_positives": said.false_positives,
            "verdicts": {"relevant": said.relevant, "not_relevant": said.not_relevant, "duplicate": said.duplicate,
                         "wrong_level": said.wrong_level}}


def _spans(found: Any) -> dict[str, int]:
    return {"day": found.day, "week": found.week, "month": found.month}


def routes() -> list[Route]:
    """Routes below /api/v1."""
    return [
        Route("/rules", endpoint(rules, Scope.READ)),
        Route("/rules/confirm", endpoint(confirm, Scope.ADMIN), methods=["POST"]),
        Route("/rules/{subject}", endpoint(subject, Scope.READ)),
        Route("/explain", endpoint(explain, Scope.READ, status=200), methods=["POST"]),
    ]
