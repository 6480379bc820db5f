"""规则: what is in force and whether it works, one subject with what it matched, what waits for a person."""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby
from pathlib import Path

from starlette.responses import RedirectResponse, Response

from agents import rule_changes
from agents.desk import pages, reads, rule_commands, rule_state, rule_views
from agents.desk.accounts import Role
from agents.desk.commands import Order, Refused
from agents.desk.rule_state import Standing
from agents.desk.rule_views import Wanted
from agents.desk.web import Desk, Visit
from agents.rule_history import History
from agents.store import readmodel
from pipeline.collect import redact
from pipeline.errors import WenxunError
from pipeline.notify import gateway
from pipeline.rulebook import diff as rule_diff
from pipeline.rulebook.parse import parse_book
from pipeline.rulebook.schema import RuleBook, Status

SHOWN = 50
"""Problems of the files on the page; `wenxun rules check` has all."""


def rules(visit: Visit) -> Response:
    """规则: how they stand, who runs them, every subject with what came of it."""
    book = visit.desk.book()
    status = visit.query("status")
    wanted = Wanted(status if status in list(Status) else "", visit.query("q"))
    today = rule_views.today(visit.now, visit.desk.deps.settings.zone)
    stands = standing(visit.desk, book)
    if stands.state and stands.state.raises:                       # titles of events
        visit.write_read("rules.read", stands.state.pending)
    books = reads.books(visit.desk.engine)
    changed = rule_changes.steps(visit.desk.deps.settings.data_dir, [each for each, _ in books])
    return visit.page(
        "rules.html", book=book, standing=stands, books=books, changed=changed,
        table=rule_views.table(book, visit.desk.figures, visit.now, today, wanted, visit.page_number()), wanted=wanted,
        ending=rule_views.ending(book, today), statuses=list(Status), filtered=wanted != Wanted(),
        counted=rule_views.counted(book.subjects if book else ()), shown=SHOWN, done=pages.done(visit),
        comparable=book is not None and has_waiting(visit.desk),
        may_confirm=visit.session.role.may(Role.ADMIN), rules_dir=str(visit.desk.deps.settings.rules_dir))


def diff(visit: Visit) -> Response:
    """Two books by their hashes: what is written otherwise, file by file."""
    before, after = visit.query("from"), visit.query("to")
    with visit.desk.engine.connect() as connection:
        old, new = (readmodel.book(connection, each) if each else None for each in (before, after))
    new = new or waiting(visit.desk, after)
    if old is None or new is None:
        gone = (after if old is not None else before)[:16]
        return visit.message("没有这份规则书", f"找不到规则书“{gone}”，请从历史里选两份。", 404, "/rules")
    found = rule_diff.changes(old, new)
    folders = [(folder, list(group)) for folder, group in groupby(found, key=_folder)]
    return visit.page("rules_diff.html", before=old.hash, after=new.hash, folders=folders, shown_change=_shown)


def has_waiting(desk: Desk) -> bool:
    """Whether a book waits whose snapshot lies in this machine's data folder. Blocks."""
    state = desk.deps.rules.state
    try:
        return state is not None and bool(state.pending) and History(desk.deps.settings.data_dir).has(state.pending)
    except OSError:                                    # another user's folder
        return False


def waiting(desk: Desk, asked: str) -> RuleBook | None:
    """The book that waits for a person, from its snapshot, as it was never in force and is in no archive; None when
    another one is asked for, or this process cannot read it. Blocks."""
    state, settings = desk.deps.rules.state, desk.deps.settings
    if state is None or not asked or asked != state.pending:
        return None
    try:
        return _parsed(settings.data_dir, state.pending, settings.timezone)
    except (WenxunError, OSError):                     # another machine's folder, another user's, another version's
        return None


@lru_cache(maxsize=2)
def _parsed(data_dir: Path, book_hash: str, timezone: str) -> RuleBook:
    """Parsing a large book takes a second."""
    return parse_book(History(data_dir).texts(book_hash), timezone)


def _folder(change: rule_diff.Change) -> str:
    """`subjects/` of what has a file of its own in it, else the file."""
    folder, inside, _ = change.file.partition("/")
    return folder + inside


def _shown(change: rule_diff.Change, text: str) -> str:
    """An address may carry a key; that of a channel may be one. A duty role's number is for who may read the files."""
    if change.field == "手机号":
        return gateway.masked(text) if text.strip("+").isdigit() else text
    if "://" not in text:
        return text
    return redact.shown(text) if change.file == "sources.yml" else f"{text.partition('://')[0]}://…"


def standing(desk: Desk, book: RuleBook | None) -> Standing:
    """Where the rules stand in this process's eyes. Blocks."""
    rules = desk.deps.rules
    state = rules.state
    since = next((at for digest, at in reads.books(desk.engine) if book and digest == book.hash), None)
    return Standing(
        book, since, state, rule_state.faults(state),
        rule_state.running(
            rules.workers.values(), state, book, desk.deps.clock.now(), max(1.0, desk.deps.clock.factor)),
        rule_state.answered(desk.engine, state))


def confirm(visit: Visit) -> Response:
    """A form with `hash` of the book that waits and `answer`: yes or no."""
    order = Order("", visit.session.account, visit.now, visit.desk.real.now())
    agree = visit.form.get("answer") == "yes"
    try:
        accepted = rule_commands.answer(
            visit.desk.engine, order, visit.desk.deps.rules.state, visit.form.get("hash", ""), agree)
    except Refused as refused:
        return visit.message("没有提交", str(refused), 409, "/rules")
    done = f"rules-{'yes' if agree else 'no'}{'-again' if accepted.repeated else ''}"
    return RedirectResponse(f"/rules?done={done}", 303)
