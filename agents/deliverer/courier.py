"""Carries the parcels of one channel: claims what is due, sends, records. One courier per channel id, so that a channel
that hangs or fails delays no other; at most SLOTS attempts of a channel at once."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from sqlalchemy.exc import SQLAlchemyError

from agents.deliverer.ledger import Ledger, Parcel
from agents.deliverer.letter import Letter, Outcome, Refused, Retry, Sent
from agents.deliverer.senders import Senders, real_now
from agents.deps import Deps
from pipeline import codec
from pipeline.model import Escalation, Millis
from pipeline.notify import retry
from pipeline.notify.render import Setting, render
from pipeline.rulebook.schema import Channel, Person, RuleBook

log = logging.getLogger("wenxun.deliver")

SLOTS = 4
ATTEMPT_SECONDS = 30.0
LEASE_MS = 60_000
IDLE_SECONDS = 5.0
"""How long a courier sleeps at most: what another process left behind is found this soon after its lease."""
LAST_SECONDS = 5.0
"""How long attempts under way may finish when the process is to end."""


@dataclass(frozen=True, slots=True)
class Office:
    """What all couriers share. ended: called after a parcel's end is in the ledger; trouble: a channel that keeps
    failing since this time of the installation's clock (None: it works again)."""

    deps: Deps
    ledger: Ledger
    senders: Senders
    ended: Callable[[], None]
    trouble: Callable[[str, Millis | None, str], None]
    real: Callable[[], Millis] = real_now
    chance: Random = field(default_factory=Random)
    attempt_seconds: float = ATTEMPT_SECONDS


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
        self._active: dict[str, asyncio.Task[None]] = {}
        self._failing_since: Millis | None = None

    def wake(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled; then what is under way gets a little time, and the rest is released to the next process."""
        try:
            while True:
                self._wake.clear()
                for parcel in await self._claim():
                    task = asyncio.create_task(self._carry(parcel))
                    self._active[parcel.id] = task
                    task.add_done_callback(lambda _, done=parcel.id: self._finished(done))  # type: ignore[misc]
                await self._rest()
        finally:
            await self._leave()

    def _finished(self, parcel_id: str) -> None:
        self._active.pop(parcel_id, None)
        self._wake.set()

    async def _claim(self) -> list[Parcel]:
        free = SLOTS - len(self._active)
        if free <= 0:
            return []
        now = self._office.real()
        try:
            found = await asyncio.to_thread(self._office.ledger.claim, self._channel_id, now, now + LEASE_MS, free)
        except SQLAlchemyError as error:
            self._survived("the outbox cannot be read", error)
            return []
        return [parcel for parcel in found if parcel.id not in self._active]

    async def _rest(self) -> None:
        """Until woken, until the next parcel is due, or a while."""
        if self._wake.is_set():
            return
        wait = IDLE_SECONDS
        if len(self._active) < SLOTS:
            try:
                due = await asyncio.to_thread(self._office.ledger.next_due, self._channel_id)
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

    # ------------------------------------------------------------ one parcel

    async def _carry(self, parcel: Parcel) -> None:
        try:
            kind, outcome = await self.attempt(parcel)
        except asyncio.CancelledError:
            await asyncio.to_thread(self._office.ledger.release, parcel)
            raise
        await self._record(parcel, kind, outcome)

    async def attempt(self, parcel: Parcel) -> tuple[str, Outcome]:
        """(channel type, outcome). Nothing but a cancellation gets out: what nobody foresaw is tried again."""
        book = self._office.deps.rules.book
        channel = next((each for each in book.channels if each.id == self._channel_id), None)
        if channel is None:
            return "missing", Refused(f"channels.yml 中没有通道 {self._channel_id}")
        kind = channel.type.value
        with self._office.deps.metrics["delivery_attempt_seconds"].labels(kind).time():
            try:
                async with asyncio.timeout(self._office.attempt_seconds):
                    return kind, await self._send(parcel, channel, book)
            except TimeoutError:
                return kind, Retry(f"{self._office.attempt_seconds:g} 秒内没有完成")
            except Exception as error:
                self._survived(f"delivery {parcel.id} by channel {self._channel_id} broke", error)
                return kind, Retry(f"内部错误（{type(error).__name__}）")

    async def _send(self, parcel: Parcel, channel: Channel, book: RuleBook) -> Outcome:
        settings = self._office.deps.settings
        escalation: Escalation = codec.decode_as(Escalation, parcel.escalation.encode())
        if escalation.unsendable:        # intake lets none through; nothing of a shadow rule leaves here either
            return Refused("影子规则的消息只记录，不发送")
        person = next((each for each in book.roster.people if each.id == parcel.person), None)
        person = person or Person(id=parcel.person, name=parcel.person, channels=())
        message = render(escalation, Setting(book, settings.zone, settings.external_url, settings.banner))
        return await self._office.senders[channel.type](channel, Letter(parcel.id, person, escalation, message))

    async def _record(self, parcel: Parcel, kind: str, outcome: Outcome) -> None:
        """Into the ledger, again until it is there: a message that was sent must not be sent twice for a full disk."""
        attempts = parcel.attempts + 1
        word, error = await self._until_written(parcel, attempts, outcome)
        self._office.deps.metrics["deliveries_total"].labels(kind, word).inc()
        log.info("delivery %s by channel %s, attempt %d: %s%s", parcel.id, self._channel_id, attempts, word,
                 f" ({error})" if error else "")
        if word == "confirmed":
            late = self._office.deps.clock.now() - parcel.decided_at
            self._office.deps.metrics["delivery_latency_seconds"].labels(kind).observe(max(0, late) / 1000)
        self._streak(word, error, attempts)
        if word != "retry":
            self._office.ended()

    async def _until_written(self, parcel: Parcel, attempts: int, outcome: Outcome) -> tuple[str, str]:
        pause = 0.5
        while True:
            try:
                return await asyncio.to_thread(self._write, parcel, attempts, outcome)
            except SQLAlchemyError as error:
                self._survived(f"the outcome of delivery {parcel.id} cannot be written", error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 15.0)

    def _write(self, parcel: Parcel, attempts: int, outcome: Outcome) -> tuple[str, str]:
        """The ledger's row; (metric label, error)."""
        ledger, now = self._office.ledger, self._office.deps.clock.now()
        match outcome:
            case Sent():
                ledger.confirm(parcel, attempts, now)
                return "confirmed", ""
            case Refused(error):
                ledger.bury(parcel, attempts, error)
                return "dead", error
            case Retry(error, after):
                left = int((parcel.decided_at + retry.HORIZON - now) / self._office.deps.clock.factor)
                following = retry.after_failure(attempts, left, self._office.chance.random(), after)
                if isinstance(following, retry.GiveUp):
                    error = f"24 小时内未能送达，最后一次：{error}"
                    ledger.bury(parcel, attempts, error)
                    return "dead", error
                ledger.postpone(parcel, attempts, error, self._office.real() + following.after)
                return "retry", error

    def _streak(self, word: str, error: str, attempts: int) -> None:
        """A channel that fails again and again is told to ops once, and once that it works again."""
        if word == "confirmed":
            if self._failing_since is not None:
                self._failing_since = None
                self._office.trouble(self._channel_id, None, "")
        elif word == "retry" and attempts >= retry.MIN_ATTEMPTS and self._failing_since is None:
            self._failing_since = self._office.deps.clock.now()
            self._office.trouble(self._channel_id, self._failing_since, error)

    def _survived(self, what: str, error: Exception) -> None:
        """One line without the error's text: it may hold a URL, and that a key."""
        self._office.deps.metrics["agent_errors_total"].labels("deliver").inc()
        frames = traceback.extract_tb(error.__traceback__)
        where = f"{frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else "?"
        log.error("%s: %s at %s", what, type(error).__name__, where)
