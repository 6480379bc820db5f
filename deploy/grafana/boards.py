"""What is in a dashboard's JSON: panels, variables, and every question that it asks a data source."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

PROMETHEUS, POSTGRES = "wenxun-prometheus", "wenxun-postgres"
JSON = dict[str, Any]


@dataclass(frozen=True)
class Query:
    """One question to a data source. where: for messages. panel: its title, empty for variables and annotations."""

    where: str
    uid: str
    text: str
    panel: JSON
    target: JSON


def panels(board: JSON) -> Iterator[JSON]:
    """Without rows."""
    for panel in board.get("panels", []):
        if panel["type"] == "row":
            yield from panel.get("panels", [])
        else:
            yield panel


def queries(board: JSON) -> Iterator[Query]:
    """Of panels, annotations and variables."""
    for panel in panels(board):
        for target in panel.get("targets", []):
            yield Query(f"{board['title']} / {panel.get('title')} / {target.get('refId')}",
                        target.get("datasource", {}).get("uid", ""), target.get("expr") or target.get("rawSql") or "",
                        panel, target)
    for mark in board.get("annotations", {}).get("list", []):
        uid = mark.get("datasource", {}).get("uid", "")
        if uid in (PROMETHEUS, POSTGRES):
            text = mark.get("expr") or mark.get("target", {}).get("rawSql") or ""
            yield Query(f"{board['title']} / 标注 {mark['name']}", uid, text, {}, mark)
    for variable in variables(board).values():
        if variable["type"] == "query":
            asked = variable["query"]
            text = asked["query"] if isinstance(asked, dict) else asked
            yield Query(f"{board['title']} / 变量 {variable['name']}", variable.get("datasource", {}).get("uid", ""),
                        text, {}, variable)


def expressions(board: JSON) -> Iterator[Query]:
    """PromQL; of a variable, what is in its label_values."""
    for query in queries(board):
        if query.uid == PROMETHEUS:
            inner = re.fullmatch(r"label_values\((.+), *(\w+)\)", query.text)
            yield Query(query.where, query.uid, inner[1], query.panel, query.target) if inner else query


def variables(board: JSON) -> dict[str, JSON]:
    return {each["name"]: each for each in board.get("templating", {}).get("list", [])}
