"""One call per group and escalation, bundles over the rate, the next channel where one does not work, links, facts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from agents import link_key
from agents.clock import Clock
from agents.deliverer.claims import HOPELESS, Claims, Line
from agents.deliverer.gates import Change
from agents.deliverer.intake import ids_of
from agents.deliverer.ledger import Ledger
from agents.deliverer.letter import Letter, Outcome, Refused, Retry, Sent
from agents.deliverer.office import HASTY_SECONDS, Office
from agents.deliverer.parcel import CONFIRMED, DEAD, PENDING, SUPPRESSED, delivery_id, parcels_of
from agents.deliverer.writer import write
from agents.store.schema import scored
from pipeline import topics
from pipeline.model import EscalationKind, Receiver
from pipeline.notify.breaker import Breaker, State
from pipeline.notify.retry import HORIZON
from pipeline.notify.signed import verify
from pipeline.rulebook.schema import Channel, ChannelType, Level, Levels, Person, Roster, RuleBook
from tests.agents.test_deliver_couriers import delivering
from tests.builders import NOON, book
from tests.delivery_fakes import claim, claimed, delivery_deps, ledger_with, parcel, rows, store, until
from tests.messages import HOUR, head, page, system

ROBOT = Channel(id="robot", type=ChannelType.DINGTALK_BOT, rate=20)
SMS = Channel(id="sms", type=ChannelType.SMTP)
PEOPLE = ("a", "b", "c")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = store(tmp_path)
    yield engine
    engine.dispose()


def rules(*channels: Channel) -> RuleBook:
    ids = tuple(each.id for each in channels)
    people = tuple(Person(id=each, name=f"岗位{each}", channels=ids, mail=f"{each}@office.example") for each in PEOPLE)
    ladder = tuple(Level(name=name, response="", enter=()) for name in ("一般", "较大", "重大"))
    return book(channels=channels, roster=Roster(people=people, teams=(), fallback="a"), levels=Levels(ladder=ladder))


class Sender:
    """Keeps the letters; answers what the script says, then that it has them."""

    def __init__(self, *script: Outcome) -> None:
        self.script, self.letters = list(script), list[Letter]()

    async def __call__(self, channel: Channel, letter: Letter) -> Outcome:
        self.letters.append(letter)
        return self.script.pop(0) if self.script else Sent()


def office(engine: Engine, path: Path, *channels: Channel, **settings: Any) -> Office:
    deps = delivery_deps(path, rules(*channels), **settings)
    return Office(deps, Ledger(engine), {}, lambda: None, lambda *_: None)


def told(*people: str, channel: str = "robot", alternatives: tuple[str, ...] = ()) -> tuple[Receiver, ...]:
    return tuple(Receiver(each, channel, alternatives) for each in people)


def states(engine: Engine) -> dict[str, tuple[str, str]]:
    return {f"{row.person}/{row.channel}": (row.status, row.suppressed_by) for row in rows(engine)}


# ---------------------------------------------------------------- one call


async def test_a_group_has_one_call_for_an_escalation_and_all_its_rows_are_confirmed_by_it(
    engine: Engine, tmp_path: Path
) -> None:
    ledger = ledger_with(engine, *parcels_of(page("one"), told("a", "b", "c")), *parcels_of(page("two"), told("b")))
    send, deps = Sender(), delivery_deps(tmp_path, rules(ROBOT))
    async with delivering(deps, ledger, senders={ROBOT.type: send}) as bus:
        await until(lambda: all(row.reported for row in rows(engine)))
    assert sorted([each.id for each in letter.people] for letter in send.letters) == [["a", "b", "c"], ["b"]]
    assert {row.status for row in rows(engine)} == {CONFIRMED} and len(bus.on(topics.DELIVERIES)) == 4
    ids = {delivery_id("one", each, "robot") for each in PEOPLE} | {delivery_id("two", "b", "robot")}
    assert {letter.id for letter in send.letters} <= ids and not any(letter.bundle for letter in send.letters)


async def test_a_group_message_that_failed_is_repeated_to_all_with_the_same_id(engine: Engine, tmp_path: Path) -> None:
    ledger = ledger_with(engine, *parcels_of(page("one"), told("a", "b")))
    send, deps = Sender(Retry("HTTP 500")), delivery_deps(tmp_path, rules(ROBOT))
    async with delivering(deps, ledger, senders={ROBOT.type: send}):
        await until(lambda: all(row.reported for row in rows(engine)))
    first, second = send.letters
    assert first.id == second.id and first.people == second.people
    assert [row.attempts for row in rows(engine)] == [2, 2]


async def test_a_channel_of_one_person_has_a_call_for_each(engine: Engine, tmp_path: Path) -> None:
    ledger = ledger_with(engine, *parcels_of(page("one"), told("a", "b", channel="sms")))
    send, deps = Sender(), delivery_deps(tmp_path, rules(SMS))
    async with delivering(deps, ledger, senders={SMS.type: send}):
        await until(lambda: all(row.reported for row in rows(engine)))
    assert sorted(letter.person.id for letter in send.letters) == ["a", "b"]


# ---------------------------------------------------------------- the rate


async def test_500_alerts_in_10_s_into_20_calls_a_minute_bring_all_numbers(engine: Engine, tmp_path: Path) -> None:
    """Times are made up; the ledger, the bucket and the texts are real."""
    desk, made, numbers, now = office(engine, tmp_path, ROBOT), list[int](), set[str](), 1_000_000
    line = Line.of("robot", ROBOT, 3)
    bundles = 0
    for step in range(600):
        now += 100
        if step < 100:
            fresh = [page(f"{step}-{n}", level=1 + n % 2, head=head(f"{step}-{n}", number=1 + 5 * step + n))
                     for n in range(5)]
            desk.ledger.take([one for each in fresh for one in parcels_of(each, told("a", "b"))], (), now)
        for load in desk.claims.claim(line, now, now + 60_000, 4).loads:
            written = await write(load, "robot", desk)
            made.append(now)
            bundles += written.letter.bundle
            numbers |= set(re.findall(r"E-\d{4}", written.letter.message.short))
            assert len(written.letter.message.short.encode()) <= 2048
            desk.ledger.confirm(written.load.parcels, NOON)
            desk.ledger.release(written.left)
        if desk.ledger.pending()[0] == 0 and step >= 100:
            break
    desk.close()
    assert numbers == {f"E-{number:04d}" for number in range(1, 501)}
    assert max(sum(first <= each < first + 60_000 for each in made) for first in made) <= 20
    assert {row.status for row in rows(engine)} == {CONFIRMED} and bundles >= 3
    assert now - 1_000_000 < 45_000


async def test_what_a_bundle_leaves_goes_out_while_the_bundle_is_under_way(engine: Engine, tmp_path: Path) -> None:
    """It waited for a lease of a minute: the courier took it for something it still had to write down."""
    ledger = ledger_with(engine, *(each for n in range(300) for each in parcels_of(
        page(f"{n:02d}", head=head(f"{n:02d}", number=1 + n)), told("a"))))
    second, letters = asyncio.Event(), list[Letter]()

    async def send(channel: Channel, letter: Letter) -> Outcome:
        letters.append(letter)
        if len(letters) > 1:
            second.set()
        await second.wait()
        return Sent()

    deps = delivery_deps(tmp_path, rules(ROBOT))
    async with delivering(deps, ledger, senders={ROBOT.type: send}):
        await until(lambda: len(letters) > 1, 20)
        await until(lambda: len([row for row in rows(engine) if row.status == CONFIRMED]) == 300)
    assert letters[0].bundle


def test_several_processes_share_one_bucket(engine: Engine) -> None:
    ledger = ledger_with(engine, *(parcel(f"d{n:02d}", channel="robot") for n in range(40)))
    line = {"group": True, "rate": 6, "bundles": False}
    taken = [len(claimed(Ledger(engine), "robot", 1000, 61_000, 4, **line).loads) for _ in range(5)]
    assert sum(taken) == 2, "a third of the rate at once, whoever asks"
    assert Claims(ledger).next_due(Line("robot", **line), 1000) == 1000 + 15_001  # type: ignore[arg-type]


def test_a_page_of_the_highest_level_goes_before_the_bundle_of_the_others(engine: Engine) -> None:
    low = [parcel(f"low{n}", channel="robot", level=1) for n in range(30)]
    ledger = ledger_with(engine, *low, parcel("TOP", channel="robot", level=3))
    found = claimed(ledger, "robot", 1000, 61_000, 4, group=True, rate=6, bundles=True, top=3).loads
    assert [[one.id for one in load.parcels] for load in found][0] == ["TOP"]
    assert len(found[1].parcels) == 30 and found[1].bundle


# ---------------------------------------------------------------- breaker and the next channel


async def test_a_channel_that_is_refused_is_left_for_the_next_and_told(engine: Engine, tmp_path: Path) -> None:
    ledger = ledger_with(engine, *parcels_of(page("one"), told("a", alternatives=("sms",))))
    robot, sms = Sender(Refused("机器人已被移出群")), Sender()
    async with delivering(delivery_deps(tmp_path, rules(ROBOT, SMS)), ledger,
                          senders={ROBOT.type: robot, SMS.type: sms}) as bus:
        await until(lambda: len(rows(engine)) == 2 and all(row.reported for row in rows(engine)))
    assert states(engine) == {"a/robot": (DEAD, ""), "a/sms": (CONFIRMED, "")}
    assert len(bus.on(topics.DEAD_LETTERS)) == 1 and len(bus.on(topics.ESCALATIONS)) == 1
    assert sms.letters[0].id == delivery_id("one", "a", "sms")


async def test_a_channel_that_fails_twice_is_left_for_the_next(engine: Engine, tmp_path: Path) -> None:
    ledger = ledger_with(engine, *parcels_of(page("one"), told("a", alternatives=("sms",))))
    robot, sms = Sender(*[Retry("HTTP 500")] * 9), Sender()
    async with delivering(delivery_deps(tmp_path, rules(ROBOT, SMS)), ledger,
                          senders={ROBOT.type: robot, SMS.type: sms}) as bus:
        await until(lambda: len(rows(engine)) == 2 and all(row.reported for row in rows(engine)))
    assert states(engine) == {"a/robot": (SUPPRESSED, "failover:sms"), "a/sms": (CONFIRMED, "")}
    assert len(robot.letters) == 2 and bus.on(topics.DEAD_LETTERS) == []


def test_while_the_breaker_is_open_rows_go_to_the_next_channel_that_works_or_wait(engine: Engine) -> None:
    ledger = ledger_with(engine, *parcels_of(page("one"), told("a", alternatives=("sms", "mail"))),
                         *parcels_of(page("two"), told("b")), now=0)
    broken = lambda breaker: breaker.failed(1000, 600_000)  # noqa: E731
    for channel in ("robot", "sms"):
        ledger.confirm((), 0, Change(channel, broken))
    found = claimed(ledger, "robot", 2000, 62_000, 4)
    assert found.loads == () and found.woken == ("mail",) and found.ended == 1
    assert states(engine) == {"a/robot": (SUPPRESSED, "failover:mail"), "a/mail": (PENDING, ""),
                              "b/robot": (PENDING, "")}
    assert Claims(ledger).next_due(Line("robot"), 2000) == 601_000


def test_when_no_next_channel_works_rows_stay_where_they_are(engine: Engine) -> None:
    ledger = ledger_with(engine, *parcels_of(page("one"), told("a", alternatives=("sms",))))
    for channel in ("robot", "sms"):
        ledger.confirm((), 0, Change(channel, lambda breaker: breaker.failed(1000, 600_000)))
    assert claimed(ledger, "robot", 2000, 62_000, 4).woken == () and states(engine) == {"a/robot": (PENDING, "")}


def test_a_half_open_channel_is_tried_by_one_call_of_one_process(engine: Engine) -> None:
    ledger = ledger_with(engine, *(parcel(f"d{n}", channel="robot") for n in range(5)))
    ledger.confirm((), 0, Change("robot", lambda breaker: breaker.failed(0, 1000)))
    first = claimed(ledger, "robot", 2000, 62_000, 4).loads
    assert [len(load.parcels) for load in first] == [1] and first[0].before.state(2000) is State.HALF_OPEN
    assert claimed(Ledger(engine), "robot", 2001, 62_001, 4).loads == ()
    ledger.confirm(first[0].parcels, 9, Change("robot", Breaker.succeeded))
    assert len(claim(ledger, "robot", 2002, 62_002, 4)) == 4


def test_a_row_past_its_horizon_ends_when_its_channel_is_long_broken(engine: Engine) -> None:
    old, young = parcel("old", decided_at=0), parcel("young", decided_at=HORIZON)
    ledger = ledger_with(engine, old, young)
    ledger.confirm((), 0, Change("hook", lambda _: Breaker(failures=9, opened=HOPELESS, open_until=99_000), "HTTP 502"))
    Claims(ledger).claim(Line("hook"), 1000, 61_000, 4, hopeless_before=1)
    found = {row.id: (row.status, row.error) for row in rows(engine)}
    assert found == {"old": (DEAD, "24 小时内未能送达，最后一次：HTTP 502"), "young": (PENDING, "")}


def test_what_could_go_elsewhere_is_not_waited_for_so_long(engine: Engine, tmp_path: Path) -> None:
    desk = office(engine, tmp_path, ROBOT, SMS)
    ledger_with(engine, *parcels_of(page("one"), told("a", alternatives=("sms",))), parcel("d2", channel="robot"))
    loads = desk.claims.claim(Line("robot"), 1, 60_001, 4).loads
    desk.close()
    assert sorted(desk.seconds(load) for load in loads) == [HASTY_SECONDS, 30.0]


async def test_the_state_of_every_channel_is_a_gauge(engine: Engine, tmp_path: Path) -> None:
    deps = delivery_deps(tmp_path, rules(ROBOT, SMS))
    ledger = ledger_with(engine, *parcels_of(page("one"), told("a")))
    send = Sender(Retry("请求过快", 600_000))

    def gauge(channel: str) -> float | None:
        return deps.metrics.registry.get_sample_value("wenxun_circuit_state", {"channel": channel})

    async with delivering(deps, ledger, senders={ROBOT.type: send}):
        await until(lambda: gauge("robot") == 2.0)
    assert gauge("sms") == 0.0


def test_a_replay_tries_what_was_given_up_on_a_next_channel_with_its_id(engine: Engine) -> None:
    first = parcels_of(page("one"), told("a", alternatives=("sms",)))
    ledger = ledger_with(engine, *first)
    for channel in ("robot", "sms"):
        ledger.bury(claim(ledger, channel), "HTTP 404", 0)
    assert {row.status for row in rows(engine)} == {DEAD}
    ledger.take(first, ids_of(first[0]), 1)
    assert {row.id: row.status for row in rows(engine)} == {
        delivery_id("one", "a", each): PENDING for each in ("robot", "sms")}


# ---------------------------------------------------------------- what the message says


async def test_a_link_names_the_person_unless_a_group_reads_it(engine: Engine, tmp_path: Path) -> None:
    desk = office(engine, tmp_path, ROBOT, SMS, external_url="https://desk.example")
    ledger_with(engine, *parcels_of(page("one"), told("a", "b")), *parcels_of(page("two"), told("a", channel="sms")),
                *parcels_of(system(), told("c", channel="sms")))
    links = {}
    for channel in ("robot", "sms"):
        for load in desk.claims.claim(Line(channel, group=channel == "robot"), 1, 60_001, 4).loads:
            letter = (await write(load, channel, desk)).letter
            links[letter.escalation.id] = re.findall(r"https://desk\.example/a/([\w-]+)", letter.message.text)
    desk.close()
    key = link_key.load(desk.deps.settings)
    assert [verify(key, links[each][0], NOON).person for each in ("one", "two")] == ["", "a"]
    assert links["sys1"] == []


@pytest.mark.parametrize(("body", "person"), [
    ("to={mobile}&text={text} {link}", "a"), ("user={person}&text={link}", "a"), ("to={mail}&text={link}", "a"),
    ("text={name}：{text} {link}", "")])
async def test_a_gateway_that_only_names_the_receiver_may_be_a_group_so_its_link_acts_for_nobody(
    engine: Engine, tmp_path: Path, body: str, person: str
) -> None:
    gate = Channel(id="gate", type=ChannelType.HTTP, url="https://chat.example/send", body=body)
    desk = office(engine, tmp_path, gate, external_url="https://desk.example")
    ledger_with(engine, *parcels_of(page(), told("a", channel="gate")))
    [load] = desk.claims.claim(Line.of("gate", gate, 3), 1, 60_001, 4).loads
    link = (await write(load, "gate", desk)).letter.message.fields["link"]
    desk.close()
    assert verify(link_key.load(desk.deps.settings), link.rpartition("/")[2], NOON).person == person


async def test_a_key_that_is_replaced_signs_the_next_message(
    engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The desk reads the file each time: a key kept here would make links that nobody can open."""
    desk = office(engine, tmp_path, ROBOT, external_url="https://desk.example")
    settings = desk.deps.settings
    tokens, keys = [], []
    for _ in range(2):
        tokens.append((await desk.facts.find(page(), "a")).link.rpartition("/")[2])
        keys.append(link_key.load(settings))
        settings.link_key_path.unlink()
    settings.link_key_path.write_text("short")
    without = [(await desk.facts.find(page(), "a")).link for _ in range(2)]
    desk.close()
    assert keys[0] != keys[1] and [verify(*each, NOON).person for each in zip(keys, tokens, strict=True)] == ["a", "a"]
    assert without == ["", ""] and caplog.text.count("messages carry no links") == 1


