"""Walks through a runbook as its reader does on this kind of installation: its lines, in one shell."""

from __future__ import annotations

import os
import re
import subprocess

from tests.deploy import doc_kit
from tests.stack.installation import ROOT, Installation

OURS = re.compile(r"ROLE=|deploy/stack/run |promtool |wenxun |free ")
"""How lines for `make stack` begin; the others are for systemd, Compose and Kubernetes, or ask the kernel."""


def lines(name: str) -> list[str]:
    page = doc_kit.page(ROOT / "docs" / "runbooks" / f"{name}.md")
    return [line for block in page.blocks for line in block.splitlines() if OURS.match(line)]


def walk(stack: Installation, name: str, role: str) -> str:
    """Type every line, for that role; AssertionError with what one said that failed.

    As the index of the runbooks tells: `eval "$(deploy/stack/run env)"` first, and Prometheus is where status says.
    """
    said = ""
    for line in (chosen := lines(name)):
        typed = re.sub(r"^ROLE=\w+", f"ROLE={role}", line).replace("http://127.0.0.1:9090", stack.state["prometheus"])
        script = f'eval "$(deploy/stack/run env)"; ROLE={role}; {typed}'
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=400, cwd=ROOT,
                              env={**os.environ, "WENXUN_STACK_DATA": str(stack.folder.root)})
        assert done.returncode == 0, f"{name}: {typed}: {done.returncode}\n{done.stdout}{done.stderr}"
        said += f"$ {typed}\n{done.stdout}"
    assert any("deploy/stack/run" in line for line in chosen), f"{name} says nothing about this kind of installation"
    return said
