"""The monitoring configuration of deploy/ with every duration divided: what fires after minutes fires after seconds.

Divided: intervals, `for`, ranges and offsets of expressions, Alertmanager's waits. Not divided: numbers that a value is
compared with (`> 600`), texts, and the time that a scrape may take, which becomes the whole interval.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import yaml

FACTOR = 20
KEYS = {"for", "keep_firing_for", "interval", "scrape_interval", "evaluation_interval", "group_wait", "group_interval",
        "repeat_interval"}
UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
DURATION = r"(?:\d+(?:ms|[smhdw]))+"


def divided(text: str, factor: int = FACTOR) -> str:
    """`2m` -> `6s`, in whole milliseconds."""
    total = sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdw])", text))
    return f"{max(1, total // factor)}ms"


def expression(text: str, factor: int = FACTOR) -> str:
    """Ranges `[5m]`, `[1h:1m]` and offsets of an expression divided."""
    return re.sub(rf"(?<=\[){DURATION}(?:(?P<sub>:){DURATION})?(?=\])|(?<=\boffset ){DURATION}",
                  lambda found: ":".join(divided(part, factor) for part in found[0].split(":")), text)


def quicker(value: Any, factor: int = FACTOR, key: str = "") -> Any:
    """The same document with its durations divided."""
    if isinstance(value, dict):
        made = {name: quicker(each, factor, name) for name, each in value.items()}
        if "scrape_timeout" in made:
            made["scrape_timeout"] = made["scrape_interval"]
        return made
    if isinstance(value, list):
        return [quicker(each, factor) for each in value]
    if key in KEYS:
        return divided(value, factor)
    return expression(value, factor) if key == "expr" else value


def copy(source: Path, target: Path, factor: int = FACTOR) -> None:
    """prometheus/ and alertmanager/ of a deploy folder, quicker."""
    for name in ("prometheus", "alertmanager"):
        shutil.copytree(source / name, target / name, ignore=shutil.ignore_patterns("tests", "targets"))
    for path in (*target.glob("prometheus/*.yml"), *target.glob("prometheus/rules/*.yml"),
                 *target.glob("alertmanager/*.yml")):
        document = quicker(yaml.safe_load(path.read_text("utf-8")), factor)
        path.write_text(yaml.safe_dump(document, allow_unicode=True, sort_keys=False, width=10_000), "utf-8")
