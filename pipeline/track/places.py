"""Which events an item is in: one of each record key that it came with."""

from __future__ import annotations

Place = tuple[str, str]
"""Record key and event id."""


class Places:
    """Item id -> its places. Items of one event share its `home`, so that an item costs one entry of a dict."""

    __slots__ = ("_of",)

    def __init__(self) -> None:
        self._of: dict[str, tuple[Place, ...]] = {}

    def all(self, item_id: str) -> tuple[Place, ...]:
        return self._of.get(item_id, ())

    def event(self, key: str, item_id: str) -> str | None:
        """The event of this key that has the item."""
        for own, event_id in self._of.get(item_id, ()):
            if own == key:
                return event_id
        return None

    def put(self, item_id: str, home: tuple[Place]) -> None:
        """The item is there, and in no other event of that key any more."""
        others = tuple(each for each in self._of.get(item_id, ()) if each[0] != home[0][0])
        self._of[item_id] = (*others, *home) if others else home

    def drop(self, item_id: str, home: tuple[Place]) -> None:
        """The item may join an event again, unless it is in another one too (a warm-up can bring it twice)."""
        others = tuple(each for each in self._of.get(item_id, ()) if each != home[0])
        if others:
            self._of[item_id] = others
        else:
            self._of.pop(item_id, None)
