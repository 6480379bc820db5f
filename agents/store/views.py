"""What Grafana may see: events, alerts, clocks, messages, sources, levels, matches; times, names and figures, no text
that anybody wrote on a feed, no address, no error of a receiver. Texts are read on the desk, where reads are audited.
What the rule book in force calls things (levels and their colours, subjects, sources) is there too.

The role `grafana_ro` of PostgreSQL, if there is one, may read these views and nothing else. They are dropped before
tables are altered and made again after it; a hash tells whether they are this version's. Columns `…_ms` are the tables'
own, by which indexes go; columns `…_time` are the same as PostgreSQL's timestamptz (SQLite: text, UTC).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from sqlalchemy import Connection, inspect

ROLE = "grafana_ro"
PREFIX = "grafana_"
MARK = "grafana_version"

_ALERT = ("alert_id", "acked_by", "acked_at", "raised_at", "snoozed_until", "held_by", "handed_to")
_CLOCK = ("id", "name", "started_at", "due_at", "warned", "stopped_at", "stopped_by", "stopped_why")
_NUMBERS = {"acked_at", "raised_at", "snoozed_until", "started_at", "due_at", "warned", "stopped_at"}

TABLES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "items": ("items", ("id", "source_id", "published_at", "first_seen_at", "seen_at", "backfill", "urgent", "drill")),
    "counts": ("counts", ("item_id", "at", "comments", "forwards", "likes", "views")),
    "matches": ("scored", ("item_id", "subject", "origin", "weight", "polarity", "confidence", "question",
                           "first_seen_at", "book")),
    "members": ("members", ("event_id", "item_id", "at")),
    "events": ("events", ("id", "number", "subject", "status", "level", "level_name", "peak", "version", "items",
                          "sources", "opened_at", "last_item_at", "changed_at", "shadow", "drill")),
    "escalations": ("escalations", ("id", "event_id", "kind", "at", "first", "shadow", "drill", "suppressed_by")),
    "deliveries": ("deliveries", ("id", "escalation_id", "event_id", "person", "channel", "status", "attempts", "at",
                                  "decided_at", "suppressed_by")),
    "channels": ("channel_state", ("channel", "failures", "opened", "open_until")),
    "sources": ("sources", ("id", "kind", "polled_at", "next_poll_at", "outcome", "failures", "succeeded_at",
                            "new_item_at", "failed_since")),
    "verdicts": ("verdicts", ("id", "subject", "kind", "at", "event_id", "item_id", "book")),
    "heartbeats": ("heartbeats", ("stage", "partition", "at", "seen_at")),
    "books": ("books", ("hash", "at", "first_at", "shadow_at")),
    "timeline": ("timeline", ("event_id", "at", "kind")),
    "dead_letters": ("dead_letters", ("id", "topic", "reason", "at", "replayed_at")),
    "silences": ("silences", ("id", "at", "ends_at", "expired_at")),
}
"""View (without its prefix): its table, and the columns of it that may be seen."""
_TIMES = {"at", "polled_at", "next_poll_at", "succeeded_at", "new_item_at", "failed_since", "published_at",
          "first_seen_at", "opened_at", "last_item_at", "changed_at", "decided_at", "open_until", "seen_at", "first_at",
          "shadow_at", "acked_at", "raised_at", "snoozed_until", "started_at", "due_at", "stopped_at", "replayed_at",
          "ends_at", "expired_at"}
_WORLD = "CASE {} WHEN '!' THEN 'drill' WHEN '~' THEN 'shadow' ELSE 'live' END"
_OF_FLAGS = "CASE WHEN drill THEN 'drill' WHEN shadow THEN 'shadow' ELSE 'live' END"
_SHORT = "CASE WHEN number > 0 THEN CASE WHEN shadow THEN 'S-' WHEN drill THEN 'D-' ELSE 'E-' END || {} END"
_PADDED = {"postgresql": "lpad(number::text, greatest(4, length(number::text)), '0')",
           "sqlite": "printf('%04d', number)"}
_SUBJECT = "ltrim(subject, '~!')"
_LIVE_BOOK = "SELECT book FROM books WHERE at > 0 ORDER BY at DESC, hash LIMIT 1"
_IN_BOOK: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "ladder": ("levels.ladder", {"name": "", "response": "", "color": "#888888"}),
    "subjects": ("subjects", {"id": "", "title": "", "owner": "", "status": "live", "expires": "", "team": ""}),
    "source_names": ("sources", {"id": "", "name": "", "group": "其他", "region": ""}),
    "clock_names": ("levels.clocks", {"id": "", "name": ""}),
}
"""Views of the rule book that was published last: the list in it, and of its members what is shown, with the default
that the book leaves out."""


def names() -> list[str]:
    return [*(PREFIX + name for name in (*TABLES, "alerts", "clocks", "levels", *_IN_BOOK, "book")), MARK]


def definitions(dialect: str) -> dict[str, str]:
    """SELECT of each view."""
    made = _made(dialect)
    plain = {name: f"SELECT {', '.join([_columns(columns, dialect), *made.get(name, ())])} FROM {table}"  # noqa: S608
             for name, (table, columns) in TABLES.items()}
    return {PREFIX + name: text for name, text in {**plain, **_of_records(dialect), **_of_book(dialect)}.items()}


def drop(connection: Connection) -> None:
    """Before tables are altered: neither database alters a column that a view has."""
    for name in names():
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")


def create(connection: Connection) -> None:
    made = definitions(connection.dialect.name)
    for name, text in made.items():
        connection.exec_driver_sql(f"CREATE VIEW {name} AS {text}")
    connection.exec_driver_sql(f"CREATE VIEW {MARK} AS SELECT '{_hash(made)}' AS version")


def current(connection: Connection) -> bool:
    """Whether all views are there and say what this version's say."""
    if not set(names()) <= set(inspect(connection).get_view_names()):
        return False
    found = connection.exec_driver_sql(f"SELECT version FROM {MARK}").scalar()  # noqa: S608
    return bool(found == _hash(definitions(connection.dialect.name)))


