"""docs/reference.md is made from the code, which `python -m tests.test_documented` writes."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from agents.cli import parser
from agents.desk import api
from agents.metrics import EVERY, Metric
from agents.metrics import TABLE as METRICS
from agents.settings import TABLE as SETTINGS
from pipeline.rulebook.factors import FACTORS

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference.md"


def commands(top: argparse.ArgumentParser, path: str = "wenxun") -> Iterator[tuple[str, str]]:
    """Every command that does something, with its help line."""
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, below in action.choices.items():
                if any(isinstance(each, argparse._SubParsersAction) for each in below._actions):
                    yield from commands(below, f"{path} {name}")
                else:
                    usage = " ".join(_usage(below))
                    yield f"{path} {name}{' ' + usage if usage else ''}", helps.get(name, "")


def _usage(below: argparse.ArgumentParser) -> Iterator[str]:
    for each in below._actions:
        if isinstance(each, argparse._HelpAction):
            continue
        value = each.metavar or (each.dest.upper() if each.nargs != 0 else "")
        if each.option_strings:
            text = f"{each.option_strings[-1]} {value}".strip()
            yield text if each.required else f"[{text}]"
        else:
            yield f"[{value}]" if each.nargs == "?" else str(value)


def reference() -> str:
    lines = ["# Settings, metrics, commands, HTTP API", "",
             "Made from the code by `python -m tests.test_documented`.", "",
             "## Settings (environment)", "", "| name | default | |", "|---|---|---|"]
    lines += [f"| `{each.name}` | `{each.default}` | {each.help} |".replace("``", " ") for each in SETTINGS]
    lines += ["", "## Metrics", "", "All begin with `wenxun_`; no label is unbounded. Beside them every process has "
              "the usual `process_*`. A process exposes the metrics of the roles it runs.", "",
              "| name | kind | unit | labels | roles | | no samples |", "|---|---|---|---|---|---|---|"]
    lines += [f"| `wenxun_{each.name}` | {each.kind.__name__.lower()} | {each.unit} | {_labels(each)} | "
              f"{'all' if each.roles == EVERY else ', '.join(each.roles)} | {each.help} | {each.absent} |"
              for each in METRICS]
    lines += ["", "## Factors of levels.yml", "", "As `wenxun rules factors` prints them.", "",
              "| factor | unit | within the window | | example |", "|---|---|---|---|---|"]
    lines += [f"| `{each.name}` | {each.unit} | {'yes' if each.windowed else 'no'} | {each.title}：{each.meaning} | "
              f"`{each.example}` |" for each in FACTORS]
    lines += ["", "## Commands", "", "| command | |", "|---|---|"]
    lines += [f"| `{name.replace('|', chr(92) + '|')}` | {text} |" for name, text in commands(parser())]
    lines += ["", "## HTTP API", "", "Below `/api/v1`, with `Authorization: Bearer …` (`wenxun token create`). An "
              'error is `{"error": {"code", "message"}}`; a command that was accepted answers 202.', "",
              "| call | scope | |", "|---|---|---|"]
    lines += [f"| `{call}` | {scope} | {text} |" for call, scope, text in api_calls()]
    return "\n".join(lines) + "\n"


def _labels(metric: Metric) -> str:
    """With the values of those that have few."""
    return ", ".join(f"{label} ({' '.join(metric.values[label])})" if label in metric.values else label
                     for label in metric.labels)


def api_calls() -> Iterator[tuple[str, str, str]]:
    """Method and path, scope, and what its handler says of itself."""
    for route in api.routes():
        method = next((each for each in ("POST", "DELETE") if each in (route.methods or ())), "GET")
        yield f"{method} {route.path}", str(getattr(route.endpoint, "scope", "")), _plain(route.endpoint.__doc__)


def _plain(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def test_the_reference_is_current() -> None:
    assert REFERENCE.read_text("utf-8") == reference(), "run: python -m tests.test_documented"


NAMED = re.compile(r"(?<!-n )wenxun ((?:[a-z][a-z-]* ?)+)")
PLACES = ("agents/**/*.py", "agents/**/*.html", "pipeline/**/*.py", "docs/*.md", "rules/**/*.yml", "rules/README.md",
          "README*.md")
"""Where messages, pages and texts tell a reader what to run."""


def unknown_word(top: argparse.ArgumentParser, words: list[str]) -> str:
    """The first word after `wenxun` that names no command, empty if all do; what follows a command is not looked at."""
    for word in words:
        below = next((each.choices for each in top._actions if isinstance(each, argparse._SubParsersAction)), None)
        if below is None:
            return ""
        if word not in below:
            return word
        top = below[word]
    return ""


def test_a_command_that_anybody_is_told_to_run_exists() -> None:
    top = parser()
    told = [(path.relative_to(ROOT).as_posix(), found[0].strip(), unknown_word(top, found[1].split()))
            for place in PLACES for path in ROOT.glob(place) for found in NAMED.finditer(path.read_text("utf-8"))]
    assert len(told) > 100
    assert [each for each in told if each[2]] == []


def test_every_command_and_setting_says_what_it_is_for() -> None:
    assert [name for name, text in commands(parser()) if not text] == []
    assert [call for call, scope, text in api_calls() if not (scope and text)] == []
    assert [each.name for each in SETTINGS if not each.help] == []


if __name__ == "__main__":
    REFERENCE.write_text(reference(), "utf-8")