async def test_without_an_external_address_no_key_is_made(engine: Engine, tmp_path: Path) -> None:
    desk = office(engine, tmp_path, ROBOT)
    assert (await desk.facts.find(page(), "a")).link == "" and not desk.deps.settings.link_key_path.exists()
    desk.close()


async def test_the_figures_are_those_of_the_subject_in_the_last_week_and_hour(engine: Engine, tmp_path: Path) -> None:
    desk = office(engine, tmp_path, ROBOT)
    now = Clock().now()

    def row(ident: int, age: int, subject: str = "polling") -> dict[str, Any]:
        return {"item_id": f"i{ident}", "subject": subject, "revision": "1", "origin": "o", "weight": 1.0,
                "polarity": "neutral", "confidence": 1.0, "question": False, "first_seen_at": now - age, "detail": "",
                "book": "b"}

    ages = [48 * HOUR + 1000 + HOUR, *(n * HOUR + 30 * 60_000 for n in range(1, 48)), 1000, 2000, 3000, 8 * 24 * HOUR]
    with engine.begin() as connection:
        connection.execute(insert(scored), [row(n, age) for n, age in enumerate(ages)])
        connection.execute(insert(scored), [row(900, 1000, "other"), row(901, 90 * 60_000, "other")])
    found = await desk.facts.find(page(head=head(subject="polling")), "")
    assert found.now_items == 3 and found.usual == pytest.approx(1.0, abs=0.05)
    young = await desk.facts.find(page(head=head(subject="other")), "")
    assert (young.usual, young.now_items) == (None, 1), "two hours say nothing about what is usual"
    none = await desk.facts.find(page(kind=EscalationKind.SYSTEM, head=None), "")
    desk.close()
    assert none.usual is None and none.now_items is None


async def test_a_store_that_cannot_be_read_costs_the_message_only_its_figures(
    engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    desk = office(engine, tmp_path, ROBOT)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE scored RENAME TO gone")
    found = await desk.facts.find(page(), "a")
    desk.close()
    assert (found.usual, found.now_items) == (None, None) and "cannot be read" in caplog.text


async def test_a_text_that_is_no_escalation_ends_and_disturbs_no_other(engine: Engine, tmp_path: Path) -> None:
    ledger = ledger_with(engine, changed(parcel("d1", channel="robot"), escalation="{not json"),
                         parcel("d2", channel="robot"))
    async with delivering(delivery_deps(tmp_path, rules(ROBOT)), ledger, senders={ROBOT.type: Sender()}):
        await until(lambda: [row.status for row in rows(engine)] == [DEAD, CONFIRMED])
