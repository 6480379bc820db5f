"""Rule tests, run: each case against what its items come to.

What scores an item and what plays items through the flow is handed in, so that this module knows rules and values only.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import msgspec

from pipeline.errors import Problem
from pipeline.ids import digest
from pipeline.model import (
    OPEN_SUBJECT,
    SHADOW,
    Counts,
    CountsBatch,
    CountsRow,
    EscalationKind,
    Millis,
    RawItem,
    ScoredItem,
)
from pipeline.rulebook.cases import Case, CaseItem, CountsAt, Page, Written, named_subjects
from pipeline.rulebook.schema import MINUTE, RuleBook, Source, SourceKind, Status

Score = Callable[[RawItem], Mapping[str, ScoredItem]]
WATCHED = 5 * MINUTE
"""How long after its last item a case is followed at least."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A message that a play of items led to: whom, when, and about what."""

    at: Millis
    kind: EscalationKind
    tell: tuple[str, ...]
    level: str
    subjects: tuple[str, ...]
    event_id: str = ""


class Played(msgspec.Struct, frozen=True):
    """peaks: subject -> the highest rank that one of its events reached. told: in order."""

    peaks: dict[str, int]
    told: tuple[Told, ...]


Play = Callable[[Sequence[RawItem], Sequence[CountsBatch], Millis], Played]
"""Items and counts in time order, and until when to follow them."""

Near = Callable[[RawItem, str], str]
"""Why an item does not match a subject, for a failure's message; an empty text if there is nothing to say."""


@dataclass(frozen=True, slots=True)
class Result:
    """One case that ran. failures: what came out otherwise than written; empty when it passed."""

    name: str
    failures: tuple[Problem, ...]
    file: str = ""


def case_book(cases: Iterable[Case], book: RuleBook) -> RuleBook:
    """The book with the sources that cases make up, so that their group, and whether they are official, is known."""
    made: dict[str, Source] = {}
    for item in (item for case in cases for item in case.items):
        for turn in range(min(item.repeat.sources, item.repeat.times)):
            source = _source(item, turn, book)
            if book.source(source.id) is None:
                made[source.id] = source
    return msgspec.structs.replace(book, sources=(*book.sources, *made.values()))


def _source(item: CaseItem, turn: int, book: RuleBook) -> Source:
    """The source of an item's copy: that of sources.yml, or one of the written name. Of other properties, another id;
    what makes sources independent, the origin, is the written name."""
    known = book.source(item.source)
    name = item.source if not turn else f"{item.source}·{turn + 1}"
    group = item.group or (known.group if known else "其他")
    official = item.official if item.official is not None else bool(known and known.official)
    kind = SourceKind.INTAKE if item.urgent or (known and known.kind is SourceKind.INTAKE) else SourceKind.FEED
    if known and not turn and (group, official, kind) == (known.group, known.official, known.kind):
        return known
    made = Source(id=name, name=name, group=group, official=official, kind=kind,
                  origin=known.origin if known and not turn else name)
    plain = (group, official, kind) == ("其他", False, SourceKind.FEED) and known is None
    return made if plain else msgspec.structs.replace(made, id=f"{name}·{group}·{official:d}·{kind}")


def run_cases(
    cases: Sequence[Written], book: RuleBook, score: Score, play: Play, near: Near = lambda item, subject: ""
) -> Iterator[Result]:
    """Run every case. book: as case_book gives it; score and play work by the same."""
    shadows = {each.id for each in book.subjects if each.status is Status.SHADOW}
    by_file: dict[str, list[Case]] = {}
    for written in cases:
        by_file.setdefault(written.file, []).append(written.case)
    for written in cases:
        unasked = shadows - named_subjects(by_file[written.file])
        runner = _Runner(written, book, score, near, unasked)
        yield Result(written.case.name, tuple(runner.run(play)), written.file)


def records(written: Written, book: RuleBook) -> tuple[list[RawItem], list[CountsBatch], Millis]:
    """A case's items and counts in order of time, and until when they are followed. book: as case_book gives it."""
    case, start = written.case, start_of(written.case, book)
    items: list[RawItem] = []
    counts: list[CountsBatch] = []
    for each in case.items:
        for item in _copies(each, written.path, start, book):
            items.append(item)
            counts += [CountsBatch(source_id=item.source_id, at=item.first_seen_at + later.after, items=(
                CountsRow(item.id, item.first_seen_at + later.after, _counts(later)),)) for later in each.later]
    last = max(*(item.first_seen_at for item in items), *(batch.at for batch in counts), start)
    paged = start + max((page.at for page in case.pages or ()), default=0) + MINUTE
    until = last + case.watch if case.watch else max(last + WATCHED, paged)
    return sorted(items, key=lambda raw: raw.first_seen_at), sorted(counts, key=lambda batch: batch.at), until


def start_of(case: Case, book: RuleBook) -> Millis:
    start = dt.datetime.fromisoformat(case.start)
    return int(start.replace(tzinfo=ZoneInfo(book.timezone)).timestamp() * 1000)


