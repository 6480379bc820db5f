"""`python -m deploy.grafana.build [--desk URL] [--out FOLDER]`: writes the five dashboards as JSON."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from deploy.grafana.build import board, duty, event, pipeline, rules, sources

FOLDER = Path(__file__).parents[1] / "dashboards"
MADE: tuple[Callable[[str], board.Board], ...] = (duty.made, event.made, pipeline.made, sources.made, rules.made)


def boards(desk: str = board.DESK) -> list[board.Board]:
    return [made(desk) for made in MADE]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m deploy.grafana.build", description=__doc__)
    parser.add_argument("--desk", default=board.DESK, metavar="URL", help="where browsers reach the desk")
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="FOLDER")
    options = parser.parse_args()
    for each in boards(options.desk.rstrip("/")):
        path = options.out / f"{each.uid}.json"
        path.write_text(each.json(), "utf-8")
        print(path)


if __name__ == "__main__":
    main()
