"""An item under two books at once. Most items match nothing in either: for these only the words are looked at."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from ahocorasick_rs import AhoCorasick
from msgspec.structs import replace

from pipeline.model import OPEN_SUBJECT, SHADOW, RawItem, ScoredItem
from pipeline.rulebook.schema import INTAKE, RuleBook, Source, Status, Subject
from pipeline.rulebook.shadow import name_in_shadow, without_shadow
from pipeline.score.matcher import Matcher
from pipeline.score.score import Fields, Scorer, folded_fields
from pipeline.score.segment import Segmenter, own_words

LIVE, CANDIDATE = 1, 2
"""Sides, as bits."""
_OTHER = "\x01"
"""Before the id of a candidate's subject, where another of the same id stands beside it."""

MAX_TITLE = 80
"""Of a title, or of the text where there is none: what names an event."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An item as one book sees it, without what differs by subject, and the subjects that it matches."""

    base: ScoredItem
    subjects: tuple[str, ...]


class Reader:
    """Heavy to build, as a scorer is. open_subject: items that match nothing count as `*` too."""

    def __init__(self, live: RuleBook, candidate: RuleBook, *, open_subject: bool = False) -> None:
        self._open = open_subject
        self._names = {LIVE: _names(live), CANDIDATE: _names(candidate)}
        self._live, self._finder = Scorer(live), Finder(live, candidate)
        self._alike = bases_alike(live, candidate)
        words = own_words(without_shadow(live)) ^ own_words(without_shadow(candidate))
        self._telling = AhoCorasick(sorted(words)) if words else None
        self._candidate = Scorer(candidate) if words or not self._alike else self._live

    def read(self, item: RawItem) -> tuple[Seen, Seen] | None:
        """As the live and as the candidate book see it; None if it is nothing to either. The two bases are one object
        unless the books differ in what it says."""
        fields = folded_fields(item)
        found = self._finder.find(item, fields)
        if not found and not self._open:
            return None
        old, new = (self._named(side, found) for side in (LIVE, CANDIDATE))
        if not old and not new:
            return None
        base = bare(self._live.base(item, fields))
        if self._same_base(fields):
            return Seen(base, old), Seen(base, new)
        return Seen(base, old), Seen(bare(self._candidate.base(item, fields)), new)

    def _named(self, side: int, found: list[tuple[str, int]]) -> tuple[str, ...]:
        """As records name them: `~x` of one in shadow, and `*` where nothing live matches."""
        names = self._names[side]
        subjects = tuple(names[ident] for ident, sides in found if sides & side)
        if self._open and all(map(is_shadow, subjects)):
            return (OPEN_SUBJECT, *subjects)
        return subjects

    def _same_base(self, fields: Fields) -> bool:
        """The books' words are in the dictionary that cuts texts: a text that has a word of only one of them may be cut
        otherwise under the other, and so be like other items."""
        if not self._alike:
            return False
        return self._telling is None or not any(
            self._telling.find_matches_as_indexes(folded.text) for _, folded in fields)


class Finder:
    """Which subjects of either side an item matches, in one pass where that is possible: a subject that both books have
    is looked for once, and what the candidate changed is compiled beside the live subjects."""

    def __init__(self, live: RuleBook, candidate: RuleBook) -> None:
        self._groups = {LIVE: _groups(live), CANDIDATE: _groups(candidate)}
        shared = frozenset(shared_subjects(live, candidate))
        changed = [each for each in candidate.subjects if each.id not in shared]
        beside = [] if not _mixable(live, candidate) else [each for each in changed if not _asks_tokenizer(each)]
        apart = tuple(each for each in changed if each not in beside)
        together = (*live.subjects, *(replace(each, id=_OTHER + each.id) for each in beside))
        self._sides = {each.id: LIVE | CANDIDATE if each.id in shared else LIVE for each in live.subjects}
        self._first = Matcher(replace(live, subjects=together), _words(live))
        self._second = Matcher(replace(candidate, subjects=apart), _words(candidate)) if apart else None

    def find(self, item: RawItem, fields: Fields) -> list[tuple[str, int]]:
        """(subject, sides), each subject's sides together or one after the other."""
        at, source = item.first_seen_at, item.source_id
        found = [self._side(match.subject)
                 for match in self._first.match(fields, at, self._groups[LIVE].get(source, ""))]
        if self._second is not None:
            group = self._groups[CANDIDATE].get(source, "")
            found += [(match.subject, CANDIDATE) for match in self._second.match(fields, at, group)]
        return found

    def _side(self, subject: str) -> tuple[str, int]:
        if subject.startswith(_OTHER):
            return subject[len(_OTHER):], CANDIDATE
        return subject, self._sides[subject]


def is_shadow(subject: str) -> bool:
    return subject.startswith(SHADOW)


def bare(base: ScoredItem) -> ScoredItem:
    """Without what no decision needs: the text, but for the name of an event."""
    item = base.item
    text = "" if item.title else item.text[:MAX_TITLE]
    return replace(base, item=replace(item, title=item.title[:MAX_TITLE], text=text, url="", html=""))


def shared_subjects(live: RuleBook, candidate: RuleBook) -> list[str]:
    """Subjects that match the same items under both books, and have the same place (live, shadow) in both."""
    if not _mixable(live, candidate):
        return []
    known = {each.id: each for each in candidate.subjects}
    return [each.id for each in live.subjects if each == known.get(each.id) and not _asks_tokenizer(each)]


def bases_alike(live: RuleBook, candidate: RuleBook) -> bool:
    """Whether sources and sentiment are the same: what an item is apart from its subjects and terms."""
    return live.sentiment == candidate.sentiment and _voices(live) == _voices(candidate)


def _names(book: RuleBook) -> dict[str, str]:
    return {each.id: name_in_shadow(each.id) if each.status is Status.SHADOW else each.id for each in book.subjects}


def _mixable(live: RuleBook, candidate: RuleBook) -> bool:
    """Whether what subjects refer to is the same in both books."""
    return (live.lists, live.timezone, _groups(live)) == (candidate.lists, candidate.timezone, _groups(candidate))


def _words(book: RuleBook) -> Segmenter | None:
    """For word edges, where any subject asks for them."""
    return Segmenter(without_shadow(book)) if any(map(_asks_tokenizer, book.subjects)) else None


def _asks_tokenizer(subject: Subject) -> bool:
    """Whether words are to end where the tokenizer cuts, which depends on the other subjects' words too."""
    return b'"word":true' in msgspec.json.encode(subject)


def _groups(book: RuleBook) -> dict[str, str]:
    return {each.id: each.group for each in (INTAKE, *book.sources)}


def _voices(book: RuleBook) -> dict[str, tuple[str, str, bool, str]]:
    return {each.id: _voice(each) for each in book.sources}


def _voice(source: Source) -> tuple[str, str, bool, str]:
    return source.origin, source.name, source.official, source.group
