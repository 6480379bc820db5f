"""A rule book's live scorer and, where it has a shadow book, that book's scorer on the same items.

What happens on the shadow side changes nothing on the live one: an error there is noted, and the item goes its way.
"""

from __future__ import annotations

from collections.abc import Callable

from pipeline.model import SHADOW, RawItem, ScoredItem
from pipeline.rulebook.schema import RuleBook
from pipeline.rulebook.shadow import as_if_live, name_in_shadow, seen_by
from pipeline.score.score import Scorer


class ScorerPair:
    """Like Scorer. trouble: the last error of the shadow side, empty if there was none; `failures` counts them."""

    def __init__(self, book: RuleBook, build: Callable[[RuleBook], Scorer] = Scorer) -> None:
        self.book = book
        self.trouble, self.failures = "", 0
        self._live = build(book)
        self._beside: Scorer | None = None
        self._replaced: frozenset[str] = frozenset()
        if book.shadow is not None:
            self._replaced = frozenset(name_in_shadow(each.id) for each in book.shadow.subjects)
            try:
                self._beside = build(as_if_live(book.shadow))
            except Exception as error:
                self._failed(error)

    def score(self, item: RawItem) -> dict[str, ScoredItem]:
        """Subject id -> the item as that subject sees it; shadow ones as `~x` after the live ones."""
        scored = self._live.score(item)
        if self.book.shadow is None or item.drill is not None:      # a drill tries out people, not rules
            return scored
        found = {subject: one for subject, one in scored.items() if subject not in self._replaced}
        try:
            beside = self._beside.score(item) if self._beside is not None else {}
        except Exception as error:
            self._failed(error)
            return found
        return found | {SHADOW + subject: one for subject, one in beside.items()}

    def book_of(self, subject: str) -> str:
        """Hash of the book that saw it."""
        return seen_by(self.book, subject)

    def _failed(self, error: Exception) -> None:
        self.trouble, self.failures = f"{type(error).__name__}: {error}", self.failures + 1
