"""Chinese sentences for what the desk shows and messages do not: alerts' next step, lines of a timeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from agents.store.readmodel import Kind, Line
from pipeline.model import (
    OPEN_SUBJECT,
    SHADOW,
    AlertState,
    AlertStatus,
    DeliveryStatus,
    EscalationKind,
    EventHead,
    EventStatus,
    LevelDecision,
    VerdictKind,
    Why,
)
from pipeline.notify import wording
from pipeline.rulebook.schema import INTAKE, Levels, RouteMode, RuleBook
from pipeline.rulebook.shadow import live_name

NO_LEVELS = Levels(ladder=())
VERDICT: Mapping[VerdictKind, str] = {
    VerdictKind.RELEVANT: "有关", VerdictKind.NOT_RELEVANT: "无关", VerdictKind.DUPLICATE: "重复",
    VerdictKind.WRONG_LEVEL: "级别不对"}


class Names:
    """Ids of the rule book as people know them. What the book no longer has keeps its id."""

    def __init__(self, book: RuleBook | None) -> None:
        self.book = book
        self.levels = book.levels if book else NO_LEVELS
        beside = book.shadow.subjects if book and book.shadow else ()
        self._subjects = {each.id: each.title for each in (*beside, *(book.subjects if book else ()))}
        self._lists = {each.id: each.title for each in book.lists} if book else {}
        self._sources = {each.id: each.name for each in (INTAKE, *(book.sources if book else ()))}
        people = {each.id: each.name for each in book.roster.people} if book else {}
        teams = {each.id: each.name for each in book.roster.teams} if book else {}
        self._who = {**people, **teams}
        self._channels = {each.id: each.type.value for each in book.channels} if book else {}

    def subject(self, ident: str) -> str:
        """A subject's title; one in shadow says so."""
        plain = live_name(ident)
        title = "未归类话题" if plain == OPEN_SUBJECT else self._subjects.get(plain, plain)
        return title if plain == ident else f"{title}（影子）"

    def term(self, name: str) -> str:
        """What a span calls its pattern, with a word list by its title."""
        return f"词表：{self._lists.get(name[1:], name[1:])}" if name.startswith("@") else name

    def source(self, ident: str) -> str:
        return self._sources.get(ident, ident)

    def who(self, *idents: str) -> str:
        return "、".join(self._who.get(each, each) for each in idents)

    def channel(self, ident: str) -> str:
        kind = {"webhook": "网络钩子", "smtp": "邮件", "console": "控制台"}.get(self._channels.get(ident, ""), "")
        return f"{ident}（{kind}）" if kind else ident


# ---------------------------------------------------------------- events


def why(head: EventHead, names: Names) -> str:
    return wording.why_of(head, names.levels)


def next_step(alert: AlertState, names: Names, book: RuleBook | None) -> str:
    """Who is told when nobody answers: `王五`; empty when nothing is due."""
    if alert.due_at is None or book is None:
        return ""
    if alert.status is AlertStatus.SNOOZED:
        return "恢复提醒"
    route = next((each for each in book.routes if each.id == alert.route), None)
    if route is None:
        return f"通知 {names.who(book.roster.fallback)}"
    if route.mode is RouteMode.DIGEST:
        return "发出汇总"
    tell = route.steps[alert.step].tell if alert.step < len(route.steps) else ()
    if alert.repeat and alert.step == 0:
        tell = tuple(dict.fromkeys((*tell, book.roster.fallback)))
    return f"{'重新' if alert.repeat else ''}通知 {names.who(*tell)}"


# ---------------------------------------------------------------- timeline


@dataclass(frozen=True, slots=True)
class Told:
    """A line of a timeline as it is read. tone: what the dot looks like (level-N, told, ack, bad, minor, quiet)."""

    title: str
    text: str = ""
    tone: str = "quiet"


