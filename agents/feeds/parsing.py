"""Parse workers seen from the collector: at most a few, started when needed, killed when a document takes too long."""

from __future__ import annotations

import asyncio
import logging
import pyexpat
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import msgspec

from agents.feeds.worker import TOO_HARD, Done, Job
from pipeline.errors import SettingsError

log = logging.getLogger("wenxun.collect")

EXPAT = (2, 4, 1)
"""The first version that stops entities from growing without bound."""

START_SECONDS = 60.0
"""What a worker may take to load, on a machine that has much else to do: no document's fault."""

_START = "import sys; sys.path.insert(0, sys.argv[1]); from agents.feeds.worker import main; main()"
_ROOT = str(Path(__file__).resolve().parents[2])


class ParsePool:
    """`async with ParsePool() as pool: done = await pool.parse(job)`. seconds: real time one document may take."""

    def __init__(self, workers: int = 2, seconds: float = 10.0, documents: int = 200) -> None:
        if pyexpat.version_info < EXPAT:
            version = ".".join(map(str, pyexpat.version_info))
            raise SettingsError(f"this Python has expat {version}; feeds need {'.'.join(map(str, EXPAT))} or newer")
        self._seconds, self._documents = seconds, documents
        self._free: asyncio.LifoQueue[_Worker | None] = asyncio.LifoQueue()
        for _ in range(workers):
            self._free.put_nowait(None)
        self._all: set[_Worker] = set()

    async def __aenter__(self) -> ParsePool:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(worker.stop() for worker in list(self._all)))
        self._all.clear()

    async def parse(self, job: Job) -> Done:
        """The document's items, or its error. A worker that dies or overruns is replaced by the next job's."""
        worker: _Worker | None = await self._free.get()
        try:
            if worker is None:
                worker = await _Worker.start()
                self._all.add(worker)
                async with asyncio.timeout(START_SECONDS):
                    await worker.ready()
            async with asyncio.timeout(self._seconds):
                done = await worker.ask(job)
        except (TimeoutError, OSError, EOFError) as error:
            log.warning("source %s: parsing ended by %s", job.source_id, type(error).__name__)
            worker = await self._dropped(worker)
            done = Done(error=TOO_HARD)
        except BaseException:                           # cancelled in the middle of a frame: nobody may use it again
            worker = await self._dropped(worker)
            raise
        finally:
            if worker is not None and worker.documents >= self._documents:
                worker = await self._dropped(worker)
            self._free.put_nowait(worker)
        return done

    async def _dropped(self, worker: _Worker | None) -> _Worker | None:
        """Nothing, once the worker is gone."""
        if worker is not None:
            self._all.discard(worker)
            await worker.stop()
        return None


class _Worker:
    def __init__(self, process: Process) -> None:
        self._process = process
        self.documents = 0

    @classmethod
    async def start(cls) -> _Worker:
        return cls(await asyncio.create_subprocess_exec(
            sys.executable, "-c", _START, _ROOT, stdin=PIPE, stdout=PIPE))

    async def ready(self) -> None:
        """Until it has loaded what it needs; EOFError when it died of it."""
        await self._answer()

    async def ask(self, job: Job) -> Done:
        """One frame there, one back; EOFError when the worker died of it."""
        process = self._process
        assert process.stdin is not None
        self.documents += 1
        frame = msgspec.msgpack.encode(job)
        process.stdin.write(len(frame).to_bytes(4, "big") + frame)
        await process.stdin.drain()
        return msgspec.msgpack.decode(await self._answer(), type=Done)

    async def _answer(self) -> bytes:
        assert self._process.stdout is not None
        head = await self._process.stdout.readexactly(4)
        return await self._process.stdout.readexactly(int.from_bytes(head, "big"))

    async def stop(self) -> None:
        """Its memory is all it has: killing it is enough."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await asyncio.shield(self._process.communicate())
