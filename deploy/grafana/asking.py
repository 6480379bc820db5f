"""Asks what Grafana would ask: a dashboard's queries, with its variables and macros filled in, to Prometheus' HTTP API
and to PostgreSQL. No Grafana is run; what panels do with the answers (colours, transformations) is not seen here.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg

from deploy.grafana import boards
from deploy.grafana.boards import JSON, Query

ALL = "$__all"
POINTS = 1000
"""About as many as a panel is wide."""
Values = Mapping[str, str | Sequence[str]]


class QueryError(Exception):
    """A data source refused a question; the message has the question as it was asked."""


@dataclass(frozen=True)
class Window:
    """A dashboard's time range, in milliseconds. scrape: the data source's interval, in seconds."""

    start: int
    end: int
    scrape: float = 15.0

    @classmethod
    def last(cls, seconds: float, scrape: float = 15.0) -> Window:
        now = time.time_ns() // 1_000_000
        return cls(now - round(seconds * 1000), now, scrape)

    def step(self, least: str = "") -> float:
        """Seconds between two points, as Grafana chooses them: a round length, never under the panel's least one."""
        wanted = max((self.end - self.start) / 1000 / POINTS, self.scrape, seconds(least) if least else 0.0)
        return next((length for length in _ROUND if length >= wanted), wanted)


_ROUND = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)


