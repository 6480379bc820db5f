"""What a rebuild has read so far: an SQLite file of its own with the archive's tables, and where each partition stands.

It outlives the process, so that a rebuild that was killed goes on where it was. Its rows are made by the archive's own
projection. It holds texts: the file is its owner's alone, and is removed when the rebuild is done.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace as replaced
from sqlalchemy import Engine, event

from agents.store import schema
from agents.store.engine import open_file
from agents.store.projection import Batch, Entry, project
from pipeline.errors import WenxunError
from pipeline.model import RawBatch, ScoredBatch

Place = tuple[str, int]
"""A topic and one of its partitions."""
FOLDER = "rebuild"
_TABLES = (
    "CREATE TABLE IF NOT EXISTS rebuild_label (text TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS rebuild_places (topic TEXT, part INTEGER, next INTEGER, PRIMARY KEY (topic, part))")


class Scratch:
    """label: what is rebuilt from what. A file that is about something else is begun anew."""

    def __init__(self, folder: Path, label: str) -> None:
        self._folder, self._wanted = folder / FOLDER, label
        self.file = self._folder / "scratch.db"
        self.refused = 0
        """Records and items that SQL does not take: they are dead letters already."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise WenxunError(f"{self._folder}：建不了这个临时目录（{error.strerror}）。"
                              "检查权限，或用 --work 指定别的目录。") from None
        self.engine = self._open()
        self.resumed = self._label() == label
        if not self.resumed:
            self.begin_anew()

    def begin_anew(self) -> None:
        """Forget what was read."""
        self.engine.dispose()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.engine = self._open()
        with self.engine.begin() as connection:
            connection.exec_driver_sql("INSERT INTO rebuild_label VALUES (?)", (self._wanted,))
        self.resumed = False

    def places(self) -> dict[Place, int]:
        """The next offset to read, of each partition that was begun."""
        with self.engine.connect() as connection:
            rows = connection.exec_driver_sql("SELECT topic, part, next FROM rebuild_places")
            return {(topic, part): after for topic, part, after in rows}

    def take(self, entries: Sequence[Entry], places: Mapping[Place, int]) -> None:
        """Records, and where their partitions stand after them: together, so that a kill repeats and skips none."""
        batch = Batch()
        for entry in entries:
            batch.take(entry)
        try:
            with self.engine.begin() as connection:
                batch.write(connection)
        except (ValueError, OverflowError):             # a number no column holds; SQLite's driver says it so
            for entry in entries:
                self._alone(entry)
        with self.engine.begin() as connection:
            connection.exec_driver_sql(
                "INSERT OR REPLACE INTO rebuild_places VALUES (?, ?, ?)",
                [(topic, part, after) for (topic, part), after in places.items()])

    def remove(self) -> None:
        self.engine.dispose()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _alone(self, entry: Entry) -> None:
        """One record; its items one by one where that fails, as the archive does."""
        record = entry.record
        try:
            project(self.engine, [entry])
        except (ValueError, OverflowError):
            if isinstance(record, RawBatch | ScoredBatch) and len(record.items) > 1:
                for item in record.items:
                    self._alone(Entry(replaced(record, items=(item,)), entry.at))
            else:
                self.refused += 1

    def _open(self) -> Engine:
        engine = open_file(self.file)
        event.listen(engine, "connect", _in_haste)
        with engine.begin() as connection:
            schema.metadata.create_all(connection)
            for statement in _TABLES:
                connection.exec_driver_sql(statement)
        return engine

    def _label(self) -> str:
        with self.engine.connect() as connection:
            return str(connection.exec_driver_sql("SELECT text FROM rebuild_label").scalar() or "")


def _in_haste(connection: object, _record: object) -> None:
    """A power cut may cost it: then the next run begins anew. A killed process costs nothing."""
    for pragma in ("synchronous=OFF", "cache_size=-65536"):
        connection.execute(f"PRAGMA {pragma}")  # type: ignore[attr-defined]
