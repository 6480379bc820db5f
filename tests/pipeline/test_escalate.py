"""Who is told, and who next when nobody answers."""

from __future__ import annotations

from msgspec.structs import replace

from pipeline.escalate.digests import next_digest
from pipeline.escalate.escalator import Escalator, Outcome
from pipeline.model import (
    Ack,
    AlertStatus,
    EscalationKind,
    EventHead,
    EventStatus,
    Evidence,
    LevelDecision,
    Snooze,
    Tick,
    WarmAlert,
    Why,
)
from pipeline.rulebook.schema import HOUR, MINUTE, Route, RouteMode, RuleBook, Step
from tests.builders import NOON, book, routes

BOOK = book()


def head(version: int = 1, level: int = 3, *, raises: int = 1, event_id: str = "e1", at: int = NOON,
         status: EventStatus = EventStatus.OPEN, why: Why = Why.RAISED) -> EventHead:
    return EventHead(
        id=event_id, subject="polling", key="polling", version=version, status=status, level=level,
        level_name=BOOK.levels.name(level) if level else "", peak=level, raises=raises, number=1, book="b",
        decision=LevelDecision(level, 0, why, Evidence(3, 2, HOUR, at), at), title="谣传", first_item_at=at,
        last_item_at=at, opened_at=at, changed_at=at)


class Desk:
    """An escalator and everything it said."""

    def __init__(self) -> None:
        self.escalator = Escalator()
        self.rows: dict[bytes, bytes | None] = {}

    def __call__(self, record: object) -> Outcome:
        out = self.escalator.handle(record, BOOK)  # type: ignore[arg-type]
        self.rows.update(out.puts)
        return out

    def told(self, record: object) -> list[tuple[str, ...]]:
        return [each.tell for each in self(record).escalations]

    def ack(self, alert_id: str, at: int = NOON) -> Outcome:
        return self(Ack(id="k", event_id="e1", alert_id=alert_id, by="wang", at=at))


def test_the_top_level_pages_at_once():
    assert Desk().told(head()) == [("duty",)]


def test_without_an_ack_the_next_person_is_told_after_five_minutes():
    desk = Desk()
    desk(head())
    assert desk.told(Tick(at=NOON + 5 * MINUTE - 1)) == []
    assert desk.told(Tick(at=NOON + 5 * MINUTE)) == [("leaders",)]


def test_the_chain_repeats_with_the_fallback_until_somebody_acks():
    desk = Desk()
    desk(head())
    desk(Tick(at=NOON + 5 * MINUTE))
    again = desk(Tick(at=NOON + 15 * MINUTE))
    assert [each.tell for each in again.escalations] == [("duty", "leader-a")]
    assert again.states[-1].status is AlertStatus.EXHAUSTED
    desk.ack(again.states[-1].alert_id, NOON + 16 * MINUTE)
    assert desk.told(Tick(at=NOON + 9 * HOUR)) == []


def test_a_stopped_system_does_not_burst_when_it_comes_back():
    desk = Desk()
    desk(head())
    assert desk.told(Tick(at=NOON + 3 * HOUR)) == [("leaders",)]
    assert desk.told(Tick(at=NOON + 3 * HOUR + MINUTE)) == []


def test_an_ack_names_who_and_ends_the_chain():
    desk = Desk()
    alert = desk(head()).states[-1].alert_id
    state = desk.ack(alert).states[-1]
    assert (state.status, state.acked_by, state.due_at) == (AlertStatus.ACKED, "wang", None)


def test_an_ack_of_an_older_alert_changes_nothing():
    desk = Desk()
    old = desk(head(level=2)).states[-1].alert_id
    desk(head(2, level=3, raises=2))
    out = desk.ack(old)
    assert (out.states, out.late) == ([], 1)


def test_two_acks_at_once_keep_the_first():
    desk = Desk()
    alert = desk(head()).states[-1].alert_id
    desk.ack(alert)
    second = desk(Ack(id="k2", event_id="e1", alert_id=alert, by="li", at=NOON))
    assert (second.states, second.late) == ([], 1)


