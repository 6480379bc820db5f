"""A real single-node Kafka for one benchmark, from deploy/kafka, on a free port of loopback."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agents.lag import Lag
from agents.settings import Settings

RUN = Path(__file__).parent.parent / "deploy" / "kafka" / "run"


@contextmanager
def kafka() -> Iterator[str]:
    """The bootstrap address; stopped and removed at the end."""
    with tempfile.TemporaryDirectory(prefix="wenxun-bench-") as folder, kafka_in(Path(folder)) as address:
        yield address


@contextmanager
def kafka_in(folder: Path) -> Iterator[str]:
    """The same with its data below a folder of yours, which stays."""
    options = ["--data", f"{folder}/kafka", "--port", "0"]
    subprocess.run([RUN, "start", *options], check=True, stdout=subprocess.DEVNULL)
    try:
        said = subprocess.run([RUN, "env", *options[:2]], check=True, capture_output=True, text=True).stdout
        found = re.search(r"127\.0\.0\.1:\d+", said)
        assert found, said
        yield found.group()
    finally:
        subprocess.run([RUN, "stop", *options[:2]], check=True, stdout=subprocess.DEVNULL)


@contextmanager
def process(*command: str, environ: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A child that is ended with SIGTERM, then SIGKILL."""
    with log.open("wb") as out:
        child = subprocess.Popen([sys.executable, *command], env={**os.environ, **environ}, stdout=out, stderr=out)
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(40)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


async def until_read(settings: Settings, group: str, topic: str, *, below: int, seconds: float) -> bool:
    """Wait until fewer than `below` records are unread."""
    try:
        async with asyncio.timeout(seconds), Lag(settings) as lag:
            while await lag.unread(group, topic) >= below:
                await asyncio.sleep(0.2)
    except TimeoutError:
        return False
    return True