def grant(connection: Connection) -> None:
    """What the role may read, if there is such a role and it may not yet."""
    if connection.dialect.name != "postgresql":
        return
    if not connection.exec_driver_sql(f"SELECT 1 FROM pg_roles WHERE rolname = '{ROLE}'").scalar():  # noqa: S608
        return
    missing = [name for name in names() if not connection.exec_driver_sql(
        f"SELECT has_table_privilege('{ROLE}', '{name}', 'SELECT')").scalar()]
    if missing:
        connection.exec_driver_sql(f"GRANT SELECT ON {', '.join(missing)} TO {ROLE}")


def _columns(columns: tuple[str, ...], dialect: str) -> str:
    found = []
    for name in columns:
        if name in _TIMES:
            quoted = f'"{name}"'
            found += [f"{quoted} AS {_stem(name)}_ms", f"{_time(quoted, dialect)} AS {_stem(name)}_time"]
        else:
            found.append(f'"{name}"')
    return ", ".join(found)


def _made(dialect: str) -> dict[str, tuple[str, ...]]:
    """Columns that are made of others. kind: live, drill or shadow. subject_id: without the mark of its kind."""
    detail = "NULLIF(detail, '')"
    level = ", ".join(_field(detail, name, dialect) for name in ("level", "level_name", "clock", "percent"))
    return {
        "events": (f"{_OF_FLAGS} AS kind", f"{_SHORT.format(_PADDED[dialect])} AS short", f"{_SUBJECT} AS subject_id"),
        "matches": (f"{_WORLD.format('substr(subject, 1, 1)')} AS kind", f"{_SUBJECT} AS subject_id"),
        "verdicts": (f"{_WORLD.format('substr(subject, 1, 1)')} AS world", f"{_SUBJECT} AS subject_id"),
        "escalations": (f"{_OF_FLAGS} AS world", level),
    }


