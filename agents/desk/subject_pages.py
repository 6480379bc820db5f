"""One subject: what it says, what it matched, what people think of it; and what runs in shadow."""

from __future__ import annotations

from starlette.responses import Response

from agents.desk import pages, rule_matches, rule_views, rule_words
from agents.desk.rule_views import Row
from agents.desk.web import Visit
from agents.store import readmodel, rule_reads
from agents.store.readmodel import EventCard
from pipeline.model import SHADOW, EventStatus
from pipeline.rulebook.schema import RuleBook, Status, Subject
from pipeline.rulebook.shadow import live_name, name_in_shadow, runs_in_shadow

EVENTS = 12
SHADOW_EVENTS = 200
LISTED = 200
"""Subjects in shadow that are listed; a whole book may run there."""


def subject(visit: Visit) -> Response:
    """A subject by its id, `~id` as it runs in shadow."""
    asked = str(visit.request.path_params["subject"])
    book = visit.desk.book()
    found, in_shadow, beside = find(book, asked)
    if found is None:
        text = f"规则书里没有主题“{asked[:64]}”。它可能改了名，或者文件已经删去。"
        return visit.message("没有这个主题", text, 404, "/rules")
    key = name_in_shadow(found.id) if in_shadow else found.id
    engine = visit.desk.engine
    visit.write_read("rule.read", key)
    said = rule_matches.of_subject(engine, key)
    own = book.shadow if beside and book is not None else book
    return visit.page(
        "subject.html", book=book, subject=found, key=key, in_shadow=in_shadow, beside=beside,
        twin=not in_shadow and book is not None and found.id in runs_in_shadow(book),
        expiry=rule_words.expiry(found, rule_views.today(visit.now, visit.desk.deps.settings.zone)),
        definition=rule_views.definition(own, found), figures=visit.desk.figures.of([key], visit.now)[key],
        events=_events(visit, key, EVENTS), said=said, matches=rule_matches.matches(engine, key),
        event_names=rule_matches.event_names(engine, [one.event_id for one in said if one.event_id]),
        levels=rule_views.own_levels(own, found), against=_against(visit, [key]) if in_shadow else None,
        can_act=visit.can_act, done=pages.done(visit))


def find(book: RuleBook | None, asked: str) -> tuple[Subject | None, bool, bool]:
    """(subject, whether it runs in shadow, whether the book beside the live one has it) of `x` or `~x`."""
    ident = live_name(asked)
    if book is None:
        return None, False, False
    if asked.startswith(SHADOW) and book.shadow is not None and (other := book.shadow.subject(ident)) is not None:
        return other, True, True
    own = book.subject(ident)
    return own, own is not None and own.status is Status.SHADOW, False


def shadow(visit: Visit) -> Response:
    """影子: what runs beside the live rules, beside what these came to. Nobody is told of any of it."""
    book = visit.desk.book()
    running = runs_in_shadow(book) if book is not None else ()
    figures = visit.desk.figures.of((name_in_shadow(each) for each in running[:LISTED]), visit.now)
    today = rule_views.today(visit.now, visit.desk.deps.settings.zone)
    rows = [Row(one, rule_words.expiry(one, today), figures[name_in_shadow(one.id)]) for each in running[:LISTED]
            if (one := find(book, name_in_shadow(each))[0]) is not None]
    visit.write_read("shadow.read", "shadow")
    return visit.page(
        "shadow.html", book=book, subjects=rows, more=len(running) - LISTED, events=_events(visit, "", SHADOW_EVENTS),
        against=_against(visit, running, whole=book is not None and book.shadow is not None) if running else None)


def _events(visit: Visit, key: str, limit: int) -> list[EventCard]:
    """The latest events of a subject; without one, all in shadow."""
    with visit.desk.engine.connect() as connection:
        return readmodel.events(
            connection, (EventStatus.OPEN, EventStatus.CALM, EventStatus.CLOSED), limit=limit, subject=key,
            shadow=not key or key.startswith(SHADOW))


def _against(visit: Visit, subjects: list[str] | tuple[str, ...], *, whole: bool = False) -> rule_reads.Against:
    with visit.desk.engine.connect() as connection:
        return rule_reads.against(connection, visit.now, subjects, whole=whole)
