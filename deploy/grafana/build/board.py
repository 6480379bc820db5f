"""A dashboard: rows of panels, the variables that its queries ask for, annotations; and its JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    AnnotationQuery,
    Dashboard,
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    GridPos,
    RowPanel,
    VariableHide,
    VariableOption,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.dashboard import Panel as Model

from deploy.grafana.build.panels import Panel, severity
from deploy.grafana.build.queries import POSTGRES, PROMETHEUS, SqlAnnotation, selected, squeezed

TAG = "wenxun"
DESK = "http://127.0.0.1:8000"
"""Where the desk answers people's browsers; `python -m deploy.grafana.build --desk URL` writes another address."""
LAST_DAY = "now-24h"


@dataclass(frozen=True)
class Variable:
    """failure: as of Panel."""

    model: build.QueryVariable | build.CustomVariable | build.ConstantVariable
    failure: str = ""


@dataclass(frozen=True)
class Mark:
    """An annotation. failure: as of Panel."""

    model: AnnotationQuery
    failure: str = ""


@dataclass(frozen=True)
class Board:
    """rows: title and panels. time: where it opens."""

    uid: str
    title: str
    description: str
    rows: Sequence[tuple[str, Sequence[Panel]]]
    variables: Sequence[Variable]
    marks: Sequence[Mark] = ()
    time: str = LAST_DAY
    refresh: str = "1m"

    def panels(self) -> Iterator[Panel]:
        for _, panels in self.rows:
            yield from panels

    def model(self) -> Dashboard:
        made = (
            build.Dashboard(self.title)
            .uid(self.uid)
            .description(self.description)
            .tags([TAG])
            .readonly()
            .tooltip(DashboardCursorSync.CROSSHAIR)
            .time(self.time, "now")
            .timezone("")
            .refresh(self.refresh)
            .link(
                build.DashboardLink("闻讯")
                .type(DashboardLinkType.DASHBOARDS)
                .tags([TAG])
                .as_dropdown(True)
                .include_vars(False)
                .keep_time(True)
            )
        )
        for variable in self.variables:
            made.with_variable(variable.model)
        found = made.build()
        found.annotations.list_val = [mark.model for mark in self.marks]
        found.panels = list(_placed(self.rows))
        return found

    def json(self) -> str:
        return json.dumps(self.model(), cls=JSONEncoder, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def _placed(rows: Sequence[tuple[str, Sequence[Panel]]]) -> Iterator[Model | RowPanel]:
    """From left to right, a new line where the width of 24 is full; every row begins below the one before."""
    number, y = 0, 0
    for title, panels in rows:
        number += 1
        row = build.Row(title).id(number).collapsed(False).build()
        row.panels = []
        row.grid_pos = GridPos(x=0, y=y, w=24, h=1)
        yield row
        x, y, tall = 0, y + 1, 0
        for panel in panels:
            place = panel.model.grid_pos
            assert place is not None
            if x + place.w > 24:
                x, y, tall = 0, y + tall, 0
            number += 1
            panel.model.id_val = number
            place.x, place.y = x, y
            x, tall = x + place.w, max(tall, place.h)
            yield panel.model
        y += tall


# ---------------------------------------------------------------- variables


def targets(*, shown: bool = False) -> list[Variable]:
    """Which processes: job and instance. shown: people may choose; else all of job `wenxun`."""
    hide = VariableHide.DONT_HIDE if shown else VariableHide.HIDE_VARIABLE
    job = _asked("job", "任务", "Prometheus 的采集任务。", "label_values(up, job)", PROMETHEUS, hide)
    job.current(VariableOption(selected=True, text="wenxun", value="wenxun"))
    instance = _all(
        _asked("instance", "实例", "哪些进程，默认全部。", 'label_values(up{job=~"$job"}, instance)', PROMETHEUS, hide)
    )
    return [Variable(job), Variable(instance)]


def role() -> Variable:
    return Variable(
        _all(
            _asked(
                "role",
                "角色",
                "哪些角色，默认全部。",
                'label_values(wenxun_role_info{job=~"$job"}, role)',
                PROMETHEUS,
                VariableHide.DONT_HIDE,
            )
        )
    )


def kind() -> Variable:
    """Live events, unless somebody asks for drills or shadow rules."""
    made = build.CustomVariable("kind").label("范围").values("实际 : live, 演练 : drill, 影子规则 : shadow")
    made.description("默认只看实际事件；演练和影子规则的不进任何数字，除非在这里选。")
    made.current(VariableOption(selected=True, text="实际", value="live"))
    made.options(
        [
            VariableOption(selected=value == "live", text=text, value=value)
            for text, value in (("实际", "live"), ("演练", "drill"), ("影子规则", "shadow"))
        ]
    )
    return Variable(made)


def desk(address: str) -> Variable:
    return Variable(
        build.ConstantVariable("desk").label("值班台").value(address).description("值班台的网址，链接都指向它。")
    )


def listed(
    name: str, label: str, description: str, query: str, *, hidden: bool = False, many: bool = False
) -> Variable:
    """A variable with values of PostgreSQL. many: any number of them, all by default, each named in the query."""
    hide = VariableHide.HIDE_VARIABLE if hidden else VariableHide.DONT_HIDE
    made = _asked(name, label, description, query, POSTGRES, hide)
    if many:
        made.multi(True).include_all(True).current(VariableOption(selected=True, text=["All"], value=["$__all"]))
    return Variable(made.sort(VariableSort.DISABLED))


def _asked(
    name: str,
    label: str,
    description: str,
    query: str,
    source: DataSourceRef,
    hide: VariableHide,
) -> build.QueryVariable:
    text = squeezed(query)
    asked: str | dict[str, object] = text if source is POSTGRES else {"query": text, "refId": f"Variable-{name}"}
    return (
        build.QueryVariable(name)
        .label(label)
        .description(description)
        .datasource(source)
        .query(asked)
        .hide(hide)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    )


def _all(made: build.QueryVariable) -> build.QueryVariable:
    return (
        made.multi(True)
        .include_all(True)
        .all_value(".*")
        .current(VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


# ---------------------------------------------------------------- annotations


def sql_mark(name: str, query: str, color: str = "", failure: str = "") -> Mark:
    return Mark(
        AnnotationQuery(
            name=name, datasource=POSTGRES, enable=True, icon_color=color or severity()[1], target=SqlAnnotation(query)
        ),
        failure,
    )


def alert_mark() -> Mark:
    """Alert rules about the system itself, while they fire."""
    model = AnnotationQuery(
        name="系统告警",
        datasource=PROMETHEUS,
        enable=True,
        icon_color=severity()[2],
        expr=selected('ALERTS{alertname=~"Wenxun.+",alertstate="firing"}'),
    )
    return Mark(model, failure="role_down")
