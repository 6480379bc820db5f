"""`wenxun rules backtest`: what a candidate rule book would have made of history, against the live one."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from agents.commands.rule_common import OK, PROBLEMS, report, settings
from pipeline.errors import RuleBookError, WenxunError
from pipeline.model import Millis
from pipeline.rulebook.schema import DAY, HOUR, MINUTE, RuleBook

if TYPE_CHECKING:
    from agents.backtest.history import Part
    from agents.backtest.run import Progress
    from pipeline.backtest.compare import Mark

NOT_RECOMMENDED = 3
UNITS = {"m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}

HELP = """\
History is the archive's (--since, --until), or a file: one JSON object per line as `wenxun replay` reads them, or CSV
with a first line of names (source, title, text, at, url, published), either may be .gz.
Both books see the same items: events, levels and pages are exactly what `wenxun replay` decides. Nobody answers in a
backtest: first messages are told apart from those that go on to the next person. The open subject, items that match no
rule, is left out unless --open: most items are in it, and it makes up most of the time.
Exit code: 0 the candidate may go live; 3 it loses an event that people said is relevant; 1 errors."""


def add(actions: Any) -> None:
    parser = actions.add_parser(
        "backtest", help="what rules would have changed in the last weeks: events, levels, pages per day",
        description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", type=Path, metavar="DIR",
                        help="the candidate; default: WENXUN_RULES_DIR, else rules")
    parser.add_argument("--against", metavar="DIR|HASH",
                        help="the live side: a rule directory, or a version in the archive; default: its newest")
    parser.add_argument("--since", metavar="TIME", help="30d, 12h, or a date; default 30d, of a file all of it")
    parser.add_argument("--until", metavar="TIME", help="like --since; default: now")
    parser.add_argument("--items", type=Path, metavar="FILE", help="items instead of the archive's: .jsonl or .csv")
    parser.add_argument("--open", action="store_true", help="the open subject `*` too: items that match no rule")
    parser.add_argument("--json", action="store_true", help="the whole result as JSON")
    parser.add_argument("--jobs", type=_jobs, default=0, metavar="N", help="processes; default: one per CPU")
    parser.add_argument("--database", metavar="URL", help="SQLAlchemy URL instead of WENXUN_DATABASE_URL")
    parser.set_defaults(run=run)


def _jobs(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 256:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of processes from 1 to 256")
    return int(text)


def run(args: argparse.Namespace) -> int:
    try:
        return _run(args)
    except RuleBookError as error:
        return report(error)
    except WenxunError as error:
        print(f"wenxun: {error}", file=sys.stderr)
        return PROBLEMS


@dataclass(frozen=True, slots=True)
class History:
    """Where items come from. expired: how many of the span have no text any more."""

    name: str
    since: Millis | None
    until: Millis | None
    archive: str = ""
    items: int = 0
    expired: int = 0
    counted: bool = False
    marks: tuple[Mark, ...] = ()


def _run(args: argparse.Namespace) -> int:
    from agents.backtest.run import backtest
    from agents.commands import rule_backtest_words as words

    own = settings()
    candidate, where = _candidate(args.rules or own.rules_dir), str(args.rules or own.rules_dir)
    live, against = _live(args, own.timezone)
    history = _history(args, candidate.timezone)
    with _progress(history, args) as progress:
        result = backtest(
            live, candidate, _parts(args, history, candidate.timezone, progress), history.marks,
            jobs=args.jobs or _cpus(), progress=progress, open_subject=args.open, since=history.since,
            until=history.until, with_ids=history.counted)
    if result is None:
        raise WenxunError(words.nothing(history))
    told = words.Told(result, history, (live, against), (candidate, where), args.open)
    print(words.as_json(told) if args.json else words.as_text(told))
    return OK if result.comparison.recommended else NOT_RECOMMENDED


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# ---------------------------------------------------------------- the two books


def _candidate(root: Path) -> RuleBook:
    from agents.rule_files import load_book

    return load_book(root, settings().timezone)


def _live(args: argparse.Namespace, timezone: str) -> tuple[RuleBook, str]:
    """The book that it is compared with, and where that comes from, for people."""
    from agents.rule_files import load_book

    if args.against and (Path(args.against).is_dir() or not re.fullmatch("[0-9a-f]{4,16}", args.against)):
        return load_book(Path(args.against), timezone), str(args.against)
    from agents.store import history_reads

    with _archive(args) as connection:
        found = history_reads.book(connection, args.against or "")
    if found is None and args.against:
        raise WenxunError(f"存档里没有以 {args.against} 开头的规则版本；wenxun rules history 列出有哪些")
    if found is None:
        raise WenxunError("存档里还没有规则版本，没有可比的一方：用 --against 目录 指明现行规则")
    return found, "存档里的版本" if args.against else "存档里最新的版本"


@contextmanager
def _archive(args: argparse.Namespace) -> Iterator[Any]:
    """A connection to a store that is there; nothing is made."""
    from sqlalchemy import make_url

    from agents.store import engine

    url = _url(args)
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(str(parsed.database)).exists():
        raise WenxunError(f"{engine.shown(url)}：没有这个存档。WENXUN_DATA_DIR 指对了吗？没有存档时用 --items 文件 "
                          "给出条目，用 --against 目录 指明现行规则")
    engine.require_current(url)
    store = engine.open_store(url)
    try:
        with store.connect() as connection:
            yield connection
    finally:
        store.dispose()


def _url(args: argparse.Namespace) -> str:
    return str(args.database or settings().store_url)


# ---------------------------------------------------------------- history


def _history(args: argparse.Namespace, timezone: str) -> History:
    from agents.clock import Clock

    now, zone = Clock.parse(settings().clock).now(), ZoneInfo(timezone)
    since = _time("--since", args.since, now, zone)
    until = _time("--until", args.until, now, zone)
    if since is not None and since >= (until or now):
        raise WenxunError("--since 应早于 --until（默认现在）")
    if args.items is not None:
        if not args.items.is_file():
            raise WenxunError(f"{args.items}: 没有这个文件")
        return History(str(args.items), since, until)
    until = until or now
    return _archived(args, since if since is not None else until - 30 * DAY, until)


def _archived(args: argparse.Namespace, since: Millis, until: Millis) -> History:
    from agents.store import engine, history_reads
    from pipeline.backtest.compare import Mark
    from pipeline.model import VerdictKind

    with _archive(args) as connection:
        items, expired = history_reads.size(connection, since, until)
        counted = history_reads.has_counts(connection, since, until)
        marked = history_reads.marked_events(connection, since, until)
    marks = tuple(Mark(each.event_id, each.subject, VerdictKind(each.kind), each.title, each.items) for each in marked)
    url = _url(args)
    return History(engine.shown(url), since, until, url, items, expired, counted, marks)


def _time(option: str, text: str | None, now: Millis, zone: ZoneInfo) -> Millis | None:
    if text is None:
        return None
    if ago := re.fullmatch(r"(\d{1,5})([mhdw])", text):
        return now - int(ago[1]) * UNITS[ago[2]]
    try:
        moment = datetime.fromisoformat(text)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise WenxunError(f"{option} {text}：应写成 30d、12h 这样的时长，"
                          "或 2026-11-01、2026-11-01T08:00 这样的时间") from None


def _parts(args: argparse.Namespace, history: History, timezone: str, progress: Any) -> Iterator[Part]:
    from agents.backtest.history import parts_of_archive, parts_of_file

    if history.archive:
        assert history.since is not None and history.until is not None
        yield from parts_of_archive(history.archive, history.since, history.until)
    else:
        yield from parts_of_file(args.items, timezone, progress.bytes_read)


# ---------------------------------------------------------------- progress


class Quiet:
    """Where nobody looks at stderr as it comes."""

    def read(self, items: int) -> None:
        """Nothing to show."""

    def played(self, done: int, of: int) -> None:
        """Nothing to show."""

    def bytes_read(self, count: int) -> None:
        """Nothing to show."""


class Bars:
    """Two bars on stderr."""

    def __init__(self, bars: Any, history: History, size: int) -> None:
        self._bars = bars
        self._of_file = not history.archive
        self._read = bars.add_task("读取、匹配", total=size or None)
        self._play = bars.add_task("推演事件", total=None, start=False)

    def read(self, items: int) -> None:
        self._bars.update(self._read, description=f"读取、匹配 {items:,} 条")
        if not self._of_file:
            self._bars.update(self._read, completed=items)

    def bytes_read(self, count: int) -> None:
        self._bars.advance(self._read, count)

    def played(self, done: int, of: int) -> None:
        self._bars.start_task(self._play)
        self._bars.update(self._play, completed=done, total=of)


@contextmanager
def _progress(history: History, args: argparse.Namespace) -> Iterator[Progress]:
    if not sys.stderr.isatty():
        yield Quiet()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    size = history.items if history.archive else args.items.stat().st_size
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield Bars(bars, history, size)
