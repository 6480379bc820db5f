"""What the demo makes of the topics: facts, steps, a verdict and a recording."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from rich.console import Console

from agents.commands.replay import load as load_recording
from agents.demo.book import read_book
from agents.demo.facts import Facts, Kind
from agents.demo.narrate import Narrator
from agents.demo.observer import Recording, Seen
from agents.demo.phone import Phone, Received
from agents.demo.scenario import FOLDER, Part, load
from agents.demo.screen import Screen
from agents.demo.story import STEPS, SUBJECT, Story
from pipeline import codec
from pipeline.errors import SettingsError
from pipeline.model import (
    AlertState,
    AlertStatus,
    DeadLetter,
    Delivery,
    DeliveryStatus,
    Escalation,
    EscalationKind,
    EventClock,
    EventClocks,
    EventHead,
    EventStatus,
    Evidence,
    Excerpt,
    LevelDecision,
    RawBatch,
    RawItem,
    SourceState,
    Statement,
    Tick,
    Why,
)
from pipeline.rulebook.schema import MINUTE

DAY = load()
BOOK = read_book(FOLDER / "rules")
NAMES = {person.id: person.name for person in BOOK.roster.people}
FIRST = DAY.first(Part.RUMOUR)
AT = FIRST.at


class Told:
    """A story with its facts, told record by record."""

    def __init__(self) -> None:
        self.facts = Facts()
        self.story = Story(DAY, self.facts, NAMES)
        self.kinds: list[Kind] = []

    def tell(self, *records: Any) -> Told:
        for record in records:
            for happening in self.facts.apply(record):
                self.kinds.append(happening.kind)
                self.story.see(happening, AT)
        return self


def head(level: int, at: int, version: int, *, previous: int = 0, why: Why = Why.RAISED, event: str = "e1",
         subject: str = SUBJECT, **changes: Any) -> EventHead:
    decision = LevelDecision(level, previous, why, Evidence(3, 2, 60 * MINUTE, at), at, BOOK.levels.name(level))
    values: dict[str, Any] = {
        "id": event, "subject": subject, "key": subject, "version": version, "status": EventStatus.OPEN, "level": level,
        "level_name": BOOK.levels.name(level), "peak": max(level, previous), "decision": decision, "book": "b",
        "title": FIRST.title, "first_item_at": AT, "last_item_at": at, "opened_at": AT, "changed_at": at, "number": 1,
        **changes}
    return EventHead(**values)


def page(level: int, step: int, at: int, *, repeat: int = 0) -> Escalation:
    return Escalation(id=f"p{level}{step}{repeat}", kind=EscalationKind.PAGE, at=at, why="raised", tell=("duty-team",),
                      event_id="e1", alert_id=f"a{level}", level=level, step=step, repeat=repeat)


def sent(escalation: Escalation, person: str, status: DeliveryStatus = DeliveryStatus.CONFIRMED) -> Delivery:
    return Delivery(id=f"d-{escalation.id}-{person}", escalation_id=escalation.id, event_id="e1", person=person,
                    channel=f"phone-{person}", status=status, attempts=1, at=escalation.at + MINUTE,
                    decided_at=escalation.at)


def acked(level: int, at: int) -> AlertState:
    return AlertState(event_id="e1", alert_id=f"a{level}", event_version=9, revision=9, level=level,
                      status=AlertStatus.ACKED, raised_at=at, acked_by="duty", acked_at=at)


def statement() -> Excerpt:
    return Excerpt("i9", DAY.first(Part.CORRECTION).title, "", "云溪县公告栏", "", AT, (), True)


def clocks(*statements: Statement) -> EventClocks:
    """The event's clocks; stopped by the first statement when there is one."""
    clock = EventClock("answer", "首次权威回应", AT, AT + 300 * MINUTE)
    if statements:
        clock = replace(clock, stopped_at=AT + 284 * MINUTE, stopped_by="duty", stopped_why="statement",
                        ref=statements[0].id)
    return EventClocks(event_id="e1", revision=1 + len(statements), clocks=(clock,), statements=statements)


def confirmed(at: int) -> Statement:
    return Statement(id="s1", event_id="e1", by="duty", at=at, title=DAY.first(Part.CORRECTION).title,
                     published_at=AT + 284 * MINUTE, item_id="i9")


