"""`wenxun rules factors`: what the thresholds of levels.yml can ask for."""

from __future__ import annotations

import argparse
from typing import Any

from agents.commands.rule_common import OK, print_json
from pipeline.rulebook.factors import FACTORS


def add(actions: Any) -> None:
    parser = actions.add_parser("factors", help="list what a level's thresholds can ask for (levels.yml)")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.json:
        print_json([{"name": each.name, "title": each.title, "unit": each.unit, "windowed": each.windowed,
                     "meaning": each.meaning, "example": each.example} for each in FACTORS])
        return OK
    print("levels.yml 的因素，写在 enter、leave 里；同一组里的都要达到，写成列表时达到任何一组都算。\n"
          "window 必写：时长（30m、2h），或 windows 里起的名字。\n")
    width = max(len(each.example) for each in FACTORS) + 2
    for each in FACTORS:
        within = "" if each.windowed else "（不看窗口）"
        print(f"{each.example:{width}}{each.title}，单位：{each.unit}{within}\n{'':{width}}{each.meaning}")
    return OK
