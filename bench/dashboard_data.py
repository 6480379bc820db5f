"""Thirty days of an installation, made: rows for PostgreSQL in its own SQL, series for Prometheus as OpenMetrics."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import psycopg
from prometheus_client import Histogram

from agents import metrics
from agents.rule_files import load_book, starter_dir
from agents.store.projection import _json as as_json
from tests.dashboards import recorded

DAY_MS = 86_400_000
DAYS = 30
SOURCES = 2_000
SUBJECTS = 40
ROLES = metrics.EVERY


def fill(connection: psycopg.Connection[tuple[object, ...]], items: int, events: int, now: int) -> None:
    """Rows with texts of the size that feeds have; level changes, messages and clocks of every event."""
    book = json.loads(as_json(load_book(starter_dir(), "Asia/Shanghai")))
    book["sources"] = [{"id": f"s{n}", "name": f"来源{n}", "url": f"http://s{n}.example/feed", "group": f"组{n % 12}"}
                       for n in range(SOURCES)]
    book["subjects"] = [{**book["subjects"][0], "id": f"subject{n}", "title": f"主题{n}"} for n in range(SUBJECTS)]
    book["hash"] = "b" * 16
    state = {"items": items, "events": events, "start": now - DAYS * DAY_MS, "span": DAYS * DAY_MS, "now": now,
             "sources": SOURCES, "subjects": SUBJECTS, "each": items // 2 // events}
    connection.execute("SELECT setseed(0.5)")
    for statement in _STATEMENTS:
        connection.execute(statement.format(**state).encode())
    connection.execute(
        "INSERT INTO books (hash, at, book, first_at, shadow_at) SELECT lpad(n::text, 16, 'b'), %s + n, %s, %s, 0 "
        "FROM generate_series(0, 19) n", (now - DAY_MS, json.dumps(book), now - DAY_MS))
    connection.execute("VACUUM ANALYZE")


_STATEMENTS = (
    """INSERT INTO items (id, source_id, revision, title, text, url, published_at, first_seen_at, seen_at, backfill,
         html, ref, urgent, expired, drill)
       SELECT 'i' || n, 's' || (random() * random() * {sources})::int % {sources}, 'r', repeat(md5(n::text), 2),
         repeat(md5(n::text || 'x'), 20), 'http://x.example/' || n, {start} + t, {start} + t, {start} + t, false,
         repeat(md5(n::text || 'h'), 24), '', false, false, false
       FROM (SELECT n, ({span} * ((n + random()) / {items}))::bigint AS t
         FROM generate_series(0, {items} - 1) n) AS made""",
    """INSERT INTO scored (item_id, subject, revision, origin, weight, polarity, confidence, question, first_seen_at,
         detail, book, expired)
       SELECT id, CASE WHEN n - {items}::bigint * about / {events} < {each} THEN 'subject' || about % {subjects}
           ELSE '*' END, 'r', source_id || '.example', 1,
         (ARRAY['negative', 'neutral', 'positive', 'unsure'])[1 + n % 4], 0.8, false,
         first_seen_at, repeat(md5(id), 40), 'b', false
       FROM (SELECT *, n::bigint * {events} / {items} AS about
         FROM (SELECT *, substr(id, 2)::int AS n FROM items) AS numbered) AS known""",
    """INSERT INTO counts (item_id, at, comments, forwards, likes, views, since)
       SELECT id, first_seen_at + k * 3600000, k * 7, k * 3, k * 11, k * 100, NULL
       FROM items, generate_series(0, 3) k WHERE substr(id, 2)::int % 3 = 0""",
    """INSERT INTO events (id, number, subject, status, level, level_name, peak, version, title, items, sources,
         opened_at, last_item_at, changed_at, head, expired, shadow, drill)
       SELECT 'e' || n, n + 1, CASE kind WHEN 1 THEN '!' WHEN 2 THEN '~' ELSE '' END || 'subject' || n % {subjects},
         CASE WHEN n % 31 = 0 THEN 'open' ELSE 'closed' END, level, (ARRAY['一般', '较大', '重大'])[level], level, 9,
         repeat(md5(n::text), 2), {each}, 5, t, t + 7200000, t + 7200000, repeat(md5(n::text), 90), false, kind = 2,
         kind = 1
       FROM (SELECT n, 1 + n % 3 AS level, CASE WHEN n % 50 = 7 THEN 1 WHEN n % 50 = 8 THEN 2 ELSE 0 END AS kind,
         {start} + {span} / {events} * n AS t FROM generate_series(0, {events} - 1) n) AS made""",
    """INSERT INTO members (event_id, item_id, at, version, "row")
       SELECT e.id, 'i' || (({items}::bigint * e.n / {events} + k) % {items}), e.opened_at + k * 60000, 1,
         repeat('x', 150)
       FROM (SELECT *, substr(id, 2)::int AS n FROM events) e, generate_series(0, {each} - 1) k""",
    """INSERT INTO timeline (event_id, ref, at, kind, detail)
       SELECT id, k::text, opened_at + k * 600000, (ARRAY['level', 'escalation', 'delivery', 'ack', 'clock_started',
           'comment', 'clock_stopped', 'verdict'])[1 + k % 8],
         json_build_object('level', 1 + k % 3, 'previous', k % 3, 'name', (ARRAY['一般', '较大', '重大'])[1 + k % 3],
           'why', 'raised', 'more', repeat('x', 300))::text
       FROM events, generate_series(0, 23) k""",
    """INSERT INTO escalations (id, event_id, kind, at, detail, shadow, first, drill, suppressed_by)
       SELECT 'p' || id || k, id, CASE WHEN k < 4 THEN 'page' ELSE 'clock' END, opened_at + k * 600000,
         json_build_object('level', level, 'level_name', level_name, 'head', repeat('x', 3000))::text, shadow, k = 0,
         drill, '' FROM events, generate_series(0, 5) k""",
    """INSERT INTO deliveries (id, escalation_id, event_id, person, channel, status, attempts, at, decided_at, error,
         suppressed_by)
       SELECT 'd' || id || k, id, event_id, 'p' || k, 'channel' || k % 6, CASE WHEN (at / 1000 + k) % 97 = 0 THEN 'dead'
         ELSE 'confirmed' END, 1, at + 500, at, '', '' FROM escalations, generate_series(0, 2) k""",
    """INSERT INTO alerts (event_id, event_version, revision, status, due_at, state)
       SELECT id, 9, 3, CASE WHEN status = 'open' THEN 'notified' ELSE 'ended' END, NULL,
         json_build_object('event_id', id, 'alert_id', 'a' || id, 'level', level, 'acked_by', 'duty', 'acked_at',
           opened_at + 60000, 'raised_at', opened_at, 'told', json_build_array('duty', 'chief'))::text FROM events""",
    """INSERT INTO clocks (event_id, revision, open, next_due_at, state)
       SELECT id, 1, status = 'open', CASE WHEN status = 'open' THEN opened_at + 18000000 END,
         json_build_object('clocks', json_agg(json_strip_nulls(json_build_object('id', c, 'name', c, 'started_at',
           opened_at, 'due_at', opened_at + 18000000, 'warned', 50, 'stopped_at',
           CASE WHEN status <> 'open' THEN opened_at + 9000000 END))))::text
       FROM events, unnest(ARRAY['answer', 'briefing', 'reply']) c WHERE level > 1 GROUP BY id""",
    """INSERT INTO verdicts (id, subject, kind, by, at, event_id, item_id, note, book)
       SELECT 'v' || id, subject, (ARRAY['relevant', 'not_relevant', 'duplicate', 'wrong_level'])[1 + number % 4], 'a',
         opened_at, id, '', '', 'b' FROM events""",
    """INSERT INTO sources (id, url, polled_at, next_poll_at, outcome, error, failures, succeeded_at, new_item_at,
         backfilled, kind, failed_since, state)
       SELECT 's' || n, 'http://s.example', {now}, {now} + 60000, 'ok', '', CASE WHEN n % 50 = 0 THEN 4 ELSE 0 END,
         {now}, {now}, true, 'feed', CASE WHEN n % 50 = 0 THEN {now} END, repeat('x', 400)
       FROM generate_series(0, {sources} - 1) n""",
    """INSERT INTO channel_state (channel, failures) SELECT 'channel' || n, n FROM generate_series(0, 5) n""",
    """INSERT INTO dead_letters (id, topic, reason, at, detail, replayed_at)
       SELECT 'l' || n, 'items.raw', 'undecodable', {start} + {span} / 500 * n, repeat('x', 900), NULL
       FROM generate_series(0, 499) n""",
)


# ---------------------------------------------------------------- series

_VALUES: dict[str, tuple[str, ...]] = {
    "role": ROLES, "topic": tuple(f"topic{n}" for n in range(9)), "level": ("一般", "较大", "重大"),
    "group": tuple(f"wenxun-{role}" for role in ("score", "track", "escalate", "deliver", "archive")),
    "stage": ("score", "track", "escalate", "deliver"), "source": tuple(f"s{n}" for n in range(100)),
    "channel": tuple(f"channel{n}" for n in range(6)), "table": ("events", "alerts"),
    "state": ("ok", "quiet", "blind", "failing"), "hash": ("b" * 16,)}
_OTHERS = ("one", "two", "three")
_PROCESS = (("process_resident_memory_bytes", False), ("process_cpu_seconds_total", True), ("process_open_fds", False),
            ("process_start_time_seconds", False), ("up", False))


def times(now: int, days: int, coarse: int, fine: int) -> list[int]:
    """Seconds: every `coarse` up to the last day, every `fine` in it."""
    start, last = now - days * 86_400, now - 86_400
    return [*range(start, last, coarse), *range(last, now + 1, fine)]


def write_series(path: Path, at: list[int]) -> int:
    """OpenMetrics with every series of the dashboards; returns how many samples."""
    chance, samples = random.Random(1), 0
    with path.open("w", encoding="utf-8") as out:
        for name, labels, grows in _series():
            text, value = f"{name}{{{labels}}} ", chance.randrange(1, 50)
            rows = []
            for moment in at:
                value = value + (chance.randrange(3) if grows else 0)
                shown = value if grows else value + moment % 7
                rows.append(f"{text}{shown} {moment}\n")
            out.writelines(rows)
            samples += len(rows)
        out.write("# EOF\n")
    return samples


def series_count() -> int:
    return sum(1 for _ in _series())


def _series() -> Iterator[tuple[str, str, bool]]:
    """Name, labels, whether it is a counter. A family's series follow each other."""
    for metric in metrics.TABLE:
        roles = metric.roles[:1] if len(metric.roles) < len(ROLES) else ROLES
        names = [f"wenxun_{metric.name}"]
        if metric.kind is Histogram:
            names = [f"wenxun_{metric.name}_bucket"]
        for name, role in product(names, roles):
            for values in product(*(_VALUES.get(label, _OTHERS) for label in metric.labels)):
                own = {"job": "wenxun", "instance": f"127.0.0.1:81{ROLES.index(role):02}", "role": role,
                       **dict(zip(metric.labels, values, strict=True))}
                if metric.labels[:1] == ("role",) and own["role"] != role and len(metric.roles) == len(ROLES):
                    continue
                for bound in (*metric.buckets, "+Inf") if metric.kind is Histogram else (None,):
                    labels = own if bound is None else {**own, "le": str(bound)}
                    yield name, _shown(labels), metric.kind is not metrics.Gauge
    for name, grows in _PROCESS:
        for number, role in enumerate(ROLES):
            yield name, _shown({"job": "wenxun", "instance": f"127.0.0.1:81{number:02}", "role": role}), grows
    for name in recorded():
        if name.endswith(":increase15m"):
            for role in ROLES:
                yield name, _shown({"role": role, "reason": "undecodable"}), False


def _shown(labels: dict[str, str]) -> str:
    return ",".join(f'{name}="{value}"' for name, value in labels.items())


