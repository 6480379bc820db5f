"""Rows of one partition as a journal: what one record changes is one table row, whole, written once.

Faust writes each changed key as a changelog record of its own, and at two rows per item these were most of what a
tracker cost (docs/performance.md). A journal row holds all keys that a record put or deleted; the newest row that
names a key says what it is. The oldest rows are cleaned as new ones are written: what still counts moves to the newest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

Entries = dict[bytes, bytes | None]

MAX_ROW_BYTES = 200 * 1024
SLACK = 256
"""So many entries more than twice those that count are left lying."""
CLEAN = 4
"""So many old rows are cleaned at most with one write."""

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Entries)


class Journal:
    """Which row holds what. `read(number)` gives a row's bytes; numbers grow."""

    def __init__(self, numbers: Iterable[int], read: Callable[[int], bytes]) -> None:
        self._read = read
        self._newest: dict[bytes, int] = {}
        self._sizes: dict[int, int] = {}
        self._total = 0
        for number in sorted(numbers):
            self._note(number, _DECODER.decode(read(number)))

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Each key with its value."""
        for number in list(self._sizes):
            for key, value in _DECODER.decode(self._read(number)).items():
                if value is not None and self._newest.get(key) == number:
                    yield key, value

    def write(self, puts: Mapping[bytes, bytes | None]) -> dict[int, bytes | None]:
        """The rows to put and then to delete (None), in order. A delete of what is not there is left out."""
        entries: Entries = {key: value for key, value in puts.items() if value is not None or key in self._newest}
        gone = self._clean(entries)
        rows: dict[int, bytes | None] = {}
        for part in _parts(entries):
            number = next(reversed(self._sizes), 0) + 1
            rows[number] = _ENCODER.encode(part)
            self._note(number, part)
        return rows | dict.fromkeys(gone)

    def _clean(self, entries: Entries) -> list[int]:
        """Take the oldest rows out and keep what counts in them; their deletes have nothing older left to delete."""
        gone: list[int] = []
        while self._total > 2 * len(self._newest) + SLACK and len(gone) < CLEAN and len(self._sizes) > 1:
            oldest = next(iter(self._sizes))
            for key, value in _DECODER.decode(self._read(oldest)).items():
                if value is not None and self._newest.get(key) == oldest:
                    entries.setdefault(key, value)
            self._total -= self._sizes.pop(oldest)
            gone.append(oldest)
        return gone

    def _note(self, number: int, entries: Entries) -> None:
        self._sizes[number] = len(entries)
        self._total += len(entries)
        for key, value in entries.items():
            if value is None:
                self._newest.pop(key, None)
            else:
                self._newest[key] = number


def _parts(entries: Entries) -> Iterator[Entries]:
    """Entries in rows of bounded size; a single one may be larger."""
    part: Entries = {}
    size = 0
    for key, value in entries.items():
        length = len(key) + len(value or b"") + 10
        if part and size + length > MAX_ROW_BYTES:
            yield part
            part, size = {}, 0
        part[key] = value
        size += length
    if part:
        yield part
