"""Carries the loads of one channel: claims what is due, sends, records. One courier per channel id, so that a channel
that hangs or fails delays no other; at most SLOTS calls of a channel at once."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable, Sequence
from itertools import count

from sqlalchemy.exc import SQLAlchemyError

from agents.deliverer.claims import PATIENCE, Claimed, Line, Load
from agents.deliverer.gates import Change
from agents.deliverer.ledger import Moved
from agents.deliverer.letter import Bug, Outcome, Refused, Retry, Sent
from agents.deliverer.office import Office
from agents.deliverer.writer import Unsendable, Written, write
from agents.latency import Latency
from pipeline.errors import CodecError
from pipeline.model import EscalationKind, Millis
from pipeline.notify import retry
from pipeline.notify.breaker import Breaker

log = logging.getLogger("wenxun.deliver")

SLOTS = 4
LEASE_MS = 60_000
IDLE_SECONDS = 5.0
"""How long a courier sleeps at most: what another process left behind is found this soon after its lease."""
WRITE_AGAIN_SECONDS = 2.0
"""Between two tries to write an outcome, at most."""
SETTLE_SECONDS = 3.0
"""After the ledger was away: whoever sent something in that time writes it before anybody claims what its lease, which
ran out meanwhile, held."""
LAST_SECONDS = 5.0
"""How long attempts under way may finish when the process is to end."""
TROUBLED = 3
"""A breaker that opened so often in a row is told to ops."""


async def rest(wake: asyncio.Event, seconds: float) -> None:
    """Until woken, or so long. Not by asyncio.wait_for: before Python 3.12 it can swallow a cancellation."""
    try:
        async with asyncio.timeout(seconds):
            await wake.wait()
    except TimeoutError:
        pass


async def stop(tasks: Sequence[asyncio.Task[None]], seconds: float = LAST_SECONDS) -> None:
    """Cancel and wait a limited time: a library below may lose a cancellation, and a process must end."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=seconds)


