"""Fields of roster.yml and routes.yml."""

from __future__ import annotations

import msgspec

from pipeline.rulebook import checks_people as own
from pipeline.rulebook import schema
from pipeline.rulebook.kinds import Choice, Many, Ref, ident, length, text, whole
from pipeline.rulebook.layout_base import HOURS, MAIL, TIME
from pipeline.rulebook.objects import Field, Record


class Routes(msgspec.Struct):
    routes: tuple[schema.Route, ...]


PERSON = Record(schema.Person, {
    "id": Field(ident("person", "receiver"), "人员或岗位编号", True),
    "name": Field(text("值班员甲", 40), "名称", True),
    "channels": Field(Many(Ref(("channel",)), 1), "用哪些通道通知，全部都发", True),
    "mail": Field(MAIL, "邮件通道发到哪里"),
})

SHIFT = Record(schema.Shift, {
    "members": Field(Many(Ref(("person",)), 1), "这个班的人", True),
    "start": Field(TIME, "几点开始"),
    "end": Field(TIME, "几点结束；不晚于开始时刻则到次日"),
    "days": Field(Many(whole(1, 7, 1), 1, 7), "星期几，1 是星期一，7 是星期日"),
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
}, own.roster)

STEP = Record(schema.Step, {
    "tell": Field(Many(Ref(("receiver",)), 1), "通知哪些班组或人员", True),
    "after": Field(length("0s", "7d", "5m"), "告警后多久"),
})

ROUTE = Record(schema.Route, {
    "id": Field(ident("route"), "路由编号", True),
    "levels": Field(Many(Ref(("level",))), "适用的级别，空为全部"),
    "subjects": Field(Many(Ref(("subject",), ("*",))), "适用的主题，空为全部"),
    "mode": Field(Choice.of(schema.RouteMode), "page 要人确认；digest 汇总"),
    "steps": Field(Many(STEP, 1), "先后通知谁", True),
    "repeat": Field(length("0s", "7d", "10m"), "无人确认时，最后一步之后多久从头再来；0 不重复"),
    "hours": Field(HOURS, "汇总只在这个时段发"),
    "every": Field(length("1m", "7d", "1h"), "多久汇总一次"),
}, own.route)

ROUTES = Record(Routes, {"routes": Field(Many(ROUTE, 1), "路由，自上而下取第一条适用的", True)})
