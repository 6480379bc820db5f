"""One clock for all who share a database server: leases of one host are read by another, whose clock may differ.

With PostgreSQL it is the server's, asked now and then; between two looks it goes on with this machine's monotonic time,
which no correction of the clock moves. A SQLite file is shared on one machine only: there it is the machine's.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from pipeline.model import Millis

log = logging.getLogger("wenxun.store")

LOOK_SECONDS = 5.0
OFF: Millis = 60_000
"""From this difference on it is said."""
_NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"


class SharedClock:
    """Real time in milliseconds. Before the first look, and while the server is away, it goes on from what it knew."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._shared = engine.dialect.name == "postgresql"
        self._origin: float | None = None
        self._said = False

    @classmethod
    async def of(cls, engine: Engine) -> SharedClock:
        """With the server's time, if the server is there."""
        self = cls(engine)
        with suppress(SQLAlchemyError):
            await asyncio.to_thread(self.look)
        return self

    def now(self) -> Millis:
        if self._origin is None:
            return time.time_ns() // 1_000_000
        return int(self._origin + time.monotonic() * 1000)

    def look(self) -> None:
        """Ask the server; SQLAlchemy's errors are raised."""
        if not self._shared:
            return
        before = time.monotonic()
        with self._engine.connect() as connection:
            found = int(connection.exec_driver_sql(_NOW).scalar_one())
        after = time.monotonic()
        self._origin = found - (before + after) / 2 * 1000
        self._say(time.time_ns() // 1_000_000 - found)

    def _say(self, off: Millis) -> None:
        if abs(off) >= OFF and not self._said:
            log.warning("this host's clock is %d s %s the database server's: set both by a time server; leases and "
                        "retries of messages go by the server's", abs(off) // 1000, "ahead of" if off > 0 else "behind")
        self._said = abs(off) >= OFF

    async def follow(self) -> None:
        """Look for ever."""
        while self._shared:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await asyncio.to_thread(self.look)
            except SQLAlchemyError as error:
                log.warning("the database server's clock cannot be read: %s", type(error).__name__)
