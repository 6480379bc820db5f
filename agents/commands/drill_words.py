"""The words of `wenxun drill`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from pipeline.notify import wording

if TYPE_CHECKING:
    from agents.store.drill_reads import Run
    from pipeline.drill import Line
    from pipeline.rulebook.drills import Drill


def scored(line: Line) -> str:
    """`✓ 首条到较大  2 分钟（目标 5 分钟）`: a mark, and in words whether it was met."""
    target = f"目标 {wording.duration(line.target)}"
    if line.took is not None:
        mark, said = ("✓", "做到") if line.met else ("✗", "超过")
        return f"{mark} {line.what}  {wording.duration(line.took)}，{said}（{target}）"
    if line.met is False:
        return f"✗ {line.what}  没有发生（{target}）"
    return f"… {line.what}  还没有发生（{target}）"


def number_of(script: Drill) -> str:
    """How much it sends, over how long."""
    from pipeline.drill import turns

    all_turns = turns(script)
    return f"{len(all_turns)} 条、{len(script.sources)} 个来源，持续 {wording.duration(all_turns[-1].at)}"


def listed(runs: list[Run], zone: ZoneInfo) -> str:
    """One line for each run."""
    if not runs:
        return "还没有演练过。wenxun drill run closing-time-rumour"
    return "\n".join(
        f"{one.id[:8]}  {wording.short_moment(one.began_at, zone)}  {one.drill.title}  {one.by}  "
        f"{'已结束' if one.ended_at is not None else '未结束，用 wenxun drill end 关闭它的事件'}" for one in runs)
