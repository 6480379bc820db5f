"""What the day must show, step by step, and which steps were seen. Times are those that the records carry."""

from __future__ import annotations

from dataclasses import dataclass, field

from agents.demo.facts import Facts, Happening, Kind
from agents.demo.phone import Phone
from agents.demo.scenario import Part, Scenario, clock_text
from pipeline.model import (
    AlertState,
    Delivery,
    DeliveryStatus,
    Escalation,
    EscalationKind,
    EventClocks,
    EventHead,
    EventStatus,
    Millis,
    RawItem,
)
from pipeline.notify.wording import duration
from pipeline.rulebook.schema import MINUTE

SUBJECT = "voting-hours"
"""The watch subject of the story's rumour; the demo's other subjects must stay below every level."""


@dataclass(frozen=True, slots=True)
class Step:
    """after: steps that must not be later than this one."""

    id: str
    title: str
    after: tuple[str, ...] = ()


STEPS: tuple[Step, ...] = (
    Step("polled", "全部站点采集成功"),
    Step("backfill", "已有的旧内容只入库，不定级"),
    Step("first", "谣传首帖入库", ("backfill",)),
    Step("common", "一般：多个来源开始转述", ("first",)),
    Step("digest", "一般：汇总送达值班员", ("common",)),
    Step("major", "较大：来源和速度增长", ("common",)),
    Step("clock", "较大：首次权威回应开始计时", ("first",)),
    Step("major-first", "较大：告警送达值班员", ("major",)),
    Step("major-next", "较大：无人确认，送达值班长", ("major-first",)),
    Step("top", "重大：来源和速度继续增长", ("major",)),
    Step("top-first", "重大：告警送达值班员", ("top",)),
    Step("top-next", "重大：无人确认，送达值班长", ("top-first",)),
    Step("ack", "有人确认，升级停止", ("top-first",)),
    Step("edited", "改帖记为新版本，不算新的一条", ("first",)),
    Step("correction", "公告栏的更正附到事件上", ("first",)),
    Step("answered", "公告登记为官方回应，计时停止", ("correction",)),
    Step("fell", "热度回落，级别下降", ("top", "correction")),
    Step("calm", "事件平息", ("fell",)),
)
CHECKS: tuple[Step, ...] = (
    Step("whole", "每条帖子都采集到，各算一条"),
    Step("quiet", "其他话题没有升级"),
    Step("stopped", "确认之后没有再通知"),
    Step("delivered", "每条消息都送达一次，签名有效"),
    Step("clean", "没有死信"),
    Step("private", "昵称没有留存，电话已遮盖"),
)


@dataclass(frozen=True, slots=True)
class Mark:
    """When a step was reached. lag: milliseconds of the demo's time from the decision, for deliveries."""

    at: Millis
    note: str = ""
    lag: Millis | None = None


