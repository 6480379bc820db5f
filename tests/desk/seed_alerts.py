"""A night on call: clocks in every state, silences, statements, hand-overs, a drill, what was held back."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from agents.desk import drill_commands
from agents.desk.commands import Order
from agents.store import schema
from agents.store.drill_reads import Run
from pipeline.drill import item_id, turns
from pipeline.ids import digest
from pipeline.model import (
    AlertStatus,
    Comment,
    EscalationKind,
    EventHead,
    EventStatus,
    Excerpt,
    HandOver,
)
from pipeline.rulebook.drills import Drill, DrillItem, DrillSource, DrillTargets
from pipeline.rulebook.schema import (
    HOUR,
    MINUTE,
    Channel,
    ChannelType,
    Override,
    Person,
    Roster,
    RuleBook,
    Shift,
    Team,
)
from tests.desk import seed
from tests.desk.seed import NOW

UNANSWERED, HANDED, QUIET, SILENCED, DRILL = 321, 322, 323, 324, 4


def book() -> RuleBook:
    """Two shifts, a gap, an override; two channels of chat and one of text messages."""
    people = tuple(Person(id=ident, name=name, channels=("wecom-duty", "duty-sms")) for ident, name in (
        ("day", "白班值班员"), ("night", "夜班值班员"), ("leader", "带班领导"), ("ops-a", "系统运维")))
    teams = (
        Team(id="duty", name="值班组", shifts=(Shift(members=("day",), start="08:00", end="20:00"),
                                            Shift(members=("night",), start="20:00", end="08:00"))),
        Team(id="leaders", name="领导小组", shifts=(Shift(members=("leader",), start="08:00", end="18:00"),)),
        Team(id="ops", name="运维组", shifts=(Shift(members=("ops-a",)),)))
    swapped = Override(date="2026-11-22", team="duty", members=("leader",), start="08:00", end="12:00", reason="换班")
    channels = (Channel(id="wecom-duty", type=ChannelType.WECOM_BOT, url_file="x"),
                Channel(id="duty-sms", type=ChannelType.ALIYUN_SMS, key_file="k", secret_file="s"))
    roster = Roster(people=people, teams=teams, fallback="leader", overrides=(swapped,))
    return seed.book(roster=roster, channels=channels)


@seed.once
def night(engine: Engine) -> None:
    """What `morning` has, and one event in each state an alert can be in."""
    seed.morning(engine)
    _clocks_of_the_large_event(engine)
    _unanswered(engine)
    _handed(engine)
    _held(engine)
    _drill(engine)


def _clocks_of_the_large_event(engine: Engine) -> None:
    large = seed.head(317, 3)
    seed.put_clocks(engine, large, seed.clock(hours=1.8), seed.clock("briefing", 2.5), seed.clock("reply", 48))
    queue = seed.head(318, 2)
    seed.put_clocks(engine, queue,
                    seed.clock(minutes_ago=200, stopped_at=NOW - 30 * MINUTE, stopped_by="李敏",
                               stopped_why="statement", ref="st"), seed.clock("briefing", 24, minutes_ago=200))
    seed.put_statement(engine, seed.statement(queue))


def _unanswered(engine: Engine) -> None:
    one = seed.put_event(engine, seed.head(UNANSWERED, 3, title="第三中学选票点停电", items=33, sources=8))
    seed.put_alert(engine, seed.alert(one, AlertStatus.EXHAUSTED, told=("duty", "leaders"), step=0, repeat=1,
                                      due_at=NOW + 4 * MINUTE))
    seed.put_clocks(engine, one, seed.clock(hours=1.5))


def _handed(engine: Engine) -> EventHead:
    one = seed.put_event(engine, seed.head(HANDED, 2, title="网传候选人名单有误", last_item_at=NOW - 20 * MINUTE))
    state = seed.put_alert(engine, seed.alert(one, handed_to="leaders", told=("duty", "leaders")))
    over = HandOver(id="h" * 20, event_id=one.id, alert_id=state.alert_id, by="李敏", at=NOW - 6 * MINUTE, to="leaders",
                    note="我在去现场的路上")
    seed.put_line(engine, one, "hand_over", 6, over)
    seed.put_line(engine, one, "comment", 5, Comment(id="c" * 20, event_id=one.id, by="李敏", at=NOW - 5 * MINUTE,
                                                     text="选举办说名单以公告为准，\n正在写说明"))
    return one


def _held(engine: Engine) -> None:
    quiet = seed.put_event(engine, seed.head(QUIET, 1, title="选民证领取点地址打听不到", items=5, sources=3))
    seed.put_alert(engine, seed.alert(quiet, AlertStatus.PENDING, told=(), step=0, held_by="quiet",
                                      due_at=NOW + 4 * HOUR, route="general"))
    silent = seed.put_event(engine, seed.head(SILENCED, 2, title="城北水厂检修，投票点停水"))
    muted = seed.put_silence(engine, seed.silence(event_id=silent.id, levels=("一般", "较大")))
    seed.put_alert(engine, seed.alert(silent, AlertStatus.PENDING, told=(), step=0, held_by=f"silence:{muted.id}",
                                      due_at=muted.ends_at))
    held = seed.put_escalation(engine, silent, suppressed_by=f"silence:{muted.id}", tell=("duty",))
    seed.put_line(engine, silent, "silence", 10, muted)
    seed.put_line(engine, silent, "suppressed", 9, {
        "id": held.id, "kind": "page", "why": "raised", "level": 2, "step": 0, "repeat": 0, "tell": ["duty"],
        "suppressed_by": held.suppressed_by})
    seed.put_delivery(engine, silent, "day", "suppressed", suppressed_by="acked:李敏", channel="wecom-duty")
    seed.put_silence(engine, seed.silence("s2", subjects=("polling",), groups=("论坛",), owner="李敏", hours=6,
                                          reason="<b>论坛</b>升级，重复内容多"))
    seed.put_silence(engine, seed.silence("s3", levels=("一般",), expired_at=NOW - 5 * MINUTE, minutes_ago=90))


def _drill(engine: Engine) -> None:
    said = Excerpt(item_id="d" * 20, title="（演练）关于投票时间的说明", text="以公告为准。", source_name="县政府公告",
                   url="https://gonggao.example/drill", at=NOW - 2 * MINUTE, official=True)
    one = seed.put_event(engine, seed.head(DRILL, 2, subject="!polling", key="!polling", status=EventStatus.OPEN,
                                           title="（演练）网传投票站提前关门", statements=(said,)))
    state = seed.put_alert(engine, seed.alert(one))
    seed.put_clocks(engine, one, seed.clock(hours=5, minutes_ago=40))
    seed.put_escalation(engine, one, alert_id=state.alert_id, kind=EscalationKind.PAGE, head=one)


def played(engine: Engine) -> Run:
    """A run of a drill whose items became an event that was paged and answered too late."""
    script = Drill(id="rumour", title="投票提前截止的谣言", owner="监测组", reason="检验值班能否在 5 分钟内确认",
                   sources=(DrillSource(id="a", name="演练论坛"),),
                   items=(DrillItem(at=0, sources=("a",), title="听说下午三点就截止？"),),
                   targets=DrillTargets(event=3 * MINUTE, levels={"较大": 5 * MINUTE}, page=MINUTE, ack=5 * MINUTE,
                                        statement=30 * MINUTE))
    began = NOW - 20 * MINUTE
    run = drill_commands.begin(engine, Order("", "局长", began, began), script)
    accepted = drill_commands.send(engine, Order("", "局长", began, began), run, 0, turns(script)[0])
    one = seed.head(DRILL, 2, subject="!polling", key="!polling")
    row = seed.MemberRow(item_id(run.id, 0), began, "drill:a", 0, ())
    seed._put(engine, schema.members, {"event_id": one.id, "item_id": item_id(run.id, 0), "at": began,
                                       "row": seed.codec_text(row)})
    for minutes, level in ((18, 1), (17, 2)):
        seed.put_line(engine, one, "level", minutes, seed.head(DRILL, level).decision.__class__(
            level=level, previous=level - 1, why=seed.Why.RAISED, evidence=one.decision.evidence,
            at=NOW - minutes * MINUTE, name="一般" if level == 1 else "较大"))
    page = seed.put_escalation(engine, one, head=one, at=NOW - 17 * MINUTE, why="played")
    seed.put_delivery(engine, one, "night", "confirmed", minutes_ago=16, escalation_id=page.id)
    seed.put_line(engine, one, "ack", 9, {"by": "李敏", "at": NOW - 9 * MINUTE})
    assert not accepted.repeated
    return run


def put_row(engine: Engine, ident: str, person: str, channel: str, status: str, *, of: EventHead | None = None,
            minutes_ago: int = 10, **changes: Any) -> None:
    """A row of deliver's ledger, as it stands."""
    at = NOW - minutes_ago * MINUTE
    seed._put(engine, schema.outbox, {
        "id": digest("row", ident, person, channel), "escalation": "", "person": person, "channel": channel,
        "status": status, "attempts": 1, "decided_at": at, "next_try_at": at, "escalation_id": digest("esc", ident),
        "event_id": of.id if of else "", "kind": "page", "level": of.level if of else 0,
        "confirmed_at": at + 900 if status == "confirmed" else None, **changes})


