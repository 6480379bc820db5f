"""What processes and people say about rule books on the wire. The books themselves are pipeline/rulebook/schema."""

from __future__ import annotations

import msgspec

from pipeline.model.base import Millis, Record


class Raise(msgspec.Struct, frozen=True):
    """An open event that a new rule book would raise. level, previous: names."""
    event_id: str
    short: str
    title: str
    previous: str
    level: str


class RulesState(Record, frozen=True):
    """What became of the rule directory's last change. Topic rules, key `state`; written by role rules.

    in_force: version of the book that was published last. pending: hash of a book that waits for a person
    (规则变更待确认), with the events it would raise (the first 100) and how many. problems: why the directory, read
    at `read_at`, could not be loaded, as `file:line:column …`; the book in force is an earlier one then
    """
    at: Millis
    in_force: str
    read_at: Millis
    problems: tuple[str, ...] = ()
    pending: str = ""
    raises: tuple[Raise, ...] = ()
    raise_count: int = 0


class RulesAnswer(Record, frozen=True):
    """A person lets a pending rule book come into force, or not. Topic rules, key `answer`."""
    hash: str
    accept: bool
    by: str
    at: Millis


class Worker(Record, frozen=True):
    """Which book a process runs. Topic rules.workers, key `name`; every minute and at each change.

    roles: what it runs. book: version of the book in force there; scorer: of the book its scorer is built from.
    stopped: it ended in good order.
    """
    name: str
    roles: tuple[str, ...]
    at: Millis
    book: str
    since: Millis
    scorer: str = ""
    stopped: bool = False
