"""Negative, neutral, positive or unsure, behind one protocol.

The default is a word list that operators own (sentiment.yml), with negation and degree. SnowNLP can be chosen there; it
does some tens of items a second, so it is capped and imported only then.
"""

from __future__ import annotations

import warnings
from math import exp
from typing import Any, Protocol

from ahocorasick_rs import AhoCorasick, MatchKind

from pipeline.fold import fold, fold_term
from pipeline.model import Polarity, Sentiment
from pipeline.rulebook.schema import SentimentEngine, SentimentRules

MAX_CHARS = 400
SNOWNLP_CHARS = 120
_BREAKS = frozenset(",.!?;:\n 。、…~")
_SOFTER = 0.8
"""A negated word says less than its opposite: 不好 is milder than 坏."""


class SentimentEngineProtocol(Protocol):
    def judge(self, folded: str) -> Sentiment:
        """Sentiment of a folded text (see fold.py); any length, also empty."""


def engine_for(rules: SentimentRules) -> SentimentEngineProtocol:
    return SnowNLPSentiment(rules) if rules.engine is SentimentEngine.SNOWNLP else LexiconSentiment(rules)


class LexiconSentiment:
    """Word weights, negations and degrees of sentiment.yml in one Aho-Corasick pass, longest words first."""

    def __init__(self, rules: SentimentRules) -> None:
        self._rules = rules
        self._weights = {fold_term(word): weight for word, weight in rules.words.items()}
        self._negations = frozenset(map(fold_term, rules.negations))
        self._degrees = {fold_term(word): factor for word, factor in rules.degrees.items()}
        self._patterns = sorted({*self._weights, *self._negations, *self._degrees} - {""})
        self._automaton = AhoCorasick(self._patterns, matchkind=MatchKind.LeftmostLongest) if self._patterns else None

    def judge(self, folded: str) -> Sentiment:
        positive, negative = self.weigh(folded)
        total = positive + negative
        if not total:
            return Sentiment(Polarity.NEUTRAL, 0.5)
        confidence = round(abs(positive - negative) / total * (1 - exp(-total / 2)), 3)
        if confidence < self._rules.unsure_below:
            return Sentiment(Polarity.UNSURE, confidence)
        return Sentiment(Polarity.POSITIVE if positive > negative else Polarity.NEGATIVE, confidence)

    def weigh(self, folded: str) -> tuple[float, float]:
        """(positive, negative) weight of a folded text, both 0 or more."""
        sums = [0.0, 0.0]
        if self._automaton is None:
            return 0.0, 0.0
        text = folded[:MAX_CHARS]
        found = self._automaton.find_matches_as_indexes(text)
        factor, until = 1.0, -1
        for place, (pattern, start, end) in enumerate(found):
            word = self._patterns[pattern]
            if start > until or (until >= 0 and not _BREAKS.isdisjoint(text[max(until - self._rules.reach, 0):start])):
                factor, until = 1.0, -1
            weight = self._weights.get(word)
            if word in self._degrees and (weight is None or self._leads(found, place)):
                factor, until = factor * self._degrees[word], end + self._rules.reach
            elif weight is None:
                factor, until = factor * -_SOFTER, end + self._rules.reach
            elif weight:
                value = weight * factor
                sums[value < 0] += abs(value)
                factor, until = 1.0, -1
        return sums[0], sums[1]

    def _leads(self, found: list[tuple[int, int, int]], place: int) -> bool:
        """Whether a sentiment word follows at once: 好 is a degree in 好开心, a word of its own elsewhere."""
        if place + 1 >= len(found) or found[place + 1][1] != found[place][2]:
            return False
        return bool(self._weights.get(self._patterns[found[place + 1][0]]))


class SnowNLPSentiment:
    """SnowNLP's review model: slow (some tens of items a second), so only the first 120 characters are judged."""

    def __init__(self, rules: SentimentRules) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from snownlp import SnowNLP
        self._make: Any = SnowNLP
        self._rules = rules

    def judge(self, folded: str) -> Sentiment:
        text = folded[:SNOWNLP_CHARS].strip()
        if not text:                                    # SnowNLP divides by zero
            return Sentiment(Polarity.NEUTRAL, 0.5)
        lean = 2 * float(self._make(text).sentiments) - 1
        confidence = round(abs(lean), 3)
        if confidence < self._rules.unsure_below:
            return Sentiment(Polarity.UNSURE, confidence)
        return Sentiment(Polarity.POSITIVE if lean > 0 else Polarity.NEGATIVE, confidence)


def judge_text(engine: SentimentEngineProtocol, text: str) -> Sentiment:
    """For callers that hold an original text."""
    return engine.judge(fold(text).text)
