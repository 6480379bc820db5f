"""Role `collect`: polls the sources of the rule book and writes what is new to items.raw.

A source's state is written only after its items are acknowledged, so a kill at any point repeats items and loses none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agents.deps import Deps


async def run(deps: Deps) -> None:
    """Poll until cancelled. Starts when there is a rule book and the topic collector.state is read to its end."""
    from agents.collector.role import serve  # late: the parse worker imports this package and needs none of that

    await serve(deps)
