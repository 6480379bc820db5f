"""Every capture of the evaluation data cut, flipped and served with wrong headers: what comes of it, by outcome.

    python -m bench.fuzz --data DIR [--rounds N] [--seed N] [--only NAME]

A failure is printed with its file and seed; `--only NAME --seed N` repeats it. Exit code 1 when there was one.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import tarfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.progress import track
from rich.table import Table

from pipeline.collect.entries import MAX_ENTRIES, MAX_TEXT_BYTES, MAX_TITLE_BYTES, Parsed, Reading
from pipeline.collect.feed import parse_feed
from pipeline.errors import NotAFeed

Row = tuple[str, str, str]
"""What was measured, on what, the figure."""

TYPES = ("", "text/html", "application/json", "text/xml; charset=gbk", "text/xml; charset=utf-8",
         "text/xml; charset=big5", "text/xml; charset=utf-16",
         "text/xml; charset=iso-8859-1", "image/png", "text/xml; charset=nonsense")
SECONDS_PER_MIB = 15.0
NOW = 1_795_320_000_000
MAX_BYTES = 300_000
ROUNDS = 8
"""Rounds for each Chinese capture; the feedparser and miniflux files get one for each of theirs."""

_UNREADABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffd\ufffe\uffff]")
_HAN = re.compile("[\u3400-\u9fff]")


def captures(data: Path) -> Iterator[tuple[str, str, bytes]]:
    """Family, name and content of every capture."""
    for path in sorted((data / "feeds" / "cn").rglob("*")):
        if path.suffix in (".xml", ".json"):
            yield "cn", path.name, path.read_bytes()
    for path in sorted((data / "feeds").glob("*.tar.gz")):
        family = path.name.partition("-")[0]
        with tarfile.open(path) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() else None
                body = file.read() if file else b""
                if 0 < len(body) <= MAX_BYTES:
                    yield family, member.name, body


def _cut(body: bytes, chance: random.Random) -> bytes:
    return body[:chance.randrange(len(body))]


def _flip(body: bytes, chance: random.Random) -> bytes:
    changed = bytearray(body)
    for _ in range(chance.choice((1, 3, 30))):
        changed[chance.randrange(len(changed))] ^= chance.randrange(1, 256)
    return bytes(changed)


_STUFF = (b"<", b"]]>", b"<!--", b"&", b"\0", b"\xff\xfe", b"<![CDATA[", b"</channel>", b"{", b"\"", b"\x81")


def _insert(body: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(body))
    return body[:at] + chance.choice(_STUFF) + body[at:]


def _behead(body: bytes, chance: random.Random) -> bytes:
    return body[chance.randrange(min(len(body), 2000)):]


def _double(body: bytes, chance: random.Random) -> bytes:
    at, size = chance.randrange(len(body)), chance.randrange(1, 5000)
    return body[:at + size] + body[at:]


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "cut": _cut, "flipped": _flip, "inserted": _insert, "beheaded": _behead, "doubled": _double,
    "wrong header": lambda body, chance: body}


def judge(body: bytes, content_type: str) -> tuple[str, Parsed | None]:
    """The outcome's name, beginning with `FAILED` when it should not be."""
    began = time.process_time()
    how = Reading("fuzz", "http://feeds.example/rss", ZoneInfo("Asia/Shanghai"), NOW)
    try:
        found = parse_feed(body, how, content_type=content_type)
    except NotAFeed as error:
        return "FAILED: unreadable error" if _UNREADABLE.search(str(error)) else "not a feed, and why", None
    except Exception as error:
        return f"FAILED: {type(error).__name__}: {error}"[:100], None
    if time.process_time() - began > 1 + SECONDS_PER_MIB * len(body) / 1024**2:
        return "FAILED: too slow", found
    if len(found.items) > MAX_ENTRIES:
        return "FAILED: too many items", found
    for item in found.items:
        if _UNREADABLE.search(item.title + item.text):
            return "FAILED: unreadable text", found
        if len(item.title.encode()) > MAX_TITLE_BYTES or len(item.text.encode()) > MAX_TEXT_BYTES:
            return "FAILED: too long", found
    return ("items" if found.items else "a feed without items"), found


def _strange(found: Parsed | None, known: set[str]) -> float:
    """The share of Chinese characters that the undamaged document has not."""
    han = [ch for item in (found.items if found else ()) for ch in _HAN.findall(item.title + item.text)]
    return sum(ch not in known for ch in han) / len(han) if len(han) >= 50 else 0.0


def run(data: Path, rounds: int, seed: int, only: str = "") -> tuple[Counter[tuple[str, str, str]], list[str]]:
    """Counts by family, damage and outcome; and the failures."""
    counts: Counter[tuple[str, str, str]] = Counter()
    failures: list[str] = []
    files = [each for each in captures(data) if only in each[1]]
    for family, name, body in track(files, "fuzzing", console=Console(stderr=True), transient=True):
        _, whole = judge(body, "")
        known = {ch for item in (whole.items if whole else ()) for ch in _HAN.findall(item.title + item.text)}
        chance = random.Random(zlib.crc32(name.encode()) + seed)
        for _ in range(rounds if family == "cn" else 1):
            for damage, change in DAMAGES.items():
                content_type = chance.choice(TYPES) if damage == "wrong header" else ""
                outcome, found = judge(change(body, chance), content_type)
                if family == "cn" and _strange(found, known) > 0.2:
                    outcome = "FAILED: another script"
                counts[family, damage, outcome.partition(":")[0]] += 1
                if outcome.startswith("FAILED"):
                    failures.append(f"{outcome} ({name}, {damage}{', ' + content_type if content_type else ''})")
    return counts, failures


def fuzz(data: Path, rounds: int = ROUNDS, seed: int = 0) -> Iterator[Row]:
    """The rows for `make eval`."""
    counts, failures = run(data, rounds, seed)
    yield "fuzz (seed)", "captures, damaged", f"{sum(counts.values())} documents, {len(failures)} failures ({seed})"
    by_outcome: Counter[tuple[str, str]] = Counter()
    for (family, _, outcome), count in counts.items():
        by_outcome[family, outcome] += count
    for (family, outcome), count in sorted(by_outcome.items()):
        yield f"  {family}", outcome, str(count)
    for failure in failures[:20]:
        yield "  failure", failure, f"seed {seed}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with feeds/")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="part of a file's name")
    args = parser.parse_args()
    counts, failures = run(args.data, args.rounds, args.seed, args.only)
    table = Table("family", "damage", "outcome", "documents", title=f"fuzz, seed {args.seed}")
    for (family, damage, outcome), count in sorted(counts.items()):
        table.add_row(family, damage, outcome, str(count))
    Console(width=120).print(table)
    print(*failures, f"{len(failures)} failures", sep="\n")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
