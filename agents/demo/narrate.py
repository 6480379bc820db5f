"""What happened, as a line in Chinese for the terminal: time, what, and why."""

from __future__ import annotations

from dataclasses import dataclass

from agents.demo.facts import Happening, Kind
from agents.demo.scenario import Scenario, clock_text
from pipeline.model import (
    AlertState,
    DeadLetter,
    Delivery,
    DeliveryStatus,
    Escalation,
    EscalationKind,
    EventClocks,
    EventHead,
    Millis,
    RawItem,
    SourceState,
)
from pipeline.notify import wording
from pipeline.rulebook.schema import MINUTE, RuleBook


@dataclass(frozen=True, slots=True)
class Line:
    """style: a rich style, empty for plain."""

    at: Millis
    mark: str
    text: str
    style: str = ""

    def plain(self) -> str:
        return f"{clock_text(self.at)}  {self.mark}  {self.text}"


class Narrator:
    def __init__(self, scenario: Scenario, book: RuleBook) -> None:
        self._sites = {site.id: site.name for site in scenario.sites}
        self._people = {person.id: person.name for person in book.roster.people}
        self._teams = {team.id: team.name for team in book.roster.teams} | self._people
        self._book = book
        self._decided: Millis = 0

    def line(self, happening: Happening) -> Line | None:
        """The line for it; None for what is not worth one."""
        match happening.record:
            case SourceState() as state:
                return Line(state.polled_at, "采集", f"{self._site(state.source_id)}：首次采集成功", "dim")
            case RawItem() as item:
                return self._item(happening.kind, item)
            case EventHead() as head if happening.kind is Kind.STATEMENT:
                said = head.statements[-1]
                return Line(head.changed_at, "回应", f"{head.short} 附上{said.source_name}：{said.title}", "bold green")
            case EventHead() as head:
                return self._level(head)
            case Escalation() as escalation:
                return self._escalation(escalation)
            case Delivery() as delivery:
                return self._delivery(delivery)
            case AlertState() as state:
                return Line(state.acked_at or 0, "确认", f"{state.acked_by} 已确认，升级停止", "bold green")
            case EventClocks() as clocks:
                return self._clocks(clocks)
            case DeadLetter() as dead:
                return Line(dead.at, "死信", f"{dead.topic}：{dead.error}", "bold red")
        return None

    def level_style(self, rank: int) -> str:
        ladder = self._book.levels.ladder
        return f"bold {ladder[rank - 1].color}" if 0 < rank <= len(ladder) else "bold green"

    def _site(self, source_id: str) -> str:
        return self._sites.get(source_id, source_id)

    def _item(self, kind: Kind, item: RawItem) -> Line | None:
        if item.backfill:
            return None
        mark = "改帖" if kind is Kind.REVISION else "条目"
        return Line(item.first_seen_at, mark, f"{self._site(item.source_id)}：{item.title}", "dim")

    def _level(self, head: EventHead) -> Line:
        decision = head.decision
        self._decided = max(self._decided, decision.at)
        levels = self._book.levels
        text = f"{head.short} {wording.change(decision, levels)}：{wording.why_of(head, levels)}"
        return Line(decision.at, "级别", text, self.level_style(decision.level))

    def _escalation(self, escalation: Escalation) -> Line:
        who = "、".join(self._teams.get(each, each) for each in escalation.tell)
        about = escalation.head.short if escalation.head else escalation.title
        if escalation.digest:
            about = "、".join(head.short for head in escalation.digest)
        parts = [f"{wording.KIND[escalation.kind]} {about} {escalation.level_name}".strip(), f"通知{who}",
                 wording.step(escalation)]
        style = "yellow" if escalation.kind is EscalationKind.PAGE else ""
        return Line(escalation.at, "通知", "；".join(filter(None, parts)), style)

    def _delivery(self, delivery: Delivery) -> Line:
        who = self._people.get(delivery.person, delivery.person)
        error = f"（{delivery.error}）" if delivery.error else ""
        said = f"{who}：{wording.DELIVERY_STATUS[delivery.status]}{error}"
        style = "" if delivery.status is DeliveryStatus.CONFIRMED else "red"
        return Line(delivery.at, "投递", said, style)

    def _clocks(self, record: EventClocks) -> Line | None:
        """Of the event's first clock: when it ends, or who stopped it. It began with the last decision of a level."""
        if not record.clocks:
            return None
        clock = record.clocks[0]
        if clock.stopped_at is None:
            said = f"{clock.name}开始计时，{clock_text(clock.due_at)} 到期"
            return Line(max(self._decided, clock.started_at), "时限", said, "yellow")
        used = wording.duration((clock.stopped_at - clock.started_at) // MINUTE * MINUTE)
        stopped = max((one.at for one in record.statements), default=clock.stopped_at)
        return Line(stopped, "时限", f"{clock.name}已停止，用时 {used}（{clock.stopped_by}）", "bold green")