def test_a_higher_level_is_a_new_alert_that_needs_a_new_ack():
    desk = Desk()
    first = desk(head(level=2))
    desk.ack(first.states[-1].alert_id)
    second = desk(head(2, level=3, raises=2))
    assert second.escalations[0].tell == ("duty",)
    assert second.escalations[0].alert_id != first.escalations[0].alert_id


def test_a_lower_level_only_informs_those_who_were_told():
    desk = Desk()
    desk(head(level=3))
    out = desk(head(2, level=2, why=Why.LOWERED, at=NOON + MINUTE))
    assert [(each.kind, each.tell) for each in out.escalations] == [(EscalationKind.INFORM, ("duty",))]
    assert desk.told(Tick(at=NOON + 5 * MINUTE)) == [("leaders",)]


def test_rules_with_fewer_levels_tell_nobody_of_a_fall_that_is_none():
    """The same level by name has a lower rank; one of another name is lower indeed."""
    desk = Desk()
    first = head(level=3)
    desk(first)
    moved = replace(head(2, level=2, why=Why.RULES, at=NOON + MINUTE), level_name=first.level_name)
    assert desk(moved).escalations == []
    assert [each.kind for each in desk(head(3, level=1, why=Why.LOWERED, at=NOON + 2 * MINUTE)).escalations] == [
        EscalationKind.INFORM]


def test_rules_with_more_levels_tell_of_a_fall_to_a_higher_rank():
    desk = Desk()
    desk(head(level=2))
    lower = head(2, level=3, why=Why.RULES, at=NOON + MINUTE)               # 较大 is the fourth now
    lower = replace(lower, level_name="一般", decision=replace(lower.decision, previous=4))
    assert [each.kind for each in desk(lower).escalations] == [EscalationKind.INFORM]
    assert desk(replace(lower, version=3)).escalations == []


def test_a_calm_event_ends_its_alert():
    desk = Desk()
    desk(head())
    out = desk(head(2, level=0, status=EventStatus.CALM, why=Why.CALMED))
    assert out.states[-1].status is AlertStatus.ENDED
    assert desk.told(Tick(at=NOON + 9 * HOUR)) == []


def test_a_version_seen_before_changes_nothing_and_says_the_state_again():
    desk = Desk()
    first = desk(head())
    out = desk(head())
    assert (out.escalations, out.states, out.puts, out.late) == ([], first.states[-1:], {}, 1)


def test_an_event_without_a_level_starts_no_alert():
    assert Desk()(head(level=0, status=EventStatus.WATCHING)).puts == {}


def test_a_snoozed_alert_speaks_again_at_its_time():
    desk = Desk()
    alert = desk(head()).states[-1].alert_id
    desk(Snooze(id="s", event_id="e1", alert_id=alert, by="wang", at=NOON, until=NOON + HOUR))
    assert desk.told(Tick(at=NOON + 30 * MINUTE)) == []
    assert desk.told(Tick(at=NOON + HOUR)) == [("leaders",)]


def test_the_lowest_level_waits_for_the_digest_and_shares_it():
    desk = Desk()
    assert desk.told(head(level=1)) == []
    desk(head(level=1, event_id="e2"))
    (sent,) = desk(Tick(at=NOON + HOUR)).escalations
    assert (sent.kind, [each.id for each in sent.digest]) == (EscalationKind.DIGEST, ["e1", "e2"])
    assert desk.told(Tick(at=NOON + 2 * HOUR)) == []


def test_digests_go_out_in_working_hours_only():
    from zoneinfo import ZoneInfo
    route, zone = routes()[2], ZoneInfo("Asia/Shanghai")
    evening, nine_next_day = NOON + 7 * HOUR, NOON + 21 * HOUR
    assert next_digest(evening, route, zone) == nine_next_day
    assert next_digest(NOON + 1, route, zone) == NOON + HOUR
    assert next_digest(NOON - 6 * HOUR, route, zone) == NOON - 3 * HOUR


