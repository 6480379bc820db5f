"""The last heartbeat of each stage and partition, as the processes at the end of the chain saw it. Times are real."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine, select

from agents.store.schema import heartbeats
from agents.store.upsert import keep_newest
from pipeline.model import Millis

DELIVER, ARCHIVE = "deliver", "archive"
STAGES = {DELIVER: "采集到投递", ARCHIVE: "采集到归档"}
"""A stage ends a chain: what it did not see may have stopped anywhere before it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """at: when the collector sent it. seen_at: when the stage had it."""

    stage: str
    partition: int
    at: Millis
    seen_at: Millis


def note(engine: Engine, beats: list[Seen]) -> None:
    """The newest of each stage and partition stays."""
    newest = {(one.stage, one.partition): one for one in sorted(beats, key=lambda one: one.at)}
    rows = [{"stage": one.stage, "partition": one.partition, "at": one.at, "seen_at": one.seen_at}
            for one in newest.values()]
    with engine.begin() as connection:
        keep_newest(connection, heartbeats, rows, lambda row: (row.at,))


def read(engine: Engine) -> list[Seen]:
    with engine.connect() as connection:
        return [Seen(row.stage, row.partition, row.at, row.seen_at) for row in connection.execute(select(heartbeats))]


def missing(beats: list[Seen], partitions: int, now: Millis, most: Millis) -> list[tuple[str, int, Millis | None]]:
    """Stage, partition and age of every beat that is older than `most`, or never came (None)."""
    ages = {(one.stage, one.partition): now - min(one.at, one.seen_at) for one in beats}
    places = [(stage, partition) for stage in STAGES for partition in range(partitions)]
    return [(stage, partition, ages.get((stage, partition))) for stage, partition in places
            if ages.get((stage, partition)) is None or ages[stage, partition] > most]
