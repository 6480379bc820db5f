"""SIGKILL at random points of escalate and deliver, under a load of alerts, on a real Kafka: every decided alert is
accounted for, arrives, and arrives twice only where the kill fell between the receiver's answer and the ledger.

WENXUN_KILLS says how many (20), WENXUN_SEED which ones: it is printed.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from sqlalchemy import Row, select

from agents.bus import Bus
from agents.clock import Clock
from agents.deliverer.courier import SLOTS
from agents.lag import Lag
from agents.rule_feed import newest_book
from agents.store.account_reads import account
from agents.store.engine import open_store
from agents.store.schema import outbox
from pipeline import codec, topics
from pipeline.model import AlertStatus, DeadLetter
from pipeline.notify.route import receivers
from pipeline.rulebook.schema import RuleBook
from tests.builders import NOON
from tests.kafka.alert_account import Found, as_unkilled
from tests.kafka.alert_load import CHANNELS, CLOCKS, FACTOR, ROSTER, ROUTES, Call, Hook, Load, Robot
from tests.kafka.broker import Broker, until
from tests.kafka.installation import ROOT, Installation

pytestmark = [pytest.mark.kafka, pytest.mark.fault]

KILLS = int(os.environ.get("WENXUN_KILLS", "20"))
SEED = int(os.environ.get("WENXUN_SEED", "0")) or time.time_ns() % 1_000_000
EVERY = 0.5
"""Seconds between two new events, about."""
UNDER_WAY = 10.0
"""Seconds that a request may need that was begun before an answer was known."""
VICTIMS = {"escalate": ("wenxun-escalate", topics.EVENTS), "deliver": ("wenxun-deliver", topics.ESCALATIONS)}
AGAIN = {AlertStatus.ACKED: "acked", AlertStatus.SNOOZED: "snoozed", AlertStatus.ENDED: "closed"}


@dataclass
class Scene:
    """An installation under load, and when what was killed and committed. Times are of time.monotonic()."""

    installation: Installation
    hook: Hook
    robot: Robot
    clock: Clock
    environ: dict[str, str]
    kills: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in VICTIMS})
    back: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in VICTIMS})
    """Seconds from a process's begin to its first commit."""
    members: dict[str, int] = field(default_factory=lambda: dict.fromkeys(VICTIMS, 0))
    """The most that a group ever had."""
    struck: list[Call] = field(default_factory=list)
    """What deliver was killed for between the receiver's answer and the ledger."""
    commits: dict[str, list[tuple[float, dict[int, int]]]] = field(
        default_factory=lambda: {name: [] for name in VICTIMS})

    def start(self, roles: str, pod: str) -> subprocess.Popen[bytes]:
        return self.installation.start(roles, POD_NAME=pod, **self.environ)

    async def watch(self) -> None:
        """Note what the victims have committed, and how many their groups think they are, until cancelled."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.installation.broker.address)
        await admin.start()
        try:
            async with Lag(self.installation.settings) as lag:
                while True:
                    for name, (group, topic) in VICTIMS.items():
                        places = {number: each.committed for number, each in (await lag.of(group, topic)).items()}
                        self.commits[name].append((time.monotonic(), places))
                        for response in await admin.describe_consumer_groups([group]):
                            self.members[name] = max(self.members[name], len(response.groups[0][5]))
                    await asyncio.sleep(0.2)
        finally:
            await admin.close()

    async def aim(self, process: subprocess.Popen[bytes]) -> None:
        """Kill it between the web hook's answer and the ledger, if there is something to be told within a while."""
        struck = asyncio.Event()

        def strike(call: Call) -> None:
            process.kill()
            self.struck.append(call)
            struck.set()

        self.hook.once = strike
        with suppress(TimeoutError):
            async with asyncio.timeout(10):
                await struck.wait()
        self.hook.once = None

    def _newest(self, name: str) -> int:
        return sum(self.commits[name][-1][1].values()) if self.commits[name] else 0

    async def committed(self, name: str) -> int:
        """What it has committed, asked from now on: nobody else commits before it is up."""
        asked = len(self.commits[name])

        async def answered() -> bool:
            return len(self.commits[name]) >= asked + 2

        await until(answered, 180, "two looks at the commits")
        return self._newest(name)

    async def moves(self, name: str, since: int, seconds: float) -> None:
        async def moved() -> bool:
            return self._newest(name) > since

        try:
            await until(moved, seconds, f"{name} commits")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.installation.said()}") from None


