"""From the save of a rule file to the rebuilt scorer on each of four worker processes, on a real Kafka: p50 and p99."""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import quantiles

from agents.clock import Clock
from agents.deps import Deps
from agents.metrics import Metrics
from agents.rule_feed import follow
from agents.rule_files import starter_dir
from agents.settings import Settings
from bench.broker import kafka, process
from bench.chain import environ_of

WORKERS = 4
SIZES = {1_000: (100, 10, 60), 10_000: (100, 100, 30)}
"""Patterns -> files, patterns in each, and how many saves are measured."""
START_SECONDS = 120.0
SAVE_SECONDS = 30.0


def measure(args: argparse.Namespace) -> list[tuple[str, str]]:
    return list(_figures(args.quick))


def _figures(quick: bool) -> Iterator[tuple[str, str]]:
    for patterns, (files, each, saves) in SIZES.items():
        with kafka() as bootstrap, tempfile.TemporaryDirectory() as folder:
            found = asyncio.run(_run(bootstrap, Path(folder), files, each, 5 if quick else saves))
        marks = quantiles(found, n=100, method="inclusive")
        yield f"saved to in force on {WORKERS} workers, {patterns:,} patterns, p50", f"{marks[49] * 1000:,.0f} ms"
        yield "  p99", f"{marks[98] * 1000:,.0f} ms"
        yield "  saves measured", f"{len(found)}"


def rules(target: Path, files: int, each: int) -> Path:
    """The starter rules with so many subjects of so many made words."""
    shutil.copytree(starter_dir(), target)
    shutil.rmtree(target / "tests", ignore_errors=True)
    words = _words(files * each)
    for number in range(files):
        terms = "".join(f"  - {{text: {next(words)}, weight: 0.6}}\n" for _ in range(each))
        (target / "subjects" / f"bench-{number}.yml").write_text(
            f"id: bench-{number}\ntitle: 主题{number}\nowner: bench\nreason: measures a reload\nexpires: never\n"
            f"threshold: 1\nterms:\n{terms}", "utf-8")
    return target


def _words(count: int) -> Iterator[str]:
    chance, seen = random.Random(5), set()
    while len(seen) < count:
        word = "".join(chr(chance.randrange(0x4E00, 0x9000)) for _ in range(chance.randint(2, 4)))
        if word not in seen:
            seen.add(word)
            yield word


async def _run(bootstrap: str, folder: Path, files: int, each: int, saves: int) -> list[float]:
    environ = environ_of(bootstrap, folder, WENXUN_RULES_DIR=str(rules(folder / "rules", files, each)))
    with ExitStack() as running:
        await _topics(environ, folder)
        running.enter_context(process("-m", "agents", "run", "--roles", "rules", environ=environ,
                                      log=folder / "rules.log"))
        for number in range(WORKERS):
            running.enter_context(process("-m", "agents", "run", "--roles", "score", environ=environ,
                                          log=folder / f"score-{number}.log"))
        deps = Deps(Settings.from_env(environ), Clock(), Metrics())
        feed = asyncio.create_task(follow(deps))
        try:
            await _until_all(deps, "", START_SECONDS)
            return [await _save(deps, folder / "rules" / "subjects" / f"bench-{number % files}.yml", number)
                    for number in range(saves)]
        finally:
            feed.cancel()
            await asyncio.gather(feed, return_exceptions=True)


async def _topics(environ: dict[str, str], folder: Path) -> None:
    with process("-m", "agents", "topics", "create", environ=environ, log=folder / "topics.log") as child:
        await asyncio.to_thread(child.wait, 60)


async def _save(deps: Deps, path: Path, number: int) -> float:
    """Seconds from just before the file is written to the last of the workers, by the time that each of them says."""
    await asyncio.sleep(random.Random(number).uniform(0.2, 1.2))        # anywhere between two looks
    before, text = deps.rules.version, path.read_text("utf-8")
    saved = time.time()
    path.write_text(text.replace("title: 主题", "title: 改题", 1) if "title: 主题" in text
                    else text.replace("title: 改题", "title: 主题", 1), "utf-8")
    return await _until_all(deps, before, SAVE_SECONDS) - saved


async def _until_all(deps: Deps, before: str, seconds: float) -> float:
    """When the last worker's scorer was that of one and the same other book."""
    async with asyncio.timeout(seconds):
        while True:
            scoring = [each for each in deps.rules.workers.values() if "score" in each.roles and not each.stopped]
            versions = {each.scorer for each in scoring}
            if len(scoring) == WORKERS and versions == {deps.rules.version} and not versions & {"", before}:
                return max(each.at for each in scoring) / 1000
            await asyncio.sleep(0.005)