def _copies(item: CaseItem, path: str, start: Millis, book: RuleBook) -> Iterator[RawItem]:
    for number in range(item.repeat.times):
        source = _source(item, number % item.repeat.sources, book).id
        at: Millis = start + item.at + number * item.repeat.every
        yield RawItem(
            id=digest(path, source, item.title, at), revision=digest(item.title, item.text, size=8),
            source_id=source, title=item.title, text=item.text, url="", first_seen_at=at, published_at=at,
            urgent=item.urgent, counts=_counts(item.counts) if item.counts else None)


class _Runner:
    """unasked: shadow rules that the file never names; whether they match too is not its business."""

    def __init__(self, written: Written, book: RuleBook, score: Score, near: Near, unasked: set[str]) -> None:
        self._at, self._book, self._score, self._near, self._unasked = written, book, score, near, unasked
        self._start = start_of(written.case, book)

    def run(self, play: Play) -> Iterable[Problem]:
        case = self._at.case
        for index, item in enumerate(case.items):
            yield from self._judge(item, f"{self._at.path}.items[{index}]")
        if case.levels or case.pages is not None:
            played = play(*records(self._at, self._book))
            yield from self._judge_levels(case.levels, played.peaks)
            if case.pages is not None:
                yield from self._judge_pages(case.pages, played.told)

    def _judge(self, item: CaseItem, path: str) -> Iterable[Problem]:
        raw = next(_copies(item, self._at.path, self._start, self._book))
        scored = self._score(raw)
        any_one = next(iter(scored.values()))
        if item.subjects is not None:
            yield from self._judge_subjects(item.subjects, raw, scored, f"{path}.subjects")
        if item.polarity is not None and any_one.sentiment.polarity is not item.polarity:
            came_out = f"{any_one.sentiment.polarity.value}（把握 {any_one.sentiment.confidence:.2f}）"
            yield self._failed(f"{path}.polarity", item.polarity.value, came_out)
        if item.question is not None and any_one.question is not item.question:
            yield self._failed(f"{path}.question", str(item.question).lower(), str(any_one.question).lower())

    def _judge_subjects(
        self, expected: tuple[str, ...], raw: RawItem, scored: Mapping[str, ScoredItem], path: str
    ) -> Iterable[Problem]:
        matched = {subject.removeprefix(SHADOW): each for subject, each in scored.items()}
        came = sorted(set(matched) - {OPEN_SUBJECT} - self._unasked)
        if came == sorted(set(expected)):
            return
        said = [f"{subject} 匹配了 {'、'.join(dict.fromkeys(span.term for span in matched[subject].spans))}，"
                f"共 {matched[subject].weight:g}" for subject in came]
        missed = [(subject, self._near(raw, subject)) for subject in expected if subject not in came]
        said += [f"{subject} {why}" for subject, why in missed if why]
        yield self._failed(path, _list(sorted(set(expected))), f"{_list(came)}（{'；'.join(said) or '没有词匹配'}）")

    def _judge_levels(self, expected: Mapping[str, str], came: Mapping[str, int]) -> Iterable[Problem]:
        for subject, name in expected.items():
            reached = self._book.levels.name(max(came.get(subject, 0), came.get(SHADOW + subject, 0)))
            if reached != name:
                yield self._failed(f"{self._at.path}.levels.{subject}", name, reached)

    def _judge_pages(self, expected: tuple[Page, ...], told: Sequence[Told]) -> Iterable[Problem]:
        came = [each for each in told if each.kind in (EscalationKind.PAGE, EscalationKind.DIGEST)]
        if len(expected) == len(came) and all(map(self._fits, expected, came)):
            return
        wrong = next((index for index, pair in enumerate(zip(expected, came, strict=False)) if not self._fits(*pair)),
                     min(len(expected), len(came)))
        path = f"{self._at.path}.pages"
        if wrong < len(expected):
            path = f"{path}[{wrong}]"
        wanted = "；".join(_page(page.at, page.kind, page.level, page.tell) for page in expected) or "谁都不通知"
        said = "；".join(_page(each.at - self._start, each.kind, each.level, each.tell) for each in came)
        yield self._failed(path, wanted, said or "谁都没有通知")

    def _fits(self, page: Page, told: Told) -> bool:
        return (abs(told.at - self._start - page.at) < MINUTE and set(page.tell) == set(told.tell)
                and page.kind is told.kind and page.level in ("", told.level)
                and (not page.subject or page.subject in told.subjects))

    def _failed(self, path: str, expected: str, came: str) -> Problem:
        mark = self._at.reading.at(self._at.file, path)
        return Problem(self._at.file, mark.line, mark.column, path, f"应为 {expected}，实为 {came}。")


def _counts(given: CountsAt) -> Counts:
    return Counts(given.comments, given.forwards, given.likes, given.views)


def _list(names: Sequence[str]) -> str:
    return f"[{', '.join(names)}]"


def _page(after: Millis, kind: EscalationKind, level: str, tell: Sequence[str]) -> str:
    """`15m 较大 告诉 leaders`."""
    hours, minutes = divmod(after // MINUTE, 60)
    when = f"{hours}h{minutes:02d}m" if hours else f"{minutes}m"
    what = "汇总" if kind is EscalationKind.DIGEST else "告警"
    return f"{when} {level}{what}给 {'、'.join(tell)}" if level else f"{when} {what}给 {'、'.join(tell)}"
