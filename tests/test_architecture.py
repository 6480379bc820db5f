"""Imports run one way (docs/architecture.md). Held here, so that no reviewer has to."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import agents
import pipeline

ROOT = Path(__file__).parent.parent
MODULES = sorted(path for folder in ("pipeline", "agents") for path in (ROOT / folder).rglob("*.py")
                 if "migrations/versions" not in path.as_posix())
STAGES = {"collect", "score", "track", "escalate", "notify"}
ABOVE = {"replay", "report", "backtest", "effect", "explain", "explain_words", "rehearse", "unanswered"}
"""Of pipeline/: what knows all stages, plays them or explains what they decide."""
RUNTIME_ONLY = {"faust", "aiokafka", "httpx", "httpcore", "sqlalchemy", "prometheus_client", "starlette", "uvicorn",
                "asyncio", "threading", "logging", "socket", "os", "time", "random", "subprocess"}
# What every role may use. All other modules of agents/ are roles or wiring.
SHARED = {"settings", "clock", "deps", "metrics", "bus", "deadletter", "tables", "stream", "outbound", "addresses",
          "notices", "store", "lag", "rule_files", "rule_feed", "rule_answer", "feeds", "rule_dir", "rule_expiry",
          "rule_changes", "rule_history", "rule_impact", "rule_workers", "link_key", "listening", "secret_files",
          "latency", "commits"}
ROLES = {"collector", "scorer", "tracker", "escalator", "deliverer", "archivist", "desk", "rule_watch"}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def part(module: str) -> str:
    """The second component: the stage, role or module that a name belongs to."""
    pieces = module.split(".")
    return pieces[1] if len(pieces) > 1 else ""


def ours(imports: set[str], package: str) -> set[str]:
    return {part(name) for name in imports if name.startswith(package + ".")}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_run_one_way(path: Path) -> None:
    module, imports = name_of(path), imports_of(path)
    own = part(module)
    if module.startswith("pipeline"):
        assert not {name for name in imports if name.split(".")[0] in RUNTIME_ONLY | {"agents"}}
        others = ours(imports, "pipeline") - {own}
        if own in STAGES:
            assert not others & (STAGES | ABOVE | {"codec"}), "stages meet only through model"
        if own in {"model", "errors", "ids", "times"}:
            assert others <= {"model", "errors", "ids"}
        if own == "rulebook":
            assert others <= {"model", "errors", "ids"}
    elif own in ROLES:
        assert not ours(imports, "agents") - {own} - SHARED, "roles meet only through Kafka"


def test_only_one_module_reads_the_environment() -> None:
    readers = {name_of(path) for path in MODULES if re.search(r"os\.(environ|getenv)", path.read_text("utf-8"))}
    assert readers <= {"agents.cli", *(name for name in readers if name.startswith("agents.commands"))} | WIRING


WIRING = {"agents.supervisor", "agents.demo.stage", "agents.settings"}
"""The settings themselves, and parents that hand their environment on to a child."""


BANNED = [
    r"\.noack\(", r"stream\.take\(", r"\.take_events\(", r"exactly_once\b(?!.*not)", r"GlobalTable\(", r"\.tumbling\(",
    r"\.hopping\(", r"feedparser\.parse\((?!\s*io\.)", r"jieba\.add_word", r"pickle\.loads"]


@pytest.mark.parametrize("banned", BANNED)
def test_what_loses_records_or_opens_doors_is_not_used(banned: str) -> None:
    users = [name_of(path) for path in MODULES if re.search(banned, path.read_text("utf-8"))]
    assert users == []


def test_modules_stay_small() -> None:
    long = {name_of(path): count for path in MODULES
            if (count := len(path.read_text("utf-8").splitlines())) > 400}
    assert long == {}


def test_the_packages_are_those_of_this_checkout() -> None:
    assert Path(agents.__file__).parent == ROOT / "agents"
    assert Path(pipeline.__file__).parent == ROOT / "pipeline"


def test_every_box_of_the_design_is_a_folder_or_file_of_its_name() -> None:
    boxes = {"collect": "agents/collector", "score": "agents/scorer.py", "track": "agents/tracker.py",
             "escalate": "agents/escalator.py", "deliver": "agents/deliverer", "archive": "agents/archivist.py",
             "desk": "agents/desk", "rules": "agents/rule_watch.py"}
    missing = {box for box, place in boxes.items() if not (ROOT / place).exists()}
    missing |= {stage for stage in STAGES if not (ROOT / "pipeline" / stage / "__init__.py").exists()}
    assert missing == set()
