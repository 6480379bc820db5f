"""Writing rows so that a repeat, in any order, leaves the same rows: insert once, or keep the newer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, case, func, literal_column, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

Row = dict[str, Any]
CHUNK = 500
"""Rows or ids of one statement."""


def insert_once(connection: Connection, table: Table, rows: Sequence[Row], *, on: Sequence[str] = ()) -> int:
    """Insert rows whose key (by default the primary key) is not there yet. Returns how many were new."""
    if not rows:
        return 0
    statement = _insert(connection, table).on_conflict_do_nothing(index_elements=list(on) or _key(table))
    return _changed(connection.execute(statement, list(rows)).rowcount, rows)


def keep_newest(
    connection: Connection, table: Table, rows: Sequence[Row], order: Callable[[Any], Sequence[ColumnElement[Any]]],
) -> int:
    """Insert rows, or replace those that are older: whose order (of the row's columns) is less than the new one's."""
    if not rows:
        return 0
    statement = _insert(connection, table)
    new, old = statement.excluded, table.c
    statement = statement.on_conflict_do_update(
        index_elements=_key(table),
        set_={name: new[name] for name in rows[0] if name not in _key(table)},
        where=tuple_(*order(new)) > tuple_(*order(old)))
    return _changed(connection.execute(statement, list(rows)).rowcount, rows)


def replace(connection: Connection, table: Table, rows: Sequence[Row], *, on: Sequence[str] = ()) -> int:
    """Insert rows or overwrite those with the same key (by default the primary key)."""
    if not rows:
        return 0
    statement = _insert(connection, table)
    new, key = statement.excluded, list(on) or _key(table)
    statement = statement.on_conflict_do_update(
        index_elements=key, set_={name: new[name] for name in rows[0] if name not in key})
    connection.execute(statement, list(rows))
    return len(rows)


def insert_new(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows none of which is there: on PostgreSQL by COPY."""
    if connection.dialect.name != "postgresql" or not rows:
        replace(connection, table, rows)
        return
    names = ", ".join(f'"{name}"' for name in rows[0])
    with copying(connection, f'COPY "{table.name}" ({names}) FROM STDIN') as into:
        for row in rows:
            into.write_row(tuple(row.values()))


@contextmanager
def copying(connection: Connection, statement: str) -> Iterator[Any]:
    """COPY, on PostgreSQL. The driver's errors are raised as SQLAlchemy's, and without the rows."""
    driver: Any = connection.dialect.loaded_dbapi
    raw: Any = connection.connection.driver_connection
    try:
        with raw.cursor() as cursor, cursor.copy(statement) as copy:
            yield copy
    except driver.Error as error:
        error.args = (error.diag.message_primary or str(error).splitlines()[0],)
        raise DBAPIError.instance(statement, None, error, driver.Error, dialect=connection.dialect) from None


def keep_greatest(
    connection: Connection, table: Table, rows: Sequence[Row], *columns: str, least: Sequence[str] = (),
) -> int:
    """Insert rows; of those that are there, only these columns change, and only upwards. least: and these, times that
    only go back; 0 is none."""
    if not rows:
        return 0
    statement = _insert(connection, table)
    old, new = table.c, statement.excluded
    sqlite_ = connection.dialect.name == "sqlite"
    greatest, smallest = (func.max, func.min) if sqlite_ else (func.greatest, func.least)
    values: dict[str, Any] = {name: greatest(old[name], new[name]) for name in columns}
    values |= {name: case((old[name] == 0, new[name]), (new[name] == 0, old[name]),
                          else_=smallest(old[name], new[name])) for name in least}
    statement = statement.on_conflict_do_update(index_elements=_key(table), set_=values)
    connection.execute(statement, list(rows))
    return len(rows)


def newest(rows: Iterable[Row], key: Sequence[str], order: Callable[[Row], Any]) -> list[Row]:
    """Of rows with one key, the greatest by `order`: what keep_newest would leave of them."""
    kept: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        ident = tuple(row[name] for name in key)
        if ident not in kept or order(row) > order(kept[ident]):
            kept[ident] = row
    return list(kept.values())


def ranked(column: ColumnElement[Any], ranks: Mapping[str, int]) -> ColumnElement[Any]:
    """A column's place in an order of words; unknown words come first."""
    return case(dict(ranks), value=column, else_=literal_column("-1"))


def chunks(values: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (values[start:start + CHUNK] for start in range(0, len(values), CHUNK))


def _insert(connection: Connection, table: Table) -> Any:
    module: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    # preserve_rowcount: else psycopg's is forgotten by the time it is asked for.
    return module.insert(table).execution_options(preserve_rowcount=True)


def _key(table: Table) -> list[str]:
    return [column.name for column in table.primary_key]


def _changed(rowcount: int, rows: Sequence[Row]) -> int:
    return rowcount if rowcount >= 0 else len(rows)
