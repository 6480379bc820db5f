"""Where history comes from, in parts that another process can read by itself.

A part gives (place, item) pairs: `place` orders items of one time as the file or the archive has them.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, AnyStr, BinaryIO
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Engine

from agents.plain_items import plain_item
from agents.store import history_reads
from agents.store.engine import open_store
from pipeline.errors import WenxunError
from pipeline.model import CountsBatch, Millis, RawItem

PART_BYTES = 2 << 20
"""Of a file: what one process reads at a time."""
MAX_LINE = 2 << 20
"""Of a file: a longer line is no item, and a packed file of one endless line would fill the memory."""
PART_ITEMS = 4_000
PLACES = 1 << 32
"""Places of one part of the archive; counts come after its items."""

Placed = Iterator[tuple[int, RawItem]]


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of a file of plain items, from line `first` on."""

    path: str
    first: int
    body: bytes
    zone: str

    def items(self) -> Placed:
        zone = ZoneInfo(self.zone)
        for number, line in enumerate(self.body.split(b"\n"), self.first):
            if line.strip():
                yield number, plain_item(self.path, number, _json_object(self.path, number, line), zone)

    def counts(self) -> Iterator[tuple[int, CountsBatch]]:
        return iter(())


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of a CSV file, with the number of each one's last line."""

    path: str
    columns: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    zone: str

    def items(self) -> Placed:
        zone = ZoneInfo(self.zone)
        for number, row in self.rows:
            if len(row) != len(self.columns):
                raise WenxunError(f"{self.path}:{number}: 有 {len(row)} 列，首行有 {len(self.columns)} 列；"
                                  "含逗号或换行的文字要放在双引号里")
            yield number, plain_item(self.path, number, dict(zip(self.columns, row, strict=True)), zone)

    def counts(self) -> Iterator[tuple[int, CountsBatch]]:
        return iter(())


@dataclass(frozen=True, slots=True)
class Archived:
    """A slice of the archive."""

    url: str
    number: int
    part: history_reads.Slice

    def items(self) -> Placed:
        with _engine(self.url).connect() as connection:
            yield from enumerate(history_reads.contents(connection, self.part), self.number * PLACES)

    def counts(self) -> Iterator[tuple[int, CountsBatch]]:
        with _engine(self.url).connect() as connection:
            yield from enumerate(history_reads.counts(connection, self.part), self.number * PLACES + PLACES // 2)


Part = Lines | Table | Archived


def _json_object(path: str, number: int, line: bytes) -> dict[str, object]:
    try:
        value = msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        raise WenxunError(f"{path}:{number}: 不是 JSON：{error}") from None
    if not isinstance(value, dict):
        raise WenxunError(f"{path}:{number}: 应为一个 JSON 对象 {{…}}")
    return value


@cache
def _engine(url: str) -> Engine:
    """One per process, for as long as it lives."""
    return open_store(url)


# ---------------------------------------------------------------- parts


def parts_of_file(path: Path, zone: str, done: Callable[[int], None]) -> Iterator[Lines | Table]:
    """`.jsonl` or `.csv`, `.gz` or not. done: told how many bytes of the file are read. WenxunError if it cannot be."""
    with _opened(path, done) as file:
        if ".csv" in path.suffixes:
            yield from _tables(path, file, zone)
        else:
            yield from _lines(path, file, zone)


def _lines(path: Path, file: BinaryIO, zone: str) -> Iterator[Lines]:
    first = 1
    while body := file.read(PART_BYTES):
        body += _line(path, file)
        if first == 1:
            body = body.removeprefix("\ufeff".encode())
        yield Lines(str(path), first, body, zone)
        first += body.count(b"\n")


def _line(path: Path, file: IO[AnyStr]) -> AnyStr:
    """The rest of a line; WenxunError when it does not end."""
    found = file.readline(MAX_LINE)
    if len(found) == MAX_LINE:
        raise WenxunError(f"{path}: 有一行超过 {MAX_LINE >> 20} MiB，不是条目文件；每行写一个条目")
    return found


def _tables(path: Path, file: BinaryIO, zone: str) -> Iterator[Table]:
    text = io.TextIOWrapper(file, "utf-8-sig", newline="")
    rows = csv.reader(iter(lambda: _line(path, text), ""))
    columns = tuple(name.strip() for name in next(rows, ()))
    if not {"source", "at"} <= set(columns) or not {"title", "text"} & set(columns):
        raise WenxunError(f"{path}:1: 首行应是列名，要有 source、at 和 title（或 text），可有 url、published；"
                          f"现在是 {'、'.join(columns) or '空'}")
    some: list[tuple[int, tuple[str, ...]]] = []
    for row in rows:
        if row:
            some.append((rows.line_num, tuple(row)))
        if len(some) == PART_ITEMS:
            yield Table(str(path), columns, tuple(some), zone)
            some = []
    yield Table(str(path), columns, tuple(some), zone)


@contextmanager
def _opened(path: Path, done: Callable[[int], None]) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as raw:
            told: BinaryIO = _Told(raw, done)           # type: ignore[assignment]
            if path.suffix == ".gz":
                with gzip.open(told) as unpacked:
                    yield unpacked                      # type: ignore[misc]
            else:
                yield told
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise WenxunError(f"{path}: 无法读取：{error}") from error


class _Told(io.BufferedIOBase):
    """A file that says how far it is read."""

    def __init__(self, file: BinaryIO, done: Callable[[int], None]) -> None:
        self._file, self._done = file, done

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        return self._said(self._file.read(-1 if size is None else size))

    read1 = read

    def readline(self, size: int | None = -1, /) -> bytes:
        return self._said(self._file.readline(-1 if size is None else size))

    def _said(self, body: bytes) -> bytes:
        self._done(len(body))
        return body


def parts_of_archive(url: str, since: Millis, until: Millis) -> Iterator[Archived]:
    with _engine(url).connect() as connection:
        parts = list(history_reads.slices(connection, since, until, PART_ITEMS))
    for number, part in enumerate(parts):
        yield Archived(url, number, part)

