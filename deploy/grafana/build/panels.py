"""Kinds of panels. All have a title, a description, a unit, words for "no data" and a data source with a fixed uid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from grafana_foundation_sdk.builders import bargauge, common, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models.dashboard import (
    DashboardFieldConfigSourceOverrides,
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColor,
    FieldColorModeId,
    FieldConfig,
    FieldConfigSource,
    GridPos,
    MatcherConfig,
    Threshold,
    ThresholdsConfig,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.dashboard import Panel as Model

from agents.rule_files import load_book, starter_dir
from deploy.grafana.build.queries import POSTGRES, PROMETHEUS, Query, Sql, SqlQuery

GOOD = "#2f9e44"
QUIET = "#868e96"


@dataclass(frozen=True)
class Panel:
    """failure: what has to happen before it shows anything, where a day without trouble leaves it empty: a name that
    tests/stack makes happen. Empty: it answers in every installation that reads feeds."""

    model: Model
    failure: str = ""


@dataclass(frozen=True)
class Look:
    """What a panel is beside its queries. steps: (from, colour), the first from None. columns: overrides by the name of
    a column or series. levels: columns that hold level names, coloured as the rule book says."""

    title: str
    description: str
    unit: str
    size: tuple[int, int]
    empty: str = "无数据"
    steps: Sequence[tuple[float | None, str]] = ((None, GOOD),)
    decimals: int | None = None
    columns: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    words: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    levels: tuple[str, ...] = ()
    failure: str = ""
    minimum: float | None = None
    maximum: float | None = None
    interval: str = ""


@cache
def severity() -> tuple[str, str, str]:
    """The colours of the shipped ladder, lowest first: what is a bit, rather or very bad has them, too."""
    ladder = load_book(starter_dir(), "Asia/Shanghai").levels.ladder
    return ladder[0].color, ladder[-2].color, ladder[-1].color


def rising(warn: float, bad: float) -> list[tuple[float | None, str]]:
    """Good below `warn`, bad from `bad` on."""
    return [(None, GOOD), (warn, severity()[1]), (bad, severity()[2])]


def falling(bad: float, warn: float) -> list[tuple[float | None, str]]:
    """Bad below `bad`, good from `warn` on."""
    return [(None, severity()[2]), (bad, severity()[1]), (warn, GOOD)]


LEVEL: dict[str, object] = {
    "custom.cellOptions": {"type": "color-background"},
    "color": {"mode": "fixed", "fixedColor": "transparent"},
}
"""A column of level names: what the rule book does not know has no colour."""
LADDER = Sql('SELECT name AS "名称", color AS "颜色" FROM grafana_ladder ORDER BY rank', "levels")


def stats(look: Look, *queries: Query, rows: bool = False) -> Panel:
    """Large figures. rows: each row of a table is one: columns 名称, 值, 颜色."""
    made = stat.Panel().color_mode(shapes.BigValueColorMode.BACKGROUND if rows else shapes.BigValueColorMode.VALUE)
    made = made.graph_mode(shapes.BigValueGraphMode.NONE).justify_mode(shapes.BigValueJustifyMode.CENTER)
    made.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    if rows:
        made.text_mode(shapes.BigValueTextMode.VALUE_AND_NAME)
    panel = _finished(made.build(), look, queries)
    if rows:
        panel.model.transformations = [
            DataTransformerConfig(
                id_val="rowsToFields",
                options={
                    "mappings": [
                        {"fieldName": "名称", "handlerKey": "field.name"},
                        {"fieldName": "值", "handlerKey": "field.value"},
                        {"fieldName": "颜色", "handlerKey": "color"},
                    ]
                },
            )
        ]
    return panel


def lines(look: Look, *queries: Query, stacked: bool = False, bars: bool = False) -> Panel:
    """Figures over time."""
    made = timeseries.Panel().show_points(shapes.VisibilityMode.AUTO).line_width(2).fill_opacity(10 if not bars else 70)
    made = made.draw_style(shapes.GraphDrawStyle.BARS if bars else shapes.GraphDrawStyle.LINE)
    made = made.legend(
        common.VizLegendOptions()
        .show_legend(True)
        .placement(shapes.LegendPlacement.BOTTOM)
        .display_mode(shapes.LegendDisplayMode.LIST)
        .calcs([])
    )
    made = made.tooltip(
        common.VizTooltipOptions().mode(shapes.TooltipDisplayMode.MULTI).sort(shapes.SortOrder.DESCENDING)
    )
    if stacked:
        made.stacking(common.StackingConfig().mode(shapes.StackingMode.NORMAL).group("A"))
    if len(look.steps) > 1:
        made.thresholds_style(common.GraphThresholdsStyleConfig().mode(shapes.GraphThresholdsStyleMode.DASHED))
    panel = _finished(made.build(), look, queries)
    _defaults(panel.model).color = FieldColor(mode=FieldColorModeId.PALETTE_CLASSIC_BY_NAME)
    return panel


def rows(look: Look, *queries: Query) -> Panel:
    """A table. Columns in look.levels are coloured by a second query, the rule book's ladder."""
    made = table.Panel().show_header(True).cell_height(shapes.TableCellHeight.SM).filterable(True)
    asked = (*queries, LADDER) if look.levels else queries
    panel = _finished(made.build(), look, asked)
    if look.levels:
        panel.model.transformations = [_named_levels(look.levels)]
    return panel


