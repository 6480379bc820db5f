"""What `explain` is told: every pattern with its places, the condition's truth, and all that was not met."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.rulebook.schema import Active, Pattern, Status, Subject, WordList
from pipeline.score.explained import MAX_PLACES, Apart, Explained, Place, Truth, Unmet
from pipeline.score.fields import Fields
from pipeline.score.matcher import Matcher
from pipeline.score.score import Scorer
from tests import builders
from tests.pipeline.score_kit import book, explained, near, term, watch


def one(text: str, *args: object, **how: object) -> Explained:
    found = explained(text, *args, named=("polling",), **how)  # type: ignore[arg-type]
    assert [each.subject for each in found] == ["polling"]
    return found[0]


def test_weights_are_held_against_the_threshold() -> None:
    found = one("去投票", watch(term("投票", 0.6), term("几点关门", 0.5), threshold=1))
    assert (found.weight, found.unmet, found.matched) == (0.6, (Unmet.THRESHOLD,), False)
    assert [(each.name, each.occurs, each.weight) for each in found.terms] == [
        ("投票", True, 0.6), ("几点关门", False, 0.5)]
    assert found.terms[0].places == (Place("text", 1, 3, "投票"),)


def test_every_place_is_told_as_it_was_written() -> None:
    found = one("投\u200b票，投*票，投票", watch("投票"), title="投票")
    assert [(place.field, place.text) for place in found.terms[0].places] == [
        ("title", "投票"), ("text", "投\u200b票"), ("text", "投*票"), ("text", "投票")]


def test_a_pattern_beside_the_scope_is_told_apart() -> None:
    found = one("投票", watch("投票", term("关门", field="title"), scope=("title",)), title="投票站")
    assert [place.field for place in found.terms[0].places] == ["title"]
    assert [place.field for place in found.terms[0].elsewhere] == ["text"]
    nothing = one("投票关门", watch("投票", term("关门", field="text"), scope=("title",)))
    assert nothing.unmet == (Unmet.THRESHOLD,) and nothing.weight == 0
    assert [bool(each.elsewhere) for each in nothing.terms] == [True, True]


def test_an_exclusion_says_by_what() -> None:
    lists = (WordList(id="stars", title="娱乐", words=("打榜", "应援")),)
    found = one("投票应援", watch("投票", exclude=("人气", Pattern(list="stars"))), lists=lists)
    assert found.unmet == (Unmet.EXCLUDED,)
    assert [(each.name, each.places[0].text) for each in found.excluded_by] == [("@stars", "应援")]


def test_a_condition_is_a_tree_of_truths() -> None:
    found = one("投票关门", watch(match={"all": ["投票", {"any": ["截止", "关门"]}], "none": ["打榜"]}))
    assert found.matched and found.weight == 1.0 and found.condition is not None
    (first, second), (barred,) = found.condition.all, found.condition.none
    assert [_shape(each) for each in (first, second, barred)] == [
        ("投票", True), (True, [("截止", False), ("关门", True)]), ("打榜", False)]
    assert one("投票", watch(match={"all": ["投票", "关门"]})).unmet == (Unmet.CONDITION,)


def _shape(truth: Truth) -> object:
    return (truth.seen.name, truth.value) if truth.seen else (truth.value, [_shape(each) for each in truth.any])


@pytest.mark.parametrize(("text", "how", "why", "distance"), [
    ("停开的是食堂，接送车照常", {"ordered": True}, (Apart.ORDER,), 0),
    ("接送车从下周一起一律停开", {"within": 3}, (Apart.FAR,), 7),
    ("停开从下周一起接送车", {"within": 3, "ordered": True}, (Apart.ORDER, Apart.FAR), 5),
    ("接送车来了。食堂停开", {}, (Apart.SENTENCE,), 0),
    ("停开。一二三四五接送车", {"within": 2, "ordered": True}, (Apart.ORDER, Apart.SENTENCE, Apart.FAR), 6),
])
def test_words_that_are_not_near_each_other_say_what_is_wrong(
        text: str, how: dict[str, object], why: tuple[Apart, ...], distance: int) -> None:
    (found,) = explained(text, watch(near("接送车", "停开", **how)))        # not asked for by name
    (seen,) = found.terms
    assert seen.miss is not None and (seen.miss.why, seen.miss.distance) == (why, distance) and seen.partly
    assert [(word, [place.text for place in places]) for word, places in seen.miss.words] == [
        ("接送车", ["接送车"]), ("停开", ["停开"])]


def test_words_in_two_fields_or_inside_one_another_or_missing_are_told_apart() -> None:
    fields = one("停开", watch(near("接送车", "停开")), title="接送车").terms[0].miss
    inside = one("投票站", watch(near("投票站", "投票"))).terms[0].miss
    missing = one("接送车照常", watch(near("接送车", "停开")))
    assert fields is not None and fields.why == (Apart.FIELDS,)
    assert inside is not None and inside.why == (Apart.OVERLAP,)
    assert missing.terms[0].miss is not None and missing.terms[0].miss.missing == ("停开",)
    assert not explained("接送车照常", watch(near("接送车", "停开"))), "one word of two is nothing"


def test_words_near_each_other_are_each_told() -> None:
    found = one("三小投票站几点关门", watch(near("投票", "关门", within=9)))
    assert [place.text for place in found.terms[0].places] == ["投票", "关门"]


@pytest.mark.parametrize("how, unmet", [
    ({"status": Status.RETIRED}, Unmet.RETIRED), ({"expires": "2026-01-01"}, Unmet.EXPIRED),
    ({"active": Active(hours="01:00-02:00")}, Unmet.INACTIVE), ({"groups": ("本地论坛",)}, Unmet.GROUP),
])
def test_a_gate_that_is_shut_is_told_beside_what_occurs(how: dict[str, object], unmet: Unmet) -> None:
    found = one("投票", watch("投票", **how), group="媒体")
    assert found.unmet == (unmet,) and found.weight == 1.0 and found.group == "媒体"


def test_everything_that_was_not_met_is_told_at_once() -> None:
    found = one("打榜", watch("投票", exclude=("打榜",), expires="2026-01-01", match={"all": ["关门"]}))
    assert found.unmet == (Unmet.EXPIRED, Unmet.EXCLUDED, Unmet.THRESHOLD, Unmet.CONDITION)


def test_subjects_of_which_nothing_occurs_are_told_only_when_named() -> None:
    subjects = (watch("投票"), watch("排队", name="queue"), watch("投票", name="old", status=Status.RETIRED))
    assert [each.subject for each in explained("投票", *subjects)] == ["polling", "old"]
    assert [each.subject for each in explained("投票", *subjects, named=("queue",))] == ["polling", "queue", "old"]


def test_places_are_bounded() -> None:
    assert len(one("投票" * 500, watch("投票")).terms[0].places) == MAX_PLACES


def test_a_term_written_twice_is_told_twice_and_counted_once() -> None:
    found = one("投票", watch(term("投票", 0.6), term("投票", 0.6)))
    assert found.weight == 0.6 and len(found.terms) == 2


def test_the_scorer_explains_items() -> None:
    scorer = Scorer(book(watch("投票", status=Status.SHADOW)))
    found = scorer.explain(builders.raw_item(title="投票", text=""))
    assert [(each.subject, each.matched, each.rule.status) for each in found] == [("polling", True, Status.SHADOW)]


WORDS = st.sampled_from(["投票", "关门", "三小", "打榜", "截止"])
CONDITIONS = st.recursive(WORDS, lambda inner: st.fixed_dictionaries(
    {}, optional={key: st.lists(inner, min_size=1, max_size=3) for key in ("all", "any", "none")}), max_leaves=8)
SUBJECTS = st.builds(
    lambda terms, match, exclude, scope, field: watch(
        *(term(word, weight, field=field) for word, weight in terms), match=match, exclude=tuple(exclude), scope=scope),
    st.lists(st.tuples(WORDS, st.sampled_from([0.3, 0.5, 0.7, 1.0])), max_size=3), st.none() | CONDITIONS,
    st.lists(WORDS, max_size=1), st.sampled_from([("title", "text"), ("title",), ("text",)]),
    st.sampled_from(["", "title", "text"]))


@given(st.lists(SUBJECTS, min_size=1, max_size=3), st.lists(WORDS | st.just("，"), max_size=6).map("".join),
       st.lists(WORDS, max_size=3).map("".join))
def test_explaining_and_matching_agree(subjects: list[Subject], text: str, title: str) -> None:
    rules = book(*(replace(each, id=f"s{number}") for number, each in enumerate(subjects)))
    matcher, fields = Matcher(rules), Fields(title, text)
    told = matcher.explain(fields, builders.NOON, "", [each.id for each in rules.subjects])
    matched = {each.subject: each.weight for each in matcher.match(fields, builders.NOON)}
    assert {each.subject: pytest.approx(each.weight) for each in told if each.matched} == matched
