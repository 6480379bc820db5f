"""One pass over a folded text for all patterns of one spelling: which of them occur, and where.

A pattern is a slot, a number. Words are found by Aho-Corasick, whole where they are Latin; expressions and words that
stand near each other are looked at only when a word of theirs occurred.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from ahocorasick_rs import AhoCorasick, MatchKind

from pipeline.fold import SAME, Spelling, fold_term
from pipeline.score.evasion import rejoined
from pipeline.score.expressions import Expression, Together
from pipeline.score.fields import BETWEEN, Fields, Spelled
from pipeline.score.near import STOP, Nearness, Spot
from pipeline.score.segment import Segmenter

Found = dict[int, list[Spot]]
"""Slot -> its places in `joined` of its spelling, in no order; of a `near`, the words of its first place in each field.
"""

MAX_AT_ONCE = 4_000
"""Characters: places of many words inside one another would fill the memory."""

_WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


class Scanner:
    """Patterns of one spelling. Add all, then `ready`."""

    def __init__(self, spelling: Spelling) -> None:
        self.spelling = spelling
        self._usual = spelling == SAME
        self._atoms: dict[str, int] = {}
        self._plain: list[list[int]] = []
        self._pulled: list[list[int]] = []
        self._feeds: dict[int, list[int]] = defaultdict(list)
        self._near: dict[int, Nearness] = {}
        self._expressions: dict[int, Expression] = {}
        self._at_word_edges: set[int] = set()

    def add_words(self, slot: int, words: Iterable[str], *, evasion: bool) -> None:
        """Any of them; `evasion`: also pulled apart. A word of nothing, or of two lines, never occurs."""
        for word in words:
            folded = fold_term(word, self.spelling)
            if not folded or BETWEEN in folded:
                continue
            atom = self._atoms.setdefault(folded, len(self._atoms))
            if atom == len(self._plain):
                self._plain.append([])
                self._pulled.append([])
            if self._plain[atom][-1:] != [slot]:        # a list's words come one after another
                self._plain[atom].append(slot)
                if evasion and len(folded) > 1:
                    self._pulled[atom].append(slot)

    def add_near(self, slot: int, near: Nearness) -> None:
        self._near[slot] = near
        self._feeds[near.words[0]].append(slot)

    def add_regex(self, slot: int, anchor_slot: int, expression: Expression) -> None:
        self._expressions[slot] = expression
        if expression.anchors:
            self.add_words(anchor_slot, expression.anchors, evasion=False)
            self._feeds[anchor_slot].append(slot)

    def only_words(self, slot: int) -> None:
        """Its places must begin and end where the tokenizer cuts."""
        self._at_word_edges.add(slot)

    def ready(self) -> None:
        texts = list(self._atoms)
        self._whole = [(each[0] in _WORD, each[-1] in _WORD) if each[0] in _WORD or each[-1] in _WORD else None
                       for each in texts]
        self._longest = max(map(len, texts), default=0)
        self._automaton = AhoCorasick(texts, matchkind=MatchKind.Standard, store_patterns=False) if texts else None
        self._evasion = any(self._pulled)
        self._together = Together(
            {slot: each for slot, each in self._expressions.items() if not each.anchors}, self.spelling)

    def scan(self, fields: Fields, found: Found, segmenter: Callable[[], Segmenter]) -> Spelled:
        """Add what occurs to `found`, as places of what is returned."""
        spelled = fields.usual if self._usual else fields.spelled(self.spelling)
        text = spelled.joined
        before = len(found)
        if self._automaton is not None:
            if len(text) <= MAX_AT_ONCE:
                if hits := self._automaton.find_matches_as_indexes(text, overlapping=True):
                    self._take(hits, text, found)
            else:
                self._in_parts(text, found)
            if self._evasion and (again := rejoined(text)) is not None:
                for atom, start, end in self._automaton.find_matches_as_indexes(again.text, overlapping=True):
                    if self._pulled[atom] and self._stands(atom, again.text, start, end):
                        if (place := again.place(start, end)) is not None:
                            for slot in self._pulled[atom]:
                                found.setdefault(slot, []).append(place)
        if self._together.any:
            self._find_unanchored(spelled, found)
        if len(found) > before:
            if self._at_word_edges:
                self._keep_words(fields, spelled, found, segmenter)
            if self._feeds:
                self._follow(spelled, found)
                self._keep_words(fields, spelled, found, segmenter)
        return spelled

    def _in_parts(self, text: str, found: Found) -> None:
        assert self._automaton is not None
        for start in range(0, len(text), MAX_AT_ONCE):
            begin = max(0, start - self._longest)
            part = text[begin:start + MAX_AT_ONCE]
            hits = self._automaton.find_matches_as_indexes(part, overlapping=True)
            self._take([(atom, first + begin, last + begin) for atom, first, last in hits if last + begin > start],
                       text, found)

    def _take(self, hits: list[tuple[int, int, int]], text: str, found: Found) -> None:
        whole, plain = self._whole, self._plain
        for atom, start, end in hits:
            if whole[atom] is not None and not self._stands(atom, text, start, end):
                continue
            for slot in plain[atom]:
                spots = found.get(slot)
                if spots is None:
                    found[slot] = [(start, end)]
                else:
                    spots.append((start, end))

    def _stands(self, atom: int, text: str, start: int, end: int) -> bool:
        """Whether a word that begins or ends with a Latin letter or a number does not go on there."""
        if (whole := self._whole[atom]) is None:
            return True
        return not (whole[0] and start and text[start - 1] in _WORD or whole[1] and text[end:end + 1] in _WORD)

    def _find_unanchored(self, spelled: Spelled, found: Found) -> None:
        for text, base in ((spelled.title.text, 0), (spelled.text.text, spelled.cut + 1)):
            for slot in self._together.candidates(text) if text else ():
                if spots := list(self._expressions[slot].find(text, base)):
                    found.setdefault(slot, []).extend(spots)

    def _follow(self, spelled: Spelled, found: Found) -> None:
        """Expressions whose words occurred, and words near each other."""
        for slot in sorted(each for word in self._feeds.keys() & found.keys() for each in self._feeds[word]):
            spots = self._near_places(slot, spelled, found) if slot in self._near else self._matches(slot, spelled)
            if spots:
                found[slot] = spots

    def _keep_words(self, fields: Fields, spelled: Spelled, found: Found, segmenter: Callable[[], Segmenter]) -> None:
        for slot in self._at_word_edges & found.keys():
            found[slot] = [spot for spot in found[slot] if fields.at_word_edges(spelled, spot, segmenter)]
            if not found[slot]:
                del found[slot]

    def _matches(self, slot: int, spelled: Spelled) -> list[Spot]:
        expression = self._expressions[slot]
        return [*expression.find(spelled.title.text, 0), *expression.find(spelled.text.text, spelled.cut + 1)]

    def _near_places(self, slot: int, spelled: Spelled, found: Found) -> list[Spot]:
        near = self._near[slot]
        if not all(word in found for word in near.words):
            return []
        stops = [each.start() for each in STOP.finditer(spelled.joined)] if near.sentence else []
        places: list[Spot] = []
        for in_title in (True, False):
            spots = {word: sorted(each for each in found[word] if (each[0] < spelled.cut) is in_title)
                     for word in near.words}
            if all(spots.values()):
                places += near.find(spots, stops)
        return places