def seconds(text: str) -> float:
    return float(text[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[text[-1]]


@dataclass
class Answer:
    """What came back. rows: of SQL those with a value, of PromQL series with a figure that is a number."""

    rows: list[Any]
    seconds: float
    asked: str = ""
    columns: tuple[str, ...] = ()


@dataclass
class Sources:
    """The two data sources, as `grafana` in stack.json names them."""

    prometheus: str
    postgres: psycopg.Connection[tuple[Any, ...]]

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Sources:
        """state: the stack's state file. It signs in to PostgreSQL as the role that Grafana has."""
        found = state["grafana"]["wenxun-postgres"]
        host, port = found["host"].rsplit(":", 1)
        with open(found["password_file"], encoding="utf-8") as file:
            password = file.read().strip()
        connection = psycopg.connect(host=host, port=int(port), dbname=found["database"], user=found["user"],
                                     password=password, autocommit=True, connect_timeout=10)
        return cls(state["grafana"]["wenxun-prometheus"], connection)

    # ---------------------------------------------------------------- variables

    def values(self, board: JSON, window: Window, chosen: Values | None = None) -> dict[str, str | Sequence[str]]:
        """Every variable of a board: as chosen, else as the board opens; in their order, for some ask for others."""
        found: dict[str, str | Sequence[str]] = {}
        for name, variable in boards.variables(board).items():
            if chosen and name in chosen:
                found[name] = chosen[name]
            elif variable["type"] == "query":
                found[name] = self._opened(variable, self.options(variable, found, window))
            else:
                found[name] = variable["current"]["value"] if variable["type"] == "custom" else variable["query"]
        return found

    def _opened(self, variable: JSON, options: Sequence[str]) -> str | Sequence[str]:
        current = variable.get("current", {}).get("value")
        if variable.get("includeAll") and current in (ALL, [ALL]):
            return variable.get("allValue") or list(options)
        if isinstance(current, str) and current in options:
            return current
        return options[0] if options else ""

    def options(self, variable: JSON, values: Values, window: Window) -> list[str]:
        """What people may choose from."""
        query = variable["query"]
        if variable["datasource"]["uid"] == boards.POSTGRES:
            rows = self.sql(sql_text(query, values, window)).rows
            return [str(row[1] if len(row) > 1 else row[0]) for row in rows]
        found = re.fullmatch(r"label_values\((.+), *(\w+)\)", query["query"])
        assert found, query
        return list(self._get(f"/api/v1/label/{found[2]}/values", {
            "match[]": promql_text(found[1], values, window, 0), **_span(window)}))

    # ---------------------------------------------------------------- questions

    def ask(self, query: Query, values: Values, window: Window) -> Answer:
        """One question of a panel, an annotation or a variable."""
        least = query.panel.get("interval") or ""
        if query.uid == boards.POSTGRES:
            return self.sql(sql_text(query.text, values, window, least))
        if query.target.get("type") == "query":
            begun = time.monotonic()
            return Answer(self.options(query.target, values, window), time.monotonic() - begun, query.text)
        step = window.step(least)
        text = promql_text(query.text, values, window, step)
        asked: dict[str, Any] = {"query": text}
        begun = time.monotonic()
        if query.target.get("instant"):
            found = self._get("/api/v1/query", {**asked, "time": window.end / 1000})["result"]
        else:
            found = self._get("/api/v1/query_range", {**asked, **_span(window), "step": step})["result"]
        return Answer([each for each in found if _numbers(each)], time.monotonic() - begun, text)

    def sql(self, text: str) -> Answer:
        begun = time.monotonic()
        try:
            cursor = self.postgres.execute(text.encode())
            rows = cursor.fetchall()
        except psycopg.Error as error:
            raise QueryError(f"{error}\n{text}") from error
        taken = time.monotonic() - begun
        columns = tuple(column.name for column in cursor.description or ())
        return Answer([row for row in rows if any(value is not None for value in row)], taken, text, columns)

    def plan(self, text: str) -> str:
        """EXPLAIN ANALYZE, as text."""
        rows = self.postgres.execute(("EXPLAIN (ANALYZE, BUFFERS) " + text).encode()).fetchall()
        return "\n".join(str(row[0]) for row in rows)

    def _get(self, path: str, asked: Mapping[str, Any]) -> Any:
        with httpx.Client(base_url=self.prometheus, trust_env=False, timeout=60) as client:
            answer = client.get(path, params=asked) if "/label/" in path else client.post(path, data=asked)
        if answer.status_code != httpx.codes.OK:
            raise QueryError(f"{answer.text}\n{asked}")
        return answer.json()["data"]


def _span(window: Window) -> dict[str, float]:
    return {"start": window.start / 1000, "end": window.end / 1000}


def _numbers(series: JSON) -> bool:
    pairs = series.get("values") or [series["value"]]
    return any(math.isfinite(float(value)) for _, value in pairs)


# ---------------------------------------------------------------- macros


def promql_text(text: str, values: Values, window: Window, step: float) -> str:
    """PromQL as Prometheus gets it: many values of a variable are one expression `a|b`."""
    rate = max(step + window.scrape, 4 * window.scrape)
    own = {"__rate_interval": f"{math.ceil(rate)}s", "__interval": f"{math.ceil(step)}s",
           "__range": f"{math.ceil((window.end - window.start) / 1000)}s"}

    def filled(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        value = own.get(name, values.get(name))
        if value is None:
            raise QueryError(f"no variable {name}: {text}")
        return value if isinstance(value, str) else "(" + "|".join(map(_escaped, value)) + ")"

    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", filled, text)


def _escaped(value: str) -> str:
    """A value in an expression in a string."""
    return re.sub(r"[$^*{}\[\]'+?.()|]", r"\\\\\g<0>", value.replace("\\", "\\" * 4))


def sql_text(text: str, values: Values, window: Window, least: str = "") -> str:
    """SQL as PostgreSQL gets it: `${name:sqlstring}` is quoted, many values are a list."""
    step = max(window.step(least), 1)
    own = {"__from": str(window.start), "__to": str(window.end), "__interval_ms": str(round(step * 1000)),
           "__interval": f"{round(step)}s"}

    def filled(found: re.Match[str]) -> str:
        name = found[1] or found[3]
        if name in own:
            return own[name]
        if name not in values:
            raise QueryError(f"no variable {name}: {text}")
        if found[2] != "sqlstring":
            raise QueryError(f"variable {name} is not quoted: {text}")
        value = values[name]
        return ",".join("'" + each.replace("'", "''") + "'" for each in ([value] if isinstance(value, str) else value))

    return re.sub(r"\$(?:\{(\w+)(?::(\w+))?\}|(\w+))", filled, text)
