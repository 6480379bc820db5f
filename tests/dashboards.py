"""Dashboards as JSON: what is in one, and the rules that each must keep.

The rules are those of Grafana's dashboard linter, said for our JSON, and a few of our own. A rule yields one sentence
for each place that breaks it. Where the linter wants a variable for the data source, we have two with fixed uids.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path

import yaml
from prometheus_client import Counter, Histogram

from agents import metrics
from agents.store import views
from deploy.grafana.boards import JSON, POSTGRES, PROMETHEUS, Query, expressions, panels, queries, variables

__all__ = ["JSON", "POSTGRES", "PROMETHEUS", "RULES", "Query", "Rule", "expressions", "panels", "queries", "recorded",
           "selectors", "variables"]
ROOT = Path(__file__).parents[1]
OUTSIDE: dict[str, tuple[str, ...]] = {
    "up": (), "ALERTS": ("alertname", "alertstate", "severity"), "process_resident_memory_bytes": (),
    "process_cpu_seconds_total": (), "process_open_fds": (), "process_start_time_seconds": ()}
"""Metrics that no table of ours has: Prometheus's own, and those of every process."""
TARGET_LABELS = ("job", "instance", "role", "part")
_WORDS = frozenset("and or unless bool by without on ignoring group_left group_right offset inf nan".split())
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_CHINESE = re.compile(r"[一-鿿]")


@dataclass(frozen=True)
class Selector:
    """A metric as an expression names it. wrapped: the functions around it, the innermost first."""

    name: str
    labels: dict[str, str]
    range: str
    wrapped: tuple[str, ...]


@cache
def selectors(expr: str) -> list[Selector]:
    """Every metric that an expression asks for."""
    text = _GROUPING.sub(lambda found: " " * len(found[0]), expr)
    found, stack, place = [], list[str](), 0
    while place < len(text):
        char = text[place]
        if char in "\"'":
            place = text.index(char, place + 1) + 1
        elif name := _NAME.match(text, place):
            place = name.end()
            rest = text[place:].lstrip()
            if name[0] in _WORDS:
                continue
            if rest.startswith("("):
                stack.append(name[0])
                place = text.index("(", place) + 1
                continue
            labels, place = _labels(text, place)
            window = re.match(r"\s*\[([^\]]+)\]", text[place:])
            place += window.end() if window else 0
            found.append(Selector(name[0], labels, window[1] if window else "", tuple(reversed(stack))))
        elif char == "(":
            stack.append("")
            place += 1
        elif char == ")":
            stack.pop()
            place += 1
        elif number := re.match(r"[0-9.]+[a-z]*", text[place:]):
            place += number.end()
        else:
            place += 1
    return found


def _labels(text: str, place: int) -> tuple[dict[str, str], int]:
    if not text[place:].startswith("{"):
        return {}, place
    pairs = re.compile(r'\{\s*(?:\w+\s*[=!]~?\s*"[^"]*"\s*,?\s*)*\}').match(text, place)
    assert pairs, text[place:]
    return dict(re.findall(r'(\w+)\s*[=!]~?\s*"([^"]*)"', pairs[0])), pairs.end()


@cache
def recorded() -> dict[str, str]:
    """Series of recording rules and what they are made of."""
    found = {}
    for path in (ROOT / "deploy/prometheus/rules").glob("*.yml"):
        for group in yaml.safe_load(path.read_text("utf-8"))["groups"]:
            found.update({rule["record"]: rule["expr"] for rule in group["rules"] if "record" in rule})
    return found


@cache
def known() -> dict[str, tuple[str, ...] | None]:
    """Every series there is, with its labels; None where a rule makes them."""
    found: dict[str, tuple[str, ...] | None] = {**OUTSIDE, **dict.fromkeys(recorded())}
    for metric in metrics.TABLE:
        name = f"wenxun_{metric.name}"
        if metric.kind is Histogram:
            found |= {f"{name}_bucket": (*metric.labels, "le"), f"{name}_sum": metric.labels,
                      f"{name}_count": metric.labels}
        else:
            found[name] = metric.labels
    return found


@cache
def counters() -> set[str]:
    return {f"wenxun_{metric.name}" for metric in metrics.TABLE if metric.kind is Counter} | {
        "process_cpu_seconds_total"} | {name for name in known() if name.endswith("_bucket")}


# ---------------------------------------------------------------- rules


Rule = Callable[[JSON], Iterator[str]]


def uids(board: JSON) -> Iterator[str]:
    """panel-datasource, template-datasource: each has one of the two fixed uids, and a target its panel's."""
    for query in queries(board):
        if query.uid not in (PROMETHEUS, POSTGRES):
            yield f"{query.where}: data source {query.uid!r}"
        if query.panel and query.panel.get("datasource", {}).get("uid") != query.uid:
            yield f"{query.where}: its panel has another data source"


def _asks_prometheus(board: JSON) -> bool:
    return any(query.uid == PROMETHEUS and query.panel for query in queries(board))


