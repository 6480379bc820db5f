"""Queries: PromQL to `wenxun-prometheus`, SQL to `wenxun-postgres`, whose role sees the views `grafana_…` alone."""

from __future__ import annotations

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.dashboard import AnnotationTarget, DataSourceRef
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

PROMETHEUS = DataSourceRef(type_val="prometheus", uid="wenxun-prometheus")
POSTGRES = DataSourceRef(type_val="grafana-postgresql-datasource", uid="wenxun-postgres")

TARGETS = 'job=~"$job",instance=~"$instance"'
ROLES = f'{TARGETS},role=~"$role"'
"""Labels that every selector asks for; written `@` and `@role` in expressions."""

BUCKET = "to_timestamp({0} / $__interval_ms * $__interval_ms / 1000.0)"
"""The start of the interval that a time in milliseconds lies in."""
WITHIN = "{0} BETWEEN $__from AND $__to"
"""By a `…_ms` column, the table's own, so that its index is used."""
NOW = "extract(epoch FROM now()) * 1000"
SUBJECT_TITLE = "COALESCE(s.title, CASE {0}.subject_id WHEN '*' THEN '未归类话题' ELSE {0}.subject_id END)"

Query = Builder[Dataquery]


class SqlQuery(Dataquery):
    """What Grafana's PostgreSQL data source is sent; the SDK has no builder of it."""

    def __init__(self, text: str, ref: str, series: bool) -> None:
        self.text, self.ref, self.series = text, ref, series

    def to_json(self) -> dict[str, object]:
        return {
            "refId": self.ref,
            "datasource": POSTGRES,
            "editorMode": "code",
            "rawQuery": True,
            "format": "time_series" if self.series else "table",
            "rawSql": self.text,
        }


class Sql(Builder[SqlQuery]):
    """series: columns `time`, `metric` (its name) and one figure, in the order of time."""

    def __init__(self, text: str, ref: str = "A", *, series: bool = False) -> None:
        self._query = SqlQuery(squeezed(text), ref, series)

    def build(self) -> SqlQuery:
        return self._query


class SqlAnnotation(AnnotationTarget):
    """An annotation's SQL: columns `time`, `text`, `tags`."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.query = SqlQuery(squeezed(text), "Anno", series=False)

    def to_json(self) -> dict[str, object]:
        return self.query.to_json()


def series(expr: str, legend: str, ref: str = "A") -> prometheus.Dataquery:
    """Figures over time."""
    return prometheus.Dataquery().expr(selected(expr)).range().legend_format(legend).ref_id(ref).datasource(PROMETHEUS)


def instant(expr: str, legend: str = "", ref: str = "A", *, table: bool = False) -> prometheus.Dataquery:
    """Figures as they are at the end of the time range."""
    found = prometheus.Dataquery().expr(selected(expr)).instant().legend_format(legend).ref_id(ref)
    if table:
        found.format(PromQueryFormat.TABLE)
    return found.datasource(PROMETHEUS)


def quantile(share: float, name: str, by: str, ref: str, extra: str = "") -> prometheus.Dataquery:
    """A quantile of a histogram over time, per value of a label; `by` may be empty."""
    labels = f"le, {by}" if by else "le"
    what = f"{{{{{by}}}}} p{share * 100:g}" if by else f"p{share * 100:g}"
    return series(
        f"histogram_quantile({share:g}, sum by ({labels}) (rate({name}_bucket{{@{extra}}}[$__rate_interval])))",
        what,
        ref,
    )


def selected(expr: str) -> str:
    """`@role` and `@` as labels."""
    return squeezed(expr).replace("@role", ROLES).replace("@", TARGETS)


def squeezed(text: str) -> str:
    return " ".join(text.split())