def bars(look: Look, *queries: Query) -> Panel:
    """One bar per value."""
    made = bargauge.Panel().orientation(shapes.VizOrientation.HORIZONTAL)
    made = made.display_mode(shapes.BarGaugeDisplayMode.BASIC).value_mode(shapes.BarGaugeValueMode.TEXT)
    made.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    return _finished(made.build(), look, queries)


def states(look: Look, *queries: Query) -> Panel:
    """A state over time, one row per series."""
    made = statetimeline.Panel().merge_values(True).row_height(0.8)
    return _finished(made.build(), look, queries)


def _finished(model: Model, look: Look, queries: Sequence[Query]) -> Panel:
    model.title, model.description = look.title, look.description
    built: list[Dataquery] = [query.build() for query in queries]
    model.targets = built
    model.datasource = POSTGRES if isinstance(built[0], SqlQuery) else PROMETHEUS
    model.grid_pos = GridPos(w=look.size[0], h=look.size[1])
    model.interval = look.interval or None
    config = _defaults(model)
    config.unit, config.no_value, config.decimals = look.unit, look.empty, look.decimals
    config.min_val, config.max_val = look.minimum, look.maximum
    config.thresholds = ThresholdsConfig(
        mode=ThresholdsMode.ABSOLUTE, steps=[Threshold(value=value, color=color) for value, color in look.steps]
    )
    config.color = FieldColor(mode=FieldColorModeId.THRESHOLDS)
    if look.words:
        config.mappings = [mapping(look.words)]
    assert isinstance(model.field_config, FieldConfigSource)
    model.field_config.overrides = [
        DashboardFieldConfigSourceOverrides(
            matcher=MatcherConfig(id_val="byName", options=name),
            properties=[DynamicConfigValue(id_val=ident, value=value) for ident, value in settings.items()],
        )
        for name, settings in {**{name: LEVEL for name in look.levels}, **look.columns}.items()
    ]
    return Panel(model, look.failure)


def mapping(words: Mapping[str, tuple[str, str]]) -> ValueMap:
    """Stored words as people read them: value -> (word, colour); an empty colour leaves it as it is."""
    return ValueMap(
        {
            value: ValueMappingResult(text=word, color=color or None, index=place)
            for place, (value, (word, color)) in enumerate(words.items())
        }
    )


def _named_levels(columns: Sequence[str]) -> DataTransformerConfig:
    """One for all columns: Grafana drops the frame with the configuration after it was applied."""
    return DataTransformerConfig(
        id_val="configFromData",
        options={
            "configRefId": "levels",
            "applyTo": {"id": "byRegexp", "options": f"/^({'|'.join(columns)})$/"},
            "mappings": [
                {"fieldName": "名称", "handlerKey": "mappings.value"},
                {"fieldName": "颜色", "handlerKey": "mappings.color"},
            ],
        },
    )


def _defaults(model: Model) -> FieldConfig:
    if model.field_config is None:
        model.field_config = FieldConfigSource()
    return model.field_config.defaults
