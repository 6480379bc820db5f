"""Handing over, notes, statements and silences: accepted once, refused in words that say what to do."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Engine, select

from agents.desk import event_commands, silence_commands
from agents.desk.commands import Order, Refused, earlier
from agents.desk.event_commands import Said
from agents.desk.sender import unsent
from agents.desk.silence_commands import Wanted
from agents.store import people_reads, schema
from agents.store.expiry import expire
from agents.store.projection import Entry, project
from pipeline import topics
from pipeline.ids import digest
from pipeline.model import (
    AlertState,
    AlertStatus,
    Comment,
    Escalation,
    EscalationKind,
    EventHead,
    EventStatus,
    HandOver,
    Silence,
    Statement,
)
from pipeline.rulebook.schema import DAY, HOUR, MINUTE, ResponseClock
from tests.agents import store_fakes as fakes
from tests.desk import seed
from tests.desk.conftest import Stand
from tests.desk.test_commands import sent

PROPOSED = "f" * 20


def order(head: EventHead | None = None, by: str = "李敏", after: int = 0, via: str = "") -> Order:
    return Order(head.id if head else "", by, seed.NOW + after, seed.NOW + after, via)


def book(**changes: Any) -> Any:
    made = seed.book(**changes)
    clocks = (ResponseClock(id="answer", name="首次权威回应", within=5 * HOUR, start_level="较大"),
              ResponseClock(id="reply", name="答复", within=48 * HOUR, start_level="较大"))
    return replace(made, levels=replace(made.levels, clocks=clocks))


def event(stand: Stand, status: AlertStatus = AlertStatus.NOTIFIED, **changes: Any) -> tuple[EventHead, AlertState]:
    one = seed.put_event(stand.engine, seed.head())
    return one, seed.put_alert(stand.engine, seed.alert(one, status, **changes))


def refused(code: str, *call: Any, **options: Any) -> str:
    with pytest.raises(Refused) as refusal:
        call[0](*call[1:], **options)
    assert refusal.value.code == code
    return str(refusal.value)


def waiting(engine: Engine) -> list[Any]:
    return [each.command for each in unsent(engine)]


def archive(engine: Engine) -> None:
    """As if the stream had taken everything."""
    project(engine, [Entry(each, seed.NOW) for each in waiting(engine)])


# ---------------------------------------------------------------- hand-over


async def test_a_hand_over_names_the_alert_and_goes_where_the_event_is(stand: Stand) -> None:
    one, state = event(stand)
    event_commands.hand_over(stand.engine, book(), order(one, via="API 屏"), state.alert_id, "领导小组", " 换班\n了 ")
    (topic, key, record), = await sent(stand, 1)
    assert (topic, key) == (topics.EVENTS, one.id)
    assert isinstance(record, HandOver)
    assert (record.to, record.by, record.alert_id, record.note, record.via) == (
        "leaders", "李敏", state.alert_id, "换班 了", "API 屏")
    assert stand.audit() == [("李敏", "alert.hand_over", one.id)]


def test_a_hand_over_of_an_answered_alert_is_taken_and_a_double_click_is_one(stand: Stand) -> None:
    one, state = event(stand, AlertStatus.ACKED, acked_by="李敏", acked_at=seed.NOW, due_at=None)
    done = [event_commands.hand_over(stand.engine, book(), order(one, after=n), state.alert_id, "duty-b")
            for n in range(2)]
    assert [each.repeated for each in done] == [False, True] and done[0].id == done[1].id


@pytest.mark.parametrize(("to", "words"), [
    ("nobody", ("nobody", "leaders（领导小组）", "duty-a（值班员甲）")), ("", ("这个人或班组",)),
    ("LEADERS", ("LEADERS",))])
def test_a_hand_over_to_somebody_unknown_lists_who_there_is(stand: Stand, to: str, words: tuple[str, ...]) -> None:
    one, state = event(stand)
    said = refused("unknown_receiver", event_commands.hand_over, stand.engine, book(), order(one), state.alert_id, to)
    assert all(word in said for word in words) and waiting(stand.engine) == []


def test_a_hand_over_is_refused_where_nothing_waits(stand: Stand) -> None:
    one, state = event(stand, handed_to="leaders")
    call = (event_commands.hand_over, stand.engine, book(), order(one))
    assert "领导小组（leaders）" in refused("handed", *call, state.alert_id, "leaders")
    refused("superseded", *call, "0" * 20, "leaders")
    refused("no_rules", event_commands.hand_over, stand.engine, None, order(one), state.alert_id, "leaders")
    gone = seed.put_event(stand.engine, seed.head(400, status=EventStatus.CLOSED, closed_by="王强"))
    assert "王强" in refused("closed", event_commands.hand_over, stand.engine, book(), order(gone), "x", "leaders")


# ---------------------------------------------------------------- comments


def test_a_comment_is_masked_before_it_is_written(stand: Stand) -> None:
    one, _ = event(stand)
    event_commands.comment(stand.engine, order(one), "  已联系张主任 13800001234，\n稍后回复  ")
    record, = waiting(stand.engine)
    assert isinstance(record, Comment) and record.text == "已联系张主任 [电话]，\n稍后回复"
    assert "1380000" not in str([tuple(row) for row in (*stand.rows(schema.commands), *stand.rows(schema.audit))])


def test_the_same_comment_twice_is_one_and_later_again_is_another(stand: Stand) -> None:
    one = seed.put_event(stand.engine, seed.head(status=EventStatus.CLOSED))
    words = ["还在等", "还在等", "有回复了", "还在等"]
    done = [event_commands.comment(stand.engine, order(one, after=n), each) for n, each in enumerate(words)]
    assert [each.repeated for each in done] == [False, True, False, False]
    assert not event_commands.comment(stand.engine, order(one, "王强", after=9), "还在等").repeated


def test_a_comment_says_something_and_not_too_much(stand: Stand) -> None:
    one, _ = event(stand)
    refused("empty", event_commands.comment, stand.engine, order(one), " \u200b\n")
    assert "1200" in refused("too_long", event_commands.comment, stand.engine, order(one), "长" * 1200)
    refused("not_found", event_commands.comment, stand.engine, Order("none", "李敏", 1, 1), "在吗")


# ---------------------------------------------------------------- statements


def proposing(stand: Stand, **more: Any) -> EventHead:
    one = seed.put_event(stand.engine, seed.head())
    item = seed.put_item(stand.engine, one, 1, "关于投票时间的说明", "各投票站均开放至晚上八点。", source_id="gonggao",
                         official=True, **more)
    seed.put_item(stand.engine, one, 2, "转：三点关门", "朋友圈都在转", source_id="luntan")
    return replace(one, first_item_at=one.first_item_at, excerpts=(), title=item.item.id)


def items(stand: Stand) -> dict[str, str]:
    return {row.source_id: row.id for row in stand.rows(schema.items)}


def test_a_statement_by_url_or_by_hand_stops_the_clocks_it_names(stand: Stand) -> None:
    one, _ = event(stand)
    said = Said("县选举办答复", "均开放至晚八点", "https://gonggao.example/n/88?uid=7", published_at=seed.NOW - HOUR,
                clocks=("answer", "reply"))
    first = event_commands.statement(stand.engine, book(), order(one), said)
    second = event_commands.statement(stand.engine, book(), order(one, "王强", after=1), said)
    record, = waiting(stand.engine)
    assert isinstance(record, Statement)
    assert (record.title, record.url, record.published_at, record.clocks, record.item_id) == (
        "县选举办答复", "https://gonggao.example/n/88", seed.NOW - HOUR, ("answer", "reply"), "")
    assert second.repeated and second.id == first.id and second.note.startswith("李敏 已先登记了同样的回应")
    assert stand.audit() == [("李敏", "event.statement", one.id)]


@pytest.mark.parametrize(("before", "said"), [(0, ""), (9, ""), (40, "；发布时间比登记早 40 分钟")])
def test_a_stop_that_was_typed_in_long_after_stands_in_the_audit_with_both_times(
        stand: Stand, before: int, said: str) -> None:
    one, _ = event(stand)
    at = seed.NOW - before * MINUTE
    event_commands.statement(stand.engine, book(), order(one), Said("县选举办答复", published_at=at))
    with stand.engine.connect() as connection:
        assert connection.execute(select(schema.audit.c.detail)).scalar_one() == f"县选举办答复{said}"


@pytest.mark.parametrize(("said", "title"), [
    (Said(text="投票站均开放至晚上八点\n请互相转告"), "投票站均开放至晚上八点"),
    (Said(text="长" * 60), "长" * 40 + "…"),
    (Said(url="https://gonggao.example/n/88"), "https://gonggao.example/n/88")])
def test_a_statement_without_a_title_gets_one(stand: Stand, said: Said, title: str) -> None:
    one, _ = event(stand)
    event_commands.statement(stand.engine, book(), order(one), said)
    record, = waiting(stand.engine)
    assert (record.title, record.published_at) == (title, seed.NOW)


@pytest.mark.parametrize(("said", "code", "word"), [
    (Said(), "empty", "网址"), (Said(url="ftp://gonggao.example/"), "bad_url", "http"),
    (Said(url="javascript:alert(1)"), "bad_url", "http"), (Said("长" * 201), "too_long", "201"),
    (Said("答复", clocks=("soon",)), "bad_clock", "answer（首次权威回应）"),
    (Said("答复", published_at=seed.NOW + HOUR), "bad_time", "还没有到")])
def test_a_statement_that_cannot_be_one_says_what_is_missing(stand: Stand, said: Said, code: str, word: str) -> None:
    one, _ = event(stand)
    assert word in refused(code, event_commands.statement, stand.engine, book(), order(one), said)
    assert waiting(stand.engine) == []


def test_an_official_item_is_confirmed_once_with_its_words_and_the_second_hears_who_did(stand: Stand) -> None:
    one = proposing(stand)
    item_id = items(stand)["gonggao"]
    first = event_commands.confirm(stand.engine, book(), order(one), item_id, ["answer"])
    second = event_commands.confirm(stand.engine, book(), order(one, "王强", after=5 * MINUTE), item_id)
    record, = waiting(stand.engine)
    assert (record.title, record.text, record.item_id, record.clocks, record.source_name) == (
        "关于投票时间的说明", "各投票站均开放至晚上八点。", item_id, ("answer",), "县政府公告")
    assert (first.note, second.repeated, second.note) == ("", True, "李敏 已先登记了同样的回应（5 分钟前）。")
    assert "李敏" in refused("confirmed", event_commands.reject, stand.engine, order(one, "王强"), item_id)
    assert "关于投票" not in str([tuple(row) for row in stand.rows(schema.audit)]), "the audit is kept for ever"


def test_a_rejected_proposal_may_be_confirmed_after_all(stand: Stand) -> None:
    one = proposing(stand)
    item_id = items(stand)["gonggao"]
    event_commands.reject(stand.engine, order(one), item_id, "说的是别处")
    event_commands.confirm(stand.engine, book(), order(one, after=1), item_id)
    assert [(each.rejected, each.text) for each in waiting(stand.engine)] == [
        (True, "说的是别处"), (False, "各投票站均开放至晚上八点。")]


def test_what_no_official_source_said_in_this_event_is_no_statement(stand: Stand) -> None:
    one = proposing(stand)
    for item_id in (items(stand)["luntan"], "0" * 20):
        refused("no_item", event_commands.confirm, stand.engine, book(), order(one), item_id)
        refused("no_item", event_commands.reject, stand.engine, order(one), item_id)


# ---------------------------------------------------------------- silences


def wanted(**changes: Any) -> Wanted:
    return Wanted(**{"length": 2 * HOUR, "reason": "供水检修", "owner": "李敏", "levels": ("一般",), **changes})


async def test_a_silence_and_its_end_go_to_every_partition(stand: Stand) -> None:
    done = silence_commands.add(stand.engine, book(), order(), wanted(subjects=("polling",)))
    await sent(stand, 4)
    assert silence_commands.expire(stand.engine, order(after=MINUTE), done.id[:8]).id != done.id
    records = await sent(stand, 8)
    assert stand.broker.where == [0, 1, 2, 3] * 2
    assert {(topic, key) for topic, key, _ in records} == {(topics.EVENTS, done.id)}
    begun, ended = records[0][2], records[-1][2]
    assert isinstance(begun, Silence) and isinstance(ended, Silence)
    assert (begun.starts_at, begun.ends_at, begun.subjects, begun.levels, begun.expired_at) == (
        seed.NOW, seed.NOW + 2 * HOUR, ("polling",), ("一般",), None)
    assert ended == replace(begun, at=seed.NOW + MINUTE, expired_at=seed.NOW + MINUTE)
    assert [(action, about) for _, action, about in stand.audit()] == [
        ("silence.add", done.id), ("silence.expire", done.id)]


def test_the_same_silence_while_it_lasts_is_one_and_after_its_end_another(stand: Stand) -> None:
    first = silence_commands.add(stand.engine, book(), order(), wanted())
    again = silence_commands.add(stand.engine, book(), order(after=MINUTE), wanted())
    assert again.repeated and again.id == first.id and len(waiting(stand.engine)) == 1
    silence_commands.expire(stand.engine, order(after=2 * MINUTE), first.id)
    anew = silence_commands.add(stand.engine, book(), order(after=3 * MINUTE), wanted())
    assert not anew.repeated and anew.id != first.id
    later = silence_commands.add(stand.engine, book(), order(after=3 * HOUR), wanted())
    assert later.id not in (first.id, anew.id)


@pytest.mark.parametrize(("changes", "code", "word"), [
    ({"levels": ()}, "highest_level", "重大"), ({"levels": ("一般", "重大")}, "highest_level", "一般、较大"),
    ({"reason": " "}, "no_reason", "原因"), ({"owner": ""}, "no_owner", "负责人"),
    ({"length": 0}, "bad_length", "30 天"), ({"length": -HOUR}, "bad_length", "30 天"),
    ({"length": 31 * DAY}, "bad_length", "30 天"), ({"levels": ("特大",)}, "bad_matcher", "一般、较大、重大"),
    ({"subjects": ("pollng",)}, "bad_matcher", "polling"), ({"groups": ("博客",)}, "bad_matcher", "论坛"),
    ({"regions": ("石桥镇",)}, "bad_matcher", "一个也没有"), ({"event": "E-9999"}, "not_found", "E-9999")])
def test_a_silence_that_cannot_be_says_what_to_write(
        stand: Stand, changes: dict[str, Any], code: str, word: str) -> None:
    assert word in refused(code, silence_commands.add, stand.engine, book(), order(), wanted(**changes))
    assert waiting(stand.engine) == [] and stand.audit() == []


def test_everything_cannot_be_silenced_even_when_asked_for(stand: Stand) -> None:
    refused("no_matcher", silence_commands.add, stand.engine, book(), order(), wanted(levels=()), even_highest=True)


def test_the_highest_level_is_silenced_only_when_a_person_says_so(stand: Stand) -> None:
    one, _ = event(stand)
    silence_commands.add(stand.engine, book(), order(), wanted(event="317", levels=()), even_highest=True)
    record, notice = sorted(waiting(stand.engine), key=lambda each: isinstance(each, Escalation))
    assert (record.event_id, record.levels) == (one.id, ())
    assert (notice.kind, notice.tell) == (EscalationKind.SYSTEM, ("ops",)), "not only who did it knows"
    assert "重大" in notice.title and record.reason in notice.text and record.owner in notice.text
    assert [each[1] for each in stand.audit()] == ["silence.add", "silence.notice"]
    gone = seed.put_event(stand.engine, seed.head(400, status=EventStatus.CLOSED))
    refused("closed", silence_commands.add, stand.engine, book(), order(), wanted(event=gone.short))


def test_silences_are_few_as_every_message_is_held_against_each(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence_commands, "MOST", 2)
    first, _ = [silence_commands.add(stand.engine, book(), order(), wanted(reason=each)) for each in ("检修", "停电")]
    said = refused("too_many", silence_commands.add, stand.engine, book(), order(), wanted(reason="台风"))
    assert "已有 2 个静默" in said and "先结束不用的" in said
    assert silence_commands.add(stand.engine, book(), order(), wanted(reason="检修")).repeated
    silence_commands.expire(stand.engine, order(after=MINUTE), first.id)
    silence_commands.add(stand.engine, book(), order(after=2 * MINUTE), wanted(reason="台风"))


def test_a_silence_is_known_before_the_archive_has_it_and_its_end_too(stand: Stand) -> None:
    def active(after: int) -> list[str]:
        with stand.engine.connect() as connection:
            return [each.id for each in silence_commands.known(connection, seed.NOW + after)]

    done = silence_commands.add(stand.engine, book(), order(), wanted())
    assert active(0) == [done.id]
    archive(stand.engine)
    silence_commands.expire(stand.engine, order(after=MINUTE), done.id)
    assert active(MINUTE) == [], "the archive does not know of its end yet"
    archive(stand.engine)
    assert active(MINUTE) == []
    with stand.engine.connect() as connection:
        assert people_reads.silences(connection, seed.NOW + MINUTE) == []
    assert "刚刚" in refused("ended", silence_commands.expire, stand.engine, order(after=MINUTE), done.id)


def test_an_end_in_the_millisecond_of_its_beginning_counts(stand: Stand) -> None:
    done = silence_commands.add(stand.engine, book(), order(), wanted())
    silence_commands.expire(stand.engine, order(), done.id)
    with stand.engine.connect() as connection:
        begun, = [each for each in earlier(connection, digest("silence", done.id), Silence)]
        assert begun.at == seed.NOW + 1 and silence_commands.known(connection, seed.NOW + 1) == []


@pytest.mark.parametrize("ref", ["abc", "0" * 20, ""])
def test_a_silence_that_is_not_there_is_named(stand: Stand, ref: str) -> None:
    silence_commands.add(stand.engine, book(), order(), wanted())
    assert "wenxun silence list" in refused("not_found", silence_commands.expire, stand.engine, order(), ref)


def test_words_of_an_item_leave_the_commands_when_their_time_is_over(stand: Stand) -> None:
    one = proposing(stand)
    event_commands.confirm(stand.engine, book(), order(one), items(stand)["gonggao"])
    event_commands.statement(stand.engine, book(), order(one, after=1), Said("县选举办答复"))
    archive(stand.engine)
    with stand.engine.begin() as connection:
        connection.execute(schema.commands.update().values(sent_at=seed.NOW))
    expire(stand.engine, seed.NOW + DAY)
    left = [row.record for row in stand.rows(schema.commands)]
    assert sorted(map(bool, left)) == [False, True] and "关于投票" not in str(fakes.dump(stand.engine))
