"""The couriers against real loopback receivers, the ledger in SQLite, the bus without a broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from agents import outbound
from agents.clock import Clock
from agents.deliverer import Couriers
from agents.deliverer.claims import Claims, Line
from agents.deliverer.ledger import Ledger
from agents.deliverer.letter import Letter, Outcome, Retry, Sent
from agents.deliverer.office import Office
from agents.deliverer.parcel import CONFIRMED, DEAD, PENDING
from agents.deliverer.reporter import Reporter
from agents.deliverer.senders import real_now, senders
from agents.deliverer.watch import Watch
from agents.deps import Deps
from pipeline import topics
from pipeline.model import DeliveryStatus, EscalationKind
from pipeline.notify.retry import HORIZON
from pipeline.rulebook.schema import Channel, ChannelType
from tests.delivery_fakes import (
    HANG,
    RESET,
    FakeBus,
    Hook,
    MailServer,
    NoChance,
    delivery_book,
    delivery_deps,
    ledger_with,
    parcel,
    rows,
    store,
    until,
)
from tests.messages import system


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    engine = store(tmp_path)
    yield engine
    engine.dispose()


def hook(server: Hook, ident: str = "hook", **changes: Any) -> Channel:
    values: dict[str, Any] = {"id": ident, "type": ChannelType.WEBHOOK, "url": f"http://127.0.0.1:{server.port}/x"}
    return Channel(**{**values, **changes})


@asynccontextmanager
async def delivering(
    deps: Deps, ledger: Ledger, bus: FakeBus | None = None, **changes: Any
) -> AsyncIterator[FakeBus]:
    """Couriers and reporter at work, with the shortest waits between retries."""
    bus = bus or FakeBus()
    reporter = Reporter(deps, ledger, bus)  # type: ignore[arg-type]
    async with outbound.client(deps.settings) as client:
        by_type = changes.pop("senders", None) or senders(deps.settings, client)
        changes = {"chance": NoChance(), "first_pause": 20, **changes}
        office = Office(deps, ledger, by_type, reporter.wake, reporter.trouble, **changes)
        tasks = [asyncio.create_task(one) for one in (
            Couriers(office).run(), reporter.run(), Watch(office, reporter.tell).run())]
        try:
            yield bus
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            office.close()


def status(engine: Engine) -> list[str]:
    return [row.status for row in rows(engine)]


def reported(engine: Engine) -> bool:
    return all(row.reported for row in rows(engine))


async def test_500_then_200_is_one_delivery_with_two_attempts_and_one_id(engine: Engine, tmp_path: Path) -> None:
    async with Hook(500) as server:
        deps = delivery_deps(tmp_path, delivery_book(hook(server)), server)
        async with delivering(deps, ledger_with(engine, parcel())) as bus:
            await until(lambda: reported(engine))
    assert [got.headers["idempotency-key"] for got in server.got] == ["d1", "d1"]
    [record] = bus.on(topics.DELIVERIES)
    assert (record.status, record.attempts, record.event_id, record.escalation_id, record.person, record.error) == (
        DeliveryStatus.CONFIRMED, 2, "e1", "esc1", "duty-a", "")
    assert bus.on(topics.DEAD_LETTERS) == []


async def test_retry_after_holds_the_next_attempt_back(engine: Engine, tmp_path: Path) -> None:
    async with Hook((429, "Retry-After: 120")) as server:
        deps = delivery_deps(tmp_path, delivery_book(hook(server)), server)
        async with delivering(deps, ledger_with(engine, parcel())):
            await until(lambda: rows(engine)[0].attempts == 1)
    assert rows(engine)[0].next_try_at > real_now() + 110_000 and rows(engine)[0].error == "HTTP 429"


@pytest.mark.parametrize("trouble", [RESET, 503, 429])
async def test_a_passing_trouble_delays_and_loses_nothing(engine: Engine, tmp_path: Path, trouble: Any) -> None:
    async with Hook(trouble, trouble) as server:
        deps = delivery_deps(tmp_path, delivery_book(hook(server)), server)
        async with delivering(deps, ledger_with(engine, parcel("d1"), parcel("d2"))):
            await until(lambda: reported(engine))
    assert status(engine) == [CONFIRMED, CONFIRMED] and len(server.got) == 4


async def test_an_answer_that_does_not_come_is_given_up_and_tried_again(engine: Engine, tmp_path: Path) -> None:
    async with Hook(HANG) as server:
        deps = delivery_deps(tmp_path, delivery_book(hook(server)), server)
        async with delivering(deps, ledger_with(engine, parcel()), attempt_seconds=2.0):
            await until(lambda: reported(engine))
    assert len(server.got) == 2 and rows(engine)[0].attempts == 2


async def test_a_channel_that_hangs_delays_no_other(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.deliverer.courier.LAST_SECONDS", 0.1)
    parcels = [parcel(f"h{n}", channel="black") for n in range(12)]
    parcels += [parcel(f"m{n}", channel="mail") for n in range(5)]
    async with Hook(*[HANG] * 40) as black, MailServer() as mail:
        rules = delivery_book(hook(black, "black"), Channel(
            id="mail", type=ChannelType.SMTP, host="127.0.0.1", port=mail.port, tls="none", sender="a@office.example"))
        deps = delivery_deps(tmp_path, rules, black, mail)
        async with delivering(deps, ledger_with(engine, *parcels), attempt_seconds=40.0):
            await until(lambda: len(mail.mails) == 5, 60)
            await until(lambda: [row.status for row in rows(engine) if row.channel == "mail"] == [CONFIRMED] * 5, 60)
            assert len(black.got) <= 4 and PENDING in status(engine)


async def test_a_permanent_refusal_ends_as_a_dead_letter_and_a_notice_to_ops(engine: Engine, tmp_path: Path) -> None:
    async with Hook(404) as server:
        deps = delivery_deps(tmp_path, delivery_book(hook(server)), server)
        async with delivering(deps, ledger_with(engine, parcel())) as bus:
            await until(lambda: reported(engine))
    [record], [letter] = bus.on(topics.DELIVERIES), bus.on(topics.DEAD_LETTERS)
    [notice] = bus.on(topics.ESCALATIONS)
    assert (record.status, record.attempts, record.error) == (DeliveryStatus.DEAD, 1, "HTTP 404")
    assert (letter.topic, letter.type, letter.key) == (topics.ESCALATIONS, "wenxun.escalation", b"e1")
    assert notice.kind is EscalationKind.SYSTEM and notice.tell == ("ops",) and "E-0317：HTTP 404" in notice.text


async def test_many_refusals_in_an_hour_are_one_notice(engine: Engine, tmp_path: Path) -> None:
    async with Hook(*[404] * 6) as server:
        deps = delivery_deps(tmp_path, delivery_book(hook(server)), server)
        async with delivering(deps, ledger_with(engine, *(parcel(f"d{n}") for n in range(6)))) as bus:
            await until(lambda: reported(engine))
    assert len({notice.id for notice in bus.on(topics.ESCALATIONS)}) == 1 and len(bus.on(topics.DEAD_LETTERS)) == 6


async def test_an_undeliverable_system_notice_brings_no_further_notice(engine: Engine, tmp_path: Path) -> None:
    async with Hook(404) as server:
        deps = delivery_deps(tmp_path, delivery_book(hook(server)), server)
        async with delivering(deps, ledger_with(engine, parcel(escalation=system()))) as bus:
            await until(lambda: reported(engine))
    assert status(engine) == [DEAD] and bus.on(topics.ESCALATIONS) == [] and len(bus.on(topics.DEAD_LETTERS)) == 1


async def test_a_channel_that_keeps_failing_is_told_to_ops_once_and_so_is_its_recovery(
    engine: Engine, tmp_path: Path
) -> None:
    async with Hook(*[500] * 7) as server:
        deps = delivery_deps(tmp_path, delivery_book(hook(server)), server)
        async with delivering(deps, ledger_with(engine, parcel())) as bus:
            await until(lambda: len(bus.on(topics.ESCALATIONS)) == 2)
    failing, well = bus.on(topics.ESCALATIONS)
    assert "HTTP 500" in failing.text and failing.title == "通道 hook 连续发送失败" and well.title == "通道 hook 已恢复"


async def test_a_channel_that_the_rule_book_lost_is_a_dead_letter(engine: Engine, tmp_path: Path) -> None:
    deps = delivery_deps(tmp_path, delivery_book())
    async with delivering(deps, ledger_with(engine, parcel(channel="gone"))) as bus:
        await until(lambda: reported(engine))
    assert "gone" in bus.on(topics.DELIVERIES)[0].error and status(engine) == [DEAD]


async def test_a_message_past_its_horizon_is_tried_a_few_times_and_then_dead(engine: Engine, tmp_path: Path) -> None:
    async with Hook(*[503] * 20) as server:
        deps = delivery_deps(tmp_path, delivery_book(hook(server)), server)
        old = parcel(decided_at=Clock().now() - HORIZON - 1)
        async with delivering(deps, ledger_with(engine, old)) as bus:
            await until(lambda: reported(engine))
    assert len(server.got) == 5 and bus.on(topics.DELIVERIES)[0].error == "24 小时内未能送达，最后一次：HTTP 503"


async def test_the_newest_rule_book_is_used_at_each_attempt(engine: Engine, tmp_path: Path) -> None:
    async with Hook(503) as old, Hook() as new:
        deps = delivery_deps(tmp_path, delivery_book(hook(old)), old, new)
        async with delivering(deps, ledger_with(engine, parcel())):
            await until(lambda: len(old.got) == 1)
            deps.rules.offer(delivery_book(hook(new)))
            await until(lambda: reported(engine))
    assert len(new.got) == 1


# ---------------------------------------------------------------- kill points


class Stopped(BaseException):
    """A process that dies: nothing after it runs, not even an except clause for errors."""


async def test_dying_between_sending_and_the_ledger_repeats_with_the_same_id(engine: Engine, tmp_path: Path) -> None:
    async with Hook() as server:
        deps = delivery_deps(tmp_path, delivery_book(hook(server)), server)
        ledger = ledger_with(engine, parcel())
        await _carry_and_die(deps, ledger, "confirm")
        assert len(server.got) == 1 and status(engine) == [PENDING]
        async with delivering(deps, ledger, real=lambda: real_now() + 61_000):   # the lease of the dead is over
            await until(lambda: reported(engine))
    assert [got.headers["webhook-id"] for got in server.got] == ["d1", "d1"]


async def test_dying_after_the_ledger_sends_nothing_again_and_still_reports(engine: Engine, tmp_path: Path) -> None:
    async with Hook() as server:
        deps = delivery_deps(tmp_path, delivery_book(hook(server)), server)
        ledger = ledger_with(engine, parcel())
        await _carry_and_die(deps, ledger, None)
        assert status(engine) == [CONFIRMED] and not reported(engine)
        async with delivering(deps, ledger, real=lambda: real_now() + 61_000) as bus:
            await until(lambda: reported(engine))
    assert len(server.got) == 1 and [one.id for one in bus.on(topics.DELIVERIES)] == ["d1"]


async def _carry_and_die(deps: Deps, ledger: Ledger, before: str | None) -> None:
    """One claimed parcel, sent; then the process dies, before the named ledger write or right after it."""
    from agents.deliverer.courier import LEASE_MS, Courier

    class Dying:
        def __getattr__(self, name: str) -> Any:
            if name == before:
                raise Stopped
            return getattr(ledger, name)

    async with outbound.client(deps.settings) as client:
        def ended() -> None:
            raise Stopped
        office = Office(deps, Dying(), senders(deps.settings, client), ended, lambda *_: None)  # type: ignore[arg-type]
        [held] = Claims(ledger).claim(Line("hook"), real_now(), real_now() + LEASE_MS, 1).loads
        with pytest.raises(Stopped):
            await Courier(office, "hook")._carry(held)


async def test_a_process_that_ends_lets_a_send_under_way_finish(engine: Engine, tmp_path: Path) -> None:
    going, release = asyncio.Event(), asyncio.Event()

    async def slow(channel: Channel, letter: Letter) -> Outcome:
        going.set()
        await release.wait()
        return Sent()

    deps = delivery_deps(tmp_path, delivery_book(Channel(id="hook", type=ChannelType.CONSOLE)))
    async with delivering(deps, ledger_with(engine, parcel()), senders={ChannelType.CONSOLE: slow}):
        await asyncio.wait_for(going.wait(), 60)
        asyncio.get_running_loop().call_later(0.2, release.set)
    assert status(engine) == [CONFIRMED]


async def test_a_send_that_cannot_finish_is_free_for_the_next_process_at_once(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.deliverer.courier.LAST_SECONDS", 0.1)
    async with Hook(HANG) as server:
        deps = delivery_deps(tmp_path, delivery_book(hook(server)), server)
        async with delivering(deps, ledger_with(engine, parcel())):
            await until(lambda: server.got)
        assert (rows(engine)[0].status, rows(engine)[0].lease_until) == (PENDING, 0)


async def test_a_ledger_that_cannot_be_written_holds_a_sent_message_until_it_can(
    engine: Engine, tmp_path: Path
) -> None:
    class Full(Ledger):
        left = 2

        def confirm(self, *args: Any) -> Any:
            if self.left:
                self.left -= 1
                raise OperationalError("UPDATE", {}, OSError("disk full"))
            return super().confirm(*args)

    async with Hook() as server:
        deps = delivery_deps(tmp_path, delivery_book(hook(server)), server)
        ledger_with(engine, parcel())
        async with delivering(deps, Full(engine)):
            await until(lambda: reported(engine))
    assert len(server.got) == 1 and status(engine) == [CONFIRMED]


async def test_a_sender_with_a_bug_is_tried_again_and_its_error_text_stays_out_of_the_log(
    engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []

    async def broken(channel: Channel, letter: Letter) -> Outcome:
        calls.append(letter.id)
        if len(calls) == 1:
            raise RuntimeError("https://hook.example/?key=canary")
        return Sent()

    deps = delivery_deps(tmp_path, delivery_book(Channel(id="hook", type=ChannelType.CONSOLE)))
    async with delivering(deps, ledger_with(engine, parcel()), senders={ChannelType.CONSOLE: broken}):
        await until(lambda: reported(engine))
    assert calls == ["d1", "d1"] and "RuntimeError at test_deliver" in caplog.text and "canary" not in caplog.text


# ---------------------------------------------------------------- reporting and figures


async def test_ends_are_reported_again_until_the_broker_has_them(engine: Engine, tmp_path: Path) -> None:
    bus = FakeBus(failures=3)
    async with Hook() as server:
        deps = delivery_deps(tmp_path, delivery_book(hook(server)), server)
        async with delivering(deps, ledger_with(engine, parcel("d1"), parcel("d2")), bus):
            await until(lambda: reported(engine))
    assert {record.id for record in bus.on(topics.DELIVERIES)} == {"d1", "d2"}


async def test_a_record_about_no_event_has_its_escalation_as_key(engine: Engine, tmp_path: Path) -> None:
    deps = delivery_deps(tmp_path, delivery_book())
    async with delivering(deps, ledger_with(engine, parcel(channel="ops", escalation=system()))) as bus:
        await until(lambda: reported(engine))
    assert [(topic, key) for topic, key, _, _ in bus.sent] == [(topics.DELIVERIES, "sys1")]


async def test_deliveries_are_counted_by_channel_type_and_outcome(engine: Engine, tmp_path: Path) -> None:
    async with Hook(500, 200) as server, Hook(404) as other:
        deps = delivery_deps(tmp_path, delivery_book(hook(server), hook(other, "other")), server, other)
        async with delivering(deps, ledger_with(engine, parcel("d1"), parcel("d2", channel="other"))):
            await until(lambda: reported(engine))
    count = deps.metrics.registry.get_sample_value
    found = {word: count("wenxun_deliveries_total", {"channel": "webhook", "outcome": word})
             for word in ("confirmed", "retry", "dead")}
    assert found == {"confirmed": 1.0, "retry": 1.0, "dead": 1.0}
    assert count("wenxun_delivery_attempt_seconds_count", {"channel": "webhook"}) == 3.0
    assert count("wenxun_delivery_latency_seconds_count", {"channel": "webhook"}) == 1.0


async def test_what_waits_is_a_gauge_with_the_age_of_the_oldest(engine: Engine, tmp_path: Path) -> None:
    async def never(channel: Channel, letter: Letter) -> Outcome:
        return Retry("later", 60_000)

    deps = delivery_deps(tmp_path, delivery_book(Channel(id="hook", type=ChannelType.CONSOLE)))
    old = replace(parcel("d1"), decided_at=Clock().now() - 90_000)
    async with delivering(deps, ledger_with(engine, old, parcel("d2")), senders={ChannelType.CONSOLE: never}):
        await until(lambda: deps.metrics.registry.get_sample_value("wenxun_outbox_pending") == 2.0)
    assert 90 <= (deps.metrics.registry.get_sample_value("wenxun_outbox_oldest_seconds") or 0) < 600


async def test_no_secret_reaches_logs_records_or_errors(
    engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("INFO")
    async with Hook(500, RESET, 302, 404) as server:
        for name, text in (("url", f"http://127.0.0.1:{server.port}/canary-path?key=canary-query"),
                           ("secret", "canary-secret"), ("bad", "http://canary-user:canary-password@127.0.0.1/")):
            (tmp_path / name).write_text(text)
        rules = delivery_book(hook(server, url="", url_file="url", secret_file="secret"),
                              hook(server, "bad", url="", url_file="bad"),
                              hook(server, "gone", url="", url_file="missing"))
        deps = delivery_deps(tmp_path, rules, server)
        ledger = ledger_with(
            engine, parcel("d1"), parcel("d2"), parcel("d3", channel="bad"), parcel("d4", channel="gone"))
        async with delivering(deps, ledger) as bus:
            await until(lambda: [row.status for row in rows(engine)].count(DEAD) == 3 and rows(engine)[3].attempts > 1)
    everything = "\n".join([caplog.text, *capfd.readouterr(), *(row.error for row in rows(engine)), str(bus.sent)])
    assert len(server.got) >= 4 and "HTTP 404" in everything and "missing" in everything
    assert "canary" not in everything
