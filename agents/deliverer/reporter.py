"""Tells the other roles how deliveries ended: a Delivery record on topic `deliveries`, for a dead one a dead letter and
a 系统 notice too. The ledger's `reported` is set only after the broker's acks; until then all of it is sent again."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiokafka.errors import KafkaError
from sqlalchemy.exc import SQLAlchemyError

from agents.bus import Bus
from agents.deadletter import Reason, dead_letter
from agents.deliverer.courier import rest
from agents.deliverer.ledger import Ledger
from agents.deliverer.parcel import DEAD, Parcel
from agents.deps import Deps
from agents.notices import system_notice
from pipeline import codec, topics
from pipeline.errors import CodecError
from pipeline.model import Delivery, DeliveryStatus, Escalation, EscalationKind, Millis
from pipeline.rulebook.schema import HOUR

log = logging.getLogger("wenxun.deliver")

BATCH = 100
IDLE_SECONDS = 5.0
PAUSE_SECONDS = 1.0
NOWHERE = -1
"""Partition and offset of a dead letter that is not one record of a topic but one message to one receiver."""


class Reporter:
    def __init__(self, deps: Deps, ledger: Ledger, bus: Bus) -> None:
        self._deps, self._ledger, self._bus = deps, ledger, bus
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="deliver-report")
        self._wake = asyncio.Event()
        self._notices: deque[Escalation] = deque(maxlen=1000)

    def wake(self) -> None:
        self._wake.set()

    def trouble(self, channel: str, since: Millis | None, error: str) -> None:
        """A channel keeps failing, or works again. At most one notice of each an hour and channel."""
        now = self._deps.clock.now()
        if since is None:
            self._notices.append(hourly(
                f"channel-ok:{channel}", now, f"通道 {channel} 已恢复", "积压的消息正在补发。"))
        else:
            self._notices.append(hourly(
                f"channel:{channel}", now, f"通道 {channel} 连续发送失败",
                f"最近的错误：{error}。消息会继续重试，24 小时内有效；请检查 channels.yml 中的 {channel} 和对方服务。"))
        self._wake.set()

    def tell(self, records: Iterable[Escalation]) -> None:
        """Notices to be sent; one that was sent before is the same message."""
        self._notices.extend(records)
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled. Neither the store nor the broker being away ends it."""
        while True:
            self._wake.clear()
            try:
                more = await self._report() + await self._tell()
            except (KafkaError, TimeoutError, SQLAlchemyError, OSError) as error:
                self._deps.metrics["agent_errors_total"].labels("deliver").inc()
                log.error("the ends of deliveries cannot be reported: %s; trying again", type(error).__name__)
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            if not more:
                await rest(self._wake, IDLE_SECONDS)

    async def _store(self, work: Callable[..., Any], *args: Any) -> Any:
        """In threads of its own: the loop's others may all be waiting for names or for a locked store."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: work(*args))

    async def _tell(self) -> int:
        """Send the notices that wait; one leaves the queue when it is acknowledged."""
        count = 0
        while self._notices:
            record = self._notices[0]
            await self._bus.send(topics.ESCALATIONS, record.id, record, ident=record.id)
            self._notices.popleft()
            count += 1
        return count

    async def _report(self) -> int:
        parcels: list[Parcel] = await self._store(self._ledger.unreported, BATCH)
        await asyncio.gather(*(self._report_one(parcel) for parcel in parcels))
        if parcels:
            await self._store(self._ledger.reported, parcels)
        return len(parcels)

    async def _report_one(self, parcel: Parcel) -> None:
        try:
            escalation: Escalation | None = codec.decode_as(Escalation, parcel.escalation.encode())
        except CodecError:
            escalation = None
        record = self._delivery(parcel, escalation)
        if parcel.status == DEAD:
            await self._mourn(parcel, escalation)
        await self._bus.send(topics.DELIVERIES, record.event_id or record.escalation_id, record, ident=parcel.id)

    def _delivery(self, parcel: Parcel, escalation: Escalation | None) -> Delivery:
        return Delivery(
            id=parcel.id, escalation_id=escalation.id if escalation else "",
            event_id=escalation.event_id if escalation else "", person=parcel.person, channel=parcel.channel,
            status=DeliveryStatus(parcel.status), attempts=parcel.attempts,
            at=parcel.ended_at if parcel.ended_at is not None else self._deps.clock.now(),
            decided_at=parcel.decided_at, error=parcel.error, suppressed_by=parcel.suppressed_by)

    async def _mourn(self, parcel: Parcel, escalation: Escalation | None) -> None:
        """Dead letter, and a notice to ops unless it was itself a 系统 notice: that would go round for ever."""
        now = self._deps.clock.now()
        key = (escalation.event_id or escalation.id) if escalation else parcel.id
        letter = dead_letter(
            topics.ESCALATIONS, NOWHERE, NOWHERE, key=key.encode(), value=parcel.escalation.encode(),
            headers=[("ce_type", b"wenxun.escalation")], reason=Reason.REFUSED, part=parcel.id, at=now,
            error=f"{parcel.person} / {parcel.channel}: {parcel.error}")
        await self._bus.send(topics.DEAD_LETTERS, topics.ESCALATIONS, letter, ident=letter.id)
        self._deps.metrics["dead_letters_total"].labels("deliver", "undelivered").inc()
        if escalation is None or escalation.kind is not EscalationKind.SYSTEM:
            about = f"{escalation.head.short}：" if escalation and escalation.head else ""
            notice = hourly(
                f"dead:{parcel.channel}", now, f"有消息未能经通道 {parcel.channel} 送达",
                f"{about}{parcel.error}。修好后用 wenxun dlq list 查看、wenxun dlq replay 重发。")
            await self._bus.send(topics.ESCALATIONS, notice.id, notice, ident=notice.id)


def hourly(key: str, now: Millis, title: str, text: str) -> Escalation:
    """One notice per key and hour, whoever sends it how often."""
    return system_notice(key=f"deliver:{key}", episode=now // HOUR * HOUR, title=title, text=text, at=now)

