"""Why a message was not sent (`suppressed_by`, `held_by`), and which decision has not taken effect yet, in words."""

from __future__ import annotations

from collections.abc import Mapping

from agents.desk.describe import Names
from pipeline.model import Ack, Close, Comment, HandOver, Silence, Snooze, Statement

Silences = Mapping[str, Silence]


def why(code: str, silences: Silences) -> str:
    """A phrase for a code of escalate or deliver; one that is not known is shown as it stands."""
    kind, _, rest = code.partition(":")
    if kind == "silence":
        return silence(silences.get(rest), rest)
    if kind in _BY:
        return _BY[kind].format(rest or "有人")
    return _WORDS.get(kind, code)


_BY = {"acked": "{} 已确认", "failover": "通道不通，改由 {} 发送", "stopped": "时限已由 {} 停止"}
_WORDS = {"quiet": "安静时段", "closed": "事件已平息或关闭", "snoozed": "提醒已暂缓",
          "raised": "级别有变，改发新的提醒"}


def silence(found: Silence | None, ident: str) -> str:
    """`静默（供水检修，负责人 李敏）`; of one that the archive does not have its id."""
    return f"静默 {ident[:8]}" if found is None else f"静默（{found.reason}，负责人 {found.owner}）"


def pending(command: Ack | Snooze | Close | HandOver | Comment | Statement, names: Names) -> str:
    """What a person handed in: `已提交确认`."""
    match command:
        case Ack():
            return "已提交确认"
        case Snooze():
            return "已提交暂缓"
        case Close():
            return "已提交关闭"
        case HandOver():
            return f"已提交转交给 {names.who(command.to)}"
        case Comment():
            return "已提交备注"
    return "已提交：不是官方回应" if command.rejected else "已提交官方回应"
