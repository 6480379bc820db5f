"""Which spellings count as the same, which words count as pulled apart, and that every place is one of the original."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.fold import SAME, Spelling, fold, fold_term
from pipeline.rulebook.schema import Fold
from pipeline.score.evasion import rejoined
from pipeline.score.fields import Fields
from pipeline.score.matcher import Matcher
from tests import builders
from tests.pipeline.score_kit import book, matches, near, shown, term, watch

OFF = {name: Fold(**{name: False}) for name in ("width", "case", "marks", "variants", "evasion")}


@pytest.mark.parametrize("switch, text, word", [
    ("width", "去ＡＰＰ上查", "app"), ("width", "投票？", "投票?"), ("case", "用App查", "app"),
    ("marks", "投\u200b票", "投票"), ("marks", "caf\u0301e", "cafe"), ("marks", "café", "cafe"),
    ("variants", "投票時間", "投票时间"), ("variants", "选举后", "選舉後"), ("variants", "門票", "门票"),
    ("evasion", "投.票.站", "投票站"), ("evasion", "c-d-c", "cdc"),
])
def test_each_kind_of_spelling_can_be_switched_off(switch: str, text: str, word: str) -> None:
    assert matches(text, watch(word))
    assert not matches(text, watch(word, fold=OFF[switch]))
    assert matches(word, watch(word, fold=OFF[switch]))
    for other in OFF.keys() - {switch, "width", "case"}:
        assert matches(text, watch(word, fold=OFF[other])), other


def test_subjects_of_different_spelling_stand_side_by_side() -> None:
    rules = book(watch("app"), watch("app", name="exact", fold=OFF["case"]),
                 watch("APP", name="upper", fold=OFF["case"]), watch("app", name="plain", fold=OFF["evasion"]))
    found = {text: [each.subject for each in Matcher(rules).match(Fields(text, ""), builders.NOON)]
             for text in ("用APP查", "用app查", "用a-p-p查")}
    assert found == {"用APP查": ["polling", "upper", "plain"], "用app查": ["polling", "exact", "plain"],
                     "用a-p-p查": ["polling", "exact"]}


def test_latin_words_stay_whole_where_case_counts() -> None:
    assert not matches("HAPPY", watch("APP", fold=OFF["case"]))


def test_whatever_is_folded_is_shown_as_it_was_written() -> None:
    text = "①請\u200b到第①投\ufeff票站，Ｃ\u200dＤＣ說：㈱投．票．站"
    assert shown(text, watch("请到", "投票站", "cdc")) == [
        ("请到", "請\u200b到"), ("投票站", "投\ufeff票站"), ("cdc", "Ｃ\u200dＤＣ")]
    assert shown("㈱投．票．站", watch("投票站")) == [("投票站", "投．票．站")]


@pytest.mark.parametrize("text, part", [
    ("去投.票.站吧", "投.票.站"), ("去投 票 站吧", "投 票 站"), ("去投**票**站吧", "投**票**站"),
    ("投-票_站", "投-票_站"),
    ("投·票·站", "投·票·站"), ("投 . 票 . 站", "投 . 票 . 站"), ("投*票站", "投*票站"), ("投票^站", "投票^站"),
    ("投/票/站", "投/票/站"),
    ("投|票^站", "投|票^站"), ("投\u3000票\u3000站", "投\u3000票\u3000站"), ("投＊票＊站", "投＊票＊站"),
])
def test_a_word_that_is_pulled_apart_is_found(text: str, part: str) -> None:
    assert shown(text, watch("投票站")) == [("投票站", part)]


@pytest.mark.parametrize("text, part", [
    ("去投*票吧", "投*票"), ("去投.票吧", "投.票"), ("请 投 票 吧", "投 票"), ("投 票", "投 票"), ("“投 票”", "投 票"),
    ("，投·票！", "投·票"),
])
def test_a_word_of_two_needs_a_strong_sign_or_to_stand_alone(text: str, part: str) -> None:
    assert shown(text, watch("投票")) == [("投票", part)]


@pytest.mark.parametrize("word, text", [
    *(("投票", f"我要投{border}票价又涨") for border in "。！？；，、：,;:!?「」（）()[]【】《》<>\"'“”‘’\n#"),
    *(("投票", f"我要投{border}票价又涨") for border in (" ", "·", "+", "=", "&", "--", "  ", "....", "\t")),
    ("投票站", "投票 站点"), ("投票站", "去投 票站"), ("投票站", "投----票----站"), ("投票站", "投，票，站"),
    ("选民", "立委补选｜民进党推出候选人"), ("国美", "中国/美国会谈"), ("报警", "人民日报-警方通报"),
    ("选民", "补选_民主党"), ("选举", "候选~举办"), ("海上", "上海•上海大宁"), ("投票站", "去投票/站点公布"),
    ("人权", "范闲祺贵人 权臣后妃"), ("海上", "上海·上海大宁"), ("例如", "确诊572例#如果疫情"),
    ("app", "a-pp"), ("app", "ap p"), ("app", "a-p-p-s"), ("app", "xa-p-p"), ("us", "u.s"), ("315", "3.1.5"),
])
def test_words_are_not_joined_over_the_borders_of_clauses(word: str, text: str) -> None:
    assert not matches(text, watch(word))


def test_lists_near_words_and_exclusions_are_pulled_apart_too() -> None:
    assert matches("去投.票，几点关*门", watch(near("投票", "关门", within=6)))
    assert not matches("投票，打*榜", watch("投票", exclude=tuple(watch("打榜").terms)))
    assert not matches("去投.票站", watch(term(regex="投票站")))          # an expression says what stands between


def test_most_texts_have_nothing_pulled_apart() -> None:
    assert rejoined("今晚八点，投票站关门。电话 12345-6，见 http://www.wenxun.example/bc-cd_de v1.2") is None


PIECES = ["投", "票", "站", "時", "时", "門", "a", "B", "Ｃ", "é", "e\u0301", "\u200b", "㈱", "½", "…", "①", " ", "．",
          "，", "。", "-", "\n", "🎉", "\ud800", "𠀋", "İ", "1"]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)
SPELLINGS = st.builds(Spelling, st.booleans(), st.booleans(), st.booleans(), st.booleans())


@given(TEXTS, SPELLINGS)
@example("é\u200bx", SAME)
def test_folding_keeps_places(text: str, spelling: Spelling) -> None:
    folded = fold(text, spelling)
    for place, character in enumerate(folded.text):
        start, end = folded.span(place, place + 1)
        assert end == start + 1 and character in fold(text[start:end], spelling).text
    assert fold(folded.text, spelling).text == folded.text


@given(TEXTS, TEXTS, TEXTS, st.builds(Fold, width=st.booleans(), case=st.booleans(), marks=st.booleans(),
                                      variants=st.booleans(), evasion=st.booleans()))
def test_what_a_span_points_at_is_the_word(title: str, text: str, word: str, how: Fold) -> None:
    spelling = Spelling(how.width, how.case, how.marks, how.variants)
    folded = fold_term(word, spelling)
    found = Matcher(book(watch(word or "x", fold=how))).match(Fields(title, text), builders.NOON)
    if folded and "\n" not in folded and not re.search("[a-zA-Z0-9]", folded):
        assert found or all(folded not in fold(each, spelling).text for each in (title, text))
    for span in (span for match in found for span in match.spans):
        part = fold((title if span.field == "title" else text)[span.start:span.end], spelling).text
        joined = re.sub("[-. ]", "", part)
        assert folded in part or how.evasion and joined == folded


@given(st.lists(st.sampled_from(["投", "票", "站", ".", " ", "，", "a", "#"]), max_size=20).map("".join))
def test_a_rejoined_word_has_signs_between_its_own_characters_only(text: str) -> None:
    for start, end in ((span.start, span.end) for match in
                       Matcher(book(watch("投票站", "投票"))).match(Fields("", text), builders.NOON)
                       for span in match.spans):
        assert re.fullmatch("投[. ]{0,3}票([. ]{0,3}站)?", text[start:end])
