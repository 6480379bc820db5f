"""sentiment.yml: which words say what."""

from __future__ import annotations

from enum import StrEnum

from pipeline.rulebook.schema.base import Rule


class SentimentEngine(StrEnum):
    LEXICON = "lexicon"
    SNOWNLP = "snownlp"


class SentimentRules(Rule, frozen=True):
    """words: weight below 0 is negative. negations flip, degrees multiply the next word within `reach` characters.
    unsure_below: a confidence under it gives `unsure`."""

    engine: SentimentEngine = SentimentEngine.LEXICON
    words: dict[str, float] = {}
    negations: tuple[str, ...] = ()
    degrees: dict[str, float] = {}
    reach: int = 4
    unsure_below: float = 0.2
