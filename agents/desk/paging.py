"""Which rows are on a page: one rule for every list of the desk."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Page:
    """A page of `total` rows, `size` on each; `page` counts from 1 and is never past the end."""

    total: int
    page: int
    size: int

    @classmethod
    def of(cls, total: int, wanted: int, size: int) -> Page:
        """The page that was asked for, or the nearest there is."""
        return cls(total, min(max(1, wanted), max(1, -(-total // size))), size)

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.size))

    @property
    def start(self) -> int:
        """Rows before this page."""
        return (self.page - 1) * self.size

    @property
    def rows(self) -> slice:
        """Of the whole list, the part that is on this page."""
        return slice(self.start, self.start + self.size)
