"""Matching alone: rule books of 10, 1,000 and 10,000 patterns against texts of 30 and 300 characters, on one core.

A subject has 20 patterns, most of them words, with an expression, words near each other, a condition and an exclusion.
A tenth of the words are place names that occur in the texts, the rest are of the same making and do not. Beside it, in
the same run: pyahocorasick over the same words, which finds them as they are written and judges nothing, alone and on
texts that are folded first; and a loop over jieba's tokens that looks each up. Seconds of the process, the best of
five; the ratios say more than the figures.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bench.texts import DOINGS, ENDS, NAMES, THINGS, items
from pipeline.fold import fold
from pipeline.rulebook.schema import Condition, Levels, Near, Pattern, Roster, RuleBook, SentimentRules, Subject, Term
from pipeline.score.fields import Fields
from pipeline.score.matcher import Matcher
from pipeline.score.score import Scorer

SIZES = (10, 1_000, 10_000)
LENGTHS = (30, 300)
NOW = 1_795_000_000_000
PER_SUBJECT = 20
ROUNDS = 5
TOKENIZED = 200
"""Texts for jieba's loop, which is slow."""


def measure(args: argparse.Namespace) -> list[tuple[str, str]]:
    texts = {length: list(made_texts(400 if args.quick else 4_000, length)) for length in LENGTHS}
    rows: list[tuple[str, str]] = []
    first: dict[int, float] = {}
    for size in SIZES:
        words = made_words(size)
        built, matcher = timed(lambda words=words: Matcher(book_of(words)))  # type: ignore[misc]
        rows.append((f"{size:,} patterns: compile", f"{built * 1000:,.0f} ms"))
        for length, load in texts.items():
            ours = best(lambda text, match=matcher.match: match(Fields("", text), NOW), load)
            hits = sum(bool(matcher.match(Fields("", text), NOW)) for text in load) / len(load)
            cost = ours / first.setdefault(length, ours)
            rows.append((f"{size:,} patterns, {length} characters",
                         f"{1 / ours:,.0f} texts/s ({cost:.2f} x the cost with 10; {hits:.1%} match)"))
            for name, other in (("pyahocorasick", found_by_pyahocorasick(words, load)),
                                ("fold and pyahocorasick", found_by_pyahocorasick(words, load, folded=True)),
                                ("jieba token loop", found_by_tokens(words, load[:TOKENIZED]))):
                rows.append((f"    {name}", f"{1 / other:,.0f} texts/s; ours is {other / ours:,.2f} x as fast"))
    book = book_of(made_words(SIZES[-1]))
    Scorer(book)                                        # the dictionary is read once per process
    rows.append((f"{SIZES[-1]:,} patterns: whole scorer", f"{timed(lambda: Scorer(book))[0]:.2f} s"))
    return rows


def timed(work: Callable[[], Matcher | Scorer]) -> tuple[float, Any]:
    """Seconds of the process, and what came of it."""
    started = time.process_time()
    made = work()
    return time.process_time() - started, made


def best(work: Callable[[str], object], texts: Sequence[str]) -> float:
    """Seconds per text, the best of ROUNDS."""
    rounds = []
    for _ in range(ROUNDS):
        started = time.process_time()
        for text in texts:
            work(text)
        rounds.append(time.process_time() - started)
    return min(rounds) / len(texts)


def found_by_pyahocorasick(words: Sequence[str], texts: Sequence[str], *, folded: bool = False) -> float:
    from ahocorasick import Automaton

    automaton = Automaton()
    for number, word in enumerate(words):
        automaton.add_word(word, number)
    automaton.make_automaton()
    if folded:
        return best(lambda text: list(automaton.iter(fold(text).text)), texts)
    return best(lambda text: list(automaton.iter(text)), texts)


def found_by_tokens(words: Sequence[str], texts: Sequence[str]) -> float:
    import jieba

    jieba.setLogLevel(60)
    known = set(words)
    jieba.lcut(texts[0])
    return best(lambda text: [token for token in jieba.lcut(text) if token in known], texts)


def made_texts(count: int, length: int) -> Iterator[str]:
    """News and talk of exactly this length."""
    text = ""
    for each in items(count * (1 + length // 100), NOW, 50):
        text += each.title + "，" if length < 100 else each.text
        if len(text) >= length:
            yield text[:length]
            text, count = "", count - 1
        if not count:
            return


def made_words(size: int) -> list[str]:
    """Distinct words of three to seven characters, always the same ones."""
    chance = random.Random(11)
    words: dict[str, None] = {}
    while len(words) < size:
        if len(words) % 10 == 0:
            word = "".join(chance.choices(NAMES, k=2)) + chance.choice(ENDS)
        else:
            word = chance.choice(THINGS)[:2] + chance.choice(NAMES) + chance.choice(DOINGS)[:chance.randint(1, 3)]
        words[word] = None
    return list(words)


def book_of(words: Sequence[str]) -> RuleBook:
    subjects = [_subject(number, words[start:start + PER_SUBJECT])
                for number, start in enumerate(range(0, len(words), PER_SUBJECT))]
    return RuleBook(
        sources=(), subjects=tuple(subjects), sentiment=SentimentRules(), levels=Levels(ladder=()),
        roster=Roster(people=(), teams=(), fallback=""), channels=(), routes=())


def _subject(number: int, words: Sequence[str]) -> Subject:
    plain, near, regex, barred = words[:-3], words[-3:-1], words[-2], words[-1]
    return Subject(
        id=f"s{number}", title="", owner="", reason="", expires="never",
        terms=(*(Term(text=word) for word in plain), Term(near=Near(words=tuple(near), within=20)),
               Term(regex=f"{regex}[0-9]+|[一二三]+{regex}")),
        match=Condition(none=(Condition(pattern=Pattern(text=f"假{barred}")),)) if number % 5 == 0 else None,
        exclude=(Pattern(text=barred),))
