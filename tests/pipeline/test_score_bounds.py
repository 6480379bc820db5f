"""Rules and texts that are meant to hurt: what is done for one item stays bounded, and right."""

from __future__ import annotations

import pytest

from pipeline.rulebook.schema import WordList
from pipeline.score.fields import MAX_MATCHED_CHARS, Fields
from pipeline.score.matcher import MAX_SPANS, Matcher
from pipeline.score.scan import MAX_AT_ONCE
from tests import builders
from tests.pipeline.score_kit import book, matched, matches, near, shown, term, watch


def test_ten_thousand_rules_that_all_match() -> None:
    matcher = Matcher(book(*(watch("投票", f"词{number}", name=f"s{number}") for number in range(10_000))))
    found = matcher.match(Fields("投票", "投票" * 100), builders.NOON)
    assert [each.subject for each in found] == [f"s{number}" for number in range(10_000)]
    assert {len(each.spans) for each in found} == {1}


def test_a_list_of_ten_thousand_words_is_one_term() -> None:
    lists = (WordList(id="all", title="词", words=tuple(f"词{number}号" for number in range(10_000))),)
    text = "，".join(lists[0].words)
    found = matched(text, watch(term(list="all"), threshold=1), lists=lists)
    assert [(each.weight, len(each.spans)) for each in found] == [(1.0, 1)]


def test_evidence_of_a_rule_that_matches_everything_is_short() -> None:
    words = [chr(0xAC00 + number) for number in range(500)]
    found = matched("".join(words) * 3, watch(*words))
    assert found[0].weight == 500 and len(found[0].spans) == MAX_SPANS


@pytest.mark.parametrize("regex", ["(a+)+(a+)+b", "(a|aa)+c", "(.*a){12}x", "([a-z]+)*[0-9]"])
def test_an_expression_that_is_meant_to_explode_ends(regex: str) -> None:
    assert not matches("a" * MAX_MATCHED_CHARS, watch(term(regex=regex)))


def test_an_expression_that_matches_everywhere_keeps_few_places() -> None:
    assert len(shown("投" * MAX_MATCHED_CHARS, watch(term(regex="[一-龥]")))) == 1


def test_words_inside_one_another_in_a_long_text() -> None:
    subject = watch(*(term("哈" * length, 1) for length in range(1, 51)))
    assert [match.weight for match in matched("哈" * MAX_MATCHED_CHARS, subject)] == [50.0]


@pytest.mark.parametrize("start", range(MAX_AT_ONCE - 5, MAX_AT_ONCE + 4))
def test_a_word_is_found_wherever_it_stands_in_a_long_text(start: int) -> None:
    text = "好" * start + "投票站" + "好" * MAX_AT_ONCE
    found = matched(text, watch("投票站", "投票"))
    assert [(span.term, span.start) for span in found[0].spans] == [("投票", start), ("投票站", start)]


def test_only_the_beginning_of_a_very_long_text_is_looked_at() -> None:
    assert matches("好" * (MAX_MATCHED_CHARS - 2) + "投票", watch("投票"))
    assert not matches("好" * MAX_MATCHED_CHARS + "投票", watch("投票"))


@pytest.mark.parametrize("pattern", [
    near("投票", "关门", within=3), near("投票", "关门", ordered=True), near("投票", "关门", "截止", within=9),
    near("投票", "关门", sentence=False, ordered=True)])
def test_words_that_are_everywhere_and_never_near(pattern: object) -> None:
    far = "关门截止，" * 20 + "。" + "很" * 20 + "投票" * 9_000
    assert not matches(far, watch(pattern))  # type: ignore[arg-type]


@pytest.mark.parametrize("word", ["\u200b", " ", "\ufeff\u200d", "甲\n乙"])
def test_a_word_of_nothing_occurs_nowhere(word: str) -> None:
    assert not matches(f"投票{word}甲\n乙", watch(word))


def test_an_unknown_list_has_no_words() -> None:
    assert not matches("投票", watch(term(list="gone")))


@pytest.mark.parametrize("text", ["", " ", "\u200b", "🎉", "\ud800", "\x00", ". . .", "-", "投", "．", "\n\n"])
def test_no_text_is_too_odd(text: str) -> None:
    subject = watch("投票", near("甲", "乙"), term(regex="[0-9]{3}"), term("丙", word=True),
                    match={"none": ["甲"]})
    assert not matches(text, subject, title=text)
