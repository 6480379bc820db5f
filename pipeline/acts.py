"""What a person did about an event, in the few words that the next one who is told has room for."""

from __future__ import annotations

from pipeline.model import Ack, Act, ActKind, Comment, HandOver, Snooze, Statement

TEXT = 80
"""Characters of a note."""
REMEMBERED = 5
"""The last of an event that are told."""

Done = Ack | Snooze | HandOver | Comment | Statement


def act_of(done: Done) -> Act:
    """Of a hand-over the text begins with whom it went to. A rejected proposal is no act: do not ask."""
    match done:
        case Ack():
            kind, text = ActKind.ACK, done.note
        case Snooze():
            kind, text = ActKind.SNOOZE, ""
        case HandOver():
            kind, text = ActKind.HAND_OVER, f"{done.to}，{done.note}" if done.note else done.to
        case Comment():
            kind, text = ActKind.COMMENT, done.text
        case Statement():
            kind, text = ActKind.STATEMENT, done.title
    short = " ".join(text.split())
    return Act(kind, done.by, done.at, short if len(short) <= TEXT else short[:TEXT - 1] + "…")
