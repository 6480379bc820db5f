"""Words of a text, and the heaviest of them as numbers for similarity. The only place that knows jieba.

One dictionary per rule book: jieba's, with the book's words added (never to jieba itself: that changes the process). It
is read from the package's data, not from the cache file that jieba keeps in a world-writable temporary folder. The best
path is the one jieba finds (most probable words, without the HMM), with logarithms made once: some three times as fast.
What the HMM is for, names that no dictionary has, is done by pairs: neighbouring single characters count as a word.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from math import log
from pathlib import Path

from pipeline.fold import fold_term, simplified
from pipeline.rulebook.schema import RuleBook, Status
from pipeline.score.patterns import patterns_in
from pipeline.score.stopwords import STOPWORDS

MAX_TERMS = 16
MAX_CHARS = 110
"""Title and the beginning of the text, together: what is segmented."""

SCALE = 6
"""Weight of a term = round(IDF * tf * SCALE), at most 255: IDF is at most 14."""

MAX_KEPT = 20_000
"""Clauses whose words are remembered, some 10 MB."""

_UNKNOWN = -18.0
"""Logarithm of the probability of a character that no dictionary has: about one in its whole text."""

_CHINESE = re.compile("[\u4e00-\u9fff\u3400-\u4dbf]+")
_BLOCK = re.compile("[a-z0-9]+(?:[.\\-_][a-z0-9]+)*|[\u4e00-\u9fff\u3400-\u4dbf]+")
_NUMBER = re.compile(r"[0-9.\-_]+")


@cache
def _files() -> Path:
    """Where jieba's data is. It is not imported: that takes long, and only its words are used."""
    found = find_spec("jieba")
    if found is None or not found.submodule_search_locations:
        raise ImportError("jieba is not installed")
    return Path(found.submodule_search_locations[0])


@cache
def _dictionary() -> dict[str, float]:
    """Word -> logarithm of its probability (below 0); the beginning of a word that is none itself -> 0."""
    parts = (_files() / "dict.txt").read_text("utf-8").split()              # word, frequency, kind
    words, written = parts[0::3], parts[1::3]
    frequencies = {each: int(each) for each in set(written)}
    log_total = log(sum(map(frequencies.__getitem__, written)))
    logarithms = {each: log(value) - log_total if value else 0.0 for each, value in frequencies.items()}
    values = dict.fromkeys((word[:end] for word in words for end in range(1, len(word))), 0.0)
    values.update(zip(words, map(logarithms.__getitem__, written), strict=True))
    for word in _folding_words(words):
        folded = fold_term(word)
        for end in range(1, len(folded)):
            values.setdefault(folded[:end], 0.0)
        values[folded] = values.get(folded) or values[word]
    return values


def _folding_words(words: Iterable[str]) -> list[str]:
    """Words with characters that folding simplifies (乾隆): texts are cut after they are folded."""
    traditional = frozenset(simplified())
    return [word for word in words if not traditional.isdisjoint(word)]


@cache
def _idf() -> dict[str, float]:
    """Word -> inverse document frequency, as jieba ships it."""
    parts = (_files() / "analyse" / "idf.txt").read_text("utf-8").split()
    values = dict(zip(parts[0::2], map(float, parts[1::2]), strict=True))
    for word in _folding_words(list(values)):
        values.setdefault(fold_term(word), values[word])
    return values


@cache
def _median_idf() -> float:
    values = sorted(_idf().values())
    return values[len(values) // 2]


def own_words(book: RuleBook) -> frozenset[str]:
    """The words that a book adds to the dictionary. A text without any of them is cut the same under every book.

    Not those that somewhere ask for word edges: they would make their own.
    """
    lists = {each.id: each.words for each in book.lists}
    words: set[str] = set()
    asked: set[str] = set()
    for subject in book.subjects:
        if subject.status is Status.RETIRED:
            continue
        for pattern, helps in (*((term, True) for term in subject.terms), *patterns_in(subject.match)):
            named = pattern.near.words if pattern.near else lists.get(pattern.list, (pattern.text,))
            folded = {fold_term(word) for word in named}
            if helps:
                words |= folded
            if pattern.word:
                asked |= folded
    return frozenset(word for word in words - asked if len(word) > 1 and _CHINESE.fullmatch(word))


class Segmenter:
    """Cuts texts with one book's words. Building it copies jieba's dictionary: do it off the event loop."""

    def __init__(self, book: RuleBook) -> None:
        self._words = dict(_dictionary())
        for word in sorted(own_words(book)):
            self._add(word)
        self._weights: dict[str, tuple[int, float]] = {}
        self._cut: dict[str, list[str]] = {}

    def _add(self, word: str) -> None:
        """Make it a word that is preferred to its parts."""
        parts: list[str] = []
        self._route(word, parts)
        value = min(sum(self._words.get(part) or _UNKNOWN for part in parts) + 1.0, -0.001)
        self._words[word] = max(value, self._words.get(word) or _UNKNOWN * len(word))
        for end in range(1, len(word)):
            self._words.setdefault(word[:end], 0.0)

    def cut(self, folded: str) -> list[str]:
        """Words of a folded text in order; punctuation is left out."""
        words: list[str] = []
        for block in _BLOCK.findall(folded):
            words.extend([block] if block[0] <= "z" else self._cut_once(block))
        return words

    def places(self, folded: str) -> Iterator[tuple[int, int]]:
        """Where the words of a folded text stand, in order."""
        for found in _BLOCK.finditer(folded):
            start, block = found.start(), found[0]
            for word in [block] if block[0] <= "z" else self._cut_once(block):
                yield start, start + len(word)
                start += len(word)

    def _cut_once(self, block: str) -> list[str]:
        """Words of a run of Chinese characters. Kept: reposts bring the same clauses again, most of all in a burst."""
        known = self._cut.get(block)
        if known is None:
            if len(self._cut) >= MAX_KEPT:
                self._cut.clear()
            known = self._cut[block] = []
            self._route(block, known)
        return known

    def _route(self, block: str, words: list[str]) -> None:
        """The most probable way through a run of Chinese characters: right to left, then read off."""
        get = self._words.get
        length = len(block)
        best = [0.0] * (length + 1)
        ends = [0] * length
        for start in range(length - 1, -1, -1):
            place = end = start + 1
            known = get(block[start])
            top = (known or _UNKNOWN) + best[end]
            while known is not None and end < length:
                end += 1
                known = get(block[start:end])
                if known and (value := known + best[end]) > top:
                    top, place = value, end
            best[start], ends[start] = top, place
        start = 0
        while start < length:
            words.append(block[start:ends[start]])
            start = ends[start]

    def terms(self, title: str, text: str) -> tuple[tuple[int, int], ...]:
        """Up to 16 (crc32 of a word, weight 1..255), heaviest first, of a folded title and the start of its text."""
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
            if len(self._weights) >= 10 * MAX_KEPT:
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
