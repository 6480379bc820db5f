"""The sides of a rule book: what is live, what runs beside it in shadow under names that begin with `~`, and drills,
under names that begin with `!`, by the live rules.

In shadow are the subjects of the live book whose status says so, and every subject of `RuleBook.shadow`. Where both
have a subject, the shadow book's counts.
"""

from __future__ import annotations

from msgspec.structs import replace

from pipeline.model import DRILL, OPEN_SUBJECT, SHADOW
from pipeline.rulebook.schema import RuleBook, Status


def name_in_shadow(subject: str) -> str:
    """`~x` of `x`; of `~x` itself too."""
    return subject if subject.startswith(SHADOW) else SHADOW + subject


def live_name(subject: str) -> str:
    """`x` of `~x`, of `!x`, and of `x`."""
    return subject.removeprefix(SHADOW).removeprefix(DRILL)


def without_shadow(book: RuleBook) -> RuleBook:
    """The book as if there were nothing in shadow: what the live side is computed from."""
    live = tuple(each for each in book.subjects if each.status is not Status.SHADOW)
    return book if len(live) == len(book.subjects) and book.shadow is None else replace(
        book, subjects=live, shadow=None)


def as_if_live(shadow: RuleBook) -> RuleBook:
    """A shadow book with the subjects that it tries out as live ones: its scorer is a scorer like any other."""
    return replace(shadow, shadow=None, subjects=tuple(
        replace(each, status=Status.LIVE) if each.status is Status.SHADOW else each for each in shadow.subjects))


def judging(book: RuleBook) -> RuleBook:
    """The book that `~x` is judged by: the shadow book if there is one, with `~x` for `x` wherever it names subjects.

    Subjects that only the live book has stay known, for their events and for its own shadow rules.
    """
    chosen = book.shadow or book
    known = {each.id for each in chosen.subjects}
    subjects = (*chosen.subjects, *(each for each in book.subjects if each.id not in known))
    return _marked(replace(chosen, subjects=subjects), SHADOW)


def judging_drills(book: RuleBook) -> RuleBook:
    """The book that `!x` is judged by: the live one, with `!x` for `x` wherever it names subjects."""
    return _marked(without_shadow(book), DRILL)


def _marked(book: RuleBook, mark: str) -> RuleBook:
    levels = replace(book.levels, overrides=tuple(
        replace(each, subject=mark + each.subject) for each in book.levels.overrides))
    return replace(book, shadow=None, levels=levels,
                   subjects=tuple(replace(each, id=mark + each.id) for each in book.subjects))


def seen_by(book: RuleBook, subject: str) -> str:
    """Hash of the book that a scored record of this subject comes from."""
    if book.shadow is not None and subject.startswith(SHADOW):
        ident = live_name(subject)
        if ident == OPEN_SUBJECT or book.shadow.subject(ident) is not None:
            return book.shadow.hash
    return book.hash


def runs_in_shadow(book: RuleBook) -> tuple[str, ...]:
    """Ids, without `~`, of the subjects that run in shadow under this book, in its order."""
    ids = [each.id for each in book.shadow.subjects if each.status is not Status.RETIRED] if book.shadow else []
    beside = book.shadow.subject if book.shadow else lambda ident: None
    ids += [each.id for each in book.subjects if each.status is Status.SHADOW and beside(each.id) is None]
    return tuple(ids)
