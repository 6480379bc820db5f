"""The console script `wenxun`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from agents.commands import (
    accounts,
    deadletters,
    deliveries,
    demo,
    drills,
    events,
    intake,
    notify,
    replay,
    routes,
    rules,
    serve,
    shift,
    silences,
    sources,
    storage,
)
from pipeline.errors import WenxunError

GROUPS = (demo, rules, routes, sources, intake, events, silences, shift, drills, serve, replay, notify, storage,
          deliveries, deadletters, accounts)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="wenxun", description="Wenxun 闻讯: from public feeds to an answered alert")
    groups = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for group in GROUPS:
        group.add(groups)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        return int(args.run(args) or 0)
    except WenxunError as error:
        print(f"wenxun: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
