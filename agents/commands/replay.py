"""`wenxun replay FILE.jsonl`: the whole flow without a broker, each decision with its reason."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from agents.plain_items import plain_item
from pipeline import codec, topics
from pipeline.errors import CodecError, WenxunError
from pipeline.model import AlertState, Escalation, EventClocks, EventHead, RawBatch, RawItem, ScoredBatch, Tick
from pipeline.rulebook.schema import MINUTE, RuleBook

TICK = 5 * MINUTE
SETTLE = 12 * 60 * MINUTE
"""A file of plain items is followed this long after its last one, so that its events can calm."""

HELP = """\
FILE is one JSON object per line: either a recording (`wenxun demo --record`, with its rule book in the first line) or
plain items: {"source": "xinwen", "title": "…", "text": "…", "at": "2026-11-22T09:30:00+08:00"}; url and published may
be given. Times without a zone are in WENXUN_TIMEZONE's default, Asia/Shanghai."""


def add(groups: Any) -> None:
    parser = groups.add_parser(
        "replay", help="decide a recorded or written file without a broker", description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--rules", type=Path, help="rule directory; default: the recording's book, else ./rules")
    parser.add_argument("--json", action="store_true", help="decisions as JSON lines")
    parser.add_argument("--shadow", action="store_true", help="also what the rules in shadow would have decided")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from pipeline.replay import replay

    recording = load(args.file, args.rules)
    count = 0
    for decision in replay(recording.inputs, recording.book, recording.partitions, recording.recorded):
        if in_shadow(decision) and not args.shadow:
            continue
        line = _json(decision) if args.json else sentence(decision, recording.book)
        if line:
            print(line)
            count += 1
    if not args.json:
        print(f"共 {count} 个决定，规则版本 {recording.book.hash}")
    return 0


@dataclass(frozen=True, slots=True)
class Recording:
    """What a file holds. `recorded`: topics that are taken as they were, not decided anew."""

    book: RuleBook
    partitions: int
    recorded: frozenset[str]
    inputs: list[Any]


def load(path: Path, rules: Path | None) -> Recording:
    """Read a file; WenxunError names the line that is wrong and what to write."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WenxunError(f"{path}: 无法读取：{error}") from error
    lines = [(number, _parse(path, number, line)) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise WenxunError(f"{path}: 空文件；每行写一个 JSON 对象，见 wenxun replay --help")
    first = lines[0][1]
    if first.get("header"):
        return _recorded(path, first, lines[1:], rules)
    book = _book(rules or Path("rules"))
    return Recording(book, 4, frozenset(), list(with_ticks(_items(path, lines, book))))


def _parse(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise WenxunError(f"{path}:{number}: 不是 JSON：{error}") from None
    if not isinstance(value, dict):
        raise WenxunError(f"{path}:{number}: 应为一个 JSON 对象 {{…}}")
    return value


def _book(rules: Path) -> RuleBook:
    from agents.rule_files import load_book

    return load_book(rules, "Asia/Shanghai")


def _recorded(
    path: Path, header: dict[str, Any], lines: list[tuple[int, dict[str, Any]]], rules: Path | None
) -> Recording:
    from pipeline.replay import Input
    from pipeline.rulebook.older import as_now

    try:
        book = _book(rules) if rules else msgspec.convert(as_now(header["book"]), RuleBook)
        recorded = frozenset(header["recorded"]) if rules is None else frozenset()
        partitions = int(header["partitions"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:      # of msgspec too
        raise WenxunError(f"{path}:1: 首行不是录制文件的头：{error!r}") from None
    inputs = []
    for number, line in lines:
        try:
            record = codec.decode(msgspec.json.encode(line["data"]), {"ce_type": line["type"].encode()})
            inputs.append(Input(line["topic"], record, line["partition"]))
        except (KeyError, AttributeError, CodecError) as error:
            raise WenxunError(f"{path}:{number}: 不是录制的记录：{error!r}") from None
    return Recording(book, partitions, recorded, list(_wanted(inputs, recorded)))


def _wanted(inputs: Iterable[Any], recorded: frozenset[str]) -> Iterator[Any]:
    """Under other rules than the recorded ones, scores and decisions are made anew; items, commands and time stay."""
    for each in inputs:
        if recorded or not isinstance(each.record, (ScoredBatch, EventHead, Escalation, AlertState, EventClocks)):
            yield each


def _items(path: Path, lines: list[tuple[int, dict[str, Any]]], book: RuleBook) -> list[RawItem]:
    zone = ZoneInfo(book.timezone)
    items = [plain_item(path, number, line, zone) for number, line in lines]
    return sorted(items, key=lambda item: item.first_seen_at)


def with_ticks(items: list[RawItem]) -> Iterator[Any]:
    """Items as batches of one, with a tick every five minutes between and for half a day after them."""
    from pipeline.replay import Input

    tick = items[0].first_seen_at
    for item in items:
        while tick + TICK <= item.first_seen_at:
            tick += TICK
            yield Input(topics.ITEMS_SCORED, Tick(at=tick))
        batch = RawBatch(source_id=item.source_id, polled_at=item.first_seen_at, items=(item,))
        yield Input(topics.ITEMS_RAW, batch)
    for step in range(SETTLE // TICK):
        yield Input(topics.ITEMS_SCORED, Tick(at=tick + (step + 1) * TICK))


def sentence(decision: EventHead | Escalation | AlertState | EventClocks, book: RuleBook) -> str:
    """A decision in Chinese with its time and reason; nothing for a head whose level did not change."""
    from pipeline.notify import wording

    zone = ZoneInfo(book.timezone)
    match decision:
        case EventHead() if decision.changed_at == decision.decision.at and decision.number:
            change = wording.change(decision.decision, book.levels)
            return (f"{wording.moment(decision.changed_at, zone)}  {decision.short}  {change}  "
                    f"{wording.why_of(decision, book.levels)}  《{decision.title}》")
        case Escalation():
            short = decision.head.short if decision.head else "、".join(head.short for head in decision.digest)
            kept = "（影子，不发送）" if decision.shadow else "（暂不发送）" if decision.suppressed_by else ""
            kind = f"{wording.KIND[decision.kind]}{kept}"
            return (f"{wording.moment(decision.at, zone)}  {short}  {kind} → "
                    f"{'、'.join(decision.tell)}  {wording.escalation_why(decision, book.levels)}")
    return ""


def in_shadow(decision: EventHead | Escalation | AlertState | EventClocks) -> bool:
    """Whether it comes of a shadow rule."""
    return isinstance(decision, EventHead | Escalation) and decision.shadow


def _json(decision: EventHead | Escalation | AlertState | EventClocks) -> str:
    body = msgspec.to_builtins(decision)
    return json.dumps({"type": codec.type_name(decision), **body}, ensure_ascii=False)
