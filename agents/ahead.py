"""Records that another host's clock dated after ours, cut to now (pipeline/present.py) and said in the log."""

from __future__ import annotations

import logging
from typing import Any

from agents.deps import Deps
from pipeline.present import not_ahead


class Ahead:
    """Of one role: a warning per partition, not per record."""

    def __init__(self, deps: Deps, log: logging.Logger) -> None:
        self._now, self._log = deps.clock.now, log
        self._said: set[int] = set()

    def cut(self, record: Any, partition: int) -> Any:
        """The record, with no time later than now."""
        record, ahead = not_ahead(record, self._now())
        if ahead and partition not in self._said:
            self._said.add(partition)
            self._log.warning("records are dated %d s after this host's clock and count as of now: the clocks of two "
                              "hosts differ, set both by a time server", ahead // 1000)
        return record
