"""Words for similarity, sentiment and questions."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from agents.rule_files import load_book
from pipeline.fold import fold
from pipeline.model import Polarity, Sentiment
from pipeline.rulebook.schema import SentimentEngine, SentimentRules
from pipeline.score.kind import is_question
from pipeline.score.segment import MAX_TERMS, Segmenter
from pipeline.score.sentiment import LexiconSentiment, SnowNLPSentiment, engine_for
from tests import builders
from tests.pipeline.test_score_match import subject

RULES = Path(__file__).parent.parent.parent / "rules"
SMALL = SentimentRules(words={"好": 1, "坏": -1, "满意": 2, "差不多": 0, "差": -1}, negations=("不", "没"),
                       degrees={"非常": 2, "好": 1.5, "有点": 0.5})


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(builders.book(subjects=(subject("云溪县三小投票点"),)))


@pytest.fixture(scope="module")
def shipped() -> LexiconSentiment:
    return LexiconSentiment(load_book(RULES, "Asia/Shanghai").sentiment)


def code(word: str) -> int:
    return zlib.crc32(word.encode())


def test_words_are_cut_as_the_dictionary_has_them(segmenter: Segmenter) -> None:
    assert segmenter.cut("工作人员在投票，covid-19 第3批") == ["工作人员", "在", "投票", "covid-19", "第", "3", "批"]


def test_texts_are_cut_after_they_are_simplified(segmenter: Segmenter) -> None:
    assert segmenter.cut(fold("乾隆年間的選舉").text) == segmenter.cut(fold("乾隆年间的选举").text)
    assert segmenter.cut(fold("说乾隆").text) == ["说", fold("乾隆").text]
    assert segmenter.terms(fold("選舉投票").text, "") == segmenter.terms("选举投票", "") != ()


def test_words_have_their_places(segmenter: Segmenter) -> None:
    text = "在投票，covid-19 第3批"
    assert [text[start:end] for start, end in segmenter.places(text)] == segmenter.cut(text)


def test_the_book_s_terms_are_words_of_this_book_only(segmenter: Segmenter) -> None:
    text = "去云溪县三小投票点投票"
    assert "云溪县三小投票点" in segmenter.cut(text)
    assert "云溪县三小投票点" not in Segmenter(builders.book(subjects=())).cut(text)


def test_terms_are_hashes_with_weights_heaviest_first(segmenter: Segmenter) -> None:
    terms = segmenter.terms("中学食堂停电", "学校说明天恢复供电")
    weights = [weight for _, weight in terms]
    assert weights == sorted(weights, reverse=True) and 1 <= min(weights) <= max(weights) <= 255
    assert {code("食堂"), code("停电"), code("供电")} <= {each for each, _ in terms}


def test_a_rare_word_weighs_more_than_a_common_one(segmenter: Segmenter) -> None:
    weights = dict(segmenter.terms("海啸 问题", ""))
    assert weights[code("海啸")] > weights[code("问题")]


def test_a_name_that_no_dictionary_has_counts_as_its_pairs(segmenter: Segmenter) -> None:
    assert {code("邴夤"), code("夤镇")} <= {each for each, _ in segmenter.terms("邴夤镇", "")}


def test_words_that_say_nothing_are_left_out(segmenter: Segmenter) -> None:
    assert segmenter.terms("他们已经可以这样了", "") == ()


def test_at_most_sixteen_terms(segmenter: Segmenter) -> None:
    long = "春天的树林河流山峰草原沙漠海洋岛屿城市乡村工厂学校医院银行商店车站机场码头桥梁隧道"
    assert len(segmenter.terms(long, long)) == MAX_TERMS


def test_a_text_that_repeats_its_title_does_not_count_twice(segmenter: Segmenter) -> None:
    assert segmenter.terms("食堂停电", "食堂停电") == segmenter.terms("食堂停电", "")


def test_a_repost_with_small_edits_stays_close(segmenter: Segmenter) -> None:
    first = dict(segmenter.terms("网传第三小学投票站下午四点关门", "请大家抓紧时间"))
    second = dict(segmenter.terms("转：网传第三小学投票站下午四点关门！", "请大家抓紧时间"))
    other = dict(segmenter.terms("冬小麦播种基本结束", "全县完成二十万亩"))
    assert _cosine(first, second) > 0.95 and _cosine(first, other) < 0.1


def _cosine(one: dict[int, int], two: dict[int, int]) -> float:
    dot = sum(weight * two.get(term, 0) for term, weight in one.items())
    return float(dot / (sum(w * w for w in one.values()) * sum(w * w for w in two.values())) ** 0.5)


@pytest.mark.parametrize("text, weights", [
    ("好", (1, 0)), ("坏", (0, 1)), ("不好", (0, 0.8)), ("不坏", (0.8, 0)), ("非常好", (2, 0)), ("有点坏", (0, 0.5)),
    ("不非常满意", (0, 3.2)), ("好满意", (3, 0)), ("好，坏", (1, 1)), ("不,好", (1, 0)),
    ("没有人会说过好", (1, 0)), ("没有人说过好", (0, 0.8)),
    ("差不多", (0, 0)), ("不没好", (0.64, 0)), ("", (0, 0)), ("今天", (0, 0)),
])
def test_words_negation_and_degree(text: str, weights: tuple[float, float]) -> None:
    assert LexiconSentiment(SMALL).weigh(text) == pytest.approx(weights)


def test_a_text_without_sentiment_words_is_neutral() -> None:
    assert LexiconSentiment(SMALL).judge("今天开会") == Sentiment(Polarity.NEUTRAL, 0.5)


def test_a_text_that_says_both_is_unsure() -> None:
    assert LexiconSentiment(SMALL).judge("好。坏").polarity is Polarity.UNSURE


def test_more_words_give_more_confidence() -> None:
    engine = LexiconSentiment(SMALL)
    assert engine.judge("满意满意满意").confidence > engine.judge("好").confidence >= SMALL.unsure_below


def test_without_words_all_is_neutral() -> None:
    assert LexiconSentiment(SentimentRules()).judge("坏透了").polarity is Polarity.NEUTRAL


@pytest.mark.parametrize("text, polarity", [
    ("投票站工作人员很热情，老人优先，特别方便", Polarity.POSITIVE),
    ("排了三个小时的队，没人管，太让人失望了", Polarity.NEGATIVE),
    ("今天上午九点投票开始", Polarity.NEUTRAL), ("服务一点也不好", Polarity.NEGATIVE),
    ("谢谢志愿者，辛苦了[心]", Polarity.POSITIVE),
    ("这饭真难吃😡", Polarity.NEGATIVE), ("好像差不多", Polarity.NEUTRAL), ("没有问题", Polarity.POSITIVE),
])
def test_the_shipped_words_read_plain_sentences(shipped: LexiconSentiment, text: str, polarity: Polarity) -> None:
    assert shipped.judge(fold(text).text).polarity is polarity


def test_the_shipped_list_has_several_hundred_words_of_each_kind() -> None:
    words = load_book(RULES, "Asia/Shanghai").sentiment.words
    assert sum(weight < 0 for weight in words.values()) > 400 and sum(weight > 0 for weight in words.values()) > 300


def test_a_rule_file_can_choose_snownlp_and_it_survives_empty_and_long_texts() -> None:
    engine = engine_for(SentimentRules(engine=SentimentEngine.SNOWNLP))
    assert isinstance(engine, SnowNLPSentiment)
    assert engine.judge("  ") == Sentiment(Polarity.NEUTRAL, 0.5)
    assert engine.judge("非常好吃，很满意，下次还来" * 500).polarity is Polarity.POSITIVE


@pytest.mark.parametrize("text, asks", [
    ("请问投票站几点关门", True), ("投票站搬到哪里了?", True), ("今天能投票吗", True), ("听说提前关门,真的吗?", True),
    ("有没有人知道去哪投", True), ("什么时候开始呢?", True),
    ("投票站今天搬了", False), ("难道没有人管吗?", False), ("凭什么让我们等这么久?", False), ("太好了!", False),
    ("", False), ("?", False), ("他问怎么办理,工作人员说明天来", False),
])
def test_questions_that_somebody_could_answer(text: str, asks: bool) -> None:
    assert is_question(fold(text).text) is asks
