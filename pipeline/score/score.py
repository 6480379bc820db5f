"""Item + rule book -> scored items, one per subject it matches, each with its evidence."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from pipeline.ids import digest
from pipeline.model import DRILL, OPEN_SUBJECT, SHADOW, DrillMark, RawItem, ScoredItem
from pipeline.rulebook.schema import INTAKE, RuleBook, Source, Status
from pipeline.rulebook.shadow import name_in_shadow, without_shadow
from pipeline.score.explained import Explained
from pipeline.score.fields import Fields, folded_fields
from pipeline.score.kind import is_question
from pipeline.score.matcher import Match, Matcher
from pipeline.score.segment import Segmenter
from pipeline.score.sentiment import engine_for

__all__ = ["Fields", "Scorer", "folded_fields"]

MAX_ASKED_CHARS = 400


class Scorer:
    """Everything compiled from one rule book. Heavy to build (half a second, more for SnowNLP): off the event loop.

    `score` is deterministic and safe to repeat.
    """

    def __init__(self, book: RuleBook) -> None:
        self.book = book
        self._sources: dict[str, Source] = {each.id: each for each in (INTAKE, *book.sources)}
        self._segmenter = Segmenter(without_shadow(book))       # a shadow rule changes nothing of what is live
        self._matcher = Matcher(book, self._segmenter)
        self._shadow = {each.id: name_in_shadow(each.id) for each in book.subjects if each.status is Status.SHADOW}
        self._sentiment = engine_for(book.sentiment)

    def score(self, item: RawItem) -> dict[str, ScoredItem]:
        """Subject id -> the item as that subject sees it; `*` for an item that matches none. Shadow ones, as `~x`, come
        last and count for nothing in that."""
        fields = folded_fields(item)
        scored = self.seen(self.base(item, fields), self.match(item, fields))
        return scored if item.drill is None else in_drill(scored, item.drill)

    def match(self, item: RawItem, fields: Fields) -> list[Match]:
        """The subjects that the item matches: the cheap half of `score`."""
        return self._matcher.match(fields, item.first_seen_at, self._group(item))

    def explain(self, item: RawItem, subjects: Collection[str] = ()) -> list[Explained]:
        """Why the item matches or not: every subject of which anything occurs in it, and those named."""
        return self._matcher.explain(folded_fields(item), item.first_seen_at, self._group(item), subjects)

    def _group(self, item: RawItem) -> str:
        source = self._sources.get(item.source_id)
        return item.drill.group if item.drill is not None else source.group if source else ""

    def seen(self, base: ScoredItem, matches: list[Match]) -> dict[str, ScoredItem]:
        """The item as each subject sees it: what `score` gives."""
        found = {match.subject: _seen_as(match, base) for match in matches if match.subject not in self._shadow}
        beside = {self._shadow[match.subject]: _seen_as(match, base) for match in matches
                  if match.subject in self._shadow}
        return (found or {OPEN_SUBJECT: base}) | beside

    def base(self, item: RawItem, fields: Fields) -> ScoredItem:
        """What no subject changes: sentiment, question, terms. The costly half of `score`."""
        title, text = fields.usual.title.text, fields.usual.text.text
        source = self._sources.get(item.source_id)
        said = _said(title, text)
        return ScoredItem(
            item=msgspec.structs.replace(item, html="") if item.html else item,     # the archive has it from items.raw
            origin=source.origin if source and source.origin else item.source_id,
            source_name=source.name if source else item.source_id,
            group=source.group if source else "",
            region=source.region if source else "",
            official=source.official if source else False,
            sentiment=self._sentiment.judge(said),
            question=is_question(said[:MAX_ASKED_CHARS]),
            terms=self._segmenter.terms(title, text),
        )


def in_drill(scored: dict[str, ScoredItem], mark: DrillMark) -> dict[str, ScoredItem]:
    """A drill's item: only as `!x`, of the source that it plays. Its terms are those of its run alone, so that it is
    like no item of another run."""
    salt = int(digest("drill", mark.run, size=4), 16)
    return {DRILL + subject: msgspec.structs.replace(
                one, origin=mark.origin, source_name=mark.source_name, group=mark.group, region=mark.region,
                official=mark.official, terms=tuple((term ^ salt, weight) for term, weight in one.terms))
            for subject, one in scored.items() if not subject.startswith(SHADOW)}


def _seen_as(match: Match, base: ScoredItem) -> ScoredItem:
    return msgspec.structs.replace(base, weight=round(match.weight, 4), spans=match.spans)


def _said(title: str, text: str) -> str:
    """Title and text, once: many feeds repeat the title at the beginning of the text."""
    return text if text.startswith(title) else f"{title}\n{text}"
