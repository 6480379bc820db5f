"""python -m bench.eval --data DIR [sentiment …]: quality on real, labelled data that is not part of the project.

Nothing of it is copied, shipped or learned from: the word list is written by hand, the data only measures it.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from agents.rule_files import load_book, starter_dir
from bench.eval_events import events
from bench.eval_feeds import feeds
from bench.fuzz import fuzz
from pipeline.fold import fold
from pipeline.model import Polarity
from pipeline.rulebook.schema import SentimentEngine, SentimentRules
from pipeline.score.sentiment import LexiconSentiment, SnowNLPSentiment

Row = tuple[str, str, str]
"""What was measured, on what, the figure."""

NEGATIVE, NEUTRAL, POSITIVE = "negative", "neutral", "positive"
OF_NUMBER = {0: NEGATIVE, 1: POSITIVE, None: NEUTRAL}
OF_EMOTION = {"none": NEUTRAL, "surprise": NEUTRAL, "happiness": POSITIVE, "like": POSITIVE}
SETS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "weibo2018": ("label", OF_NUMBER.__getitem__),
    "smp2020_virus": ("polarity", OF_NUMBER.__getitem__),
    "waimai_10k": ("label", OF_NUMBER.__getitem__),
    "fin_news_seed": ("label", OF_NUMBER.__getitem__),
    "nlpcc2013": ("label", lambda emotion: OF_EMOTION.get(emotion, NEGATIVE)),
}
"""File in sentiment/ -> its label field, and what a label means in three classes."""

SNOWNLP_ROWS = 300
"""SnowNLP does some tens of texts a second: its first rows only, evenly spread."""


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def macro_f1(pairs: Iterable[tuple[str, str]], classes: tuple[str, ...]) -> float:
    """Mean over the classes of F1; pairs are (true, said)."""
    known = list(pairs)
    scores = []
    for each in classes:
        hits = sum(true == said == each for true, said in known)
        wrong = sum((true == each) != (said == each) for true, said in known)
        scores.append(2 * hits / (2 * hits + wrong) if hits else 0.0)
    return sum(scores) / len(scores)


def sentiment(data: Path) -> Iterator[Row]:
    """The default word list against SnowNLP: macro-F1 over pos/neg and over three classes, and negatives found."""
    words = LexiconSentiment(load_book(starter_dir(), "Asia/Shanghai").sentiment)
    snow = SnowNLPSentiment(SentimentRules(engine=SentimentEngine.SNOWNLP, unsure_below=0.0))
    for name, (field, meaning) in SETS.items():
        path = data / "sentiment" / f"{name}.jsonl.gz"
        if not path.is_file():
            yield "sentiment", name, f"missing: {path.name}"
            continue
        rows = [(meaning(row[field]), fold(row["text"]).text) for row in read_rows(path)]
        yield from _judged(f"{name}, word list", [(true, *_of_words(words, text)) for true, text in rows])
        few = rows[::max(1, len(rows) // SNOWNLP_ROWS)]
        yield from _judged(f"{name}, SnowNLP ({len(few)} texts)", [(true, *_of_snow(snow, text)) for true, text in few])


def _judged(name: str, judged: list[tuple[str, str, str]]) -> Iterator[Row]:
    """judged: (true, forced to a side, of three classes)."""
    sides = [(true, side) for true, side, _ in judged if true != NEUTRAL]
    found = [side for true, side in sides if true == NEGATIVE]
    yield "sentiment pos/neg macro-F1", name, f"{macro_f1(sides, (NEGATIVE, POSITIVE)):.3f}"
    if len(sides) < len(judged):                        # without a neutral text, three classes say nothing
        three = [(true, said) for true, _, said in judged]
        yield "sentiment three classes macro-F1", name, f"{macro_f1(three, (NEGATIVE, NEUTRAL, POSITIVE)):.3f}"
    yield "sentiment negatives found", name, f"{found.count(NEGATIVE) / max(1, len(found)):.0%}"


def _of_words(engine: LexiconSentiment, text: str) -> tuple[str, str]:
    """A side even where the list would rather not say (no word: by the length's parity), and the class it does say."""
    positive, negative = engine.weigh(text)
    side = (POSITIVE if len(text) % 2 else NEGATIVE) if positive == negative else (
        POSITIVE if positive > negative else NEGATIVE)
    polarity = engine.judge(text).polarity
    return side, NEUTRAL if polarity is Polarity.UNSURE else polarity.value


def _of_snow(engine: SnowNLPSentiment, text: str) -> tuple[str, str]:
    """SnowNLP has no neutral: the middle third of its scale is taken for it."""
    judged = engine.judge(text)
    side = judged.polarity.value if judged.polarity in (Polarity.POSITIVE, Polarity.NEGATIVE) else POSITIVE
    return side, NEUTRAL if judged.confidence < 1 / 3 else side


PARTS: dict[str, Callable[[Path], Iterator[Row]]] = {
    "feeds": feeds, "sentiment": sentiment, "events": events, "fuzz": fuzz}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.eval", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with sentiment/, events/, …")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="which; default all")
    parser.add_argument("--misses", type=Path, help="file for the full list of what feeds were misread")
    args = parser.parse_args()
    if not args.data.is_dir():
        parser.error(f"{args.data} is no folder; for example: make eval DATA=../shared/data")
    table = Table("measure", "on", "figure", title="Wenxun quality")
    for name in args.parts or PARTS:
        for row in feeds(args.data, args.misses) if name == "feeds" else PARTS[name](args.data):
            table.add_row(*row)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