def job_and_instance(board: JSON) -> Iterator[str]:
    """template-job, template-instance: the variables; many instances, all by default."""
    have = variables(board)
    for name in ("job", "instance") if _asks_prometheus(board) else ():
        if name not in have:
            yield f"{board['title']}: no variable {name}"
        elif have[name].get("datasource", {}).get("uid") != PROMETHEUS:
            yield f"{board['title']}: variable {name} is not asked of Prometheus"
    if "instance" in have and not (have["instance"].get("multi") and have["instance"].get("includeAll")):
        yield f"{board['title']}: instance is one, not many"


def label_values(board: JSON) -> Iterator[str]:
    """template-label-promql: a variable of Prometheus is `label_values(selector, label)`."""
    for variable in variables(board).values():
        if variable["type"] == "query" and variable["datasource"]["uid"] == PROMETHEUS:
            if not re.fullmatch(r"label_values\([^()]+, \w+\)", variable["query"]["query"]):
                yield f"{board['title']}: variable {variable['name']}: {variable['query']['query']}"


def reloads(board: JSON) -> Iterator[str]:
    """template-on-time-change-reload: values are asked for again when the time range changes."""
    for variable in variables(board).values():
        if variable["type"] == "query" and variable.get("refresh") != 2:
            yield f"{board['title']}: variable {variable['name']} keeps old values"


def titled(board: JSON) -> Iterator[str]:
    """panel-title-description, in Chinese; and no two panels of a board share a title."""
    seen: set[str] = set()
    for panel in panels(board):
        title, description = panel.get("title", ""), panel.get("description", "")
        if not _CHINESE.search(title) or not _CHINESE.search(description):
            yield f"{board['title']} / {title}: no title or description in Chinese"
        if title in seen:
            yield f"{board['title']} / {title}: twice"
        seen.add(title)


def units(board: JSON) -> Iterator[str]:
    """panel-units."""
    for panel in panels(board):
        if not panel.get("fieldConfig", {}).get("defaults", {}).get("unit"):
            yield f"{board['title']} / {panel['title']}: no unit"


def empties(board: JSON) -> Iterator[str]:
    """Words for "nothing": a blank panel may be a broken one."""
    for panel in panels(board):
        if not _CHINESE.search(panel.get("fieldConfig", {}).get("defaults", {}).get("noValue") or ""):
            yield f"{board['title']} / {panel['title']}: no words for nothing"


def asked(board: JSON) -> Iterator[str]:
    """panel-no-targets; and no two queries of a panel share a name."""
    for panel in panels(board):
        refs = [target.get("refId") for target in panel.get("targets", [])]
        if not refs or len(set(refs)) < len(refs) or not all(refs):
            yield f"{board['title']} / {panel['title']}: {len(refs)} queries, {sorted(map(str, set(refs)))}"


def metric_names(board: JSON) -> Iterator[str]:
    """target-promql: an expression names series that there are, by labels that they have."""
    series = known()
    for query in expressions(board):
        found = selectors(query.text)
        if not found:
            yield f"{query.where}: asks for no series"
        have: set[str] = set(TARGET_LABELS)
        for each in found:
            labels = series.get(each.name, ())
            if each.name not in series:
                yield f"{query.where}: there is no {each.name}"
            elif labels is not None and (odd := set(each.labels) - {*labels, *TARGET_LABELS}):
                yield f"{query.where}: {each.name} has no {sorted(odd)}"
            have |= set(labels) if labels is not None else _made_by(each.name)
        grouped = {name.strip() for names in _GROUPING.findall(query.text) for name in names.split(",")} - {""}
        shown = set(re.findall(r"\{\{(\w+)\}\}", query.target.get("legendFormat") or ""))
        if odd := (grouped | shown) - have:
            yield f"{query.where}: {sorted(odd)} is no label of these series"


def _made_by(name: str) -> set[str]:
    """Labels that a recording rule may leave."""
    expr = recorded()[name]
    return {label.strip() for names in _GROUPING.findall(expr) for label in names.split(",")}


def rate_intervals(board: JSON) -> Iterator[str]:
    """target-rate-interval: a window of counters is $__rate_interval, so that no scrape falls between two."""
    for query in expressions(board):
        for each in selectors(query.text):
            if each.range and each.range != "$__rate_interval":
                yield f"{query.where}: {each.name}[{each.range}]"


def targets(board: JSON) -> Iterator[str]:
    """target-job, target-instance: every selector asks for both. Recorded series and ALERTS have neither."""
    for query in expressions(board):
        if not query.panel and query.target.get("type") == "query":
            continue                    # the variables that the others are made of
        for each in selectors(query.text):
            if each.name in recorded() or each.name == "ALERTS":
                continue
            for name in ("job", "instance"):
                if each.labels.get(name) != f"${name}":
                    yield f"{query.where}: {each.name} does not ask for {name}"


