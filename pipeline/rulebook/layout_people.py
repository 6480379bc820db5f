"""Fields of roster.yml and routes.yml."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from pipeline.rulebook import checks_people as own
from pipeline.rulebook import schema
from pipeline.rulebook.kinds import (
    UNITS,
    Choice,
    Many,
    Reading,
    Ref,
    Schema,
    Table,
    Word,
    ident,
    length,
    pattern,
    shown,
    text,
    whole,
    written,
)
from pipeline.rulebook.layout_base import DATE, HOURS, MAIL, POSITIVE, TIME, date_of
from pipeline.rulebook.numbers import NUMBER, mended
from pipeline.rulebook.objects import Field, Record
from pipeline.rulebook.yaml_marks import Node, Scalar


class Routes(msgspec.Struct):
    """The file as a whole."""

    routes: tuple[schema.Route, ...]
    quiet: tuple[schema.Quiet, ...] = ()
    budget: dict[str, int] = {}


class Mobile:
    """A telephone number as gateways want it; one that is only written otherwise is told as it should be."""

    def read(self, node: Node, path: str, reading: Reading) -> Any:
        raw = node.text.strip() if isinstance(node, Scalar) else ""
        if NUMBER.fullmatch(raw):
            return raw
        meant = mended(raw)
        if not meant:
            return reading.problem(node.mark, path, f"应为 11 位手机号，或 + 和国际区号开头的号码，现为{shown(node)}。",
                                   "例如 mobile: \"13800000000\"")
        wrong = "前面不写 86 或 00" if raw.isdecimal() else "中间不留空格、横线和字母"
        return reading.problem(node.mark, path, f"手机号{wrong}，现为{shown(node)}。", written(path, f'"{meant}"'))

    def schema(self) -> Schema:
        return {"type": ["string", "integer"], "pattern": f"^(?:{NUMBER.pattern})$"}


def _days(raw: str) -> int | None:
    found = re.fullmatch(r"([1-9][0-9]{0,2})d", raw)
    return int(found[1]) * UNITS["d"] if found and int(found[1]) <= 366 else None


TURN = Word("整天数（数字加 d，1d 到 366d）", "7d", _days, {"type": "string", "pattern": "^[1-9][0-9]{0,2}d$"})
NOT_ALL = "(?!@?[aA][lL][lL]$)"
"""Everybody of a group is mentioned by no rule: an alert is somebody's."""
WECOM = pattern("企业微信账号（字母、数字和 _ - @ .，不是姓名）", "zhiban",
                NOT_ALL + r"[A-Za-z0-9_][A-Za-z0-9_.@\-]{0,63}")
DINGTALK = pattern("钉钉 userId（字母、数字和 _ - . : $）", '"0123456789"',
                   NOT_ALL + r"[A-Za-z0-9_$][A-Za-z0-9_.:$\-]{0,63}")
FEISHU = pattern("飞书 open_id 或 user_id", "ou_0123456789abcdef", NOT_ALL + r"[A-Za-z0-9][A-Za-z0-9_\-]{0,63}")
ACCOUNT = pattern("值班台的账号名", "duty", r"\w[\w.\-]{0,31}")
DUTY_DATE = Word("日期 年-月-日（2000 到 2099 年）", "2026-12-31",
                 lambda raw: found if (found := date_of(raw)) and found.startswith("20") else None, DATE.json)
DAYS = Many(whole(1, 7, 1), 1, 7)

PERSON = Record(schema.Person, {
    "id": Field(ident("person", "receiver"), "人员或岗位编号", True),
    "name": Field(text("值班员甲", 40), "名称", True),
    "channels": Field(Many(Ref(("channel",)), 1), "用哪些通道通知，全部都发；那一步写了 channels 则按那里的先后", True),
    "mail": Field(MAIL, "邮件通道发到哪里"),
    "mobile": Field(Mobile(), "手机号：短信、语音通道，以及钉钉群里 @ 用"),
    "wecom": Field(WECOM, "企业微信账号：群里 @ 和应用消息用"),
    "dingtalk": Field(DINGTALK, "钉钉 userId：群里 @ 用"),
    "feishu": Field(FEISHU, "飞书 open_id 或 user_id：群里 @ 用"),
    "account": Field(ACCOUNT, "值班台的账号：只发给这个人的链接，以它的名义确认"),
})

