"""One board as HTML: its panels where they lie, each with its answers, or with its words for nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from html import escape
from typing import Any

from deploy.grafana.asking import Answer
from deploy.grafana.boards import JSON

Rows = Sequence[Any]
Answers = Mapping[str, Answer]
"""By a query's refId."""

CSS = """
body{margin:0;background:#111217;color:#ccccdc;font:13px "Noto Sans CJK SC",sans-serif}
h1{font-size:18px;margin:12px 14px 4px} p{margin:0 14px 8px;color:#8e8e9c}
main{display:grid;grid-template-columns:repeat(24,1fr);grid-auto-rows:30px;gap:8px;padding:8px}
section{background:#181b1f;border:1px solid #2c3235;border-radius:3px;padding:4px 8px;overflow:hidden;
display:flex;flex-direction:column;min-width:0}
section.row{background:none;border:0;font-weight:bold;font-size:14px}
h2{font-size:13px;margin:0 0 2px;font-weight:600;white-space:nowrap}
h2 small{color:#777;font-weight:400;margin-left:6px}
div.body{flex:1;min-height:0;overflow:hidden} .empty{color:#8e8e9c;text-align:center;margin-top:8px}
.big{font-size:26px;text-align:center} .tiles{display:flex;gap:6px;height:85%}
.tile{flex:1;border-radius:3px;color:#fff;text-align:center;font-size:22px;padding-top:6px}
.tile small{display:block;font-size:12px}
table{border-collapse:collapse;width:100%;font-size:12px} th{text-align:left;color:#6e9fff;font-weight:500}
td,th{padding:1px 6px;white-space:nowrap;border-bottom:1px solid #24272c} svg{width:100%;height:75%}
.legend{font-size:11px;color:#aaa;white-space:nowrap;overflow:hidden} .bar{height:14px;background:#2f9e44}
"""
COLORS = ("#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#b877d9", "#5794f2", "#ff9830", "#96d98d", "#ca95e5")
MOST_ROWS = 14


def board(model: JSON, answers: Callable[[JSON], Answers]) -> str:
    """answers: of a panel."""
    drawn = "".join(_panel(panel, {} if panel["type"] == "row" else answers(panel)) for panel in model["panels"])
    return (f"<!doctype html><meta charset=utf-8><style>{CSS}</style><h1>{escape(model['title'])}</h1>"
            f"<p>{escape(model['description'])}</p><main>{drawn}</main>")


def _panel(panel: JSON, answers: Answers) -> str:
    place = panel["gridPos"]
    style = (f"grid-column:{place['x'] + 1}/span {place['w']};grid-row:{place['y'] + 1}/span {place['h']}")
    if panel["type"] == "row":
        return f'<section class=row style="{style}">{escape(panel["title"])}</section>'
    defaults = panel["fieldConfig"]["defaults"]
    shown = {ref: answer for ref, answer in answers.items() if ref != "levels" and answer.rows}
    levels = answers["levels"].rows if "levels" in answers else ()
    body = (_KINDS[panel["type"]](panel, shown, levels) if shown
            else f'<div class=empty>{escape(defaults["noValue"])}</div>')
    title = f"<h2>{escape(panel['title'])}<small>{escape(panel['description'])}</small></h2>"
    return f'<section style="{style}">{title}<div class=body>{body}</div></section>'


def _stat(panel: JSON, answers: Answers, _levels: Rows) -> str:
    first = next(iter(answers.values())).rows
    if panel.get("transformations"):
        return "<div class=tiles>" + "".join(
            f'<div class=tile style="background:{escape(str(row[2]))}">{row[1]}<small>{escape(str(row[0]))}</small>'
            "</div>" for row in first) + "</div>"
    value = first[0]["value"][1] if isinstance(first[0], dict) else first[0][0]
    return f'<div class=big style="color:{_step(panel, value)}">{escape(figure(value, panel))}</div>'


def _table(panel: JSON, answers: Answers, levels: Rows) -> str:
    answer = next(iter(answers.values()))
    rows = answer.rows
    colors = {str(row[0]): str(row[1]) for row in levels}
    if isinstance(rows[0], dict):
        names = [*sorted(rows[0]["metric"]), "Value"]
        cells = [[*(each["metric"].get(name) for name in names[:-1]), each["value"][1]] for each in rows]
    else:
        names = list(answer.columns)
        cells = [list(row) for row in rows]
    words, units = _columns(panel, "mappings"), _columns(panel, "unit")
    body = "".join("<tr>" + "".join(
        f'<td style="color:{colors.get(str(cell), "inherit")}">'
        f'{escape(_said(cell, words.get(name), units.get(name, "")))}</td>'
        for name, cell in zip(names, row, strict=True)) + "</tr>" for row in cells[:MOST_ROWS])
    return f"<table><tr>{''.join(f'<th>{escape(name)}</th>' for name in names)}</tr>{body}</table>"


def _columns(panel: JSON, setting: str) -> dict[str, Any]:
    """By the name of a column, what its override sets."""
    return {override["matcher"]["options"]: each["value"] for override in panel["fieldConfig"]["overrides"]
            for each in override["properties"] if each["id"] == setting}


