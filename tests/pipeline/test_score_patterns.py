"""What a subject may be made of: terms of every kind, conditions, exclusions, fields, lists, words near each other."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.rulebook.schema import Near, Pattern, Term, WordList
from pipeline.score.fields import Fields
from pipeline.score.matcher import Matcher
from pipeline.score.segment import Segmenter, own_words
from tests import builders
from tests.pipeline.score_kit import book, matched, matches, near, shown, term, watch


@pytest.mark.parametrize("written, text, true", [
    ({"all": ["投票", "关门"]}, "投票站关门", True), ({"all": ["投票", "关门"]}, "投票站", False),
    ({"any": ["关门", "截止"]}, "今晚截止", True), ({"any": ["关门", "截止"]}, "今晚", False),
    ({"all": ["投票"], "none": ["打榜"]}, "投票", True), ({"all": ["投票"], "none": ["打榜"]}, "投票打榜", False),
    ({"all": ["投票", {"any": ["关门", {"all": ["几点", "截止"]}]}]}, "投票几点截止", True),
    ({"all": ["投票", {"any": ["关门", {"all": ["几点", "截止"]}]}]}, "投票几点", False),
    ({"all": ["投票", {"none": [{"none": ["站"]}]}]}, "投票站", True),
    ({"all": ["投票", {"none": [{"none": ["站"]}]}]}, "投票", False),
    ({"any": ["投票", {"none": ["打榜"]}]}, "什么都没有", True),
    ({"none": ["打榜"]}, "", True), ({"none": ["打榜"]}, "打榜", False), ("投票", "投票", True),
])
def test_conditions_nest(written: Any, text: str, true: bool) -> None:
    assert matches(text, watch(match=written)) is true


def test_a_condition_alone_weighs_one_and_shows_what_made_it_true() -> None:
    subject = watch(match={"all": ["投票", {"none": ["打榜"]}], "any": ["关门", "截止"]})
    found = matched("投票今晚截止", subject)
    assert [match.weight for match in found] == [1.0]
    assert shown("投票今晚截止", subject) == [("投票", "投票"), ("截止", "截止")]


def test_terms_and_condition_must_both_hold() -> None:
    subject = watch(term("投票", 0.6), term("排队", 0.6), match={"any": ["三小", "二中"]}, threshold=1)
    assert matches("三小投票排队", subject)
    assert not matches("投票排队", subject) and not matches("三小投票", subject)


def test_a_subject_without_terms_and_condition_matches_nothing() -> None:
    assert not matches("投票", watch())


@pytest.mark.parametrize("pattern, text, true", [
    (near("投票", "关门", within=3), "投票站今晚关门", True),         # 站今晚 is three characters
    (near("投票", "关门", within=2), "投票站今晚关门", False),
    (near("投票", "关门", within=0), "投票站今天晚上大概几点钟才会关门", True),
    (near("投票", "关门", within=9), "关门后投票", True),
    (near("投票", "关门", within=9, ordered=True), "关门后投票", False),
    (near("投票", "关门", within=9, ordered=True), "关门后投票，又关门", True),
    (near("投票", "关门"), "投票。关门", False), (near("投票", "关门"), "投票！关门", False),
    (near("投票", "关门"), "投票，关门", True), (near("投票", "关门", sentence=False), "投票。关门", True),
    (near("投票", "关门"), "投票\n关门", False), (near("投票", "关门"), "投票3.5关门", True),
    (near("投票", "关门"), "投票. 关门", False),
    (near("投票", "投票"), "投票", False), (near("投票", "投票"), "投票和投票", True),
    (near("投票", "票站"), "投票站", False),                          # one inside the other are not two places
    (near("投票", "票站"), "投票站和票站", True),
    (near("几点", "三小", "关门", within=4), "三小几点才关门", True),
    (near("几点", "三小", "关门", within=2), "三小几点才关门", False),
    (near("三小", "几点", "关门", ordered=True), "三小关门几点", False),
    (near("三小", "几点", "关门", ordered=True), "关门几点三小几点关门", True),
    (near("投票", "关门", within=2), "投票" + "很" * 30 + "投票就关门", True),
    (near("app", "关门"), "happy关门", False), (near("app", "关门"), "app关门", True),
])
def test_words_near_each_other(pattern: Term, text: str, true: bool) -> None:
    assert matches(text, watch(pattern)) is true


def test_words_near_each_other_are_in_one_field() -> None:
    subject = watch(near("投票", "关门", sentence=False))
    assert not matches("关门", subject, title="投票")
    assert shown("关门投票", subject, title="投票") == [("投票～关门", "关门"), ("投票～关门", "投票")]


@pytest.mark.parametrize("regex, text, found", [
    ("第[0-9一二三]+投票[站点]", "去第十二和第二投票站", ["第二投票站"]),
    ("第[0-9]+号", "在第１２号", ["第１２号"]),                          # the text's width is folded
    ("ＣＤＣ[0-9]", "cdc7", ["cdc7"]), ("CDC[0-9]", "Cdc7", ["Cdc7"]),    # so are the expression's width and case
    ("投票，关门", "投票,关门", ["投票,关门"]), ("[？！]投票", "!投票", ["!投票"]),
    ("(關門|截止)時間", "截止时间", ["截止时间"]), ("[０-９]+點", "8点", ["8点"]),
    ("^投票", "投票", ["投票"]), ("^投票", "去投票", []), ("投票$", "去投票", ["投票"]), (r"\d{3}\b", "a123", ["123"]),
    ("投票站?关门", "投票关门", ["投票关门"]), ("关门|截止", "截止", ["截止"]),
    ("(几点|何时)+关", "几点关", ["几点关"]),
    (r"a\.b", "a.b", ["a.b"]), ("[a-c]{2}", "xbcx", ["bc"]), ("x*", "投票", []),
])
def test_expressions_are_of_folded_texts(regex: str, text: str, found: list[str]) -> None:
    assert [part for _, part in shown(text, watch(term(regex=regex)))] == found
    assert matches(text, watch(term(regex=regex))) is bool(found)


def test_an_expression_is_of_one_field_and_its_ends_are_those_of_the_field() -> None:
    assert matches("投票", watch(term(regex="^投票$")), title="关门")
    assert not matches("投票", watch(term(regex="关门[^a]投票")), title="关门")
    assert shown("x投票", watch(term(regex="投票[0-9]")), title="去投票3") == [("/投票[0-9]/", "投票3")]


def test_many_expressions_are_told_apart() -> None:
    subjects = [watch(term(regex=f"[a-z]{{2}}{number:04}"), name=f"s{number}") for number in range(700)]
    matcher = Matcher(book(*subjects))
    for number in (0, 249, 250, 699):
        assert [match.subject for match in matcher.match(Fields("", f"xx{number:04}"), builders.NOON)] == [f"s{number}"]


def test_a_list_counts_once() -> None:
    lists = (WordList(id="venues", title="场馆", words=("体育馆", "礼堂", "三小")),)
    subject = watch(term(list="venues", weight=0.6), term("投票", 0.6))
    assert not matches("体育馆礼堂三小", subject, lists=lists)
    assert [round(match.weight, 6) for match in matched("礼堂三小投票", subject, lists=lists)] == [1.2]
    assert shown("在礼堂投票", subject, lists=lists) == [("@venues", "礼堂"), ("投票", "投票")]


def test_lists_may_exclude_and_stand_in_conditions() -> None:
    lists = (WordList(id="stars", title="娱乐", words=("打榜", "应援")),)
    assert not matches("投票应援", watch("投票", exclude=(Pattern(list="stars"),)), lists=lists)
    assert not matches("投票打榜", watch(match={"all": ["投票"], "none": [Pattern(list="stars")]}), lists=lists)


def test_a_pattern_may_be_of_one_field() -> None:
    subject = watch(term("投票", field="title"))
    assert matches("", subject, title="投票") and not matches("投票", subject, title="关门")
    assert not matches("投票", watch("投票", exclude=(Pattern(text="打榜", field="title"),)), title="打榜")
    assert matches("打榜", watch("投票", exclude=(Pattern(text="打榜", field="title"),)), title="投票")
    assert matches("投票", watch(match={"none": [Pattern(text="投票", field="title")]}))


def test_scope_is_what_is_looked_at() -> None:
    headlines = watch("投票", exclude=("打榜",), scope=("title",))
    assert matches("打榜", headlines, title="投票") and not matches("投票", headlines, title="关门")
    assert shown("投票", headlines, title="去投票") == [("投票", "投票")]
    assert not matches("投票", watch(term("投票", field="text"), scope=("title",)), title="投票")
    assert not matches("投票关门", watch(match={"all": ["投票", "关门"]}, scope=("title",)), title="投票")


def test_the_same_term_in_two_fields_counts_twice() -> None:
    subject = watch(term("投票", 0.5, field="title"), term("投票", 0.5, field="text"))
    assert matches("投票", subject, title="投票") and not matches("投票", subject, title="关门")


@pytest.mark.parametrize("word, text, true", [
    ("选", "我们选他", True), ("选", "选择困难", False), ("学会", "他学会了游泳", True),
    ("学会", "报考大学会计专业", False), ("投票", "今天投票", True), ("covid", "covid-19", False),
])
def test_a_pattern_can_ask_for_the_tokenizer_s_edges(word: str, text: str, true: bool) -> None:
    assert matches(text, watch(term(word, word=True))) is true
    assert matches(text, watch(word))


def test_word_edges_count_for_lists_expressions_and_near_words_too() -> None:
    lists = (WordList(id="verbs", title="动词", words=("选", "投")),)
    assert not matches("选择投资", watch(term(list="verbs", word=True)), lists=lists)
    assert matches("选择投资，我投他", watch(term(list="verbs", word=True)), lists=lists)
    assert not matches("选择", watch(term(regex="[选]", word=True)))
    assert matches("我选", watch(term(regex="[选]", word=True)))
    assert not matches("选择投他", watch(Term(near=Near(words=("选", "投")), word=True)))


def test_word_edges_hold_in_texts_whose_places_move() -> None:
    assert shown("㈱㈱去選\u200b擇，我\u200b選他", watch(term("选", word=True))) == [("选", "選")]


class _NoCuts(Segmenter):
    def places(self, folded: str) -> Any:
        raise AssertionError("cut without need")


def test_texts_are_cut_only_when_a_word_that_asks_for_it_occurred() -> None:
    rules = book(watch(term("选", word=True)), watch("投票", name="other"))
    matcher = Matcher(rules, _NoCuts(rules))
    assert [match.subject for match in matcher.match(Fields("", "投票"), builders.NOON)] == ["other"]
    with pytest.raises(AssertionError, match="cut without need"):
        matcher.match(Fields("", "选"), builders.NOON)


def test_the_dictionary_gets_what_is_looked_for_but_not_what_asks_for_edges() -> None:
    lists = (WordList(id="venues", title="场馆", words=("三小体育馆",)),)
    subject = watch("云溪投票点", near("石桥镇", "礼堂口"), term(list="venues"), term("大学会", word=True),
                    match={"all": ["柳塘村"], "none": ["梅竹湖"]}, exclude=("打榜应援",))
    assert own_words(book(subject, lists=lists)) == {"云溪投票点", "石桥镇", "礼堂口", "三小体育馆", "柳塘村"}


def test_patterns_that_subjects_share_keep_their_own_weights_and_fields() -> None:
    found = matched("投票", watch(term("投票", 3)), watch(term("投票", 2), name="b"),
                    watch(term("投票", field="title"), name="c"))
    assert [(match.subject, match.weight) for match in found] == [("polling", 3.0), ("b", 2.0)]