SHIFT = Record(schema.Shift, {
    "members": Field(Many(Ref(("person",)), 1), "这个班的人", True),
    "start": Field(TIME, "几点开始"),
    "end": Field(TIME, "几点结束；不晚于开始时刻则到次日"),
    "days": Field(DAYS, "星期几，1 是星期一，7 是星期日"),
    "calendar": Field(Choice.of(schema.Calendar),
                      "workday 只在工作日（含调休上班的周末）；holiday 只在休息日（含法定节假日）"),
    "rotate": Field(TURN, "轮班：每人轮多少天，按 members 的先后；不写则全体一起值"),
    "since": Field(DUTY_DATE, "从哪一天起轮第一位；写了 rotate 就要写"),
}, own.shift)

OVERRIDE = Record(schema.Override, {
    "date": Field(DUTY_DATE, "哪一天", True),
    "team": Field(Ref(("team",)), "哪个班组", True),
    "members": Field(Many(Ref(("person",)), 1), "改由谁值班", True),
    "start": Field(TIME, "几点开始，默认 00:00"),
    "end": Field(TIME, "几点结束；不晚于开始时刻则到次日"),
    "reason": Field(text("换班", 60), "为什么"),
})

ROSTER = Record(schema.Roster, {
    "people": Field(Many(PERSON, 1), "人员或岗位", True),
    "teams": Field(Many(Record(schema.Team, {
        "id": Field(ident("team", "receiver"), "班组编号", True),
        "name": Field(text("值班组", 40), "名称", True),
        "shifts": Field(Many(SHIFT, 1), "班次", True),
    }), 1), "班组", True),
    "fallback": Field(Ref(("person",)), "谁都不在班时通知谁", True),
    "ops": Field(Ref(("team",)), "收系统通知的班组，默认 ops"),
    "overrides": Field(Many(OVERRIDE), "临时换班：那一天那一段改由别人值"),
}, own.roster)

STEP = Record(schema.Step, {
    "tell": Field(Many(Ref(("receiver",)), 1), "通知哪些班组或人员", True),
    "after": Field(length("0s", "7d", "5m"), "告警后多久"),
    "channels": Field(Many(Ref(("channel",)), 1),
                      "按先后用哪个通道：取各人有的第一个，发不出去再用下一个；不写则各人的通道全部都发"),
})

ROUTE = Record(schema.Route, {
    "id": Field(ident("route"), "路由编号", True),
    "levels": Field(Many(Ref(("level",))), "适用的级别，空为全部"),
    "subjects": Field(Many(Ref(("subject",), ("*",))), "适用的主题，空为全部"),
    "groups": Field(Many(Ref(("group",))),
                    "适用的来源分组（sources.yml 里的 group），事件有一个来源属于它就算；空为全部"),
    "regions": Field(Many(Ref(("region",))), "适用的地区（sources.yml 里的 region），同上；空为全部"),
    "teams": Field(Many(Ref(("team",))), "适用的主题归属（subjects 里的 team）；空为全部"),
    "lead": Field(Ref(("receiver",)), "谁牵头处置：班组或人员，写在消息里"),
    "mode": Field(Choice.of(schema.RouteMode), "page 要人确认；digest 汇总"),
    "steps": Field(Many(STEP, 1), "先后通知谁", True),
    "repeat": Field(length("0s", "7d", "10m"), "无人确认时，最后一步之后多久从头再来；0 不重复"),
    "until": Field(length("0s", "30d", "24h"), "告警后多久不再重复，改标为过期；0 一直重复"),
    "hours": Field(HOURS, "汇总只在这个时段发"),
    "every": Field(length("1m", "7d", "1h"), "多久汇总一次"),
}, own.route)

QUIET = Record(schema.Quiet, {
    "levels": Field(Many(Ref(("level",)), 1), "哪些级别等到时段结束才通知；最高一级不能写，它从不等", True),
    "hours": Field(HOURS, "安静时段；结束不晚于开始则到次日", True),
    "days": Field(DAYS, "从星期几开始的，1 是星期一，7 是星期日"),
})

ROUTES = Record(Routes, {
    "routes": Field(Many(ROUTE, 1), "路由，自上而下取第一条适用的", True),
    "quiet": Field(Many(QUIET), "安静时段：这些级别的通知等到时段结束"),
    "budget": Field(Table(Ref(("level",)), whole(*POSITIVE, 20)),
                    "级别名称: 一天最多几次告警；超过就通知 ops，说明是哪条规则多的"),
}, own.routes)
