"""`python -m deploy.grafana.preview [--stack FILE] [--out FOLDER] [--hours N] [--empty]`: a picture per dashboard.

It asks what Grafana would ask the stack that runs (`make stack`) and draws the answers in headless Chromium.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

from deploy.grafana.asking import Answer, Sources, Window
from deploy.grafana.boards import JSON, queries
from deploy.grafana.build.__main__ import boards
from deploy.grafana.preview import page

WIDTH = 1600


def pages(state: JSON, hours: float, empty: bool) -> dict[str, str]:
    """HTML by uid. empty: as where nothing ever answered."""
    sources, window = Sources.of(state), Window.last(hours * 3600)
    found = {}
    for each in boards(state["desk"]):
        model = json.loads(each.json())
        values = sources.values(model, window)
        asked = list(queries(model))

        def answers(panel: JSON) -> dict[str, Answer]:
            own = [query for query in asked if query.panel is panel]  # noqa: B023 - called before the next board
            return {query.target["refId"]: sources.ask(query, values, window) for query in own}  # noqa: B023

        found[each.uid] = page.board(model, (lambda panel: {}) if empty else answers)
    sources.postgres.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m deploy.grafana.preview", description=__doc__)
    parser.add_argument("--stack", type=Path, default=Path("wenxun-stack/stack.json"), metavar="FILE")
    parser.add_argument("--out", type=Path, default=Path("wenxun-stack/preview"), metavar="FOLDER")
    parser.add_argument("--hours", type=float, default=1.0, metavar="N", help="time range, up to now")
    parser.add_argument("--empty", action="store_true", help="as if nothing had ever answered")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    made = pages(json.loads(options.stack.read_text("utf-8")), options.hours, options.empty)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": WIDTH, "height": 900})
        for uid, text in made.items():
            shown.set_content(text)
            path = options.out / f"{uid}.png"
            shown.screenshot(path=path, full_page=True)
            print(path)
        browser.close()


if __name__ == "__main__":
    main()