@dataclass(slots=True)
class Story:
    """Folds happenings into steps; `check` looks at the whole at the end."""

    scenario: Scenario
    facts: Facts
    names: dict[str, str]
    marks: dict[str, Mark] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    event_id: str = ""
    after_ack: list[Escalation] = field(default_factory=list)
    acked: set[str] = field(default_factory=set)

    def see(self, happening: Happening, now: Millis) -> None:
        """Take a happening in. Topics are read side by side, so what came early is looked at again each time."""
        match happening.kind:
            case Kind.SOURCE:
                self._source(now)
            case Kind.ITEM:
                self._item(happening.record)
            case Kind.REVISION:
                self._mark("edited", happening.record.first_seen_at, happening.record.title)
            case Kind.STATEMENT:
                self._statement(happening.record)
            case Kind.CLOCKS:
                self._clocks(happening.record)
            case Kind.ACK:
                self.acked.add(happening.record.alert_id)
            case Kind.ESCALATION:
                self._escalation(happening.record)
        for head in self.facts.decided:
            self._level(head)
        for delivery in self.facts.deliveries.values():
            self._delivery(delivery)
        for state in self.facts.acks:
            self._ack(state)

    @property
    def correction(self) -> str:
        """The title of what the office publishes."""
        return self.scenario.first(Part.CORRECTION).title

    def missing(self) -> list[Step]:
        return [step for step in STEPS if step.id not in self.marks]

    def complete(self) -> bool:
        return not self.missing()

    # ---------------------------------------------------------------- steps

    def _mark(self, step: str, at: Millis, note: str = "", lag: Millis | None = None) -> None:
        self.marks.setdefault(step, Mark(at, note, lag))

    def _source(self, now: Millis) -> None:
        good = [state for state in self.facts.sources.values() if state.succeeded_at is not None]
        if len(good) == len(self.scenario.sites):
            self._mark("polled", max(state.succeeded_at or now for state in good), f"{len(good)} 个站点")

    def _item(self, item: RawItem) -> None:
        old = [post for post in self.scenario.posts if post.at < self.scenario.opens]
        known = [each for each in self.facts.items.values() if each.backfill]
        if len(known) == len(old):
            self._mark("backfill", max(each.first_seen_at for each in known), f"{len(known)} 条")
        first = self.scenario.first(Part.RUMOUR)
        if (item.source_id, item.title) == (first.site, first.title) and not item.backfill:
            self._mark("first", item.first_seen_at, item.title)

    def _level(self, head: EventHead) -> None:
        if head.subject != SUBJECT:
            return
        decision = head.decision
        if decision.level > decision.previous:
            self.event_id = self.event_id or head.id
        if head.id != self.event_id:
            return
        rising = {1: "common", 2: "major", 3: "top"}.get(decision.level)
        figures = f"{decision.evidence.items} 条 / {decision.evidence.sources} 个来源"
        if decision.level > decision.previous and rising:
            self._mark(rising, decision.at, figures)
        if decision.level < decision.previous:
            self._mark("fell", decision.at, figures)
        if head.status is EventStatus.CALM:
            self._mark("calm", decision.at, figures)

    def _statement(self, head: EventHead) -> None:
        if head.id == self.event_id and any(one.official and one.title == self.correction for one in head.statements):
            self._mark("correction", head.changed_at, self.scenario.official().name)

    def _clocks(self, record: EventClocks) -> None:
        """Of the event's first clock."""
        if record.event_id != self.event_id or not record.clocks:
            return
        clock = record.clocks[0]
        self._mark("clock", clock.started_at, f"{clock_text(clock.due_at)} 到期")
        confirmed = [one for one in record.statements if one.id == clock.ref]
        if clock.stopped_at is not None and confirmed:
            used = duration((clock.stopped_at - clock.started_at) // MINUTE * MINUTE)
            self._mark("answered", confirmed[0].at, f"{clock.stopped_by} 登记，用时 {used}")

    def _escalation(self, escalation: Escalation) -> None:
        if escalation.kind is EscalationKind.PAGE and escalation.alert_id in self.acked:
            self.after_ack.append(escalation)

    def _delivery(self, delivery: Delivery) -> None:
        escalation = self.facts.escalations.get(delivery.escalation_id)
        if delivery.status is not DeliveryStatus.CONFIRMED or escalation is None:
            return
        step = self._delivered_step(escalation, delivery.person)
        if step:
            self._mark(step, delivery.at, self.names.get(delivery.person, ""), delivery.at - delivery.decided_at)

    def _delivered_step(self, escalation: Escalation, person: str) -> str:
        if escalation.kind is EscalationKind.DIGEST:
            about = {head.id for head in escalation.digest} or {escalation.event_id}
            return "digest" if self.event_id in about and person == "duty" else ""
        if escalation.kind is not EscalationKind.PAGE or escalation.event_id != self.event_id:
            return ""
        level = {2: "major", 3: "top"}.get(escalation.level, "")
        order = {(0, "duty"): "first", (1, "chief"): "next"}.get((escalation.step, person), "")
        return f"{level}-{order}" if level and order and not escalation.repeat else ""

    def _ack(self, state: AlertState) -> None:
        if state.event_id != self.event_id:
            return
        at = state.acked_at or 0
        level = {2: "major", 3: "top"}.get(state.level, "")
        if level and f"{level}-next" not in self.marks:      # a person was quicker than the next call
            self._mark(f"{level}-next", at, "已提前确认，不必再通知")
        if state.level == 3:
            self._mark("ack", at, f"{state.acked_by} 确认")

    # ---------------------------------------------------------------- the whole

    def check(self, phone: Phone) -> None:
        """Look at everything once more; what is wrong is written to `faults`."""
        self.faults = {name: fault for name, fault in (
            ("order", self._order()), ("whole", self._whole()), ("quiet", self._quiet()), ("stopped", self._stopped()),
            ("delivered", self._all_delivered(phone)), ("clean", self._clean()), ("private", self._private()),
        ) if fault}

    def settled(self) -> bool:
        """Whether every post was collected and every message that was decided has come to an end."""
        return not self._whole() and self._ended()

    def _whole(self) -> str:
        posts = len({(post.site, post.guid) for post in self.scenario.posts})
        return f"{posts} 条帖子，{len(self.facts.items)} 个条目" if len(self.facts.items) != posts else ""

    def _ended(self) -> bool:
        ended = {each.escalation_id for each in self.facts.deliveries.values()
                 if each.status is not DeliveryStatus.PENDING}
        return all(escalation.id in ended for escalation in self.facts.escalations.values())

    def _order(self) -> str:
        wrong = [f"{step.title} 早于 {before}" for step in STEPS for before in step.after
                 if step.id in self.marks and before in self.marks and self.marks[step.id].at < self.marks[before].at]
        return "；".join(wrong)

    def _quiet(self) -> str:
        loud = [head.title for head in self.facts.heads.values() if head.peak and head.id != self.event_id]
        return "、".join(loud)

    def _stopped(self) -> str:
        return f"确认之后还通知了 {len(self.after_ack)} 次" if self.after_ack else ""

    def _all_delivered(self, phone: Phone) -> str:
        confirmed = {each.id for each in self.facts.deliveries.values() if each.status is DeliveryStatus.CONFIRMED}
        dead = [each for each in self.facts.deliveries.values() if each.status is DeliveryStatus.DEAD]
        arrived = {message.id for message in phone.received}
        faults = [
            f"{len(dead)} 条未能送达" if dead else "", f"{phone.refused} 条签名不对" if phone.refused else "",
            f"{len(confirmed - arrived)} 条记为送达却没有收到" if confirmed - arrived else "",
            f"{len(arrived - confirmed)} 条收到却没有记账" if arrived - confirmed else "",
            f"{phone.repeats} 条重复" if phone.repeats else "", "" if self._ended() else "还有消息没有结果"]
        return "、".join(filter(None, faults))

    def _clean(self) -> str:
        return "；".join(f"{dead.topic}：{dead.error}" for dead in self.facts.dead[:3])

    def _private(self) -> str:
        texts = [f"{item.title}\n{item.text}" for item in self.facts.items.values()]
        kept = [word for word in (self.scenario.nickname, "13000000000") if any(word in text for text in texts)]
        return "、".join(kept)
