"""A connection to PostgreSQL that does not wait for ever.

A server that hangs (a stopped process, a stalled disk, a virtual machine that is paused) still has its kernel
acknowledge what it is sent, so neither keepalives nor TCP's timeouts end the wait, and statement_timeout is the
server's own. Here silence ends it: an OperationalError, as of any server that went away, and the connection is closed.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import psycopg

from agents.store.postgres import STATEMENT_SECONDS

SILENT_SECONDS = STATEMENT_SECONDS + 5.0
"""Longer than the server allows a statement."""


class PatientConnection(psycopg.Connection[Any]):
    """patience: seconds without a byte from the server; None waits for ever."""

    patience: float | None = SILENT_SECONDS

    def wait(self, gen: Any, *words: Any, **more: Any) -> Any:
        return super().wait(self._watched(gen) if self.patience else gen, *words, **more)

    def _watched(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """The same, with a look at the time whenever the driver wakes up."""
        try:
            state = next(gen)
            heard = time.monotonic()
            while True:
                ready = yield state
                now = time.monotonic()
                if ready:
                    heard = now
                elif self.patience and now - heard > self.patience:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"timeout: the server was silent for {self.patience:g} s")
                state = gen.send(ready)
        except StopIteration as done:
            return done.value
