"""Which subjects an item matches, and that the evidence points into the original text."""

from __future__ import annotations

import pytest

from pipeline.fold import fold_term
from pipeline.model import OPEN_SUBJECT, Span
from pipeline.rulebook.schema import Pattern, RuleBook, Subject, Term
from pipeline.score.fields import Fields
from pipeline.score.matcher import MAX_SPANS, Match, Matcher
from pipeline.score.score import Scorer
from tests import builders

DAY_AFTER = 1_798_732_800_000
"""2027-01-01 00:00 in Asia/Shanghai."""


def subject(*terms: str | tuple[str, float], threshold: float = 1.0, exclude: tuple[str, ...] = (),
            name: str = "polling", expires: str = "2026-12-31") -> Subject:
    made = tuple(Term(text=each) if isinstance(each, str) else Term(text=each[0], weight=each[1]) for each in terms)
    return Subject(id=name, title=name, owner="选办", reason="测试", expires=expires, terms=made, threshold=threshold,
                   exclude=tuple(Pattern(text=each) for each in exclude))


def matches(text: str, *subjects: Subject, title: str = "", at: int = builders.NOON) -> list[Match]:
    matcher = Matcher(builders.book(subjects=subjects))
    return matcher.match(Fields(title, text), at)


def places(text: str, *subjects: Subject) -> list[str]:
    """The parts of the original text that the spans point at."""
    return [text[span.start:span.end] for match in matches(text, *subjects) for span in match.spans]


def test_a_span_is_a_place_in_the_original_field() -> None:
    found = matches("听说投票站搬了", subject("投票站"), title="投票站")
    assert found == [Match("polling", 1.0, (Span("polling", "投票站", "title", 0, 3),))]


@pytest.mark.parametrize("text, written", [
    ("去ＡＰＰ上查", "ＡＰＰ"), ("去App上查", "App"), ("去A\u200bp\u200dp上查", "A\u200bp\u200dp"),
    ("㈱㈱去app上查", "app"), ("……去app上查", "app"), ("½…①去ａpp", "ａpp"),
], ids=["full width", "case", "hidden characters", "signs that grow before it", "ellipsis", "all at once"])
def test_spelling_does_not_hide_a_word_and_the_span_still_fits(text: str, written: str) -> None:
    assert places(text, subject("app")) == [written]


def test_a_rule_may_be_written_in_any_spelling_too() -> None:
    assert places("去app上查", subject("ＡＰＰ")) == ["app"]
    assert fold_term("ＡＰＰ ") == "app"


@pytest.mark.parametrize("text, matched", [("happy", False), ("apps", False), ("app2", False), ("用app查", True),
                                           ("app", True), ("app-x", True)])
def test_a_latin_word_matches_only_where_it_stands_alone(text: str, matched: bool) -> None:
    assert bool(matches(text, subject("app"))) is matched


def test_distinct_terms_add_up_and_repeats_do_not() -> None:
    complaint = subject(("投票", 1.2), ("排队", 0.9), threshold=2)
    assert matches("投票投票投票", complaint) == []
    assert [match.weight for match in matches("投票排队排队", complaint)] == [pytest.approx(2.1)]


def test_terms_inside_one_another_both_count() -> None:
    assert [match.weight for match in matches("投票站", subject("投票站", ("投票", 0.5)))] == [1.5]


def test_weights_that_add_up_to_the_threshold_reach_it() -> None:
    assert matches("甲乙丙", subject(("甲", 0.1), ("乙", 0.2), ("丙", 0.7))) != []


def test_an_excluded_word_anywhere_ends_the_match() -> None:
    assert matches("今晚截止", subject("投票", exclude=("打榜",)), title="投票") != []
    assert matches("快去打榜", subject("投票", exclude=("打榜",)), title="投票") == []


def test_an_exclusion_is_of_its_own_subject_only() -> None:
    found = matches("投票打榜", subject("投票", exclude=("打榜",)), subject("打榜", name="stars"))
    assert [match.subject for match in found] == ["stars"]


def test_a_subject_matches_through_its_last_day_and_no_longer() -> None:
    assert matches("投票站", subject("投票站"), at=DAY_AFTER - 1) != []
    assert matches("投票站", subject("投票站"), at=DAY_AFTER) == []


def test_evidence_is_kept_short() -> None:
    words = [chr(0xAC00 + index) for index in range(40)]
    found = matches("".join(words), subject(*words))
    assert found[0].weight == 40 and len(found[0].spans) == MAX_SPANS


def test_without_subjects_nothing_matches() -> None:
    assert matches("投票站") == []


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer(_book())


def _book() -> RuleBook:
    return builders.book(subjects=(subject("投票站"), subject("排队", name="queue")))


def test_an_item_is_seen_once_per_subject_it_matches(scorer: Scorer) -> None:
    scored = scorer.score(builders.raw_item(title="投票站排队", text=""))
    assert sorted(scored) == ["polling", "queue"]
    assert scored["polling"].terms == scored["queue"].terms != ()


def test_zero_width_characters_inside_words_change_nothing_that_is_scored(scorer: Scorer) -> None:
    title, text = "选举投票站排队太久，令人失望", "投票站又改地址了？"
    plain = scorer.score(builders.raw_item("1", title=title, text=text))
    hidden = scorer.score(builders.raw_item("1", title="\u200b".join(title), text="\u2060\u00ad".join(text)))
    assert sorted(hidden) == sorted(plain) == ["polling", "queue"]
    for name, seen in plain.items():
        odd = hidden[name]
        assert (odd.terms, odd.sentiment, odd.question) == (seen.terms, seen.sentiment, seen.question)
        assert [span.term for span in odd.spans] == [span.term for span in seen.spans]


def test_an_item_without_a_subject_belongs_to_the_open_one(scorer: Scorer) -> None:
    scored = scorer.score(builders.raw_item(title="冬小麦播种结束", text=""))
    assert list(scored) == [OPEN_SUBJECT] and scored[OPEN_SUBJECT].weight == 0.0


def test_origin_name_and_office_come_from_the_source(scorer: Scorer) -> None:
    source = _book().sources[0]
    known = scorer.score(builders.raw_item(source_id=source.id))
    one = next(iter(known.values()))
    assert (one.origin, one.source_name, one.official) == (source.origin, source.name, source.official)


def test_a_source_that_is_no_longer_in_the_book_counts_as_its_own_origin(scorer: Scorer) -> None:
    one = next(iter(scorer.score(builders.raw_item(source_id="gone")).values()))
    assert (one.origin, one.source_name, one.official) == ("gone", "gone", False)


def test_scoring_again_gives_the_same(scorer: Scorer) -> None:
    item = builders.raw_item(title="投票站排队", text="等了两小时，太让人失望了")
    assert scorer.score(item) == scorer.score(item) == Scorer(_book()).score(item)


@pytest.mark.parametrize("text", ["", " ", "\u200b", "🎉", "a" * 300_000, "\ud800", "\x00"])
def test_no_text_is_too_odd_to_score(scorer: Scorer, text: str) -> None:
    assert scorer.score(builders.raw_item(title=text, text=text))[OPEN_SUBJECT].spans == ()


def test_markup_does_not_travel_on_with_every_subject() -> None:
    item = builders.raw_item("0" * 20, title="投票站搬了", html="<ul><li>投票站搬了</li></ul>")
    seen = Scorer(builders.book(subjects=(subject("投票站"), subject("搬了", name="moving")))).score(item)
    assert {name: each.item.html for name, each in seen.items()} == {"polling": "", "moving": ""}
