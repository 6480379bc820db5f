"""The watched directories, seen when nobody is in the middle of writing: whichever way a file is saved.

Known content is told by the files' times and sizes, new content is read. It counts when nothing has changed for
SETTLE_SECONDS. A file that is saved again and again never rests so long: once it is known to be restless, two equal
looks in quick succession do, if it is not growing (somebody writes it bit by bit) and not shorter than it was a moment
ago (somebody has just emptied it to write it anew). Files that change once each, as in a checkout, are waited for.
Commands of ours hold a lock on the directory while they write several files.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from agents.rule_files import Reader, RuleFiles

log = logging.getLogger("wenxun.rules")

SETTLE_SECONDS = 0.1
RESTLESS_SECONDS = 0.35
RESTLESS_TEXTS = 3
QUICK_SECONDS = 0.004
SAY_SECONDS = 20.0
REMEMBERED = 8
"""Contents of a file in one spell of changes that are kept for comparison."""


@dataclass(frozen=True, slots=True)
class Found:
    """The files of each directory, in order, and one digest of all."""

    files: tuple[RuleFiles, ...]
    digest: str
    torn: bool = False
    """Something changed while it was read, or a command of ours is at work."""

    @property
    def texts(self) -> dict[tuple[int, str], str]:
        return {(place, name): text for place, each in enumerate(self.files) for name, text in each.texts.items()}


@dataclass(slots=True)
class _Restless:
    """A file in a spell of changes: its last contents, when it changed last, how long it was at most."""

    texts: list[str] = field(default_factory=list)
    changes: int = 0
    changed_at: float = 0.0
    longest: int = 0

    def note(self, text: str, now: float) -> None:
        self.texts = [*self.texts[1 - REMEMBERED:], text]
        self.changes += 1
        self.changed_at, self.longest = now, max(self.longest, len(text))

    def whole(self) -> bool:
        """Saved often enough to be called restless, and neither growing nor just cut."""
        text = self.texts[-1] if self.texts else ""
        growing = any(before and len(before) < len(text) and text.startswith(before) for before in self.texts[:-1])
        return self.changes >= RESTLESS_TEXTS and not growing and len(text) >= self.longest


class Directories:
    """What the rule book is made of, as it is on disk."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = tuple(roots)
        self._readers = [Reader(root) for root in self._roots]
        self._digests: dict[int, tuple[RuleFiles, str]] = {}
        self.cost = 0.0
        """Seconds that the last look took."""

    async def settled(self, known: str) -> Found:
        """What is there when nobody is writing to it: at once if it has this digest."""
        found = await self.look()
        began = time.monotonic()
        spell: dict[tuple[int, str], _Restless] = {}
        said = False
        while found.torn or found.digest != known:
            quick = time.monotonic() - began > RESTLESS_SECONDS
            if not said and time.monotonic() - began > SAY_SECONDS:
                said = True
                log.warning("rules: files have kept changing for %g s, so that no whole state of them could be read; "
                            "waiting for a rest of %g s", SAY_SECONDS, SETTLE_SECONDS)
            await asyncio.sleep(QUICK_SECONDS if quick else SETTLE_SECONDS)
            looked, before, found = time.monotonic(), found, await self.look()
            _note(spell, before, found, time.monotonic())
            if found.digest == before.digest and not found.torn and _rests(spell, looked, began, quick):
                break
        return found

    async def look(self) -> Found:
        return await asyncio.to_thread(self._look)

    def _look(self) -> Found:
        began = time.monotonic()
        with _shared(self._roots) as alone:
            read = [reader.read() for reader in self._readers]
        found = Found(tuple(files for files, _ in read),
                      "+".join(self._digest(place, files) for place, (files, _) in enumerate(read)),
                      not alone or any(torn for _, torn in read))
        self.cost = time.monotonic() - began
        return found

    def _digest(self, place: int, files: RuleFiles) -> str:
        """Made once for content that is the same object."""
        known = self._digests.get(place)
        if known is None or known[0] is not files:
            known = self._digests[place] = (files, files.digest)
        return known[1]


def _note(spell: dict[tuple[int, str], _Restless], before: Found, found: Found, now: float) -> None:
    """Which files changed between two looks."""
    if found.digest == before.digest:
        return
    old, new = before.texts, found.texts
    for place in old.keys() | new.keys():
        if old.get(place) != new.get(place):
            spell.setdefault(place, _Restless([old[place]] if place in old else [])).note(new.get(place, ""), now)


def _rests(spell: dict[tuple[int, str], _Restless], looked: float, began: float, quick: bool) -> bool:
    """Nothing changed for SETTLE_SECONDS when this look began (it may last), but for restless files that are whole."""
    if looked - began < SETTLE_SECONDS:
        return False
    return all(looked - each.changed_at >= SETTLE_SECONDS or (quick and each.whole()) for each in spell.values())


@contextmanager
def _shared(roots: Sequence[Path]) -> Iterator[bool]:
    """Whether none of our commands is writing, and keep it so. What cannot be locked is read all the same."""
    held: list[int] = []
    alone = True
    try:
        for root in roots:
            try:
                held.append(os.open(root, os.O_RDONLY))
                fcntl.flock(held[-1], fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                alone = False
            except OSError:
                continue
        yield alone
    finally:
        for each in held:
            os.close(each)
