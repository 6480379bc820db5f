"""What this process has to live on, as metrics: the data folder's file system and memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from agents.metrics import Metrics

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def show_disk(metrics: Metrics, folder: Path) -> None:
    """At each scrape: it costs one system call. What cannot be read is not known."""
    free, size = metrics["data_disk_free_bytes"], metrics["data_disk_size_bytes"]
    try:
        found = os.statvfs(folder)
    except OSError:
        free.drop()
        size.drop()
        return
    free.set(found.f_bavail * found.f_frsize)
    size.set(found.f_blocks * found.f_frsize)


def show_memory(metrics: Metrics) -> None:
    """Once, at the start."""
    if (limit := memory_limit()) is not None:
        metrics["memory_limit_bytes"].set(limit)


def memory_limit(proc: Path = PROC, cgroups: Path = CGROUPS) -> int | None:
    """Bytes: the least of the limits of this process's cgroup, of those above it, and of the machine's memory."""
    return min((*_limits(proc, cgroups), *_machine(proc)), default=None)


def _limits(proc: Path, cgroups: Path) -> Iterator[int]:
    for line in _text(proc / "self" / "cgroup").splitlines():
        _, kinds, path = line.split(":", 2)
        if kinds not in ("", "memory"):
            continue
        root, name = (cgroups / "memory", "memory.limit_in_bytes") if kinds else (cgroups, "memory.max")
        below = root / path.strip("/")
        for folder in (below, *below.parents):
            if folder.is_relative_to(root) and (text := _text(folder / name).strip()).isdigit():
                yield int(text)


def _machine(proc: Path) -> Iterator[int]:
    for line in _text(proc / "meminfo").splitlines():
        if line.startswith("MemTotal:"):
            yield int(line.split()[1]) * 1024


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace")
    except OSError:
        return ""
