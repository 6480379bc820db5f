"""How well feeds are read: titles, texts, dates, links and charsets that come out as the data's own files say.

Families: feedparser's test feeds, miniflux's, Chinese captures and their damaged variants (bench/eval_oracle.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from bench import eval_oracle
from bench.eval_oracle import DATE, ENCODING, FEED, LINK, TEXT, TITLE, Case, Wanted
from pipeline.collect.entries import Parsed, Reading
from pipeline.collect.feed import parse_feed
from pipeline.collect.privacy import mask
from pipeline.collect.text import clean, decode, one_line, to_text
from pipeline.errors import NotAFeed
from pipeline.model import RawItem

Row = tuple[str, str, str]
NOW = 1_795_320_000_000
CHINA = ZoneInfo("Asia/Shanghai")
SHOWN = 15
"""Misses named in the table; `--misses FILE` has all of them."""

FAMILIES: dict[str, Callable[[Path], Iterator[Case]]] = {
    "feedparser's tests": eval_oracle.feedparser_cases, "miniflux's feeds": eval_oracle.miniflux_cases,
    "Chinese captures": eval_oracle.chinese_cases}

NO_WORDS = "nothing but pictures or empty elements is expected: there are no words to keep"
ON_PURPOSE: tuple[tuple[str, str, str], ...] = (
    (".*", r"/cdf/", "CDF, Microsoft's channels of 1997, is none of the formats read"),
    (ENCODING, r"/chardet/(?!big5|gb)", "undeclared charsets but Chinese ones and Latin: no guess against Chinese"),
    (TEXT, r"_and_summary|_and_description", "of several bodies the longest is kept, whatever its element's name"),
    (TEXT, r"sanitize/entry_(?:summary|content)_iframe", "what stands inside an iframe is shown by no browser"),
    (TEXT, r"script_nested_cdata|not_a_doctype", "debris of broken markup: `<!` begins a comment, as in browsers"),
)
"""(columns, files, why the family's own expectation is not kept), the first two as regular expressions."""


@dataclass(slots=True)
class Tally:
    """Of one family: right and all by column, files with everything right, and what was wrong or not kept."""

    right: dict[str, int] = field(default_factory=dict)
    total: dict[str, int] = field(default_factory=dict)
    files: int = 0
    whole: int = 0
    judged: int = 0
    misses: list[str] = field(default_factory=list)
    apart: dict[str, int] = field(default_factory=dict)


def feeds(data: Path, misses: Path | None = None) -> Iterator[Row]:
    """Rows for the table; a full list of what was wrong goes to the file `misses`."""
    listed: list[str] = []
    for family, cases in FAMILIES.items():
        try:
            tally = judge(cases(data))
        except FileNotFoundError as error:
            yield "feeds", family, f"missing: {error.filename}"
            continue
        for column, total in tally.total.items():
            right = tally.right.get(column, 0)
            yield f"feeds: {column} right", family, f"{right} of {total} ({right / total:.1%})"
        yield "feeds: files all right", family, f"{tally.whole} of {tally.judged}"
        if tally.files > tally.judged:
            yield "feeds: files not judged", family, f"{tally.files - tally.judged}: they expect nothing that is kept"
        yield from (("feeds: not kept on purpose", why, str(count)) for why, count in tally.apart.items())
        yield from (("feeds: wrong", family, miss[:160]) for miss in tally.misses[:SHOWN])
        listed += (f"{family}: {miss}" for miss in tally.misses)
    if misses is not None:
        misses.write_text("\n".join(listed) + "\n", "utf-8")


def judge(cases: Iterator[Case]) -> Tally:
    tally = Tally()
    for case in cases:
        tally.files += 1
        kept = [each for each in case.wanted if not _set_apart(tally, case.file, each)]
        if not kept:
            continue
        found = _read(case)
        wrong = [each for each in kept if not _is_right(case, found, each)]
        for each in kept:
            tally.total[each.column] = tally.total.get(each.column, 0) + 1
            tally.right[each.column] = tally.right.get(each.column, 0) + (each not in wrong)
        tally.judged += 1
        tally.whole += not wrong
        tally.misses += (f"{case.file}: {each.column}: wanted {each.value!r}, got {_got(case, found, each)!r}"
                         for each in wrong)
    return tally


def _set_apart(tally: Tally, file: str, wanted: Wanted) -> bool:
    why = next((why for columns, files, why in ON_PURPOSE
                if re.fullmatch(columns, wanted.column) and re.search(files, file)), "")
    if not why and wanted.column in (TITLE, TEXT) and not _plain(wanted.value):
        why = NO_WORDS
    if why:
        tally.apart[why] = tally.apart.get(why, 0) + 1
    return bool(why)


def _plain(value: str) -> str:
    """Markup as it is stored: plain text, masked, here on one line."""
    return one_line(mask(to_text(value)))


def _read(case: Case) -> Parsed | str:
    """The document read, or why it was not."""
    how = Reading("eval", case.url, CHINA, NOW)
    try:
        return parse_feed(_with_something_to_read(case), how, content_type=case.content_type)
    except NotAFeed as error:
        return str(error)


def _with_something_to_read(case: Case) -> bytes:
    """An entry of a date alone is passed over, as it says nothing; for its date to be judged it gets a title."""
    if any(each.column == DATE for each in case.wanted) and b"<title" not in case.body:
        return re.sub(rb"(<(?:\w+:)?(?:entry|item)\b[^>]*>)", rb"\1<title>x</title>", case.body)
    return case.body


def _is_right(case: Case, found: Parsed | str, wanted: Wanted) -> bool:
    if wanted.column == ENCODING:
        try:
            right = case.body.decode(wanted.value, "replace")
        except LookupError:
            return False
        return _letters(decode(case.body, case.content_type)) == _letters(clean(right))
    got = _got(case, found, wanted)
    candidates = got if isinstance(got, list) else [got]
    if wanted.column == DATE:
        return wanted.value in candidates
    return any(_same(wanted, each) for each in candidates if each is not None)


def _letters(text: str) -> str:
    return text.strip().removeprefix("\ufeff")


def _same(wanted: Wanted, got: str) -> bool:
    if wanted.column == LINK:                           # as it was written
        return got == wanted.value
    return one_line(got) in (_plain(wanted.value), one_line(wanted.value))


def _got(case: Case, found: Parsed | str, wanted: Wanted) -> Any:
    """What we have for it: of the document, or of the entries that may be meant."""
    if wanted.column == ENCODING or isinstance(found, str):
        return found if isinstance(found, str) else ""
    if wanted.place == FEED:
        return found.title
    pick = {TITLE: "title", TEXT: "text", DATE: "published_at", LINK: "url"}[wanted.column]
    return [getattr(item, pick) for item in found.items if _is_entry(case, item, wanted)]


def _is_entry(case: Case, item: RawItem, wanted: Wanted) -> bool:
    """Whether an item may be the entry that is spoken of: items stand by date, so it is told by its title, if known."""
    names = [each for each in case.wanted if each.column == TITLE and each.place == wanted.place]
    return wanted.column == TITLE or not names or any(_same(name, item.title) for name in names)
