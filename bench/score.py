"""The score stage alone, items per second on one core, against jieba + SnowNLP as one would first write it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from agents.rule_files import load_book, starter_dir
from bench.texts import items
from pipeline.model import RawItem
from pipeline.score.score import Scorer


def measure(args: argparse.Namespace) -> list[tuple[str, str]]:
    load = list(items(500 if args.quick else 5000, 1_795_000_000_000, 50))
    scorer = Scorer(load_book(starter_dir(), "Asia/Shanghai"))
    ours = rate(lambda item: scorer.score(item), load)
    reference = rate(naive(), load[: len(load) // 50])
    return [("wenxun score stage", f"{ours:,.0f} items/s"), ("jieba + SnowNLP", f"{reference:,.0f} items/s"),
            ("ratio", f"{ours / reference:,.0f} x")]


def rate(work: Callable[[RawItem], object], load: list[RawItem]) -> float:
    work(load[0])
    started = time.perf_counter()
    for item in load:
        work(item)
    return len(load) / (time.perf_counter() - started)


def naive() -> Callable[[RawItem], object]:
    """Cut every text, look for the words, ask SnowNLP."""
    import jieba
    from snownlp import SnowNLP

    jieba.setLogLevel(60)          # says where its cache is at every start
    words = {"投票", "投票站", "截止", "排队", "选民证"}

    def work(item: RawItem) -> tuple[set[str], float]:
        return words.intersection(jieba.lcut(item.text)), SnowNLP(item.text).sentiments

    return work