class Courier:
    def __init__(self, office: Office, channel_id: str) -> None:
        self._office, self._channel_id = office, channel_id
        self._wake = asyncio.Event()
        self._active: dict[int, asyncio.Task[None]] = {}
        self._calls = count()
        self._owed: set[str] = set()
        self._away = False
        self._latency = Latency(office.deps, "deliver")

    def wake(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled; then what is under way gets a little time, and the rest is released to the next process."""
        try:
            while True:
                self._wake.clear()
                for load in (await self._claim()).loads:
                    if self._owed.isdisjoint(each.id for each in load.parcels):
                        self._start(load)       # else it was sent, and the ledger was away for longer than a lease
                await self._rest()
        finally:
            await self._leave()

    def _start(self, load: Load) -> None:
        number = next(self._calls)
        task = asyncio.create_task(self._carry(load))
        self._active[number] = task
        task.add_done_callback(lambda _: self._finished(number))

    def _finished(self, number: int) -> None:
        self._active.pop(number, None)
        self._wake.set()

    def _line(self) -> Line:
        book = self._office.deps.rules.book
        return Line.of(self._channel_id, self._office.channel(self._channel_id), len(book.levels.ladder))

    async def _claim(self) -> Claimed:
        free = SLOTS - len(self._active)
        if free <= 0:
            return Claimed()
        try:
            if self._away:
                await self._office.store(self._office.ledger.pending)
                await asyncio.sleep(SETTLE_SECONDS)
                self._away = False
            now, clock = self._office.real(), self._office.deps.clock
            claimed = await self._office.store(
                self._office.claims.claim, self._line(), now, now + LEASE_MS, free, clock.now() - retry.HORIZON)
        except SQLAlchemyError as error:
            self._survived("the outbox cannot be read", error)
            self._away = True
            return Claimed()
        if claimed.woken:
            log.warning("channel %s does not work: messages go by %s", self._channel_id, ", ".join(claimed.woken))
            self._office.arrived(claimed.woken)
        if claimed.ended:
            self._office.ended()
        return claimed

    async def _rest(self) -> None:
        """Until woken, until the next call is due, or a while."""
        if self._wake.is_set():
            return
        wait = IDLE_SECONDS
        if len(self._active) < SLOTS:
            now = self._office.real()
            try:
                due = await self._office.store(self._office.claims.next_due, self._line(), now)
            except SQLAlchemyError:
                due = None
            if due is not None:
                wait = min(wait, max(0.02, (due - self._office.real()) / 1000))
        await rest(self._wake, wait)

    async def _leave(self) -> None:
        tasks = list(self._active.values())
        if tasks:
            await asyncio.wait(tasks, timeout=LAST_SECONDS)
        await stop(tasks)

    # ------------------------------------------------------------ one call

    async def _carry(self, load: Load) -> None:
        ids = {each.id for each in load.parcels}
        self._owed |= ids
        try:
            kind, load, outcome = await self.attempt(load)
        except asyncio.CancelledError:
            await self._office.store(self._office.ledger.release, load.parcels)
            raise
        else:
            ids &= {each.id for each in load.parcels}       # what did not fit may be under way by another call now
            await self._record(load, kind, outcome)
        finally:
            self._owed -= ids

    async def attempt(self, load: Load) -> tuple[str, Load, Outcome]:
        """(channel type, what was carried, outcome). Nothing but a cancellation gets out: what nobody foresaw is tried
        again. A bundle that is too great for one call is carried in part; the rest is released."""
        channel = self._office.channel(self._channel_id)
        if channel is None:
            return "missing", load, Refused(f"channels.yml 中没有通道 {self._channel_id}")
        kind, seconds = channel.type.value, self._office.seconds(load)
        with self._office.deps.metrics["delivery_attempt_seconds"].labels(kind).time():
            try:
                async with asyncio.timeout(seconds):
                    written = await self._write(load)
                    load = written.load
                    return kind, load, await self._office.senders[channel.type](channel, written.letter)
            except TimeoutError:
                return kind, load, Retry(f"{seconds:g} 秒内没有完成")
            except Unsendable:
                return kind, load, Refused("影子规则的消息只记录，不发送")
            except CodecError as error:
                return kind, load, Refused(f"消息内容无法读出（{type(error).__name__}）")
            except Exception as error:
                self._survived(f"delivery {load.parcels[0].id} by channel {self._channel_id} broke", error)
                return kind, load, Bug(f"内部错误（{type(error).__name__}）")

    async def _write(self, load: Load) -> Written:
        written = await write(load, self._channel_id, self._office)
        if written.left:
            self._owed -= {each.id for each in written.left}
            await self._office.store(self._office.ledger.release, written.left)
            self._wake.set()
        return written

    # ------------------------------------------------------------ what became of it

    async def _record(self, load: Load, kind: str, outcome: Outcome) -> None:
        """Into the ledger, again until it is there: a message that was sent must not be sent twice for a full disk."""
        word, error, moved = await self._until_written(load, outcome)
        metrics, clock = self._office.deps.metrics, self._office.deps.clock
        for parcel in load.parcels:
            metrics["deliveries_total"].labels(kind, word).inc()
            log.info("delivery %s by channel %s, attempt %d: %s%s", parcel.id, self._channel_id, parcel.attempts + 1,
                     word, f" ({error})" if error else "")
            if word == "confirmed":
                late = clock.now() - parcel.decided_at
                metrics["delivery_latency_seconds"].labels(kind).observe(max(0, late) / 1000)
                if parcel.kind == EscalationKind.PAGE:
                    self._latency.paged(parcel.record())
        self._tell(moved, error)
        if word == "dead":
            self._office.arrived({each.next_channels[0] for each in load.parcels if each.next_channels})
        self._office.ended()

    async def _until_written(self, load: Load, outcome: Outcome) -> tuple[str, str, Moved | None]:
        pause = 0.5
        while True:
            try:
                return await self._office.store(self._end, load, outcome)
            except SQLAlchemyError as error:
                self._survived(f"the outcome of delivery {load.parcels[0].id} cannot be written", error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, WRITE_AGAIN_SECONDS)

    def _end(self, load: Load, outcome: Outcome) -> tuple[str, str, Moved | None]:
        """The ledger's rows; (metric label, error, the breaker's change). Blocking."""
        ledger, now, real = self._office.ledger, self._office.deps.clock.now(), self._office.real()
        match outcome:
            case Sent():
                change = self._change(Breaker.succeeded) if load.before != Breaker() else None
                return "confirmed", "", ledger.confirm(load.parcels, now, change)
            case Refused(error):
                change = self._change(Breaker.answered) if load.before.opened else None
                return "dead", error, ledger.bury(load.parcels, error, real, change)
            case Retry(error, after):
                return self._again(load, error, after, outcome, now, real)

    def _again(
        self, load: Load, error: str, after: Millis | None, outcome: Retry, now: Millis, real: Millis
    ) -> tuple[str, str, Moved | None]:
        """Later, by another channel, or never."""
        first = self._office.first_pause
        change = self._change(Breaker.answered if isinstance(outcome, Bug) else
                              lambda breaker: breaker.failed(real, after, first), error)
        attempts = max(each.attempts for each in load.parcels) + 1
        horizon = min(each.decided_at for each in load.parcels) + retry.HORIZON
        left = int((horizon - now) / self._office.deps.clock.factor)
        following = retry.after_failure(attempts, left, self._office.chance.random(), after)
        if isinstance(following, retry.GiveUp):
            error = f"24 小时内未能送达，最后一次：{error}"
            return "dead", error, self._office.ledger.bury(load.parcels, error, real, change)
        elsewhere = any(each.next_channels for each in load.parcels)
        wait = 0 if elsewhere and (attempts == PATIENCE or after is not None) else following.after
        return "retry", error, self._office.ledger.postpone(load.parcels, error, real + wait, change)

    def _change(self, apply: Callable[[Breaker], Breaker], error: str = "") -> Change:
        return Change(self._channel_id, apply, error)

    def _tell(self, moved: Moved | None, error: str) -> None:
        """A channel that stays broken is told to ops once, and once that it works again."""
        if moved is None:
            return
        before, after = moved
        if before.opened < TROUBLED <= after.opened:
            self._office.trouble(self._channel_id, self._office.deps.clock.now(), error)
        elif after.opened < TROUBLED <= before.opened:
            self._office.trouble(self._channel_id, None, "")

    def _survived(self, what: str, error: Exception) -> None:
        """One line without the error's text: it may hold a URL, and that a key."""
        self._office.deps.metrics["agent_errors_total"].labels("deliver").inc()
        frames = traceback.extract_tb(error.__traceback__)
        where = f"{frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else "?"
        log.error("%s: %s at %s", what, type(error).__name__, where)
