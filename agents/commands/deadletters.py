"""`wenxun dlq`: records that could not be handled. Listed from the store; replayed to their topics, byte for byte."""

from __future__ import annotations

import argparse
import asyncio
import os
from typing import TYPE_CHECKING, Any

from pipeline.errors import WenxunError

if TYPE_CHECKING:
    from agents.store.readmodel import DeadRow


class DeadLetterError(WenxunError):
    """A dead letter that cannot be shown or replayed."""


def add(groups: Any) -> None:
    parser = groups.add_parser("dlq", help="records that could not be handled: list, show, replay")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    listing = verbs.add_parser("list", help="the latest dead letters")
    listing.add_argument("--limit", type=int, default=50, help="how many (50)")
    listing.add_argument("--waiting", action="store_true", help="only those not replayed yet")
    listing.set_defaults(run=_list)
    show = verbs.add_parser("show", help="one dead letter whole")
    show.add_argument("id")
    show.set_defaults(run=_show)
    replay = verbs.add_parser("replay", help="send dead letters to their topics again, for what was mended since")
    replay.add_argument("id", nargs="*", help="ids of `wenxun dlq list`")
    replay.add_argument("--all", action="store_true", help="every one that was not replayed yet")
    replay.add_argument("--to", metavar="TOPIC", help="another topic than the one they came from")
    replay.set_defaults(run=_replay)


def _list(args: argparse.Namespace) -> int:
    from agents.store import readmodel

    store, zone = _store()
    with store.connect() as connection:
        rows = readmodel.dead_letters(connection, limit=args.limit, waiting=args.waiting)
    for row in rows:
        replayed = f"  已重放 {_time(row.replayed_at, zone)}" if row.replayed_at is not None else ""
        error = row.letter.error if row.letter else "（文字已过保存期）"
        print(f"{row.id}  {_time(row.at, zone)}  {row.topic}  {row.reason}  {error[:100]}{replayed}")
    if not rows:
        print("没有死信。")
    return 0


def _show(args: argparse.Namespace) -> int:
    store, zone = _store()
    row = _rows(store, [args.id])[0]
    print(f"id          {row.id}\n时间        {_time(row.at, zone)}\n原因        {row.reason}")
    if row.replayed_at is not None:
        print(f"已重放      {_time(row.replayed_at, zone)}")
    if row.letter is None:
        print("内容        （文字已过保存期）")
        return 0
    letter = row.letter
    cut = f"（只保留了前 {len(letter.value)} 字节）" if letter.truncated else ""
    print(f"来自        {letter.topic}[{letter.partition}]@{letter.offset}\n键          {_text(letter.key)}\n"
          f"类型        {letter.type or '无'}\n错误        {letter.error}\nsha256      {letter.sha256}\n"
          f"内容{cut}\n{_text(letter.value)}")
    return 0


def _replay(args: argparse.Namespace) -> int:
    from agents.clock import Clock
    from pipeline import topics

    if bool(args.id) == args.all:
        raise DeadLetterError("dlq replay: give ids, or --all")
    if args.to and args.to not in {topic.name for topic in topics.CATALOG}:
        raise DeadLetterError(f"--to {args.to!r}: no such topic; one of "
                              + ", ".join(topic.name for topic in topics.CATALOG))
    settings = _settings()
    store, _ = _store()
    rows = _waiting(store) if args.all else _rows(store, args.id)
    sent = asyncio.run(replay(settings, store, rows, to=args.to, now=Clock.parse(settings.clock).now()))
    print(f"已重放 {sent} 条。" + (f"{len(rows) - sent} 条内容不完整，未重放。" if sent < len(rows) else ""))
    return 0 if sent == len(rows) else 1


async def replay(settings: Any, store: Any, rows: list[DeadRow], *, to: str | None, now: int) -> int:
    """Send each record as it was: bytes, key, type and partition. Marked only after the broker has it."""
    from aiokafka import AIOKafkaProducer
    from aiokafka.errors import KafkaError

    producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap, acks="all", enable_idempotence=True,
                                max_request_size=1_048_576)
    sent = 0
    try:
        await producer.start()
        for row in rows:
            if row.letter is None or row.letter.truncated:
                continue
            await _send(producer, row.letter, to or row.letter.topic, settings.partitions)
            await asyncio.to_thread(_mark, store, row.id, now)
            sent += 1
    except KafkaError as error:
        raise DeadLetterError(f"{settings.bootstrap}: the broker does not answer ({error}); {sent} replayed so far. "
                              "The embedded broker's address is printed by `wenxun up`: set "
                              "KAFKA_BOOTSTRAP_SERVERS") from error
    finally:
        await producer.stop()
    return sent


async def _send(producer: Any, letter: Any, topic: str, partitions: int) -> None:
    from pipeline import topics

    partition = letter.partition                        # as it was, whatever its key is
    if topic != letter.topic:
        fixed = next((each.partitions for each in topics.CATALOG if each.name == topic), None)
        partition = topics.partition_of(letter.key.decode("utf-8", "replace"), fixed or partitions)
    headers = [("ce_specversion", b"1.0"), ("ce_id", letter.id.encode()), ("ce_source", b"/wenxun/dlq"),
               *([("ce_type", letter.type.encode())] if letter.type else [])]
    await producer.send_and_wait(topic, letter.value, key=letter.key or None, partition=partition, headers=headers)


def _mark(store: Any, ident: str, now: int) -> None:
    from sqlalchemy import update

    from agents.store import schema

    with store.begin() as connection:
        connection.execute(update(schema.dead_letters).where(schema.dead_letters.c.id == ident).values(replayed_at=now))


def _waiting(store: Any) -> list[DeadRow]:
    from agents.store import readmodel

    with store.connect() as connection:
        found = readmodel.dead_letters(connection, limit=1_000_000, waiting=True)
    return sorted((row for row in found if row.letter is not None), key=lambda row: (row.at, row.id))


def _rows(store: Any, ids: list[str]) -> list[DeadRow]:
    from agents.store import readmodel

    found = []
    with store.connect() as connection:
        for ident in ids:
            row = readmodel.dead_letter(connection, ident)
            if row is None:
                raise DeadLetterError(f"{ident}: no such dead letter; see `wenxun dlq list`")
            found.append(row)
    return found


def _store() -> tuple[Any, Any]:
    from agents.store.engine import open_store, require_current

    settings = _settings()
    require_current(settings.store_url)
    return open_store(settings.store_url), settings.zone


def _settings() -> Any:
    from agents.settings import Settings

    return Settings.from_env(os.environ)


def _time(at: int, zone: Any) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(at / 1000, zone).strftime("%Y-%m-%d %H:%M:%S")


def _text(value: bytes) -> str:
    """Bytes for a terminal: text where they are text, nothing that a terminal would obey."""
    text = value.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text)
