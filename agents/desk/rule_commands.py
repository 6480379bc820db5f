"""What people decide about rules: whether a change that waits comes into force."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Engine

from agents.desk.commands import Accepted, Order, Refused, accept
from pipeline.ids import digest
from pipeline.model import RulesAnswer, RulesState


def answer(engine: Engine, order: Order, state: RulesState | None, book: str, agree: bool) -> Accepted:
    """Let the book that waits come into force, or not; Refused when another one waits now, or none.

    book: the hash that the person saw. One decision per reading of the rule directory: who saved the same files
    again is asked again.
    """
    if state is None or not state.pending:
        raise Refused("not_pending", "现在没有等待确认的规则变更，可能已由他人处理，或者文件又改过。")
    if state.pending != book:
        raise Refused("superseded", f"规则文件又改过，等待确认的现在是 {state.pending[:8]}。请看过之后重新决定。")
    ident = digest("rules.answer", book, state.read_at, agree, order.by)
    record = RulesAnswer(hash=book, accept=agree, by=order.by, at=order.at)
    about = replace(order, event_id=answer_key(book))
    action = "rules.confirm" if agree else "rules.refuse"
    with engine.begin() as connection:
        return accept(connection, about, record, ident, action, f"会升级 {state.raise_count} 个事件", shown=book)


def answer_key(book: str) -> str:
    """What stands for a book in the column of event ids."""
    return digest("rules", book)
