"""Parse workers: a document may cost one of them, never the collector."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from agents.feeds import worker
from agents.feeds.parsing import ParsePool
from agents.feeds.worker import TOO_HARD, Done, Job, handle
from tests.builders import NOON
from tests.feed_texts import TITLES, county_news


def job(body: bytes | None = None, **changes: Any) -> Job:
    values: dict[str, Any] = {
        "body": county_news().encode() if body is None else body, "content_type": "", "form": "auto",
        "source_id": "news",
        "url": "http://news.example/rss", "zone": "Asia/Shanghai", "now": NOON, "backfill": False, **changes}
    return Job(**values)


def titles(done: Done) -> list[str]:
    return [item.title for item in reversed(done.items)]


async def test_documents_are_read_in_a_process_of_their_own() -> None:
    async with ParsePool() as pool:
        done = await pool.parse(job(backfill=True))
        refused = await pool.parse(job(b"<html><title>x</title></html>"))
    assert titles(done) == TITLES and all(item.backfill for item in done.items)
    assert "应答是网页《x》" in refused.error and refused.items == ()


def test_a_worker_starts_where_it_may_not_give_way_to_others() -> None:
    """The systemd unit's system call filter refuses setpriority: every worker died of it, and no document was read."""
    refused = ("import os\n"
               "def nice(_):\n"
               "    raise PermissionError(1, 'Operation not permitted')\n"
               "os.nice = nice\n"
               "from agents.feeds import worker\n"
               "worker.main()\n")
    done = subprocess.run([sys.executable, "-c", refused], stdin=subprocess.DEVNULL, capture_output=True, timeout=100,
                          cwd=Path(__file__).parents[2])
    assert (done.returncode, done.stdout, done.stderr) == (0, bytes(4), b"")


async def test_a_document_that_takes_too_long_costs_its_worker_only() -> None:
    async with ParsePool(workers=1, seconds=60.0) as pool:
        assert titles(await pool.parse(job())) == TITLES
        (busy,) = pool._all
        busy._process.send_signal(19)                   # SIGSTOP: as good as a parser that never ends
        pool._seconds = 0.2
        assert (await pool.parse(job())).error == TOO_HARD
        pool._seconds = 60.0
        assert titles(await pool.parse(job())) == TITLES
        assert busy not in pool._all and busy._process.returncode is not None


async def test_a_worker_that_dies_is_replaced() -> None:
    async with ParsePool(workers=1) as pool:
        await pool.parse(job())
        (first,) = pool._all
        first._process.kill()
        assert (await pool.parse(job())).error == TOO_HARD
        assert titles(await pool.parse(job())) == TITLES


async def test_workers_are_renewed_after_so_many_documents() -> None:
    async with ParsePool(workers=1, documents=1) as pool:
        await pool.parse(job())
        assert pool._all == set()


async def test_a_cancelled_parse_leaves_no_half_answer_behind() -> None:
    async with ParsePool(workers=1) as pool:
        await pool.parse(job())
        parsing = asyncio.create_task(pool.parse(job(b"<rss>" + b"<b>" * 400_000)))
        await asyncio.sleep(0.02)
        parsing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await parsing
        assert titles(await pool.parse(job())) == TITLES


async def test_the_loop_stays_free_while_a_hostile_document_is_read() -> None:
    late = 0.0

    async def heartbeat() -> None:
        nonlocal late
        while True:
            began = time.thread_time()                  # what the loop's thread computes at a stretch
            await asyncio.sleep(0.01)
            late = max(late, time.thread_time() - began)

    async with ParsePool(workers=1) as pool:
        await pool.parse(job())
        beating = asyncio.create_task(heartbeat())
        hostile = b"<rss version='2.0'><channel>" + b"<item><title>x</title><a><b>" * 8_000
        began = time.perf_counter()
        await pool.parse(job(hostile))
        took = time.perf_counter() - began
        beating.cancel()
    assert took > 0.3, "not hostile enough to show anything"
    assert late < took / 2


async def test_a_worker_ends_when_its_parent_is_gone() -> None:
    async with ParsePool(workers=1) as pool:
        await pool.parse(job())
        (only,) = pool._all
        assert only._process.stdin is not None
        only._process.stdin.close()                     # what a killed parent leaves behind
        assert await asyncio.wait_for(only._process.wait(), 60) == 0


@pytest.mark.parametrize("failure", [MemoryError, RecursionError, AttributeError])
def test_whatever_a_parser_raises_is_an_error_of_that_document(
    failure: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise failure

    monkeypatch.setattr(worker, "parse_feed", fail)
    assert handle(job()).error