def test_a_level_without_a_route_pages_the_fallback():
    lonely = book(routes=())
    out = Escalator().handle(head(), lonely)
    assert [each.tell for each in out.escalations] == [("leader-a",)]


def test_a_restored_escalator_keeps_its_due_times():
    desk = Desk()
    desk(head())
    again = Escalator.restore(0, [(k, v) for k, v in desk.rows.items() if v is not None])
    out = again.handle(Tick(at=NOON + 5 * MINUTE), BOOK)
    assert [each.tell for each in out.escalations] == [("leaders",)]


def test_a_message_lost_in_flight_is_sent_again_with_its_id():
    desk = Desk()
    out = desk(head())
    warm = WarmAlert(state=out.states[-1], head=head())
    again = Escalator().handle(warm, BOOK)
    assert [each.id for each in again.escalations] == [out.escalations[0].id]
    assert Escalator().handle(replace(warm, lost=False), BOOK).escalations == []


def test_a_clock_that_jumps_back_neither_loses_nor_repeats_a_step():
    desk = Desk()
    desk(head())
    assert desk.told(Tick(at=NOON - HOUR)) == []
    assert desk.told(Tick(at=NOON + 5 * MINUTE)) == [("leaders",)]
    assert desk.told(Tick(at=NOON + 5 * MINUTE)) == []


def test_ended_alerts_are_forgotten_after_their_events():
    desk = Desk()
    desk(head())
    desk(head(2, level=0, status=EventStatus.CALM, why=Why.CALMED))
    desk(Tick(at=NOON + 50 * HOUR))
    assert desk.rows[b"a|e1"] is None


# ---------------------------------------------------------------- restarts, repeats, rule books that change


def rebooked(desk: Desk, record: object, rules: RuleBook) -> Outcome:
    return desk.escalator.handle(record, rules)  # type: ignore[arg-type]


def restarted(desk: Desk) -> Escalator:
    return Escalator.restore(0, [(key, value) for key, value in desk.rows.items() if value is not None])


def test_a_tick_repeated_after_a_kill_says_the_state_again_and_sends_nothing():
    desk = Desk()
    desk(head())
    told = desk(Tick(at=NOON + 5 * MINUTE))
    again = restarted(desk).handle(Tick(at=NOON + 5 * MINUTE), BOOK)
    assert (again.states, again.escalations) == (told.states, [])


def test_a_command_repeated_after_a_kill_says_the_state_again():
    desk = Desk()
    alert = desk(head()).states[-1].alert_id
    snooze = Snooze(id="s", event_id="e1", alert_id=alert, by="wang", at=NOON, until=NOON + HOUR)
    assert desk(snooze).states == restarted(desk).handle(snooze, BOOK).states
    ack = Ack(id="k", event_id="e1", alert_id=alert, by="wang", at=NOON + MINUTE)
    assert desk(ack).states == restarted(desk).handle(ack, BOOK).states


def test_an_event_that_rose_and_ended_while_nobody_looked_ends_its_alert():
    desk = Desk()
    desk(head())
    out = desk(head(9, level=0, raises=2, status=EventStatus.CALM, why=Why.CALMED))
    assert [each.kind for each in out.escalations] == [EscalationKind.INFORM]
    assert out.states[-1].status is AlertStatus.ENDED


def test_a_snoozed_digest_speaks_again_in_a_message_of_its_own():
    desk = Desk()
    desk(head(level=1))
    first = desk(Tick(at=NOON + HOUR))
    alert = first.states[-1].alert_id
    desk(Snooze(id="s", event_id="e1", alert_id=alert, by="wang", at=NOON + HOUR, until=NOON + 2 * HOUR))
    (second,) = desk(Tick(at=NOON + 2 * HOUR)).escalations
    assert second.kind is EscalationKind.DIGEST and second.id != first.escalations[0].id