@asynccontextmanager
async def scene(kafka: Broker, folder: Path, chance: Random) -> AsyncIterator[Scene]:
    async with Hook(chance) as hook, Robot(chance) as robot:
        installation = Installation(kafka, folder)
        rules = folder / "rules"
        (rules / "roster.yml").write_text(ROSTER, "utf-8")
        (rules / "routes.yml").write_text(ROUTES, "utf-8")
        (rules / "channels.yml").write_text(CHANNELS % {"hook": hook.port}, "utf-8")
        levels = (rules / "levels.yml").read_text("utf-8")
        (rules / "levels.yml").write_text(levels[:levels.index("\nclocks:")] + "\n" + CLOCKS, "utf-8")
        (rules / "robot.url").write_text(f"http://127.0.0.1:{robot.port}{Robot.PATH}", "utf-8")
        (rules / "robot.url").chmod(0o600)
        clock = Clock(NOON, time.time_ns() // 1_000_000, FACTOR)
        environ = {"WENXUN_CLOCK": str(clock), "WENXUN_TICK_SECONDS": "0.5",
                   "WENXUN_FEED_ALLOW_PRIVATE_CIDRS": f"127.0.0.1:{hook.port},127.0.0.1:{robot.port}"}
        made = Scene(installation, hook, robot, clock, environ)
        made.start("rules,archive", "keeper-0")
        await installation.ready()
        watching = asyncio.create_task(made.watch())
        try:
            yield made
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await asyncio.to_thread(installation.end)


async def kill(scene: Scene, name: str, count: int, chance: Random) -> None:
    """So many processes of a role, one after the other under one id, each killed somewhere; then one that stays.

    Every fourth dies while it starts, the others up to a few seconds after they went on with the work; of deliver some
    die when a receiver has taken a message and the ledger does not know it yet.
    """
    for number in range(count + 1):
        process, began, before = scene.start(name, f"{name}-0"), time.monotonic(), await scene.committed(name)
        if number % 4 == 3 and number < count:
            await asyncio.sleep(chance.uniform(0.1, 1.0) * scene.back[name][-1])
        else:
            await scene.moves(name, before, 120)
            scene.back[name].append(time.monotonic() - began)
            await asyncio.sleep(chance.uniform(0, 3))
        assert process.poll() is None, f"{name} ended by itself:\n{scene.installation.said()}"
        if number < count:
            if name == "deliver" and number % 4 == 1:
                await scene.aim(process)
            process.kill()
            scene.kills[name].append(time.monotonic())
            process.wait()


async def test_kills_at_random_points_of_escalator_and_deliverer(kafka: Broker, tmp_path: Path) -> None:
    print(f"WENXUN_KILLS={KILLS} WENXUN_SEED={SEED}")
    chance = Random(SEED)
    async with scene(kafka, tmp_path, Random(SEED + 1)) as made:
        async with Bus(made.installation.settings, made.clock, "track") as bus:
            load = Load(bus, made.clock, Random(SEED + 2), str(SEED))
            killing = asyncio.gather(*(
                kill(made, name, KILLS // 2, Random(chance.random())) for name in VICTIMS))
            try:
                await load.run(EVERY, killing.done)
            finally:
                killing.cancel()
                await asyncio.gather(killing, return_exceptions=True)
            killing.result()
            found = await _settled(made)
        audit = await asyncio.to_thread(_audit, made)
        await asyncio.to_thread(made.installation.end)
        events = await made.installation.broker.records(topics.EVENTS)
        book = await newest_book(made.installation.settings)
        letters = [each for each in await made.installation.read(topics.DEAD_LETTERS) if isinstance(each, DeadLetter)]
    assert book is not None and not letters
    found = await _records(made)
    rows = _ledger(made)
    _print(made, load, found, rows)
    assert audit.returncode == 0, audit.stdout + audit.stderr
    _worked(made, load, found)
    _accounted(found, rows, book)
    _arrived(made, found, rows)
    _twice(made, found, rows)
    _silent(made, found)
    as_unkilled(found, events, book)


# ---------------------------------------------------------------- what came of it


async def _records(scene: Scene) -> Found:
    found = Found()
    for record in await scene.installation.broker.records(topics.ESCALATIONS):
        found.take(record.partition, record.offset, codec.decode(record.value, record.headers))  # type: ignore
    return found


async def _settled(scene: Scene) -> Found:
    """Wait until nothing is due, nothing is behind and nothing is on its way."""
    found = Found()

    async def quiet() -> bool:
        nonlocal found
        found = await _records(scene)
        unread = [await scene.installation.behind(group, topic) for group, topic in (
            VICTIMS["deliver"], ("wenxun-archive", topics.ESCALATIONS), ("wenxun-archive", topics.EVENTS))]
        pending = Counter(row.status for row in _ledger(scene))["pending"]
        left.append((found.waits, unread, pending))
        # ticks go on, and the archive is behind by the last of them
        return not found.waits and not pending and not unread[0] and max(unread) < 20

    left: list[tuple[int, list[int], int]] = []
    try:
        await until(quiet, 150, "all quiet")
    except AssertionError as error:
        raise AssertionError(f"{error}: {left[-1]}\n{scene.installation.said()}") from None
    return found


def _ledger(scene: Scene) -> list[Row[tuple[object, ...]]]:
    engine = open_store(f"sqlite:///{scene.installation.folder / 'data' / 'wenxun.db'}")
    try:
        with engine.connect() as connection:
            return list(connection.execute(select(outbox)).all())
    finally:
        engine.dispose()


def _audit(scene: Scene) -> subprocess.CompletedProcess[str]:
    """As a person asks; and once more without the time of grace that it leaves what was decided just now."""
    asked = subprocess.run([sys.executable, "-m", "agents", "deliveries", "audit"], cwd=ROOT, text=True, timeout=60,
                           capture_output=True, env=scene.installation.environ(**scene.environ))
    engine = open_store(f"sqlite:///{scene.installation.folder / 'data' / 'wenxun.db'}")
    with engine.connect() as connection:
        whole = account(connection, 0, scene.clock.now() + 1)
    engine.dispose()
    assert whole.decided and not whole.missing, whole
    print(asked.stdout.strip())
    return asked


def _print(scene: Scene, load: Load, found: Found, rows: list[Row[tuple[object, ...]]]) -> None:
    print(f"{len(load.stories)} events, told to the escalator: {dict(load.sent)}")
    print(f"{len(found.first)} escalations {dict(Counter(each.kind.value for each in found.first.values()))}, "
          f"{sum(bool(each.suppressed_by) for each in found.first.values())} held back, {found.repeats} emitted again; "
          f"alerts end as {dict(Counter(each.status.value for each in found.alerts.values()))}")
    print(f"ledger: {dict(Counter(f'{row.channel} {row.status}' for row in rows))}, suppressed by "
          f"{dict(Counter(row.suppressed_by.partition(':')[0] for row in rows if row.suppressed_by))}")
    print(f"hook: {len(scene.hook.calls)} calls, {len(scene.hook.taken)} escalations; robot: {len(scene.robot.taken)} "
          f"texts, busy {scene.robot.busy}")
    for name, seconds in scene.back.items():
        print(f"{name}: {len(scene.kills[name])} kills; from a start to the first commit: median {median(seconds):.1f} "
              f"s, longest {max(seconds):.1f} s")


def _worked(scene: Scene, load: Load, found: Found) -> None:
    """There was something to lose, and who was killed came back as the same member of its group."""
    assert sum(map(len, scene.kills.values())) == KILLS // 2 * 2
    assert len(load.stories) >= KILLS and len(found.first) >= 4 * KILLS
    # under an id of its own each start would be one more member, until the session of the one killed is over
    assert scene.members == dict.fromkeys(VICTIMS, 1), "a group waited for somebody who was dead"


def _accounted(found: Found, rows: list[Row[tuple[object, ...]]], book: RuleBook) -> None:
    """The ledger has a row for each receiver of each escalation on the topic, and no other, and each has ended well."""
    from agents.settings import Settings

    zone = Settings().zone
    wanted = {(ident, one.person, one.channel) for ident, each in found.first.items()
              for one in receivers(each.tell, book.roster, each.at, zone, each.channels)}
    assert {(row.escalation_id, row.person, row.channel) for row in rows} == wanted and len(rows) == len(wanted)
    said = {(state.alert_id, AGAIN[state.status]) for *_, state in found.states if state.status in AGAIN}
    ended = {event_id for event_id, state in found.alerts.items() if state.status is AlertStatus.ENDED}
    for row in rows:
        why, _, which = row.suppressed_by.partition(":")
        if row.status == "suppressed" and not found.first[row.escalation_id].suppressed_by:
            assert (row.alert_id, why) in said or (why == "raised" and which != row.alert_id) or (
                why == "closed" and row.event_id in ended) or (why == "stopped" and row.kind == "clock"), row
        else:
            assert row.status in ("confirmed", "suppressed"), row
    assert any(row.suppressed_by.startswith("acked") for row in rows), "no answer ever met a message that waited"


def _arrived(scene: Scene, found: Found, rows: list[Row[tuple[object, ...]]]) -> None:
    """What the ledger calls confirmed was seen by the receiver, and what was held back was not."""
    taken, numbers = scene.hook.taken, scene.robot.numbers()
    for row in rows:
        escalation = found.first[row.escalation_id]
        if row.status == "confirmed" and row.channel == "hook":
            assert row.escalation_id in taken, f"confirmed and never seen: {row}"
        elif row.status == "confirmed":
            assert escalation.head is not None and escalation.head.short in numbers, row
        elif escalation.suppressed_by:
            assert row.escalation_id not in taken, f"held back and sent: {row}"
    assert set(taken) <= set(found.first), "something was sent that nobody decided"


def _twice(scene: Scene, found: Found, rows: list[Row[tuple[object, ...]]]) -> None:
    """Accepted twice: only around a kill of deliver, one more for a kill and call under way, and under the same id."""
    by_kill: Counter[float] = Counter()
    for ident, calls in scene.hook.taken.items():
        assert len({call.id for call in calls}) == 1, f"one message under two ids: {found.first[ident]}"
        for before, after in zip(calls, calls[1:], strict=False):
            between = [at for at in scene.kills["deliver"] if before.arrived < at < after.arrived]
            assert between, f"sent twice, and nobody was killed between: {found.first[ident]}"
            by_kill[between[0]] += 1
    print(f"sent twice: {sum(by_kill.values())}, at {len(by_kill)} of {len(scene.kills['deliver'])} kills of deliver; "
          f"{len(scene.struck)} were aimed at the moment before the ledger knows")
    assert scene.struck
    for call in scene.struck:
        needless = all(row.status == "suppressed" for row in rows
                       if row.escalation_id == call.escalation and row.channel == "hook")
        assert needless or len(scene.hook.taken[call.escalation]) > 1, "who did not know that it was taken sends again"
    assert all(count <= SLOTS for count in by_kill.values()), by_kill


def _silent(scene: Scene, found: Found) -> None:
    """After deliver had committed an answer nothing that was decided before it goes out, beyond what was under way."""
    known: dict[str, tuple[float, int]] = {}
    for partition, offset, state in found.states:
        if state.status is AlertStatus.ACKED and state.alert_id not in known:
            at = next((at for at, places in scene.commits["deliver"] if places.get(partition, 0) > offset), None)
            if at is not None:
                known[state.alert_id] = (at, offset)
    looked = 0
    for call in scene.hook.calls:
        escalation = found.first[call.escalation]
        if escalation.kind.value == "page" and escalation.alert_id in known:
            at, offset = known[escalation.alert_id]
            looked += 1
            assert found.places[escalation.id][1] > offset or call.arrived <= at + UNDER_WAY, (
                f"sent {call.arrived - at:.1f} s after its answer: {escalation}")
    print(f"{len(known)} alerts answered, {looked} calls about them")
    assert known and looked
