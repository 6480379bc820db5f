"""The life of an alert: steps, rounds, hand-overs, its end; and what people send too late or twice."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from pipeline.model import (
    ActKind,
    AlertStatus,
    Escalation,
    EscalationKind,
    EventClocks,
    EventStatus,
    Heartbeat,
    Silence,
    Statement,
    Tick,
    WarmAlert,
    Why,
)
from pipeline.replay import Input, Replay
from pipeline.rulebook.schema import DAY, Subject
from pipeline.topics import EVENTS
from tests.builders import book
from tests.pipeline.escalate_kit import HOUR, MINUTE, NOON, Desk, closed, raised, route, routed
from tests.pipeline.test_escalate import head

TWO = route(0, 5, lead="leaders")


# ---------------------------------------------------------------- routes


@pytest.mark.parametrize(("fits", "told"), [
    ({"levels": ("重大",)}, True), ({"levels": ("较大",)}, False),
    ({"subjects": ("polling",)}, True), ({"subjects": ("bus",)}, False),
    ({"groups": ("新闻", "本地论坛")}, True), ({"groups": ("新闻",)}, False),
    ({"regions": ("石桥镇",)}, True), ({"regions": ("北关镇",)}, False),
    ({"teams": ("election-office",)}, True), ({"teams": ("duty",)}, False),
    ({"teams": ("election-office",), "regions": ("北关镇",)}, False),
])
@pytest.mark.parametrize("mark", ["", "!"])
def test_a_route_is_taken_when_all_of_its_matchers_fit_of_a_drill_too(
    fits: dict[str, tuple[str, ...]], told: bool, mark: str,
) -> None:
    subject = replace(book().subjects[0], team="election-office")
    assert isinstance(subject, Subject)
    about = replace(head(), subject=f"{mark}polling", groups=("本地论坛",), regions=("石桥镇", "云溪街道"))
    desk = Desk(routed(route(0, **fits), subjects=(subject,)), about)
    assert desk.sent[0].tell == (("t0",) if told else ("leader-a",))


def test_a_message_says_who_leads_by_which_channels_and_what_others_did() -> None:
    desk = Desk(routed(TWO), head())
    desk.comment("已电话核实\n属谣传", NOON + MINUTE)
    desk.tick(NOON + 5 * MINUTE)
    first, second = desk.sent
    assert (first.lead, first.channels, first.acts) == ("leaders", ("c0",), ())
    assert (second.channels, [(act.kind, act.by, act.text) for act in second.acts]) == (
        ("c1",), [(ActKind.COMMENT, "li", "已电话核实 属谣传")])


def test_the_last_five_acts_go_into_a_later_raise_and_over_a_restart() -> None:
    desk = Desk(routed(TWO), head(level=2))
    desk.ack()
    for n in range(6):
        desk.comment(f"第 {n} 条", NOON + n, ident=f"c{n}")
    desk.restart()
    desk(head(2, level=3, raises=2))
    assert [act.text for act in desk.sent[-1].acts] == [f"第 {n} 条" for n in range(1, 6)]


def test_what_is_noted_before_the_event_reaches_a_level_is_in_its_first_page() -> None:
    desk = Desk(routed(TWO))
    desk.comment("先记一笔")
    desk(head(level=0, status=EventStatus.WATCHING))
    desk(head(2))
    assert [act.text for act in desk.sent[0].acts] == ["先记一笔"]


# ---------------------------------------------------------------- nobody answers


def test_a_chain_without_a_round_ends_with_the_fallback_who_hears_that_nobody_answered() -> None:
    desk = Desk(routed(TWO), head())
    assert desk.tick(NOON + 5 * MINUTE) == [("t1",)]
    assert (desk.status, desk.state.due_at) == (AlertStatus.NOTIFIED, NOON + 10 * MINUTE)
    assert desk.tick(NOON + 10 * MINUTE) == [("leader-a",)]
    assert (desk.status, desk.state.due_at, desk.sent[-1].why) == (AlertStatus.EXHAUSTED, None, "exhausted")
    assert desk.tick(NOON + 9 * HOUR) == []
    assert desk.ack(NOON + 10 * HOUR).states[-1].status is AlertStatus.ACKED


def test_a_route_of_one_step_waits_a_quarter_of_an_hour_for_an_answer() -> None:
    desk = Desk(routed(route(0)), head())
    assert desk.tick(NOON + 15 * MINUTE - 1) == []
    assert desk.tick(NOON + 15 * MINUTE) == [("leader-a",)]


def test_an_alert_expires_at_the_routes_until_with_a_last_message_to_the_fallback() -> None:
    desk = Desk(routed(replace(TWO, repeat=10 * MINUTE, until=HOUR)), head())
    told = {minute: said for minute in range(1, 90) if (said := desk.tick(NOON + minute * MINUTE))}
    assert told == {5: [("t1",)], 15: [("t0", "leader-a")], 20: [("t1",)], 30: [("t0", "leader-a")], 35: [("t1",)],
                    45: [("t0", "leader-a")], 50: [("t1",)], 60: [("leader-a",)]}
    assert (desk.status, desk.state.due_at) == (AlertStatus.EXPIRED, None)
    assert (desk.sent[-1].why, desk.sent[-1].kind) == ("expired", EscalationKind.PAGE)
    assert len({each.id for each in desk.sent}) == len(desk.sent)


def test_whoever_was_told_last_has_time_to_answer_before_the_alert_expires() -> None:
    desk = Desk(routed(replace(TWO, until=MINUTE)), head())
    desk.tick(NOON + 5 * MINUTE)
    assert desk.tick(NOON + 10 * MINUTE - 1) == [] and desk.tick(NOON + 10 * MINUTE) == [("leader-a",)]
    assert desk.status is AlertStatus.EXPIRED


def test_a_chain_without_rounds_is_exhausted_and_expires_later() -> None:
    desk = Desk(routed(replace(TWO, until=HOUR)), head())
    for minute in range(1, 90):
        desk.tick(NOON + minute * MINUTE)
    assert [each.why for each in desk.sent] == ["raised", "next", "exhausted", "expired"]


def test_a_new_book_with_an_end_ends_the_rounds_that_had_none() -> None:
    desk = Desk(routed(replace(TWO, repeat=10 * MINUTE)), head())
    desk.tick(NOON + 5 * MINUTE)
    desk.rules = routed(replace(TWO, repeat=10 * MINUTE, until=MINUTE))
    assert desk.tick(NOON + 15 * MINUTE) == [("leader-a",)] and desk.status is AlertStatus.EXPIRED


# ---------------------------------------------------------------- hand-over


def test_a_hand_over_pages_at_once_and_the_chain_goes_on_from_its_first_step_without_an_answer() -> None:
    desk = Desk(routed(TWO), head())
    desk.tick(NOON + 5 * MINUTE)
    desk.hand("li", NOON + 6 * MINUTE)
    assert (desk.sent[-1].tell, desk.sent[-1].why) == (("li",), "handed")
    assert (desk.status, desk.state.handed_to, desk.state.due_at) == (AlertStatus.NOTIFIED, "li", NOON + 10 * MINUTE)
    assert desk.tick(NOON + 10 * MINUTE) == [("t0",)] and desk.status is AlertStatus.NOTIFIED
    assert desk.tick(NOON + 15 * MINUTE) == [("t1",)] and desk.status is AlertStatus.NOTIFIED
    assert desk.tick(NOON + 20 * MINUTE) == [("leader-a",)] and desk.status is AlertStatus.EXHAUSTED
    assert len({each.id for each in desk.sent}) == len(desk.sent), "no message is taken for an earlier one"


def test_who_acked_may_hand_it_on_and_then_it_needs_an_ack_again() -> None:
    desk = Desk(routed(TWO), head())
    desk.ack(NOON + 1)
    desk.hand("li", NOON + 2)
    assert (desk.status, desk.state.acked_by) == (AlertStatus.NOTIFIED, "")
    assert desk.ack(NOON + 1).late == 1, "the first ack again acks nothing"
    assert desk.ack(NOON + 1, ident="other", by="zhao").late == 1, "nor does one of before the hand-over"
    desk.ack(NOON + 3, ident="mine", by="li")
    assert (desk.status, desk.state.acked_by, desk.state.handed_to) == (AlertStatus.ACKED, "li", "")
    assert desk.tick(NOON + HOUR) == []


def test_a_hand_over_is_heard_once_and_another_one_pages_again() -> None:
    desk = Desk(routed(TWO), head())
    first = desk.hand("li")
    assert (desk.hand("li").escalations, desk.hand("li").states) == ([], first.states)
    desk.hand("zhao", NOON + 1, ident="h2")
    desk.hand("li", NOON + 2, ident="h3")
    assert [each.tell for each in desk.sent[1:]] == [("li",), ("zhao",), ("li",)]
    assert len({each.id for each in desk.sent}) == 4


def test_a_raise_ends_a_hand_over_and_a_snooze() -> None:
    for before in ("hand", "snooze"):
        desk = Desk(routed(TWO), head(level=2))
        if before == "hand":
            desk.hand("li")
        else:
            desk.snooze(NOON + 9 * HOUR)
        desk(head(2, level=3, raises=2, at=NOON + MINUTE))
        assert desk.sent[-1].tell == ("t0",)
        assert (desk.state.handed_to, desk.state.snoozed_until, desk.state.acked_by) == ("", None, "")


def test_a_hand_over_that_the_archive_knows_is_not_repeated_after_a_start_and_one_that_was_lost_is() -> None:
    desk = Desk(routed(TWO), head())
    before = desk.state
    desk.hand("li")
    acts = desk.escalator._cases["e1"].acts
    taken, lost = (Desk(desk.rules) for _ in range(2))
    taken(WarmAlert(state=desk.state, head=head(), lost=False, acts=acts))
    lost(WarmAlert(state=before, head=head(), lost=False, acts=acts))
    for each in (taken, lost):
        each.states["e1"] = before
        each.hand("li")
    assert taken.sent == [] and [each.id for each in lost.sent] == [desk.sent[-1].id]


def test_a_handed_page_and_an_expiry_that_were_lost_are_sent_again_with_their_ids() -> None:
    desk = Desk(routed(replace(TWO, until=HOUR)), head())
    desk.hand("li")
    for at in (0, 70, 80, 90, 100):
        message, state = desk.sent[-1], desk.state
        again = Desk(desk.rules)
        again(WarmAlert(state=state, head=head()))
        assert [each.id for each in again.sent] == [message.id]
        desk.tick(NOON + at * MINUTE)
    assert desk.status is AlertStatus.EXPIRED


# ---------------------------------------------------------------- too late, twice, at once


def test_an_ack_for_an_event_closed_long_ago_changes_nothing() -> None:
    desk = Desk(routed(TWO), head())
    alert = desk.state.alert_id
    desk(closed(2, NOON + MINUTE))
    assert (desk.ack(alert_id=alert).states, desk.status) == ([], AlertStatus.ENDED)
    desk.tick(NOON + 5 * DAY)
    assert b"a|e1" not in desk.rows
    out = desk.ack(alert_id=alert, ident="later")
    assert (out.states, out.puts, out.late) == ([], {}, 1)


def test_an_event_closed_while_its_page_is_in_flight_ends_its_alert_and_tells_those_who_were_told() -> None:
    desk = Desk(routed(TWO), head())
    out = desk(closed(2, NOON + 1, reason="已处置"))
    assert [each.kind for each in out.escalations] == [EscalationKind.INFORM]
    assert out.states[-1].status is AlertStatus.ENDED and desk.tick(NOON + 9 * HOUR) == []


def test_an_ack_after_the_expiry_is_remembered_and_undoes_nothing() -> None:
    desk = Desk(routed(replace(route(0), until=MINUTE)), head())
    desk.tick(NOON + 15 * MINUTE)
    assert desk.status is AlertStatus.EXPIRED
    out = desk.ack(NOON + 16 * MINUTE)
    assert (out.states, out.late, desk.status) == ([], 1, AlertStatus.EXPIRED)
    desk(head(2, level=3, raises=2, at=NOON + HOUR))
    assert [act.kind for act in desk.sent[-1].acts] == [ActKind.ACK]


def test_two_acks_at_once_keep_the_first_and_one_of_another_alert_is_refused() -> None:
    desk = Desk(routed(TWO), head())
    desk.ack()
    second = desk.ack(ident="k2", by="li")
    assert (second.states, second.late, desk.state.acked_by) == ([], 1, "wang")
    assert desk.ack(ident="k3", alert_id="other").late == 1


def test_commands_for_events_that_nobody_knows_change_nothing() -> None:
    desk = Desk(routed(TWO))
    desk.states["e1"] = Desk(desk.rules, head()).state
    outs = [desk.ack(), desk.snooze(NOON + HOUR), desk.hand("li")]
    assert [(out.escalations, out.states, out.puts, out.late) for out in outs] == [([], [], {}, 1)] * 3


# ---------------------------------------------------------------- time


def test_one_tick_far_ahead_does_not_count_and_the_timers_go_on() -> None:
    desk = Desk(routed(TWO), head())
    desk(Tick(at=NOON + 1))
    assert desk(Tick(at=NOON + 300 * DAY)).escalations == []
    assert desk(Tick(at=NOON + 300 * DAY)).escalations == [], "nor does it when it comes again"
    assert desk.tick(NOON + 5 * MINUTE) == [("t1",)]
    assert desk(Tick(at=NOON + 9 * HOUR)).escalations == [], "after a stop the next tick says that it is so"
    assert [each.tell for each in desk(Tick(at=NOON + 9 * HOUR + 1000)).escalations] == [("leader-a",)]


@pytest.mark.parametrize("back", [1200, 3 * 3600])
@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_clock_that_jumps_an_hour_loses_no_step_bursts_none_and_stands_still_for_nobody(
    jump: int, back: int,
) -> None:
    """back: the second at which the clock is right again, or never is."""
    desk = Desk(routed(replace(TWO, repeat=10 * MINUTE)), head())
    told = [0]
    for second in range(0, 3 * 3600, 5):
        told += [second for _ in desk.tick(NOON + second * 1000 + (jump if 120 <= second < back else 0))]
        if second % 60 == 0:
            desk.restart()
    steps = [each.step for each in desk.sent]
    assert steps == [n % 2 for n in range(len(steps))] and len(steps) >= 8, "every step in its turn, each once"
    assert all(late.at - early.at >= 5 * MINUTE for early, late in zip(desk.sent, desk.sent[1:], strict=False))
    most = 2 * 600 + 600 + 150           # at half its pace, and still for the last ten minutes of the way
    assert max(late - early for early, late in zip(told, told[1:], strict=False)) <= most


def test_ticks_that_are_read_again_after_a_restart_do_not_move_time() -> None:
    """As a repeat they change nothing: whoever was killed goes on like one who was not."""
    desk = Desk(routed(TWO), head())
    ticks = [Tick(at=NOON + second * 1000) for second in range(0, 280, 5)]
    for each in ticks:
        desk(each)
    before = desk.escalator.now
    desk.restart()
    for each in ticks:
        assert desk(each).escalations == []
    assert desk.escalator.now == before


def test_a_tick_of_a_worker_that_went_away_is_ignored() -> None:
    desk = Desk(routed(TWO), head())
    desk.tick(NOON + 4 * MINUTE)
    desk.tick(NOON + 1)
    assert desk.escalator.now == NOON + 4 * MINUTE and desk.tick(NOON + 5 * MINUTE) == [("t1",)]


def test_a_raise_and_a_fall_that_come_late_are_told_by_their_own_level() -> None:
    desk = Desk(routed(TWO), raised(1, 2, 1, NOON), raised(5, 3, 2, NOON + MINUTE))
    assert desk(raised(3, 1, 1, NOON)).escalations == []
    out = desk(replace(raised(6, 2, 2, NOON + HOUR), decision=replace(head(why=Why.LOWERED).decision, level=2)))
    assert [(each.kind, each.level_name) for each in out.escalations][0] == (EscalationKind.INFORM, "较大")


def test_a_state_said_again_does_not_outrank_what_is_decided_after_a_restart() -> None:
    desk = Desk(routed(TWO), head())
    desk(head(9))
    (again,) = desk(head(9)).states
    desk.restart()
    state = desk.ack().states[-1]
    assert (state.event_version, state.revision) > (again.event_version, again.revision)


def test_rows_of_before_there_were_clocks_are_read() -> None:
    desk = Desk(routed(TWO), head())
    rows = {b"a|e1": msgspec.msgpack.encode(WarmAlert(state=desk.state, head=head())),
            b"t": msgspec.msgpack.encode(NOON)}
    desk.rows = rows
    desk.restart()
    assert desk.tick(NOON + 5 * MINUTE) == [("t1",)] and desk.ack().states[-1].status is AlertStatus.ACKED


def test_replay_sends_a_command_to_its_events_partition_and_a_silence_to_all() -> None:
    flow = Replay(routed(TWO), 4, frozenset({EVENTS}))
    quiet = Silence(id="s", by="w", at=NOON, owner="w", reason="r", starts_at=NOON, ends_at=NOON + HOUR, event_id="e1")
    said = [each for record in (quiet, head(), Statement(id="x", event_id="e9", by="w", at=NOON, title="t",
                                                         published_at=NOON), Heartbeat(id="h", at=NOON, partition=0))
            for each in flow.feed(Input(EVENTS, record))]
    assert [each.suppressed_by for each in said if isinstance(each, Escalation)] == ["silence:s"]
    assert [each.event_id for each in said if isinstance(each, EventClocks)] == ["e9"]
