"""`wenxun rules diff`: what differs between two rule books, in words and, where there are items, in effect."""

from __future__ import annotations

import argparse
from collections import Counter
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.commands.rule_common import OK, PROBLEMS, plain, print_json, report, settings, zone
from agents.rule_files import read_dir, starter_dir
from pipeline.errors import RuleBookError, SettingsError
from pipeline.model import CountsBatch, RawBatch, RawItem
from pipeline.rulebook.diff import Change, changes
from pipeline.rulebook.schema import RuleBook

if TYPE_CHECKING:
    from pipeline.effect import Effect

SHOWN = 20
"""Items and events that are listed; --json has them all."""


def add(actions: Any) -> None:
    parser = actions.add_parser(
        "diff", help="what differs between two rule books, in words and in effect",
        description="A and B are rule directories, or hashes of books that were in force. The effect is shown on the "
                    "cases of B, and on the items of a file.")
    parser.add_argument("books", nargs="*", metavar="A B", help="directories or hashes; B: default WENXUN_RULES_DIR")
    parser.add_argument("--shipped", action="store_true", help="A is the starter rules of this version")
    parser.add_argument("--items", type=Path, metavar="FILE", help="JSON lines as `wenxun replay` reads them")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--exit-code", action="store_true", help="exit with 1 if they differ")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    first, second = _sides(args)
    try:
        before, _ = load(first)
        after, texts = load(second)
        found = changes(before, after)
        effect = _effect(before, after, texts, args.items)
    except RuleBookError as error:
        return report(error)
    if args.json:
        print_json(_as_json(before, after, found, effect))
    else:
        print(f"{first}（{before.hash}）→ {second}（{after.hash}）")
        _print_words(found)
        _print_effect(effect)
    return PROBLEMS if args.exit_code and (found or not effect.none) else OK


def _sides(args: argparse.Namespace) -> tuple[str, str]:
    wanted = [*([str(starter_dir())] if args.shipped else []), *args.books]
    if len(wanted) == 1:
        wanted.append(str(settings().rules_dir))
    if len(wanted) != 2:
        raise SettingsError("要比较两份规则：wenxun rules diff A B，或 wenxun rules diff --shipped [目录]")
    return wanted[0], wanted[1]


def load(name: str) -> tuple[RuleBook, dict[str, str]]:
    """A book by its directory, with its texts, or by its hash from the archive. Raises RuleBookError, SettingsError."""
    path = Path(name)
    if path.is_dir() or not _hashlike(name):
        files = read_dir(path)
        return files.parse(zone()), files.texts
    from agents.commands.rule_store import book_of, open_archive

    with open_archive(settings()) as connection:
        return book_of(connection, name), {}


def _hashlike(name: str) -> bool:
    return 4 <= len(name) <= 16 and all(each in "0123456789abcdef" for each in name)


def _effect(before: RuleBook, after: RuleBook, texts: dict[str, str], items: Path | None) -> Effect:
    """On the cases that the newer directory has, and on a file's items."""
    from pipeline.effect import Comparison
    from pipeline.rulebook.case_run import case_book, records
    from pipeline.rulebook.cases import read_cases

    written = read_cases(texts, after) if texts else []
    cases = [each.case for each in written]
    comparison = Comparison(case_book(cases, before), case_book(cases, after))
    for each in written:
        comparison.play(*records(each, case_book(cases, after)))
    if items is not None:
        comparison.play(*_read(items))
    return comparison.effect


def _read(path: Path) -> tuple[list[RawItem], list[CountsBatch]]:
    """Items and counts of a file as `wenxun replay` reads it; the rules there are of no account here."""
    from agents.commands.replay import load as load_recording

    inputs = [each.record for each in load_recording(path, starter_dir()).inputs]
    items = [item for batch in inputs if isinstance(batch, RawBatch) for item in batch.items]
    return (sorted(items, key=lambda item: item.first_seen_at),
            [each for each in inputs if isinstance(each, CountsBatch)])


def _print_words(found: list[Change]) -> None:
    if not found:
        print("规则内容相同。")
    for file, some in groupby(found, key=lambda each: each.file):
        print(f"\n{file}")
        for each in some:
            print(f"  {plain(str(each))}")


def _print_effect(effect: Effect) -> None:
    if not effect.items:
        return
    print(f"\n对 {effect.items} 条内容的效果")
    if effect.none:
        print("  匹配、级别和通知都没有变化")
        return
    alike = Counter((each.item.title or each.item.text[:40], each.before, each.after) for each in effect.matches)
    for (title, first, second), count in list(alike.items())[:SHOWN]:
        print(f"  {_moved(first, second)}  《{plain(title)}》{f' {count} 条' if count > 1 else ''}")
    _more(len(alike), "种内容匹配不同")
    for event in effect.events[:SHOWN]:
        before, after = event.before or "未达级", event.after or "未达级"
        print(f"  级别 {before} → {after}  {event.subject}  {event.items} 条  《{plain(event.title)}》")
    _more(len(effect.events), "个事件级别不同")
    if effect.pages[0] != effect.pages[1]:
        print(f"  要人确认的告警 {effect.pages[0]} 次 → {effect.pages[1]} 次")


def _more(count: int, what: str) -> None:
    if count > SHOWN:
        print(f"  …… 一共 {count} {what}，--json 全部列出")


def _moved(before: tuple[str, ...], after: tuple[str, ...]) -> str:
    """What an item matches now that it did not, and the other way round."""
    came, gone = "、".join(_less(after, before)), "、".join(_less(before, after))
    return "，".join(filter(None, (f"多匹配 {came}" if came else "", f"不再匹配 {gone}" if gone else "")))


def _less(some: tuple[str, ...], others: tuple[str, ...]) -> list[str]:
    return [each for each in some if each not in others]


def _as_json(before: RuleBook, after: RuleBook, found: list[Change], effect: Effect) -> dict[str, Any]:
    return {
        "before": before.hash, "after": after.hash, "same": not found and effect.none,
        "changes": [{"file": each.file, "kind": each.kind, "entry": each.entry, "field": each.field,
                     "before": each.before, "after": each.after} for each in found],
        "effect": {
            "items": effect.items,
            "matches": [{"item": each.item.id, "source": each.item.source_id, "title": each.item.title,
                         "before": each.before, "after": each.after} for each in effect.matches],
            "events": [{"event": each.id, "subject": each.subject, "title": each.title, "items": each.items,
                        "before": each.before, "after": each.after} for each in effect.events],
            "pages": effect.pages}}
