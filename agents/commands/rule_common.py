"""What the commands about rules share: which directory, which zone, and how problems are printed."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from agents.settings import Settings
from pipeline.errors import Problem, RuleBookError

OK, PROBLEMS, STRICT = 0, 1, 3
"""Exit codes: nothing wrong; errors; warnings, where --strict asks for it."""
_HIDDEN = re.compile(r"[^\S ]+|[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
FORMATS = ("text", "json", "github")


def add_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dir", type=Path, nargs="?", metavar="DIR", help="default: WENXUN_RULES_DIR, else rules")


def add_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=FORMATS, default="text", metavar="FORMAT",
                        help="text (default), json, or github: annotations of a workflow run")


def rules_dir(args: argparse.Namespace) -> Path:
    found: Path | None = args.dir
    return found or settings().rules_dir


def zone() -> str:
    return settings().timezone


def settings() -> Settings:
    return Settings.from_env(os.environ)


def report(error: RuleBookError, form: str = "text", root: Path | None = None) -> int:
    """Print every problem of rule files that cannot be used: to stderr as text, to stdout for machines."""
    if form == "json":
        print_json({"ok": False, "problems": as_json(error.problems)})
    elif form == "github":
        print_github(error.problems, root)
    else:
        for problem in error.problems:
            print(plain(str(problem)), file=sys.stderr)
        print(f"共 {len(error.problems)} 处要改。", file=sys.stderr)
    return PROBLEMS


def as_json(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    return [{"file": each.file, "line": each.line, "column": each.column, "path": each.path, "message": each.message,
             "hint": each.hint, "severity": each.severity, "code": each.code} for each in problems]


def plain(text: str) -> str:
    """What a terminal, or a workflow's log, may be shown of a feed's text: on one line, and what cannot be seen as one
    dot, so that it can."""
    return _HIDDEN.sub(lambda found: " " if found[0].isspace() else "·", text)


def print_json(value: Any) -> None:
    print(json.dumps(msgspec.to_builtins(value), ensure_ascii=False, indent=2))


def print_github(problems: Iterable[Problem], root: Path | None, level: str = "error", title: str = "") -> None:
    """Lines that a workflow run shows beside the files; paths from where it runs, as in the repository."""
    for each in problems:
        file = f"{root.as_posix()}/{each.file}" if root is not None else each.file
        place = f"file={_property(file)},line={each.line},col={each.column}"
        place += f",title={_property(title)}" if title else ""
        said = f"{each.path + ': ' if each.path else ''}{each.message} {each.hint}".rstrip()
        print(f"::{level} {place}::{_data(said)}")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