def ledger(engine: Engine, real: int) -> None:
    """Rows in every state, a bundle, a failover, an open breaker, a message that nobody accounts for. real: now."""
    large, silent, drill = seed.head(317, 3), seed.head(SILENCED, 2), seed.head(DRILL, 2, subject="!polling")
    muted = seed.silence(event_id=silent.id, levels=("一般", "较大"))
    put_row(engine, "1", "night", "wecom-duty", "confirmed", of=large, minutes_ago=12)
    put_row(engine, "2", "leader", "wecom-duty", "dead", of=large, minutes_ago=9, attempts=6,
            error="errcode 93000：机器人已被移除", next_channels='["duty-sms"]')
    put_row(engine, "2", "leader", "duty-sms", "pending", of=large, minutes_ago=9, attempts=2,
            error="连接超时", next_try_at=real + 95_000)
    for number in range(3):
        put_row(engine, f"b{number}", "night", "wecom-duty", "confirmed", of=seed.head(318 + number, 2), minutes_ago=7,
                confirmed_at=NOW - 6 * MINUTE)
    put_row(engine, "3", "night", "wecom-duty", "suppressed", of=silent, attempts=0,
            suppressed_by=f"silence:{muted.id}")
    put_row(engine, "4", "day", "duty-sms", "suppressed", of=large, suppressed_by="acked:李敏", attempts=0)
    put_row(engine, "5", "night", "wecom-duty", "confirmed", of=drill, drill=True, minutes_ago=2)
    seed._put(engine, schema.channel_state, {
        "channel": "duty-sms", "failures": 4, "opened": 1, "open_until": real + 180_000, "tokens": 0.0,
        "refilled_at": real, "error": "连接超时"})
    seed._put(engine, schema.channel_state, {
        "channel": "wecom-duty", "failures": 0, "opened": 0, "open_until": 0, "tokens": 3.0, "refilled_at": real,
        "error": "errcode 93000：机器人已被移除"})
