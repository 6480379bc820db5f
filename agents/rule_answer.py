"""A person lets a pending rule book come into force, or not: the one way to say so, for the CLI and the desk."""

from __future__ import annotations

from typing import Protocol

from pipeline import codec, topics
from pipeline.errors import WenxunError
from pipeline.model import Millis, RulesAnswer, RulesState

KEY = "answer"


class NothingPending(WenxunError):
    """There is no such pending book. The text says what there is."""


class Sender(Protocol):
    async def send(
        self, topic: str, key: str, record: codec.Value, *, ident: str, partition: int | None = None) -> None: ...


def answer_of(state: RulesState | None, *, accept: bool, by: str, now: Millis, hash: str = "") -> RulesAnswer:
    """The answer to what is pending. hash: what the person looked at (its first digits do), empty: whatever waits.

    Raises NothingPending when nothing waits, or another book than the person looked at. An answer is never older than
    the question, whatever this machine's clock says: an older one is taken for the answer to an earlier question.
    """
    if state is None or not state.pending:
        raise NothingPending("没有待确认的规则变更。")
    if not state.pending.startswith(hash):
        raise NothingPending(f"待确认的规则是 {state.pending}，不是 {hash}：其间又改过。请看过再答。")
    return RulesAnswer(hash=state.pending, accept=accept, by=by, at=max(now, state.at))


async def send_answer(bus: Sender, answer: RulesAnswer) -> None:
    """Write it to topic `rules`; the role `rules` then publishes the book, or leaves it."""
    await bus.send(topics.RULES, KEY, answer, ident=f"{answer.hash}-{answer.at}", partition=0)