def test_a_digest_lost_in_flight_is_sent_again_with_its_id():
    desk = Desk()
    desk(head(level=1))
    sent = desk(Tick(at=NOON + HOUR))
    again = Escalator().handle(WarmAlert(state=sent.states[-1], head=head(level=1)), BOOK)
    assert [each.id for each in again.escalations] == [sent.escalations[0].id]


def test_an_alert_whose_route_is_gone_goes_on_with_the_one_that_fits():
    desk = Desk()
    desk(head(level=1))
    only = Route(id="all", mode=RouteMode.DIGEST, steps=(Step(tell=("duty",)),), every=HOUR)
    out = rebooked(desk, Tick(at=NOON + HOUR), book(routes=(only,)))
    assert [(each.kind, each.tell) for each in out.escalations] == [(EscalationKind.DIGEST, ("duty",))]
    assert out.states[-1].route == "all"
    paged = Desk()
    paged(head())
    two = Route(id="two", steps=(Step(tell=("duty",)), Step(tell=("leaders",), after=MINUTE)))
    out = rebooked(paged, Tick(at=NOON + 5 * MINUTE), book(routes=(two,)))
    assert [each.tell for each in out.escalations] == [("leaders",)]


def test_a_digest_whose_route_now_pages_is_a_page_at_its_time():
    desk = Desk()
    desk(head(level=1))
    pages = Route(id="general", steps=(Step(tell=("leaders",)),))
    out = rebooked(desk, Tick(at=NOON + HOUR), book(routes=(pages,)))
    assert [(each.kind, each.tell) for each in out.escalations] == [(EscalationKind.PAGE, ("leaders",))]


def test_the_name_of_a_digest_is_that_of_its_highest_level():
    desk = Desk()
    pair = book(routes=(replace(routes()[2], levels=()),))
    rebooked(desk, head(level=1, event_id="a"), pair)
    rebooked(desk, head(level=2, event_id="b"), pair)
    (sent,) = rebooked(desk, Tick(at=NOON + HOUR), pair).escalations
    assert (sent.level, sent.level_name) == (2, "较大")


def test_an_ack_beats_a_snooze_in_whatever_order_they_come():
    for first_is_ack in (True, False):
        desk = Desk()
        alert = desk(head()).states[-1].alert_id
        commands = [Ack(id="k", event_id="e1", alert_id=alert, by="wang", at=NOON),
                    Snooze(id="s", event_id="e1", alert_id=alert, by="li", at=NOON, until=NOON + HOUR)]
        for command in commands if first_is_ack else reversed(commands):
            desk(command)
        assert desk.told(Tick(at=NOON + 3 * HOUR)) == []


def test_a_clock_that_jumps_ahead_runs_one_step_and_waits_its_distance_for_the_next():
    desk = Desk()
    desk(head())
    assert desk.told(Tick(at=NOON + 900 * HOUR)) == [("leaders",)]
    assert desk.told(Tick(at=NOON + 900 * HOUR + 9 * MINUTE)) == []
    assert desk.told(Tick(at=NOON + 900 * HOUR + 10 * MINUTE)) == [("duty", "leader-a")]


def test_digests_of_every_other_day_and_over_midnight():
    from zoneinfo import ZoneInfo
    zone = ZoneInfo("Asia/Shanghai")
    days = replace(routes()[2], every=48 * HOUR)
    assert next_digest(NOON, days, zone) == NOON + 45 * HOUR                       # in two days at 09:00
    night = replace(routes()[2], hours="22:00-06:00")
    assert next_digest(NOON, night, zone) == NOON + 10 * HOUR                      # today at 22:00
    assert next_digest(NOON + 14 * HOUR, night, zone) == NOON + 15 * HOUR          # 02:00 -> 03:00
    assert next_digest(NOON + 18 * HOUR, night, zone) == NOON + 34 * HOUR          # 06:00 -> 22:00