def _said(cell: Any, words: Sequence[JSON] | None, unit: str) -> str:
    if cell is None:
        return ""
    if unit.startswith("dateTime") and not isinstance(cell, datetime):
        cell = datetime.fromtimestamp(float(cell) / 1000, UTC)
    if isinstance(cell, datetime):
        return cell.astimezone(UTC).strftime("%m-%d %H:%M:%S")
    if words:
        return str(words[0]["options"].get(str(cell), {"text": cell})["text"])
    if unit or isinstance(cell, float | Decimal):
        return measured(float(cell), unit or "none")
    return str(cell)


def _lines(panel: JSON, answers: Answers, _levels: Rows) -> str:
    named = _named(panel, answers)
    points = [point for _, each in named for point in each]
    if not points:
        return f'<div class=empty>{escape(panel["fieldConfig"]["defaults"]["noValue"])}</div>'
    first, last = min(at for at, _ in points), max(at for at, _ in points)
    top = max(max(value for _, value in points), 1e-9)
    drawn = []
    for number, (_, each) in enumerate(named):
        color = COLORS[number % len(COLORS)]
        spots = [(600 * (at - first) / max(last - first, 1), 100 - 95 * value / top) for at, value in each]
        if panel["fieldConfig"]["defaults"]["custom"].get("drawStyle") == "bars":
            drawn += [f'<rect x="{x:.1f}" y="{y:.1f}" width=4 height="{100 - y:.1f}" fill="{color}"/>'
                      for x, y in spots]
        else:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
            drawn.append(f'<polyline points="{path}" fill=none stroke="{color}" stroke-width=1.5 />')
    legend = " ".join(f'<span style="color:{COLORS[number % len(COLORS)]}">■ {escape(name)}</span>'
                      for number, (name, _) in enumerate(named))
    return (f'<svg viewBox="0 0 604 100" preserveAspectRatio=none>{"".join(drawn)}</svg>'
            f'<div class=legend>0 – {escape(figure(top, panel))} &nbsp; {legend}</div>')


def _bars(panel: JSON, answers: Answers, _levels: Rows) -> str:
    named = [(name, each[-1][1]) for name, each in _named(panel, answers) if each]
    top = max((value for _, value in named), default=0) or 1
    return "<table>" + "".join(
        f'<tr><td>{escape(name)}<td style="width:60%"><div class=bar style="width:{100 * value / top:.0f}%"></div>'
        f"<td>{escape(figure(value, panel))}</tr>" for name, value in named) + "</table>"


def _states(panel: JSON, answers: Answers, _levels: Rows) -> str:
    return "<table>" + "".join(
        f'<tr><td>{escape(name)}<td><span style="color:{_step(panel, each[-1][1])}">■</span> '
        f"{escape(figure(each[-1][1], panel))}</tr>" for name, each in _named(panel, answers) if each) + "</table>"


_KINDS: Mapping[str, Callable[[JSON, Answers, Rows], str]] = {
    "stat": _stat, "table": _table, "timeseries": _lines, "bargauge": _bars, "state-timeline": _states}


def _named(panel: JSON, answers: Answers) -> list[tuple[str, list[tuple[float, float]]]]:
    """Series: name, points of (seconds, figure)."""
    names = {override["matcher"]["options"]: setting["value"] for override in panel["fieldConfig"]["overrides"]
             for setting in override["properties"] if setting["id"] == "displayName"}
    found: dict[str, list[tuple[float, float]]] = {}
    legends = {target["refId"]: target.get("legendFormat") or "" for target in panel["targets"]}
    for ref, answer in answers.items():
        for row in answer.rows:
            if isinstance(row, dict):
                name = legends[ref]
                for label, value in row["metric"].items():
                    name = name.replace(f"{{{{{label}}}}}", value)
                pairs = row.get("values") or [row["value"]]
                points = [(float(at), float(value)) for at, value in pairs if value not in ("NaN", "+Inf", "-Inf")]
            else:
                name, points = str(row[1]), [(row[0].timestamp(), float(row[2]))]
            found.setdefault(names.get(name, name), []).extend(points)
    return list(found.items())


def figure(value: Any, panel: JSON) -> str:
    """A figure with its unit, about as Grafana writes it."""
    defaults = panel["fieldConfig"]["defaults"]
    for each in defaults.get("mappings", ()):
        if str(value) in each["options"]:
            return str(each["options"][str(value)]["text"])
    return measured(float(value), str(defaults["unit"]))


def measured(number: float, unit: str) -> str:
    if unit == "s":
        for size, name in ((86_400, "天"), (3600, "小时"), (60, "分"), (1, "秒")):
            if abs(number) >= size:
                return f"{number / size:.1f} {name}"
        return f"{number * 1000:.3g} 毫秒"
    if unit == "ms":
        return measured(number / 1000, "s")
    if unit == "bytes":
        return f"{number / 2**20:,.0f} MiB"
    if unit in ("percent", "percentunit"):
        return f"{number if unit == 'percent' else 100 * number:.0f}%"
    shown = f"{number:,.0f}" if number == int(number) else f"{number:.3g}"
    return shown + (f" {unit.removeprefix('suffix:').strip()}" if unit.startswith("suffix:") else "")


def _step(panel: JSON, value: Any) -> str:
    color = "#ccccdc"
    for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]:
        if step["value"] is None or float(value) >= step["value"]:
            color = step["color"]
    return color
