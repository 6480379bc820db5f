"""Words of a text, and the heaviest of them as numbers for similarity. The only place that knows jieba.

One jieba.Tokenizer per rule book, with the book's terms as words. Its dictionary is read from the package, never from
the cache file that jieba keeps in a world-writable temporary folder. The best path is found as jieba finds it (most
probable words, without the HMM), with logarithms made once: about three times as fast as jieba's own loop. What the
HMM is for, names that no dictionary has, is done by pairs: neighbouring single characters count as a word.
"""

from __future__ import annotations

import logging
import re
import warnings
import zlib
from functools import cache
from math import log
from pathlib import Path
from typing import Any

from pipeline.rulebook.schema import RuleBook
from pipeline.score.fold import fold_term
from pipeline.score.stopwords import STOPWORDS

MAX_TERMS = 16
MAX_CHARS = 110
"""Title and the beginning of the text, together: what is segmented."""

SCALE = 6
"""Weight of a term = round(IDF * tf * SCALE), at most 255: IDF is at most 14."""

_BLOCK = re.compile("[a-z0-9]+(?:[.\\-_][a-z0-9]+)*|[\u4e00-\u9fff\u3400-\u4dbf]+")
_NUMBER = re.compile(r"[0-9.\-_]+")


@cache
def _jieba() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")     # jieba 0.42.1 has invalid escapes and imports pkg_resources
        import jieba
    jieba.setLogLevel(logging.CRITICAL)
    return jieba


@cache
def _dictionary() -> tuple[dict[str, int], int]:
    """Word or prefix -> frequency (0 for a mere prefix), and the sum."""
    tokenizer = _jieba().Tokenizer()
    frequencies, total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
    return frequencies, total


@cache
def _idf() -> dict[str, float]:
    """Word -> inverse document frequency, as jieba ships it."""
    path = Path(_jieba().__file__).with_name("analyse") / "idf.txt"
    with path.open(encoding="utf-8") as lines:
        return {word: float(value) for word, _, value in (line.rstrip("\n").partition(" ") for line in lines)}


@cache
def _median_idf() -> float:
    values = sorted(_idf().values())
    return values[len(values) // 2]


class Segmenter:
    """Cuts texts with one book's words. Building it copies jieba's dictionary: do it off the event loop."""

    def __init__(self, book: RuleBook) -> None:
        frequencies, total = _dictionary()
        tokenizer = _jieba().Tokenizer()
        tokenizer.FREQ, tokenizer.total, tokenizer.initialized = dict(frequencies), total, True
        own = {fold_term(term.text) for subject in book.subjects for term in subject.terms}
        self._own = frozenset(word for word in own if _BLOCK.fullmatch(word) and len(word) > 1)
        for word in sorted(self._own):
            tokenizer.add_word(word)
        self._tokenizer = tokenizer
        self._log_total = log(tokenizer.total)
        self._logs: dict[str, float] = {}
        self._weights: dict[str, tuple[int, float]] = {}

    def cut(self, folded: str) -> list[str]:
        """Words of a folded text in order; punctuation is left out."""
        words: list[str] = []
        for block in _BLOCK.findall(folded):
            if block[0] <= "z":
                words.append(block)
            else:
                self._route(block, words)
        return words

    def _route(self, block: str, words: list[str]) -> None:
        """The most probable way through a run of Chinese characters (right to left, then read off)."""
        frequencies = self._tokenizer.FREQ
        length = len(block)
        best = [0.0] * (length + 1)
        ends = [0] * length
        for start in range(length - 1, -1, -1):
            top, place = -1e300, start + 1
            end = start + 1
            word = block[start:end]
            while (frequency := frequencies.get(word)) is not None or end == start + 1:
                if frequency or end == start + 1:
                    value = self._log(word, frequency or 1) + best[end]
                    if value > top:
                        top, place = value, end
                end += 1
                if end > length:
                    break
                word = block[start:end]
            best[start], ends[start] = top, place
        start = 0
        while start < length:
            words.append(block[start:ends[start]])
            start = ends[start]

    def _log(self, word: str, frequency: int) -> float:
        value = self._logs.get(word)
        if value is None:
            value = self._logs[word] = log(frequency) - self._log_total
        return value

    def terms(self, title: str, text: str) -> tuple[tuple[int, int], ...]:
        """Up to 16 (crc32 of the word, weight 1..255), heaviest first, of a folded title and the beginning of its text."""
        if text.startswith(title):
            text = text[len(title):]
        counts: dict[str, int] = {}
        for word in _with_pairs(self.cut(f"{title}\n{text}"[:MAX_CHARS])):
            counts[word] = counts.get(word, 0) + 1
        weighed = []
        for word, count in counts.items():
            code, idf = self._weight(word)
            if idf:
                weighed.append((-min(255, round(idf * count * SCALE)), code))
        weighed.sort()
        return tuple((code, -weight) for weight, code in weighed[:MAX_TERMS])

    def _weight(self, word: str) -> tuple[int, float]:
        """(hash, IDF) of a word; IDF 0 for what says nothing about what happened."""
        known = self._weights.get(word)
        if known is None:
            if len(self._weights) > 200_000:
                self._weights.clear()
            known = self._weights[word] = zlib.crc32(word.encode("utf-8", "surrogatepass")), _weigh(word)
        return known


def _weigh(word: str) -> float:
    if len(word) < 2 or word in STOPWORDS:
        return 0.0
    if _NUMBER.fullmatch(word):
        return 3.0 if len(word) <= 2 else 6.0
    return _idf().get(word, _median_idf())


def _with_pairs(words: list[str]) -> list[str]:
    """Words, and each two neighbouring single characters as one: names that the dictionary does not have."""
    pairs = [left + right for left, right in zip(words, words[1:], strict=False)
             if len(left) == 1 and len(right) == 1 and left not in STOPWORDS and right not in STOPWORDS]
    return words + pairs