def _of_book(dialect: str) -> dict[str, str]:
    """What the rule book in force calls things. rank: the place in the list, from 1."""
    postgres = dialect == "postgresql"
    live = f"(SELECT ({_LIVE_BOOK}){'::json' if postgres else ''} AS book) AS live"
    found = {}
    for name, (path, fields) in _IN_BOOK.items():
        shown = ", ".join(f"COALESCE({_text('one.value', each, dialect)}, '{default}') AS \"{each}\""
                          for each, default in fields.items())
        if name == "ladder":
            shown += f", {_budget(dialect)} AS budget"
        rank = "one.rank::integer" if postgres else "one.key + 1"
        each = (f"CROSS JOIN LATERAL json_array_elements(live.book #> '{{{path.replace('.', ',')}}}') "
                "WITH ORDINALITY AS one(value, rank)" if postgres else f", json_each(live.book, '$.{path}') AS one")
        found[name] = _once(f"SELECT {rank} AS rank, {shown} FROM {live} {each}", dialect)  # noqa: S608
    interaction = ("(live.book #>> '{levels,events,interaction}')::float8" if postgres
                   else "json_extract(live.book, '$.levels.events.interaction')")
    found["book"] = _once(f"SELECT {_text('live.book', 'hash', dialect)} AS hash, COALESCE({interaction}, 0.01) "  # noqa: S608
                          f"AS interaction FROM {live} WHERE live.book IS NOT NULL", dialect)
    return found


def _once(text: str, dialect: str) -> str:
    """Read once a question: a book of thousands of sources takes a few ms, and a join would read it for every row."""
    return f"WITH listed AS MATERIALIZED ({text}) SELECT * FROM listed" if dialect == "postgresql" else text  # noqa: S608


def _budget(dialect: str) -> str:
    if dialect == "postgresql":
        return "(live.book -> 'budget' ->> (one.value ->> 'name'))::integer"
    return "json_extract(live.book, '$.budget.\"' || json_extract(one.value, '$.name') || '\"')"


def _text(source: str, name: str, dialect: str) -> str:
    return f"({source} ->> '{name}')" if dialect == "postgresql" else f"json_extract({source}, '$.{name}')"


def _of_records(dialect: str) -> dict[str, str]:
    """Views of what is kept as JSON: alerts, one row per clock, one row per change of level."""
    alert = ", ".join(_field("state", name, dialect) for name in ("level", *_ALERT))
    clock = ", ".join(_field("one.value", name, dialect) for name in _CLOCK)
    level = ", ".join(_field("detail", name, dialect) for name in ("level", "previous", "name", "why"))
    each = (f"json_array_elements({_json('clocks.state')} -> 'clocks') AS one(value)" if dialect == "postgresql"
            else "json_each(clocks.state, '$.clocks') AS one")
    joined = f"clocks CROSS JOIN LATERAL {each}" if dialect == "postgresql" else f"clocks, {each}"
    return {
        "alerts": f"SELECT event_id, event_version, revision, status, {_columns(('due_at',), dialect)}, {alert} "  # noqa: S608
                  "FROM alerts WHERE state <> ''",
        "clocks": f"SELECT clocks.event_id, clocks.open, {clock} FROM {joined} WHERE clocks.state <> ''",  # noqa: S608
        "levels": f"SELECT event_id, {_columns(('at',), dialect)}, {level} FROM timeline "  # noqa: S608
                  "WHERE kind = 'level' AND detail <> ''",
    }


def _field(source: str, name: str, dialect: str) -> str:
    whole = name in _NUMBERS or name in ("level", "previous", "percent")
    if dialect == "postgresql":
        column = source if source == "one.value" else _json(source)
        value = f"({column} ->> '{name}')" + ("::bigint" if whole else "")
    else:
        value = f"json_extract({source}, '$.{name}')"
    if name in _TIMES:
        return f"{value} AS {_stem(name)}_ms, {_time(value, dialect)} AS {_stem(name)}_time"
    return f'{value} AS "{name}"'


def _json(source: str) -> str:
    """PostgreSQL takes no NUL out of a JSON text: one title with one would be an error of the whole list."""
    return rf"replace({source}, '\u0000', '\ufffd')::json"


def _stem(name: str) -> str:
    return name.removesuffix("_at")


def _time(value: str, dialect: str) -> str:
    return f"to_timestamp({value} / 1000.0)" if dialect == "postgresql" else f"datetime({value} / 1000, 'unixepoch')"


def _hash(made: Mapping[str, str]) -> str:
    return hashlib.sha256(repr(sorted(made.items())).encode()).hexdigest()[:16]