def line(row: Line, names: Names) -> Told:
    """A sentence for a line; one that cannot be read is shown by its kind, never left out."""
    try:
        return _LINES[row.kind](row.detail, names)
    except (KeyError, ValueError, TypeError, msgspec.ValidationError):
        return Told(f"记录（{row.kind}）")


def _opened(detail: Mapping[str, Any], names: Names) -> Told:
    number = int(detail.get("number") or 0)
    subject = str(detail.get("subject", ""))
    letter = "S" if subject.startswith(SHADOW) else "E"
    return Told(f"成为事件 {letter}-{number:04d}" if number else "发现", names.subject(subject))


def _level(detail: Mapping[str, Any], names: Names) -> Told:
    decision = msgspec.convert(dict(detail), LevelDecision)
    verb = {Why.RAISED: "升级", Why.GROWING: "升级", Why.REPORTED: "升级", Why.LOWERED: "降级",
            Why.CALMED: "平息"}.get(decision.why, "级别")
    return Told(f"{verb}：{wording.change(decision, names.levels)}", wording.why(decision, names.levels),
                f"level-{decision.level}" if decision.level else "quiet")


def _status(detail: Mapping[str, Any], names: Names) -> Told:
    status = EventStatus(detail["status"])
    title = "重新打开" if status is EventStatus.OPEN else wording.EVENT_STATUS[status]
    return Told(title, "：".join(str(detail[key]) for key in ("by", "reason") if detail.get(key)))


def _statement(detail: Mapping[str, Any], names: Names) -> Told:
    return Told("官方回应", str(detail.get("source_name") or ""), "ack")


def _ack(detail: Mapping[str, Any], names: Names) -> Told:
    return Told(f"{detail['by']} 确认了提醒", str(detail.get("note") or ""), "ack")


def _snooze(detail: Mapping[str, Any], names: Names) -> Told:
    length = wording.duration(int(detail["until"]) - int(detail["at"]))
    return Told(f"{detail['by']} 暂缓提醒 {length}")


def _close(detail: Mapping[str, Any], names: Names) -> Told:
    return Told(f"{detail['by']} 关闭了事件", str(detail.get("reason") or ""))


def _verdict(detail: Mapping[str, Any], names: Names) -> Told:
    return Told(f"{detail['by']} 评价：{VERDICT[VerdictKind(detail['kind'])]}", str(detail.get("note") or ""), "minor")


def _escalation(detail: Mapping[str, Any], names: Names) -> Told:
    kind = EscalationKind(detail["kind"])
    verb = {EscalationKind.PAGE: "通知", EscalationKind.DIGEST: "汇总通知", EscalationKind.INFORM: "通报"}
    number, turn = int(detail.get("step") or 0) + 1, int(detail.get("repeat") or 0)
    text = f"第 {number} 步" + (f"，第 {turn + 1} 轮，此前无人确认" if turn else "")
    text = text if kind is EscalationKind.PAGE else ""
    return Told(f"{verb.get(kind, wording.KIND[kind])} {names.who(*detail.get('tell', ()))}", text, "told")


def _delivery(detail: Mapping[str, Any], names: Names) -> Told:
    status = DeliveryStatus(detail["status"])
    to = f"{names.who(str(detail['person']))}，{names.channel(str(detail['channel']))}"
    tone = "bad" if status is DeliveryStatus.DEAD else "minor"
    return Told(f"{wording.DELIVERY_STATUS[status]}：{to}", str(detail.get("error") or ""), tone)


_LINES: dict[Kind, Callable[[Mapping[str, Any], Names], Told]] = {
    Kind.OPENED: _opened, Kind.LEVEL: _level, Kind.STATUS: _status, Kind.STATEMENT: _statement, Kind.ACK: _ack,
    Kind.SNOOZE: _snooze, Kind.CLOSE: _close, Kind.VERDICT: _verdict,
    Kind.ESCALATION: _escalation, Kind.DELIVERY: _delivery,
}
