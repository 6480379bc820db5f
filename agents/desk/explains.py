"""Explanations that people ask for: what is compiled from a book is built once, and nobody asks too often."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import BoundedSemaphore, Lock

from agents.clock import Clock
from agents.desk.limits import Brakes, Busy
from pipeline.explain import TextExplained, explain_text
from pipeline.model import RawItem
from pipeline.rulebook.schema import RuleBook
from pipeline.score.score import Scorer

PER_MINUTE = 20
"""Explanations of one account: somebody who tunes a rule tries many texts."""
AT_ONCE = 2
"""Of all accounts; every page of the desk needs one of the same few threads."""
WAIT_SECONDS = 8.0
KEPT = 2
"""Compiled books, some tens of MB each: the one in force and one of before, or the one in shadow."""
MAX_CHARACTERS = 4000
"""Of a title and text typed in."""
SHOWN_MATCHED, SHOWN = 50, 20
"""Rules that are shown: of those that match, and of near misses."""


@dataclass(slots=True)
class Explains:
    """For threads, never for the event loop: building a scorer takes half a second and more."""

    real: Clock
    brakes: Brakes = field(init=False)
    _places: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(AT_ONCE))
    _building: Lock = field(default_factory=Lock)
    _scorers: OrderedDict[str, Scorer] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        self.brakes = Brakes(self.real, PER_MINUTE, "您还有一个解释正在进行，等它出结果后再试下一个。",
                             f"解释 {PER_MINUTE} 次")

    def text(self, account: str, book: RuleBook, item: RawItem, subjects: Collection[str] = ()) -> TextExplained:
        """What the book's rules see in an item; Busy when this account, or everybody, has to wait."""
        with self.hold(account):
            return explain_text(self.scorer(book), item, subjects)

    @contextmanager
    def hold(self, account: str) -> Iterator[None]:
        """Around an explanation; Busy when it has to wait."""
        with self.brakes.hold(account):
            if not self._places.acquire(timeout=WAIT_SECONDS):
                raise Busy("现在有别的解释在进行，或者正在装载规则。请过几秒再试。")
            try:
                yield
            finally:
                self._places.release()

    def scorer(self, book: RuleBook) -> Scorer:
        """Compiled from the book without its shadow book; the same one for the same hash."""
        with self._building:
            known = self._scorers.pop(book.hash, None) or Scorer(book)
            self._scorers[book.hash] = known
            while len(self._scorers) > KEPT:
                self._scorers.popitem(last=False)
            return known
