"""Rule tests: what tests/*.test.yml may say. case_run.py runs them; `wenxun rules test` does both without Kafka."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from pipeline.errors import Problem, RuleBookError
from pipeline.model import OPEN_SUBJECT, EscalationKind, Polarity
from pipeline.rulebook.kinds import BAD, FLAG, Choice, Kind, Many, Reading, Ref, Table, Word, length, text, whole
from pipeline.rulebook.objects import Field, Place, Record
from pipeline.rulebook.parse import check_references
from pipeline.rulebook.schema import MINUTE, RuleBook, Status
from pipeline.rulebook.yaml_marks import Mark, compose

NO_LEVEL = "未达级"
START = "2026-01-05T09:00"
"""Of a case that names no start: a Monday morning, in the book's zone."""


class Repeat(msgspec.Struct, frozen=True):
    times: int
    every: int = MINUTE
    sources: int = 1


class CountsAt(msgspec.Struct, frozen=True, kw_only=True):
    """Totals as the feed gives them, `after` the item was first seen. None: the feed does not say."""

    after: int = 0
    comments: int | None = None
    forwards: int | None = None
    likes: int | None = None
    views: int | None = None


class CaseItem(msgspec.Struct, frozen=True):
    """`repeat` makes several of it. later: its counts as they grow. group, official: empty, None: as the source is."""

    source: str
    title: str
    at: int = 0
    text: str = ""
    repeat: Repeat = Repeat(1)
    subjects: tuple[str, ...] | None = None
    polarity: Polarity | None = None
    question: bool | None = None
    group: str = ""
    official: bool | None = None
    urgent: bool = False
    counts: CountsAt | None = None
    later: tuple[CountsAt, ...] = ()


class Page(msgspec.Struct, frozen=True):
    """A message that somebody should get, `at` after the case's start, to the minute. level, subject: empty for any."""

    at: int
    tell: tuple[str, ...]
    level: str = ""
    subject: str = ""
    kind: EscalationKind = EscalationKind.PAGE


class Case(msgspec.Struct, frozen=True):
    """pages: all messages until `watch` after the last item, in order; None: not looked at."""

    name: str
    items: tuple[CaseItem, ...]
    levels: dict[str, str] = {}
    pages: tuple[Page, ...] | None = None
    start: str = START
    watch: int = 0


class _Cases(msgspec.Struct, frozen=True):
    cases: tuple[Case, ...]


def _moment(raw: str) -> str | None:
    try:
        found = dt.datetime.fromisoformat(raw)
    except ValueError:
        return None
    fits = found.tzinfo is None and 2000 <= found.year < 2100 and len(raw) == 16
    return found.isoformat(timespec="minutes") if fits else None


def _case(value: Case, path: str, place: Place) -> None:
    """Pages are looked for until the last one that is written, or until `watch` is over."""
    for index, (before, after) in enumerate(zip(value.pages or (), (value.pages or ())[1:], strict=False), 1):
        if after.at < before.at:
            place.problem(f"{path}.pages[{index}].at", "早于上一条。", "按先后写")


