"""What people decide about rules: whether a change that waits comes into force."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Engine

from agents.desk.commands import Accepted, Order, Refused, accept
from agents.rule_answer import NothingPending, answer_of
from pipeline.ids import digest
from pipeline.model import RulesState


def answer(engine: Engine, order: Order, state: RulesState | None, book: str, agree: bool) -> Accepted:
    """Let the book that waits come into force, or not; Refused when another one waits now, or none.

    book: the hash that the person saw, or its first digits. One decision per reading of the rule directory: who saved
    the same files again is asked again.
    """
    try:
        record = answer_of(state, accept=agree, by=order.by, now=order.at, hash=book or "-")
    except NothingPending as gone:
        raise Refused("superseded" if state is not None and state.pending else "not_pending", str(gone)) from None
    assert state is not None
    ident = digest("rules.answer", record.hash, state.read_at, agree, order.by)
    about = replace(order, event_id=answer_key(record.hash))
    action = "rules.confirm" if agree else "rules.refuse"
    with engine.begin() as connection:
        return accept(connection, about, record, ident, action, f"会升级 {state.raise_count} 个事件", shown=record.hash)


def answer_key(book: str) -> str:
    """What stands for a book in the column of event ids."""
    return digest("rules", book)
