"""Reading rule directories: 10,000 patterns of all kinds in 1,000 subjects, 10,000 subjects, a list of 10,000 words."""

from __future__ import annotations

import argparse
import datetime as dt
import random
import time
from collections.abc import Callable, Iterator
from statistics import median

from agents.rule_files import read_dir, starter_dir
from pipeline.rulebook.parse import parse_with_places
from pipeline.rulebook.regexes import wrong
from pipeline.rulebook.warnings import warnings

ZONE = "Asia/Shanghai"
TODAY = dt.date(2026, 11, 22)
SIGNS = "投票站点时间地址选举登记结果服务投诉安全场所诈骗谣言天气交通县区街道社区学校医院公交地铁"
HEAD = "id: s{number}\ntitle: 主题\nowner: bench\nreason: measures reading\nexpires: 2027-12-31\nthreshold: 0.5\n"


def measure(args: argparse.Namespace) -> list[tuple[str, str]]:
    return list(_figures(100 if args.quick else 1_000))


def _figures(files: int) -> Iterator[tuple[str, str]]:
    base = {name: text for name, text in read_dir(starter_dir()).texts.items() if not name.startswith("tests/")}
    mixed = {**base, **dict(_subjects(files, 10))}
    wrong.cache_clear()
    yield f"{files * 10:,} patterns in {files:,} subjects, first read", _said(lambda: parse_with_places(mixed, ZONE), 1)
    yield "  read again (median of 5)", _said(lambda: parse_with_places(mixed, ZONE), 5)
    book, places = parse_with_places(mixed, ZONE)
    yield "  warnings (median of 5)", _said(lambda: warnings(book, TODAY, places), 5)
    single = {**base, **dict(_subjects(files * 10, 1))}
    yield f"{files * 10:,} subjects, each in its file (median of 3)", _said(lambda: parse_with_places(single, ZONE), 3)
    words = "".join(f"  - {word}\n" for word in _words(files * 10))
    listed = {**base, "words/all.yml": f"id: all\ntitle: 词\nwords:\n{words}"}
    yield f"a list of {files * 10:,} words (median of 5)", _said(lambda: parse_with_places(listed, ZONE), 5)


def _said(work: Callable[[], object], times: int) -> str:
    """CPU time: one thread, nothing is waited for."""
    found = []
    for _ in range(times):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return f"{median(found) * 1000:,.0f} ms"


def _subjects(files: int, each: int) -> Iterator[tuple[str, str]]:
    words = _words(files * each * 2)
    for number in range(files):
        terms = "".join(_term(place, next(words), next(words)) for place in range(number, number + each))
        yield f"subjects/s{number}.yml", f"{HEAD.format(number=number)}terms:\n{terms}exclude: [打榜, 人气投票]\n"


def _term(place: int, word: str, other: str) -> str:
    """Of ten terms six are words, two weighted words, one is an expression, one a near."""
    if place % 10 < 6:
        return f"  - {word}\n"
    if place % 10 < 8:
        return f"  - {{text: {word}, weight: 0.6}}\n"
    if place % 10 == 8:
        return f"  - {{regex: '第[0-9一二三四五六七八九十]+{word}'}}\n"
    return f"  - {{near: {{words: [{word}, {other}], within: 10}}, weight: 2}}\n"


def _words(count: int) -> Iterator[str]:
    chance = random.Random(7)
    seen: set[str] = set()
    while len(seen) < count:
        word = "".join(chance.choices(SIGNS, k=chance.randint(3, 5)))
        if word not in seen:
            seen.add(word)
            yield word