COUNT = whole(0, 1_000_000_000, 120)
MOMENT = Word("日期和时刻 年-月-日T时:分", "2026-11-22T09:00", _moment,
              {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}$"})
_COUNTS = {
    "comments": Field(COUNT, "评论数或回复数"),
    "forwards": Field(COUNT, "转发数"),
    "likes": Field(COUNT, "点赞数"),
    "views": Field(COUNT, "阅读数；不算增长"),
}

ITEM = Record(CaseItem, {
    "at": Field(length("0s", "30d", "10m"), "用例开始后多久出现"),
    "source": Field(text("论坛甲", 60),
                    "来源，名字不同就是独立来源；写 sources.yml 里的编号，就按那个来源的分组、发布者和官方与否", True),
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
    "group": Field(text("论坛", 40), "来源分组；不写就按来源"),
    "official": Field(FLAG, "是否本单位的权威发布；不写就按来源"),
    "urgent": Field(FLAG, "true 是部门或热线的加急上报"),
    "counts": Field(Record(CountsAt, _COUNTS), "首次看到时的评论、转发、点赞数"),
    "later": Field(Many(Record(CountsAt, {
        "after": Field(length("1s", "30d", "30m"), "首次看到之后多久", True), **_COUNTS,
    })), "之后的评论、转发、点赞数（总数，不是增加了多少）"),
})

PAGE = Record(Page, {
    "at": Field(length("0s", "60d", "15m"), "用例开始后多久，误差不到一分钟", True),
    "tell": Field(Many(Ref(("receiver",)), 1), "通知哪些班组或人员", True),
    "level": Field(Ref(("level",)), "哪一级的告警；不写不查"),
    "subject": Field(Ref(("subject",), (OPEN_SUBJECT,)), "哪个主题的事件；不写不查"),
    "kind": Field(Choice(("page", "digest"), EscalationKind), "page 要人确认（默认）；digest 汇总"),
})

CASES: Kind = Record(_Cases, {
    "cases": Field(Many(Record(Case, {
        "name": Field(text("两家来源三条，升为一般"), "用例说的是什么", True),
        "items": Field(Many(ITEM, 1), "出现的条目", True),
        "levels": Field(Table(Ref(("subject",), (OPEN_SUBJECT,)), Ref(("level",), (NO_LEVEL,))),
                        f"主题: 应达到的最高级别（{NO_LEVEL} 为没有达到任何级别）"),
        "pages": Field(Many(PAGE), "应发出的告警和汇总，按先后写全，期间没有人确认；[] 是谁都不通知；不写不查"),
        "start": Field(MOMENT, "用例从什么时候开始，默认 2026-01-05T09:00（星期一）；查生效时段、班次时写"),
        "watch": Field(length("0s", "30d", "1h"), "最后一条之后再看多久；默认看到 pages 里的最后一条，至少 5m"),
    }, _case), 1), "用例", True),
})


@dataclass(frozen=True, slots=True)
class Written:
    """A case, where it stands, and the marks of its file."""

    file: str
    path: str
    case: Case
    reading: Reading


def read_cases(files: Mapping[str, str], book: RuleBook) -> list[Written]:
    """The cases of every tests/*.test.yml; RuleBookError with all problems in them."""
    found: list[Written] = []
    problems: list[Problem] = []
    for file in sorted(name for name in files if name.startswith("tests/")):
        reading = Reading()
        reading.names = _names(file, book)
        found.extend(Written(file, f"cases[{index}]", case, reading)
                     for index, case in enumerate(_read(file, files[file], reading)))
        check_references(reading, set())
        problems.extend(reading.problems)
    if problems:
        raise RuleBookError(problems)
    return found


def _names(file: str, book: RuleBook) -> dict[str, dict[str, Mark]]:
    receivers = [each.id for each in book.roster.teams] + [each.id for each in book.roster.people]
    names = {"subject": [each.id for each in book.subjects], "level": [each.name for each in book.levels.ladder],
             "receiver": receivers}
    return {space: dict.fromkeys(known, Mark(file, 1, 1)) for space, known in names.items()}


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
    value = CASES.read(node, "", reading)
    return () if value is BAD else tuple(value.cases)


def named_subjects(cases: Iterable[Case]) -> set[str]:
    """Subjects that a case expects something of: that an item matches them, their level, a message about them."""
    found: set[str] = set()
    for case in cases:
        found.update(*(item.subjects or () for item in case.items), case.levels,
                     (page.subject for page in case.pages or ()))
    return found


def untested(cases: Iterable[Case], book: RuleBook) -> tuple[str, ...]:
    """Ids of subjects that match something and that no case names."""
    named = named_subjects(cases)
    return tuple(each.id for each in book.subjects if each.status is not Status.RETIRED and each.id not in named)
