"""Role `rules`: watches the rule directory and publishes the whole book. A bad file changes nothing, and says so.

The directory is read by content, so an editor's rename, a swapped symbolic link (Kubernetes) and a plain write look the
same; two equal reads in a row mean that nobody is in the middle of writing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from aiokafka.errors import KafkaError

from agents.bus import Bus
from agents.deps import Deps
from agents.notices import notice
from agents.rule_feed import KEY, RETRY_SECONDS, newest_book
from agents.rule_files import RuleFiles, read_dir
from agents.settings import Settings
from pipeline import topics
from pipeline.errors import Problem, RuleBookError
from pipeline.rulebook.schema import RuleBook

log = logging.getLogger("wenxun.rules")

POLL_SECONDS = 0.25
SETTLE_SECONDS = 0.1
SHOWN = 5
"""Problems told in a notice; the log has all of them."""


async def run(deps: Deps) -> None:
    """Watch and publish until cancelled. While the broker is away nothing is lost: the directory is still there."""
    while True:
        try:
            async with Bus(deps.settings, deps.clock, "rules") as bus:
                await Watch(deps, bus, await newest_book(deps.settings)).run()
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("rules: broker not reachable (%s: %s); trying again", type(error).__name__, error)
            await asyncio.sleep(RETRY_SECONDS)


def watched(settings: Settings) -> tuple[Path, ...]:
    """The directories that a book is made of, the live one first."""
    return (settings.rules_dir,)


def made(found: Sequence[RuleFiles], settings: Settings) -> tuple[RuleBook, list[Problem]]:
    """The book of the watched directories, in the order of `watched`, and problems that do not keep it from being used.

    Raises RuleBookError when the live directory cannot be used. The only place where a book is made of files.
    """
    return found[0].parse(settings.timezone), []


class Watch:
    """One watch over the directory. in_force: the last book that was published, at first what the topic held."""

    def __init__(self, deps: Deps, bus: Bus, in_force: RuleBook | None) -> None:
        self._deps, self._bus = deps, bus
        self._in_force = in_force
        self._digest = ""
        self._bad = False

    async def run(self) -> None:
        while True:
            files = await self._settled()
            if files.digest != self._digest:
                await self._changed(files)
                self._digest = files.digest
            await asyncio.sleep(POLL_SECONDS)

    async def _settled(self) -> RuleFiles:
        """The directory when nobody is writing to it: known content at once, new content when it is seen twice."""
        files = await self._read()
        while files.digest != self._digest:
            await asyncio.sleep(SETTLE_SECONDS)
            before, files = files, await self._read()
            if files.digest == before.digest:
                break
        return files

    async def _read(self) -> RuleFiles:
        return await asyncio.to_thread(read_dir, self._deps.settings.rules_dir)

    async def _changed(self, files: RuleFiles) -> None:
        try:
            book, _ = await asyncio.to_thread(made, (files,), self._deps.settings)
        except RuleBookError as error:
            await self._refuse(files, error)
        else:
            await self._publish(book)

    async def _publish(self, book: RuleBook) -> None:
        """Send the book, also an unchanged one at the first look: the topic may have been lost with its broker."""
        await self._bus.send(topics.RULES, KEY, book, ident=book.hash, partition=0)
        self._deps.metrics["rules_last_reload_successful"].set(1)
        log.info("rules: published book %s%s", book.hash, " (the files are right again)" if self._bad else "")
        self._in_force, self._bad = book, False

    async def _refuse(self, files: RuleFiles, error: RuleBookError) -> None:
        self._deps.metrics["rules_last_reload_successful"].set(0)
        for problem in error.problems:
            log.error("rules: %s", problem)
        kept = f"book {self._in_force.hash} stays in force" if self._in_force else "there is no book in force yet"
        log.error("rules: %d problem(s) in %s; %s", len(error.problems), self._deps.settings.rules_dir, kept)
        if not self._bad:
            await self._tell(files, error)
        self._bad = True

    async def _tell(self, files: RuleFiles, error: RuleBookError) -> None:
        """Once per episode. The newest file's time names it, so that a restart does not tell the same twice."""
        lines = [str(problem) for problem in error.problems[:SHOWN]]
        if len(error.problems) > SHOWN:
            lines.append(f"……共 {len(error.problems)} 处")
        kept = "目前没有可用的规则，采集和告警都没有开始。"
        if self._in_force:
            kept = f"仍在用上一份规则（{self._in_force.hash}）。"
        mend = f"改好保存后自动生效，不用重启；可先用 wenxun rules check {self._deps.settings.rules_dir} 检查。"
        await notice(self._bus, key="rules", episode=files.written_at, at=self._deps.clock.now(),
                     title="规则文件有错，改动没有生效", text="\n".join([kept, *lines, mend]))
