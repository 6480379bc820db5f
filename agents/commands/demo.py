"""`wenxun demo`: a fictional county's day through the whole chain in about two minutes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add(groups: Any) -> None:
    demo = groups.add_parser(
        "demo", help="watch a fictional county's day go through the whole chain, in about two minutes")
    demo.add_argument("--exit", action="store_true",
                      help="end when the day is over: 0 if every expected step was seen, else 1")
    demo.add_argument("--by-hand", action="store_true", help="nobody answers the alert but you, on the desk")
    demo.add_argument("--speed", type=_speed, default=1.0, metavar="N", help="1 is a day in two minutes (0.1 to 4)")
    demo.add_argument("--record", type=Path, metavar="FILE", help="write what the topics carried, for `wenxun replay`")
    demo.add_argument("--data", type=Path, metavar="DIR", help="a new folder for its files (wenxun-data/demo-TIME)")
    demo.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from agents.demo.stage import Options
    from agents.demo.stage import run as play

    return play(Options(args.exit, args.by_hand, args.speed, args.record, args.data))


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0.1 <= speed <= 4:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number from 0.1 to 4")
    return speed
