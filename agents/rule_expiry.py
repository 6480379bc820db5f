"""Says once a day which rules have expired or are about to: one 系统 notice to `ops`, that names each rule's owner."""

from __future__ import annotations

import asyncio
import datetime as dt

from agents.bus import Bus
from agents.deps import Deps
from agents.notices import notice
from pipeline.model import Millis
from pipeline.rulebook.schema import RuleBook
from pipeline.rulebook.warnings import EXPIRY, warnings

AT_HOUR = 9
"""Local time from which a day's notice is sent: nobody is woken for it."""
SHOWN = 20
MEND = "到期后不再匹配。要继续用就改 expires（长期有效写 never），不用了就改 status: retired。"


class Expiry:
    """The daily notice. Its id is made of the day, so that a restart tells nothing twice."""

    def __init__(self, deps: Deps, bus: Bus) -> None:
        self._deps, self._bus = deps, bus
        self._done: dt.date | None = None

    async def tell(self, book: RuleBook | None) -> None:
        """Send today's notice if it is due and there is something to say. Raises what the bus raises."""
        if book is None:
            return
        now = dt.datetime.fromtimestamp(self._deps.clock.now() / 1000, self._deps.settings.zone)
        if now.hour < AT_HOUR or now.date() == self._done:
            return
        if lines := await asyncio.to_thread(expiring, book, now.date()):
            more = [f"……共 {len(lines)} 条"] if lines[SHOWN:] else []
            await notice(self._bus, key="rules-expiry", episode=_morning(now), at=self._deps.clock.now(),
                         title="规则到期提醒", text="\n".join([*lines[:SHOWN], *more, MEND]))
        self._done = now.date()


def expiring(book: RuleBook, today: dt.date) -> list[str]:
    """Rules past their last day or soon there, those past it first."""
    found = [each for each in warnings(book, today) if each.code in EXPIRY]
    return [each.message for each in sorted(found, key=lambda each: each.code != "expired")]


def _morning(now: dt.datetime) -> Millis:
    return int(now.replace(hour=AT_HOUR, minute=0, second=0, microsecond=0).timestamp() * 1000)
