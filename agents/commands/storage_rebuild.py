"""`wenxun db rebuild`: the archive's rows made again from the topics."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from agents.rereading import Span
    from agents.settings import Settings
    from agents.store.rebuild import Outcome
    from agents.store.scratch import Scratch

GROUP = "wenxun-archive"
EMBEDDED = ("重建需要 Kafka：wenxun up 自带的消息队列只在内存里，只有最近的几 MB，不能用来重建。"
            "数据库坏了请用备份恢复：wenxun db restore。")
BACK = """\
Reads every topic that the archive keeps rows of, from the earliest offset to where it ends now, and lays the rows over
the store. Rows older than that stay, and so does what only the store has: accounts, sessions, tokens, audit log,
ledger, commands, drills. Run it again at any time; one that was killed goes on where it was."""


def add(verbs: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        "rebuild", help="make the archive's rows again from the topics (Kafka; the archive must be stopped)",
        description=BACK, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry-run", action="store_true", help="only say what would be read")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--work", type=Path, metavar="DIR",
                        help="where its temporary file is kept, about as large as the rows (default: the data folder)")
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    from agents.rereading import spans
    from agents.settings import Settings
    from agents.store import engine

    settings = Settings.from_env(os.environ)
    _require_kafka(settings)
    url = str(args.database or settings.store_url)
    engine.require_current(url)
    found = asyncio.run(spans(settings))
    print(f"{engine.shown(url)} ← {settings.bootstrap}")
    _show(found)
    _require_stopped(settings)
    if args.dry_run:
        print("以上是会读的内容；没有改动任何东西。")
        return 0
    if not args.yes and not _agreed():
        return 1
    return _rebuild(settings, url, args.work or settings.data_dir, found)


def _require_kafka(settings: Settings) -> None:
    """The embedded broker's memory holds a few minutes; without its own Kafka there is nothing to read."""
    if settings.embedded or not settings.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        raise SettingsError("没有设置 KAFKA_BOOTSTRAP_SERVERS。" + EMBEDDED)


def _require_stopped(settings: Settings) -> None:
    from agents.rereading import NoKafka, members

    try:
        running = asyncio.run(members(settings, GROUP))
    except NoKafka:
        raise SettingsError(f"{settings.bootstrap}：{EMBEDDED}") from None
    if running:
        raise SettingsError(
            f"archive 正在运行，先停下它再重建。消费组 {GROUP} 的成员：{'、'.join(running)}。\n"
            "停止：systemctl stop wenxun@archive，或 docker compose stop archive，"
            "或 kubectl scale statefulset/archive --replicas=0；刚被强行结束的要等 45 秒才退出消费组。\n"
            "别的角色可以照常运行；重建后再启动 archive，它从自己的位置接着写。")


def _show(found: Sequence[Span]) -> None:
    records: Counter[str] = Counter()
    for span in found:
        records[span.topic] += span.end - span.first
    for topic in records:
        spans = [span for span in found if span.topic == topic]
        places = "，".join(f"{span.partition}：{span.first}–{span.end}" for span in spans if span.end > span.first)
        print(f"  {topic:<16} {records[topic]:>10,} 条" + (f"（分区 {places}）" if places else ""))
    print(f"  合计 {sum(records.values()):,} 条记录")


def _agreed() -> bool:
    if not sys.stdin.isatty():
        print("没有改动：在脚本里用请加 --yes。", file=sys.stderr)
        return False
    return input("重建归档的各个表？[y/N] ").strip().lower() in ("y", "yes", "是")


def _rebuild(settings: Settings, url: str, work: Path, found: Sequence[Span]) -> int:
    from sqlalchemy.exc import DBAPIError

    from agents.clock import Clock
    from agents.store import engine, postgres, rebuild
    from agents.store.fence import Fenced, alone
    from agents.store.scratch import Scratch
    from pipeline.rulebook.schema import DAY

    store = engine.open_store(url)
    label = f"{engine.shown(url)} {settings.bootstrap} {engine.current(url)[1]}"
    try:
        with alone(store), progress() as bar:
            scratch = Scratch(work, label)
            starts = _starts(scratch, found)
            if scratch.resumed:
                print("接着上次没做完的重建。")
            unread = asyncio.run(_read(settings, scratch, found, starts, bar))
            total = sum(rebuild.sizes(scratch.engine).values())
            task = bar.add_task("写回数据库", total=total)
            outcome = rebuild.merge(scratch.engine, store, lambda rows: bar.update(task, advance=rows))
            rebuild.age(store, Clock.parse(settings.clock).now(), settings.retention_days * DAY)
            refused = scratch.refused
            scratch.remove()
    except Fenced as error:
        raise SettingsError(f"{engine.shown(url)}：{error}。等它结束，或停下 archive，再运行一次。") from None
    except DBAPIError as error:
        said = " ".join(str(error.orig).split())
        raise SettingsError(f"重建中断：{said}{postgres.hint(said)}。数据库里没有写坏什么：排除问题后再运行一次，"
                            "会从停下的地方接着做。") from None
    finally:
        store.dispose()
    _report(outcome, unread, refused)
    return 0


def _starts(scratch: Scratch, found: Sequence[Span]) -> Mapping[tuple[str, int], int]:
    """Where to go on. A topic that ends before what was read of it is another topic: all is read anew."""
    places = scratch.places()
    ends = {(span.topic, span.partition): span.end for span in found}
    if any(after > ends.get(place, 0) for place, after in places.items()):
        scratch.begin_anew()
        return {}
    return places


async def _read(
    settings: Settings, scratch: Scratch, found: Sequence[Span], starts: Mapping[tuple[str, int], int], bar: Any
) -> int:
    """Into the scratch file. Records that nobody can decode: they are dead letters."""
    from agents.rereading import read
    from agents.store.decoding import entries

    total = sum(span.end - span.first for span in found)
    done = sum(max(0, min(starts.get((span.topic, span.partition), 0), span.end) - span.first) for span in found)
    task, unreadable = bar.add_task("读取主题", total=total, completed=done), 0
    async for records in read(settings, found, starts):
        places = {(record.topic, record.partition): record.offset + 1 for record in records}
        taken, bad = await asyncio.to_thread(entries, records)
        await asyncio.to_thread(scratch.take, taken, places)
        unreadable += bad
        bar.update(task, advance=len(records))
    bar.update(task, completed=total)
    return unreadable


def progress() -> Any:
    """A bar on a terminal; on standard error, so that the report can be piped."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                    console=Console(stderr=True), disable=not sys.stderr.isatty())


def _report(outcome: Outcome, unreadable: int, refused: int) -> None:
    tables = sorted({*outcome.added, *outcome.mended})
    for name in tables:
        print(f"  {name:<14} 补回 {outcome.added[name]:,} 行，改正 {outcome.mended[name]:,} 行")
    if not tables:
        print("  各表与主题一致，没有要改的。")
    if kept := sum(outcome.kept.values()):
        print(f"  {kept:,} 行比主题新或已过保存期，照旧保留")
    if outcome.settled:
        print(f"  发送账本里 {outcome.settled} 条标着未送达的消息其实已送达，已改正，不会再发")
    lost = unreadable + refused + sum(outcome.refused.values())
    if lost:
        print(f"  {lost} 条记录读不了或存不进去：它们在死信里，见 wenxun dlq list")
    print("重建完成。现在可以启动 archive。")