def whole_day() -> list[Any]:
    """Records of a day on which everything happened."""
    def at(hours: float) -> int:
        return AT + int(hours * 60) * MINUTE

    old = [post for post in DAY.posts if post.at < DAY.opens]
    items = tuple(RawItem(id=f"o{index}", revision="r", source_id=post.site, title=post.title, text=post.text, url="",
                          first_seen_at=DAY.opens, backfill=True) for index, post in enumerate(old))
    day = {(post.site, post.guid) for post in DAY.posts if post.at >= DAY.opens} - {(FIRST.site, FIRST.guid)}
    rest = tuple(RawItem(id=f"n{index}", revision="r", source_id=site, title=guid, text="", url="",
                         first_seen_at=DAY.closes) for index, (site, guid) in enumerate(sorted(day)))
    rumour = RawItem(id="i1", revision="r1", source_id=FIRST.site, title=FIRST.title, text="", url="", first_seen_at=AT)
    digest = Escalation(id="dg", kind=EscalationKind.DIGEST, at=at(1), why="digest", tell=("duty-team",), event_id="e1",
                        digest=(head(1, at(1), 1),))
    pages = [page(2, 0, at(2)), page(2, 1, at(2.5)), page(3, 0, at(4)), page(3, 1, at(4.2))]
    return [
        *(SourceState(source_id=site.id, url="", polled_at=DAY.opens, next_poll_at=0, succeeded_at=DAY.opens)
          for site in DAY.sites),
        RawBatch(source_id="x", polled_at=DAY.opens, items=items),
        RawBatch(source_id=FIRST.site, polled_at=AT, items=(rumour,)),
        RawBatch(source_id="x", polled_at=DAY.closes, items=rest),
        RawBatch(source_id=FIRST.site, polled_at=AT, items=(replace(rumour, revision="r2"),)),
        head(1, at(1), 1), digest, sent(digest, "duty"), head(2, at(2), 2, previous=1), clocks(), *pages[:2],
        sent(pages[0], "duty"), sent(pages[1], "chief"), head(3, at(4), 3, previous=2), *pages[2:],
        sent(pages[2], "duty"), sent(pages[3], "chief"), acked(3, at(4.5)),
        head(3, at(5), 4, previous=2, statements=(statement(),)), clocks(confirmed(at(5.1))),
        head(2, at(7), 5, previous=3, why=Why.LOWERED, statements=(statement(),)),
        head(0, at(9), 6, previous=2, why=Why.CALMED, status=EventStatus.CALM, statements=(statement(),)),
    ]


def quiet_phone(told: Told) -> Phone:
    phone = Phone(b"k", NAMES, lambda: AT)
    confirmed = [each for each in told.facts.deliveries.values() if each.status is DeliveryStatus.CONFIRMED]
    phone.received = [Received(n, each.person, AT, each.id, {}) for n, each in enumerate(confirmed, 1)]
    return phone


def test_a_whole_day_reaches_every_step_without_a_fault() -> None:
    told = Told().tell(*whole_day())
    told.story.check(quiet_phone(told))
    assert told.story.missing() == []
    assert told.story.faults == {}


@pytest.mark.parametrize("gone", range(len(STEPS)), ids=[step.id for step in STEPS])
def test_a_day_without_the_records_of_a_step_misses_that_step(gone: int) -> None:
    step = STEPS[gone].id
    told = Told()
    for record in whole_day():
        before = set(told.story.marks)
        trial = Told().tell(*_told_so_far(told), record)
        if step in trial.story.marks and step not in before:
            continue
        told.tell(record)
    assert step in {each.id for each in told.story.missing()}


def _told_so_far(told: Told) -> list[Any]:
    facts = told.facts
    return [*facts.sources.values(), RawBatch(source_id="x", polled_at=0, items=tuple(facts.items.values())),
            *facts.decided, *facts.heads.values(), *facts.clocks.values(), *facts.escalations.values(),
            *facts.deliveries.values(), *facts.acks]


def test_topics_may_be_read_in_any_order_each_in_its_own() -> None:
    early = [record for record in whole_day() if isinstance(record, Delivery)]
    later = [record for record in whole_day() if isinstance(record, Escalation | AlertState)]
    last = [record for record in whole_day() if isinstance(record, EventHead)]
    told = Told().tell(*early, *later, *last)
    assert {"digest", "major-first", "major-next", "top-first", "top-next", "ack"} <= told.story.marks.keys()


def test_repeats_change_nothing_and_say_nothing() -> None:
    told = Told().tell(*whole_day())
    marks, count = dict(told.story.marks), len(told.kinds)
    told.tell(*(record for record in whole_day() if not isinstance(record, RawBatch)))
    assert (told.story.marks, len(told.kinds)) == (marks, count)


def test_a_call_after_the_answer_is_a_fault() -> None:
    told = Told().tell(*whole_day(), page(3, 0, AT + 300 * MINUTE, repeat=1))
    told.story.check(quiet_phone(told))
    assert "stopped" in told.story.faults


def test_another_event_with_a_level_is_a_fault() -> None:
    told = Told().tell(*whole_day(), head(1, AT, 1, event="e2", subject="queues"))
    told.story.check(quiet_phone(told))
    assert "quiet" in told.story.faults


