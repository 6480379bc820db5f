"""python -m bench [score] [match] [chain] [latency] [memory] [archive] [feeds] [parse] [backtest] [reload] [rules]
[alerts] [workers] [held] [scrape] [store] [dashboards]
[--quick]"""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.table import Table

from bench import (
    alerts,
    archive,
    backtest,
    chain,
    dashboards,
    feeds,
    held,
    latency,
    match,
    memory,
    parse,
    reload,
    rule_files,
    score,
    scrape,
    store,
    workers,
)

ALL = {"score": score.measure, "match": match.measure, "chain": chain.measure, "latency": latency.measure,
       "memory": memory.measure, "archive": archive.measure, "feeds": feeds.measure, "parse": parse.measure,
       "backtest": backtest.measure, "reload": reload.measure, "rules": rule_files.measure,
       "alerts": alerts.measure, "workers": workers.measure, "held": held.measure, "scrape": scrape.measure,
       "store": store.measure, "dashboards": dashboards.measure}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", help="which; default all")
    parser.add_argument("--quick", action="store_true", help="a tenth of the load: shows that it works, no figures")
    parser.add_argument("--data", default="", help="folder with headlines/ and feeds/; default: made texts")
    args = parser.parse_args()
    table = Table("benchmark", "what", "figure", title="Wenxun bench")
    for name in args.names or ALL:
        for what, figure in ALL[name](args):
            table.add_row(name, what, figure)
    Console(width=140).print(table)


if __name__ == "__main__":              # processes that a benchmark starts import this module
    main()
