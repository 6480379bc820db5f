"""An item under two books at once. Most items match nothing in either: for these only the words are looked at."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from ahocorasick_rs import AhoCorasick
from msgspec.structs import replace

from pipeline.model import OPEN_SUBJECT, RawItem, ScoredItem
from pipeline.rulebook.schema import RuleBook, Source, Status, Subject
from pipeline.rulebook.shadow import name_in_shadow, without_shadow
from pipeline.score.score import Fields, Scorer, folded_fields
from pipeline.score.segment import own_words

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
        self._live = Scorer(live)
        self._names = [_names(live), _names(candidate)]
        self._shared = frozenset(shared_subjects(live, candidate))
        changed = tuple(each for each in candidate.subjects if each.id not in self._shared)
        self._changed = Scorer(replace(candidate, subjects=changed)) if changed else None
        self._alike = bases_alike(live, candidate)
        words = own_words(without_shadow(live)) ^ own_words(without_shadow(candidate))
        self._telling = AhoCorasick(sorted(words)) if words else None
        self._candidate = Scorer(candidate) if words or not self._alike else self._live

    def read(self, item: RawItem) -> tuple[Seen, Seen] | None:
        """As the live and as the candidate book see it; None if it is nothing to either. The two bases are one object
        unless the books differ in what it says."""
        fields = folded_fields(item)
        found = [match.subject for match in self._live.match(item, fields)]
        other = [ident for ident in found if ident in self._shared]
        if self._changed is not None:
            other += [match.subject for match in self._changed.match(item, fields)]
        subjects = self._named(0, found), self._named(1, other)
        if not subjects[0] and not subjects[1]:
            return None
        base = bare(self._live.base(item, fields))
        if self._same_base(fields):
            return Seen(base, subjects[0]), Seen(base, subjects[1])
        return Seen(base, subjects[0]), Seen(bare(self._candidate.base(item, fields)), subjects[1])

    def _named(self, side: int, subjects: list[str]) -> tuple[str, ...]:
        """As records name them: `~x` of one in shadow, and `*` where nothing live matches."""
        names = tuple(self._names[side][ident] for ident in subjects)
        if self._open and all(name != ident for name, ident in zip(names, subjects, strict=True)):
            return (OPEN_SUBJECT, *names)
        return names

    def _same_base(self, fields: Fields) -> bool:
        """The books' words are in the dictionary that cuts texts: a text that has a word of only one of them may be cut
        otherwise under the other, and so be like other items."""
        if not self._alike:
            return False
        return self._telling is None or not any(
            self._telling.find_matches_as_indexes(folded.text) for _, folded in fields)


def bare(base: ScoredItem) -> ScoredItem:
    """Without what no decision needs: the text, but for the name of an event."""
    item = base.item
    text = "" if item.title else item.text[:MAX_TITLE]
    return replace(base, item=replace(item, title=item.title[:MAX_TITLE], text=text, url="", html=""))


def shared_subjects(live: RuleBook, candidate: RuleBook) -> list[str]:
    """Subjects that match the same items under both books, and have the same place (live, shadow) in both."""
    if live.lists != candidate.lists or live.timezone != candidate.timezone or _groups(live) != _groups(candidate):
        return []
    known = {each.id: each for each in candidate.subjects}
    return [each.id for each in live.subjects if each == known.get(each.id) and not _asks_tokenizer(each)]


def bases_alike(live: RuleBook, candidate: RuleBook) -> bool:
    """Whether sources and sentiment are the same: what an item is apart from its subjects and terms."""
    return live.sentiment == candidate.sentiment and _voices(live) == _voices(candidate)


def _names(book: RuleBook) -> dict[str, str]:
    return {each.id: name_in_shadow(each.id) if each.status is Status.SHADOW else each.id for each in book.subjects}


def _asks_tokenizer(subject: Subject) -> bool:
    """Whether words are to end where the tokenizer cuts, which depends on the other subjects' words too."""
    return b'"word":true' in msgspec.json.encode(subject)


def _groups(book: RuleBook) -> dict[str, str]:
    return {each.id: each.group for each in book.sources}


def _voices(book: RuleBook) -> dict[str, tuple[str, str, bool, str]]:
    return {each.id: _voice(each) for each in book.sources}


def _voice(source: Source) -> tuple[str, str, bool, str]:
    return source.origin, source.name, source.official, source.group