def test_messages_that_were_lost_repeated_refused_or_dead_are_faults() -> None:
    for spoil in (lambda phone: phone.received.pop(), lambda phone: setattr(phone, "repeats", 1),
                  lambda phone: setattr(phone, "refused", 1)):
        told = Told().tell(*whole_day())
        phone = quiet_phone(told)
        spoil(phone)
        told.story.check(phone)
        assert "delivered" in told.story.faults
    last = page(3, 1, AT, repeat=1)
    told = Told().tell(*whole_day(), last, sent(last, "chief", DeliveryStatus.DEAD))
    told.story.check(quiet_phone(told))
    assert "delivered" in told.story.faults


def test_a_message_without_an_end_keeps_the_day_unsettled() -> None:
    told = Told().tell(*whole_day())
    assert told.story.settled()
    last = page(2, 1, AT, repeat=1)
    assert not told.tell(last, sent(last, "chief", DeliveryStatus.PENDING)).story.settled()


def test_a_post_that_was_not_collected_is_a_fault_and_keeps_the_day_unsettled() -> None:
    told = Told().tell(*(record for record in whole_day() if not (
        isinstance(record, RawBatch) and record.polled_at == DAY.closes)))
    assert not told.story.settled()
    told.story.check(quiet_phone(told))
    assert "whole" in told.story.faults


def test_steps_out_of_order_dead_letters_and_kept_names_are_faults() -> None:
    nick = RawItem(id="n", revision="r", source_id="forum", title=DAY.nickname, text="", url="", first_seen_at=AT)
    dead = DeadLetter(id="d", topic="items.raw", partition=0, offset=0, reason="r", error="bad", at=AT)
    told = Told().tell(*whole_day(), dead, RawBatch(source_id="forum", polled_at=AT, items=(nick,)))
    told.story.marks["calm"] = replace_at(told.story.marks["calm"], AT)
    told.story.check(quiet_phone(told))
    assert {"order", "clean", "private"} <= told.story.faults.keys()


def replace_at(mark: Any, at: int) -> Any:
    return type(mark)(at, mark.note, mark.lag)


def test_whoever_answers_before_the_next_call_does_not_fail_the_day() -> None:
    early = acked(3, AT + 246 * MINUTE)
    records = [record for record in whole_day() if not (isinstance(record, Escalation) and record.id == "p310")]
    index = next(i for i, record in enumerate(records) if isinstance(record, AlertState))
    told = Told().tell(*records[:index], early, *records[index + 1:])
    assert told.story.missing() == []


def test_every_happening_of_the_day_can_be_told_in_a_line() -> None:
    told, narrator = Told(), Narrator(DAY, BOOK)
    lines = [line for record in whole_day() for happening in told.facts.apply(record)
             if (line := narrator.line(happening))]
    text = "\n".join(line.plain() for line in lines)
    for words in ("未达级 → 一般", "一般 → 较大", "较大 → 重大", "duty 已确认", "附上云溪县公告栏", "值班长：已送达",
                  "开始计时，13:36 到期", "已停止，用时 4 小时 44 分钟（duty）"):
        assert words in text
    assert "老街豆腐铺" not in text, "backfill is stored and not told item by item"


def test_the_report_names_each_missing_step() -> None:
    told = Told().tell(*whole_day()[:-1])
    told.story.check(quiet_phone(told))
    out = io.StringIO()
    screen = Screen(DAY, BOOK, told.facts, Console(file=out, width=110))
    screen.report(told.story, 435.0)
    assert "没有看到：事件平息" in out.getvalue()
    assert "✓ 没有死信" in out.getvalue()


# ---------------------------------------------------------------- recording


def seen(topic: str, record: Any, offset: int = 0) -> Seen:
    return Seen(topic, 1, offset, "k", record, codec.encode(record))


def test_a_recording_starts_with_the_book_whatever_was_read_first(tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"
    with Recording(path, 4) as recording:
        recording.add(seen("events", head(1, AT, 1), 7))
        recording.add(seen("rules", BOOK))
        recording.add(seen("rules", BOOK))
        recording.add(seen("items.scored", Tick(at=AT)))
        recording.add(seen("deliveries", sent(page(2, 0, AT), "duty")))
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [(line.get("header"), line.get("type")) for line in lines] == [
        (True, None), (None, "event.head"), (None, "tick")]
    assert lines[0]["partitions"] == 4
    assert (lines[1]["topic"], lines[1]["partition"], lines[1]["offset"], lines[1]["key"]) == ("events", 1, 7, "k")


def test_replay_reads_a_recording_back(tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"
    with Recording(path, 4) as recording:
        recording.add(seen("rules", BOOK))
        recording.add(seen("events", head(1, AT, 1)))
    read = load_recording(path, None)
    assert read.book.hash == BOOK.hash
    assert [each.record for each in read.inputs] == [head(1, AT, 1)]


def test_a_recording_that_cannot_be_written_names_its_option(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--record"), Recording(tmp_path, 4):
        pass
