"""What can be done from the page of a link: forms to commands, each with the words that follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agents.desk import actions, commands, event_commands, pages, verdicts
from agents.desk.commands import Accepted, Order, Refused
from agents.desk.describe import VERDICT
from agents.desk.verdict_pages import CLOSES
from agents.desk.web import Desk
from pipeline.model import VerdictKind

REASONS = commands.REASONS
SNOOZES = ((30, "30 分钟"), (60, "1 小时"), (120, "2 小时"))
WRONG = tuple((kind.value, VERDICT[kind]) for kind in (
    VerdictKind.NOT_RELEVANT, VerdictKind.DUPLICATE, VerdictKind.WRONG_LEVEL))
"""What may be wrong with an event: said with a reason."""
DONE: Mapping[str, str] = {
    **pages.MESSAGES,
    "ack-other": "您的确认已记下。另有人先确认了，见下方“提醒”。",
    "handover": "已提交转交，对方会马上收到提醒。",
    "handover-again": "这次转交之前已经提交过，正在等待生效。",
    "comment": "备注已记入事件经过。",
    "comment-again": "这条备注之前已经提交过。",
    "statement": "已确认为官方回应，时限随之停止。",
    "statement-again": "这条官方回应之前已经确认过。",
    "reject": "已记下：这不是官方回应。",
    "reject-again": "这个判断之前已经提交过。",
    "wrong": "已记下：判错了。谢谢，规则的误报率会算上它。",
    "wrong-again": "这个判断之前已经提交过。",
    "wrong-close": "已记下：判错了，并提交关闭事件。",
}
_STATUS = {"not_found": 404, "no_item": 404, "no_rules": 503} | dict.fromkeys((*actions.BAD, "bad_kind", "bad_do"), 400)

Form = Mapping[str, str]


def status_of(refused: Refused) -> int:
    return _STATUS.get(refused.code, 409)


def run(desk: Desk, order: Order, form: Form) -> str:
    """Do what the form says; the key of DONE that follows. Refused says why nothing was done."""
    do = ACTS.get(form.get("do", ""))
    if do is None:
        raise Refused("bad_do", "不认识的操作，请刷新页面再试。")
    return do(desk, order, form)


def _ack(desk: Desk, order: Order, form: Form) -> str:
    accepted = commands.ack(desk.engine, order, form.get("alert", ""), form.get("note", ""))
    return "ack-other" if accepted.note else _done("ack", accepted)


def _snooze(desk: Desk, order: Order, form: Form) -> str:
    return _done("snooze", commands.snooze(desk.engine, order, form.get("alert", ""), _int(form.get("minutes", ""))))


def _hand_over(desk: Desk, order: Order, form: Form) -> str:
    return _done("handover", event_commands.hand_over(
        desk.engine, desk.book(), order, form.get("alert", ""), form.get("to", ""), form.get("note", "")))


def _comment(desk: Desk, order: Order, form: Form) -> str:
    return _done("comment", event_commands.comment(desk.engine, order, form.get("text", "")))


def _statement(desk: Desk, order: Order, form: Form) -> str:
    """Whether an official item that was proposed is the office's word on it."""
    item = form.get("item", "")
    if form.get("answer") == "yes":
        return _done("statement", event_commands.confirm(desk.engine, desk.book(), order, item))
    return _done("reject", event_commands.reject(desk.engine, order, item))


def _close(desk: Desk, order: Order, form: Form) -> str:
    return _done("close", commands.close(
        desk.engine, order, _int(form.get("version", "")), form.get("reason", ""), form.get("note", "")))


def _wrong(desk: Desk, order: Order, form: Form) -> str:
    """A verdict with its reason; of what is not relevant or a duplicate the event may be closed with it."""
    kind, note = form.get("kind", ""), form.get("note", "").strip()
    if kind not in dict(WRONG):
        raise Refused("bad_kind", f"请选一个：{'、'.join(word for _, word in WRONG)}。")
    if not note:
        raise Refused("no_note", "请写明因为什么，规则的负责人会看到。")
    accepted = verdicts.on_event(desk.engine, order, kind, note)
    if form.get("close") == "yes" and kind in CLOSES:
        try:
            commands.close(desk.engine, order, _int(form.get("version", "")), CLOSES[VerdictKind(kind)], note)
        except Refused:                               # somebody was first: what was said of it counts all the same
            return _done("wrong", accepted)
        return "wrong-close"
    return _done("wrong", accepted)


def _done(word: str, accepted: Accepted) -> str:
    return f"{word}-again" if accepted.repeated else word


def _int(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else 0


ACTS: Mapping[str, Callable[[Desk, Order, Form], str]] = {
    "ack": _ack, "snooze": _snooze, "handover": _hand_over, "comment": _comment, "statement": _statement,
    "close": _close, "wrong": _wrong}
