"""Rule tests: tests/*.test.yml say what some items should come to. `wenxun rules test` runs them without Kafka.

What scores an item and what tracks its level is handed in, so that this module knows rules and values only.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from pipeline.errors import Problem, RuleBookError
from pipeline.ids import digest
from pipeline.model import OPEN_SUBJECT, Millis, Polarity, RawItem, ScoredItem
from pipeline.rulebook.kinds import BAD, FLAG, Choice, Many, Reading, Ref, Table, length, text, whole
from pipeline.rulebook.objects import Field, Record
from pipeline.rulebook.parse import check_references
from pipeline.rulebook.schema import RuleBook
from pipeline.rulebook.yaml_marks import Mark, compose

Score = Callable[[RawItem], Mapping[str, ScoredItem]]
Highest = Callable[[list[RawItem]], Mapping[str, int]]
"""Items in time order -> subject -> the highest rank that one of its events reaches; absent for none."""

NO_LEVEL = "未达级"
FIRST_DAY = dt.datetime(2026, 1, 5, 9, 0)  # noqa: DTZ001 - a Monday; the zone is the book's


class Repeat(msgspec.Struct, frozen=True):
    times: int
    every: int = 60_000
    sources: int = 1


class CaseItem(msgspec.Struct, frozen=True):
    source: str
    title: str
    at: int = 0
    text: str = ""
    repeat: Repeat = Repeat(1)
    subjects: tuple[str, ...] | None = None
    polarity: Polarity | None = None
    question: bool | None = None


class Case(msgspec.Struct, frozen=True):
    name: str
    items: tuple[CaseItem, ...]
    levels: dict[str, str] = {}


class _Cases(msgspec.Struct, frozen=True):
    cases: tuple[Case, ...]


ITEM = Record(CaseItem, {
    "at": Field(length("0s", "30d", "10m"), "用例开始后多久出现"),
    "source": Field(text("论坛甲", 60), "来源，名字不同就是独立来源", True),
    "title": Field(text("三小的投票站搬了？"), "标题", True),
    "text": Field(text("听说搬到新校区了", 5000), "正文"),
    "repeat": Field(Record(Repeat, {
        "times": Field(whole(1, 500, 10), "一共几条", True),
        "every": Field(length("1s", "1d", "5m"), "相隔多久一条，默认 1m"),
        "sources": Field(whole(1, 100, 4), "由几个来源轮流发，默认 1"),
    }), "同样的话重复出现"),
    "subjects": Field(Many(Ref(("subject",))), "应匹配的主题，[] 是一个都不匹配；不写不查"),
    "polarity": Field(Choice.of(Polarity), "应判成的情感；不写不查"),
    "question": Field(FLAG, "是否应看作提问；不写不查"),
})

CASES = Record(_Cases, {
    "cases": Field(Many(Record(Case, {
        "name": Field(text("两家来源三条，升为一般"), "用例说的是什么", True),
        "items": Field(Many(ITEM, 1), "出现的条目", True),
        "levels": Field(Table(Ref(("subject",), (OPEN_SUBJECT,)), Ref(("level",), (NO_LEVEL,))),
                        f"主题: 应达到的最高级别（{NO_LEVEL} 为没有达到任何级别）"),
    }), 1), "用例", True),
})


@dataclass(frozen=True, slots=True)
class Result:
    """One case that ran. failures: what came out otherwise than written; empty when it passed."""

    name: str
    failures: tuple[Problem, ...]


def read_cases(files: Mapping[str, str], book: RuleBook) -> list[tuple[str, Case, Reading]]:
    """(file, case, marks) of every tests/*.test.yml; RuleBookError with all problems in them."""
    found: list[tuple[str, Case, Reading]] = []
    problems: list[Problem] = []
    for file in sorted(name for name in files if name.startswith("tests/")):
        reading = Reading()
        reading.names["subject"] = {each.id: Mark(file, 1, 1) for each in book.subjects}
        reading.names["level"] = {each.name: Mark(file, 1, 1) for each in book.levels.ladder}
        found.extend((file, case, reading) for case in _read(file, files[file], reading))
        check_references(reading, set())
        problems.extend(reading.problems)
    if problems:
        raise RuleBookError(problems)
    return found


def _read(file: str, content: str, reading: Reading) -> tuple[Case, ...]:
    if not file.endswith(".test.yml"):
        reading.problem(Mark(file, 1, 1), "", "tests/ 里只放用例文件。", "改名为 名字.test.yml")
        return ()
    node, problems = compose(file, content)
    reading.problems.extend(problems)
    if node is None:
        if not problems:
            reading.problem(Mark(file, 1, 1), "", "文件是空的。", "写成 cases: 加用例列表，或删去文件")
        return ()
    value: Any = CASES.read(node, "", reading)
    return () if value is BAD else value.cases


def run_cases(files: Mapping[str, str], book: RuleBook, score: Score, highest: Highest) -> list[Result]:
    """Run every case of these files. Raises RuleBookError when a case cannot be read."""
    results = []
    seen: dict[str, int] = {}
    for file, case, reading in read_cases(files, book):
        index = seen[file] = seen.get(file, -1) + 1
        runner = _Runner(file, f"cases[{index}]", reading, book)
        results.append(Result(case.name, tuple(runner.run(case, score, highest))))
    return results


class _Runner:
    def __init__(self, file: str, path: str, reading: Reading, book: RuleBook) -> None:
        self._file, self._path, self._reading, self._book = file, path, reading, book
        self._start = int(FIRST_DAY.replace(tzinfo=ZoneInfo(book.timezone)).timestamp() * 1000)

    def run(self, case: Case, score: Score, highest: Highest) -> Iterable[Problem]:
        for index, item in enumerate(case.items):
            yield from self._judge(item, f"{self._path}.items[{index}]", score)
        if case.levels:
            items = sorted((raw for item in case.items for raw in self._raw(item)), key=lambda raw: raw.first_seen_at)
            yield from self._judge_levels(case.levels, highest(items))

    def _raw(self, item: CaseItem) -> Iterable[RawItem]:
        for number in range(item.repeat.times):
            source = item.source if not (turn := number % item.repeat.sources) else f"{item.source}·{turn + 1}"
            at: Millis = self._start + item.at + number * item.repeat.every
            yield RawItem(
                id=digest(self._path, source, item.title, at), revision=digest(item.title, item.text, size=8),
                source_id=source, title=item.title, text=item.text, url="", first_seen_at=at, published_at=at)

    def _judge(self, item: CaseItem, path: str, score: Score) -> Iterable[Problem]:
        scored = score(next(iter(self._raw(item))))
        any_one = next(iter(scored.values()))
        if item.subjects is not None:
            came = sorted(set(scored) - {OPEN_SUBJECT})
            if came != sorted(item.subjects):
                found = "；".join(_evidence(scored)) or "没有词匹配"
                yield self._failed(f"{path}.subjects", _list(sorted(item.subjects)), f"{_list(came)}（{found}）")
        if item.polarity is not None and any_one.sentiment.polarity is not item.polarity:
            came_out = f"{any_one.sentiment.polarity.value}（把握 {any_one.sentiment.confidence:.2f}）"
            yield self._failed(f"{path}.polarity", item.polarity.value, came_out)
        if item.question is not None and any_one.question is not item.question:
            yield self._failed(f"{path}.question", str(item.question).lower(), str(any_one.question).lower())

    def _judge_levels(self, expected: Mapping[str, str], came: Mapping[str, int]) -> Iterable[Problem]:
        for subject, name in expected.items():
            reached = self._book.levels.name(came.get(subject, 0))
            if reached != name:
                yield self._failed(f"{self._path}.levels.{subject}", name, reached)

    def _failed(self, path: str, expected: str, came: str) -> Problem:
        mark = self._reading.at(self._file, path)
        return Problem(self._file, mark.line, mark.column, path, f"应为 {expected}，实为 {came}。")


def _evidence(scored: Mapping[str, ScoredItem]) -> list[str]:
    return [f"{subject} 匹配了 {'、'.join(dict.fromkeys(span.term for span in each.spans))}，共 {each.weight:g}"
            for subject, each in sorted(scored.items()) if each.spans]


def _list(names: list[str]) -> str:
    return f"[{', '.join(names)}]"
