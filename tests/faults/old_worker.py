"""Workers of a kept release beside today's, on a real Kafka: an upgrade role by role, and the way back.

    python -m tests.faults.old_worker 74fe6d5

It needs the history (`git archive`), so no suite runs it; what it printed is in docs/upgrading.md.
"""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from msgspec.structs import replace

from agents import topics_admin
from agents.bus import Bus
from agents.clock import Clock
from agents.rule_feed import KEY
from agents.rule_files import load_book
from pipeline import topics
from pipeline.ids import digest
from pipeline.model import Ack, AlertState, AlertStatus, DeadLetter, EventHead, RawBatch
from pipeline.rulebook.schema import Route, Step
from tests.builders import raw_item
from tests.kafka.broker import Broker, until
from tests.kafka.installation import Installation

SECONDS = 180
OLD = "import sys; sys.path[0:0] = [{!r}]; from agents.cli import main; sys.exit(main(sys.argv[1:]))"


class Upgrade:
    """An event that several sites report, while workers of two versions take turns."""

    def __init__(self, made: Installation, old: Path) -> None:
        self.made, self.old, self.numbers = made, ("-c", OLD.format(str(old))), 0
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    async def worker(self, role: str, *, old: bool) -> None:
        """This version's worker of a role in place of the one that ran."""
        if (before := self.running.get(role)) is not None:
            before.terminate()
            await asyncio.to_thread(before.wait, 60)
        self.running[role] = self.made.start(role, *(self.old if old else ()), POD_NAME=role, WENXUN_TICK_SECONDS="0.5")
        await self.made.ready()
        print(f"{role}: {'old' if old else 'new'}", flush=True)

    async def report(self, items: int) -> None:
        """More items about the one event; waits until its head counts them all."""
        words = " ".join(digest("upgrade", number) for number in range(6))
        records, now = [], time.time_ns() // 1_000_000
        for number in range(self.numbers, self.numbers + items):
            item = raw_item(digest("upgrade item", number), source_id=f"s{number % 8}", title=f"投票站几点关门 {words}",
                            text="", url=f"http://s{number % 8}.example/{number}", first_seen_at=now, published_at=now)
            records.append((topics.ITEMS_RAW, item.source_id,
                            RawBatch(source_id=item.source_id, polled_at=now, items=(item,))))
        self.numbers += items
        await self.made.send(*records)
        await self._until(lambda heads, _: any(each.items == self.numbers for each in heads), f"{self.numbers} items")
        events = {each.id for each in await self._heads()}
        print(f"  {self.numbers} items in {len(events)} event", flush=True)

    async def ack(self) -> None:
        """A person answers; the alert's state says so."""
        state = [each for each in await self.made.read(topics.ESCALATIONS) if isinstance(each, AlertState)][-1]
        await self.made.send((topics.EVENTS, state.event_id, Ack(
            id=f"ack{self.numbers}", event_id=state.event_id, alert_id=state.alert_id, by="li",
            at=time.time_ns() // 1_000_000)))
        await self._until(lambda _, states: bool(states) and states[-1].status is AlertStatus.ACKED, "the ack")
        print("  acked", flush=True)

    async def _heads(self) -> list[EventHead]:
        return [each for each in await self.made.read(topics.EVENTS) if isinstance(each, EventHead)]

    async def _until(self, true, what: str) -> None:  # type: ignore[no-untyped-def]
        async def holds() -> bool:
            states = [each for each in await self.made.read(topics.ESCALATIONS) if isinstance(each, AlertState)]
            return bool(true(await self._heads(), states))

        try:
            await until(holds, SECONDS, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.made.said()}") from None


async def play(made: Installation, old: Path) -> None:
    await topics_admin.ensure(made.settings)
    book = load_book(made.folder / "rules", "Asia/Shanghai")
    book = replace(book, routes=(Route(id="r", steps=(Step(tell=("duty",)),)),))
    async with Bus(made.settings, Clock(), "rules", max_bytes=topics.MAX_BOOK_BYTES) as bus:
        await bus.send(topics.RULES, KEY, book, ident=book.hash, partition=0)
    run = Upgrade(made, old)
    for role in ("score", "track", "escalate"):                     # as it was
        await run.worker(role, old=True)
    await run.report(8)
    for role in ("escalate", "track", "score"):                     # receivers first
        await run.worker(role, old=False)
        await run.report(2)
    for role in ("score", "track", "escalate"):                     # and back: senders first
        await run.worker(role, old=True)
        await run.report(2)
    await run.ack()
    letters = [each for each in await made.read(topics.DEAD_LETTERS) if isinstance(each, DeadLetter)]
    print("dead letters:", [(each.topic, each.error) for each in letters])


def main(revision: str) -> None:
    packed = subprocess.run(["git", "archive", revision, "agents", "pipeline", "rules"], check=True,
                            capture_output=True).stdout
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(Path(folder, "old"), filter="data")
        (Path(folder) / "kafka").mkdir()
        broker = Broker(Path(folder) / "kafka")
        broker.start()
        made = Installation(broker, Path(folder))
        try:
            asyncio.run(play(made, Path(folder, "old")))
        finally:
            made.end()
            broker.stop()


if __name__ == "__main__":
    main(sys.argv[1])