def counters_aggregated(board: JSON) -> Iterator[str]:
    """target-counter-agg: what a counter stands at says nothing; how it grows does."""
    known_counters = counters()
    for query in expressions(board):
        for each in selectors(query.text):
            if each.name in known_counters and not {"rate", "increase", "irate"} & set(each.wrapped):
                yield f"{query.where}: {each.name} is a counter"


def uneditable(board: JSON) -> Iterator[str]:
    """uneditable-dashboard: an edit in the browser would be lost."""
    if board.get("editable") is not False:
        yield f"{board['title']}: editable"


def plain(board: JSON) -> Iterator[str]:
    """A stable uid, nothing of one server's own, and links between boards."""
    if not re.fullmatch(r"wenxun-[a-z]+", board.get("uid", "")):
        yield f"{board['title']}: uid {board.get('uid')!r}"
    for name in ("id", "version", "iteration", "gnetId"):
        if board.get(name) is not None:
            yield f"{board['title']}: {name}"
    if "wenxun" not in board.get("tags", []):
        yield f"{board['title']}: the others do not link to it"


def placed(board: JSON) -> Iterator[str]:
    """No panel lies on another, none past the width of 24; ids are unique."""
    whole = [*panels(board), *(each for each in board["panels"] if each["type"] == "row")]
    if len({each["id"] for each in whole}) < len(whole):
        yield f"{board['title']}: an id twice"
    for one, other in combinations([each["gridPos"] for each in whole], 2):
        if (one["x"] < other["x"] + other["w"] and other["x"] < one["x"] + one["w"]
                and one["y"] < other["y"] + other["h"] and other["y"] < one["y"] + one["h"]):
            yield f"{board['title']}: {one} lies on {other}"
    for each in whole:
        if each["gridPos"]["x"] + each["gridPos"]["w"] > 24:
            yield f"{board['title']} / {each['title']}: too far right"


def only_views(board: JSON) -> Iterator[str]:
    """SQL reads the views for Grafana and nothing else, and changes nothing."""
    allowed = set(views.names())
    for query in queries(board):
        if query.uid != POSTGRES:
            continue
        text = re.sub(r"extract\(epoch FROM", "extract(", re.sub(r"'[^']*'", "''", query.text))
        own = set(re.findall(r"\)\s+AS\s+(\w+)", text))
        for name in re.findall(r"\b(?:FROM|JOIN)\s+(?:LATERAL\s+)?([A-Za-z_]\w*)\b(?!\s*\()", text):
            if name not in allowed | own:
                yield f"{query.where}: reads {name}"
        if re.search(r"\b(INSERT|UPDATE|DELETE|CREATE|DROP|ALTER|GRANT)\b|;", text, re.IGNORECASE):
            yield f"{query.where}: more than a question"


def live_unless_asked(board: JSON) -> Iterator[str]:
    """Drills and shadow rules are in no figure that does not ask for them: by kind, by subject (whose list goes by
    kind) or by one event."""
    about = re.compile(r"grafana_(?:events|matches|members|verdicts|alerts|clocks|levels|escalations|deliveries)\b")
    for query in queries(board):
        if query.uid == POSTGRES and about.search(query.text):
            if not re.search(r"\$\{(?:kind|subject|event|event_id):sqlstring\}", query.text):
                yield f"{query.where}: counts drills, too"
    kind = variables(board).get("kind")
    if kind is not None and (kind["current"]["value"] != "live" or kind.get("multi")):
        yield f"{board['title']}: not live ones alone by default"


def by_index(board: JSON) -> Iterator[str]:
    """Times are compared in milliseconds, as the indexes have them; a made column would read the whole table."""
    for query in queries(board):
        if query.uid == POSTGRES and re.search(r"\w+_time\s*(?:[<>=]|BETWEEN)|\$__time(?:Filter|Group|From|To)",
                                               query.text):
            yield f"{query.where}: compares a time that no index has"


def named_variables(board: JSON) -> Iterator[str]:
    """Every variable that a query names is one of the board's or Grafana's own."""
    have = set(variables(board)) | {"__from", "__to", "__interval_ms", "__rate_interval", "__value", "__url_time_range"}
    for query in queries(board):
        for name in re.findall(r"\$\{?(\w+)", query.text):
            if name not in have:
                yield f"{query.where}: there is no variable {name}"


def no_made_up_zero(board: JSON) -> Iterator[str]:
    """A zero that nobody measured would hide that nothing is measured."""
    for query in queries(board):
        if re.search(r"or\s+(?:on\s*\(\)\s*)?vector\s*\(", query.text):
            yield f"{query.where}: makes up a figure"


RULES: tuple[Rule, ...] = (
    uids, job_and_instance, label_values, reloads, titled, units, empties, asked, metric_names, rate_intervals, targets,
    counters_aggregated, uneditable, plain, placed, only_views, live_unless_asked, by_index, named_variables,
    no_made_up_zero)
