"""The audit: one line per read of an item by a person and per decision. Append only: nothing changes a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Table, insert
from sqlalchemy.dialects import postgresql, sqlite

from agents.store import schema
from pipeline.model import Millis

__all__ = ["ACTIONS", "Connection", "insert_once", "write"]

ACTIONS: dict[str, str] = {
    "login": "登录",
    "login.failed": "登录失败",
    "login.locked": "登录被锁定",
    "logout": "退出",
    "link.locked": "无效的消息链接过多",
    "event.read": "查看事件",
    "events.read": "查看事件列表",
    "duty.read": "查看值班页",
    "deliveries.read": "查看投递",
    "audit.read": "查看审计",
    "alert.ack": "确认提醒",
    "alert.snooze": "暂缓提醒",
    "alert.hand_over": "转交提醒",
    "event.comment": "备注事件",
    "event.statement": "登记官方回应",
    "event.reject": "否定官方回应",
    "event.close": "关闭事件",
    "event.verdict": "评价事件",
    "match.verdict": "评价命中",
    "item.read": "查看条目",
    "source.read": "查看来源的条目",
    "source.poll": "立即采集",
    "source.test": "测试网址",
    "drill.begin": "开始演练",
    "drill.item": "发出演练条目",
    "drill.end": "结束演练",
    "drills.read": "查看演练",
    "silence.add": "添加静默",
    "silence.expire": "结束静默",
    "silence.notice": "告知系统组：静默含最高级别",
    "silences.read": "查看静默",
    "clocks.read": "查看时限",
    "handover.read": "查看交接班",
    "rules.read": "查看规则变更会升级的事件",
    "rule.read": "查看规则的命中",
    "shadow.read": "查看影子事件",
    "rules.explain": "解释规则",
    "rules.confirm": "确认规则变更生效",
    "rules.refuse": "不让规则变更生效",
    "intake.report": "上报",
    "intake.read": "查看自己的上报",
    "alertmanager.notice": "Alertmanager 的告警",
    "user.add": "添加账号",
    "user.passwd": "修改口令",
    "user.disable": "停用账号",
    "token.create": "创建令牌",
    "token.revoke": "吊销令牌",
}
"""Every action that is written, with what an admin reads."""


def write(connection: Connection, at: Millis, account: str, action: str, about: str, detail: str = "") -> None:
    """Append a line, in the transaction of what it tells of. `action` is one of ACTIONS."""
    assert action in ACTIONS, action
    connection.execute(insert(schema.audit).values(
        at=at, account=account[:64], action=action, object=about, detail=detail))


def insert_once(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert a row unless its key is there; whether it was inserted. One statement: safe against another writer."""
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    key = next(iter(table.primary_key))                 # PostgreSQL's count of rows is not to be had of an INSERT
    written = connection.execute(make(table).values(**row).on_conflict_do_nothing().returning(key))
    return written.first() is not None
