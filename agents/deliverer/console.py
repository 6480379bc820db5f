"""The channel that writes to standard output: for a first look, and where a log collector reads it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from agents.deliverer.letter import Letter, Outcome, Retry, Sent
from pipeline.rulebook.schema import Channel


def _print(text: str) -> None:
    print(text, flush=True)


class Console:
    """A thread of its own: a reader of our output that hangs must not take the threads of others."""

    def __init__(self, write: Callable[[str], None] = _print) -> None:
        self._write = write
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="console")

    async def __call__(self, channel: Channel, letter: Letter) -> Outcome:
        names = "、".join(each.name or each.id for each in letter.people)
        text = f"── 致 {names}（{channel.id}，{letter.id}）\n{letter.message.text}\n"
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._write, text)
        except (OSError, ValueError) as error:   # a closed pipe; ValueError: a closed file
            return Retry(f"写不到标准输出（{type(error).__name__}）")
        return Sent()
