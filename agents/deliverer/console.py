"""The channel that writes to standard output: for a first look, and where a log collector reads it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agents.deliverer.letter import Letter, Outcome, Retry, Sent
from pipeline.rulebook.schema import Channel


def _print(text: str) -> None:
    print(text, flush=True)


class Console:
    def __init__(self, write: Callable[[str], None] = _print) -> None:
        self._write = write

    async def __call__(self, channel: Channel, letter: Letter) -> Outcome:
        name = letter.person.name or letter.person.id
        try:
            await asyncio.to_thread(self._write, f"── 致 {name}（{channel.id}，{letter.id}）\n{letter.message.text}\n")
        except (OSError, ValueError) as error:   # a closed pipe; ValueError: a closed file
            return Retry(f"写不到标准输出（{type(error).__name__}）")
        return Sent()
