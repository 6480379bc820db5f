"""What subjects and word lists can say: every notation, what it becomes, and what editors are told of it."""

from __future__ import annotations

import json
from typing import Any

import hypothesis.strategies as st
import jsonschema
import pytest
import yaml
from hypothesis import given

from pipeline.errors import RuleBookError
from pipeline.fold import Spelling
from pipeline.rulebook import regexes
from pipeline.rulebook.conditions import MAX_DEPTH
from pipeline.rulebook.encoding import text_of
from pipeline.rulebook.json_schema import schema_files
from pipeline.rulebook.parse import parse_book
from pipeline.rulebook.schema import Active, Condition, Fold, Near, Pattern, Status, Subject, Term, WordList
from pipeline.rulebook.yaml_marks import compose
from pipeline.score.expressions import Expression
from tests.rules.test_parse import BAD, GOOD, ZONE, problems

HEAD = GOOD["subjects/polling.yml"].replace("terms: [投票站]\n", "")
SUBJECT_SCHEMA = jsonschema.Draft7Validator(json.loads(schema_files()["subject.json"]))
WORDS_SCHEMA = jsonschema.Draft7Validator(json.loads(schema_files()["words.json"]))


def subject(body: str, **files: str) -> Subject:
    named = {name.replace("_", "/") + ".yml": text for name, text in files.items()}
    return parse_book({**GOOD, **named, "subjects/polling.yml": HEAD + body}, ZONE).subjects[0]


def refused(body: str, **files: str) -> str:
    named = {name.replace("_", "/") + ".yml": text for name, text in files.items()}
    return problems({**GOOD, **named, "subjects/polling.yml": HEAD + body})


def plain(word: str) -> Condition:
    return Condition(pattern=Pattern(text=word))


@pytest.mark.parametrize(("written", "term"), [
    ("投票站", Term(text="投票站")),
    ("{text: 投票, weight: 0.6}", Term(text="投票", weight=0.6)),
    ("{text: CDC, field: title}", Term(text="CDC", field="title")),
    ("{text: 选, word: true}", Term(text="选", word=True)),
    ("{regex: '第[0-9]+投票[站点]'}", Term(regex="第[0-9]+投票[站点]")),
    ("{list: venue, weight: 0.5}", Term(list="venue", weight=0.5)),
    ("{near: {words: [投票, 关门], within: 10, ordered: true}, weight: 2}",
     Term(near=Near(words=("投票", "关门"), within=10, ordered=True), weight=2.0)),
    ("{near: {words: [投票, 关门], sentence: false}}", Term(near=Near(words=("投票", "关门"), sentence=False))),
])
def test_a_term_in_every_notation(written: str, term: Term) -> None:
    assert subject(f"terms: [投票所, {written}]\n").terms[1] == term


def test_a_condition_nests_words_patterns_and_conditions() -> None:
    found = subject("match:\n  all: [投票, {any: [关门, {near: {words: [几点, 开门]}}]}, {none: [{list: venue}]}]\n")
    assert found.match == Condition(all=(
        plain("投票"),
        Condition(any=(plain("关门"), Condition(pattern=Pattern(near=Near(words=("几点", "开门")))))),
        Condition(none=(Condition(pattern=Pattern(list="venue")),)),
    ))


@pytest.mark.parametrize(("written", "pattern"), [
    ("投票", Pattern(text="投票")), ("{regex: '投票[站点]'}", Pattern(regex="投票[站点]")),
])
def test_a_condition_may_be_one_pattern(written: str, pattern: Pattern) -> None:
    assert subject(f"match: {written}\n").match == Condition(pattern=pattern)


def test_conditions_nest_to_the_limit_and_no_deeper() -> None:
    def nested(depth: int) -> str:
        return "match: " + "{all: [投票, " * depth + "{near: {words: [站, 点]}}" + "]}" * depth + "\n"
    assert subject(nested(MAX_DEPTH)).match is not None
    assert f"条件嵌套超过 {MAX_DEPTH} 层" in refused(nested(MAX_DEPTH + 1))


def test_what_else_a_subject_can_say() -> None:
    made = subject("terms: [投票站]\nstatus: shadow\nimpact: 4\nscope: [title]\ngroups: [其他, 人工上报]\n"
                   "active: {start: 2026-11-01, hours: '22:00-06:00', days: [6, 7]}\nfold: {evasion: false}\n"
                   "exclude: [打榜, {list: venue}, {regex: '微信投?票'}]\n")
    assert (made.status, made.impact, made.scope, made.groups) == (
        Status.SHADOW, 4, ("title",), ("其他", "人工上报"))
    assert made.active == Active(start="2026-11-01", hours="22:00-06:00", days=(6, 7))
    assert made.fold == Fold(evasion=False)
    assert made.exclude == (Pattern(text="打榜"), Pattern(list="venue"), Pattern(regex="微信投?票"))


def test_a_rule_may_be_meant_to_stay() -> None:
    stays = parse_book({**GOOD, "subjects/polling.yml": GOOD["subjects/polling.yml"].replace("2027-12-31", "never")},
                       ZONE)
    assert stays.subjects[0].expires == "never"


def test_a_group_is_one_that_a_source_names() -> None:
    forum = GOOD["sources.yml"].replace("name: 县新闻网", "name: 县新闻网, group: 本地论坛")
    assert subject("terms: [投票站]\ngroups: [本地论坛]\n", sources=forum).groups == ("本地论坛",)
    assert "没有名为“本地论坛”的来源分组" in refused("terms: [投票站]\ngroups: [本地论坛]\n")


def test_a_list_has_the_words_of_what_it_includes_once_each() -> None:
    book = parse_book({**GOOD, "words/all.yml": "id: all\ntitle: 全部\nwords: [礼堂, 球场]\ninclude: [venue, fun]\n",
                       "words/fun.yml": "id: fun\ntitle: 娱乐\nwords: [打榜, 学校]\n"}, ZONE)
    assert {each.id: each.words for each in book.lists} == {
        "all": ("礼堂", "球场", "学校", "打榜"), "fun": ("打榜", "学校"), "venue": ("学校", "礼堂")}
    assert book.lists[0] == WordList(id="all", title="全部", words=book.lists[0].words, include=("venue", "fun"))


def test_each_cycle_of_lists_is_named() -> None:
    def words(ident: str, *include: str) -> str:
        return f"id: {ident}\ntitle: 表\nwords: [{ident}]\ninclude: [{', '.join(include)}]\n"
    said = refused("terms: [投票站]\n", words_b=words("b", "c"), words_c=words("c", "a"), words_a=words("a", "b"),
                   words_x=words("x", "y"), words_y=words("y", "x"), words_fine=words("fine", "a"))
    assert said.splitlines() == [
        "words/a.yml:4:11: include[0]: 词表互相包含，成了一圈：a → b → c → a。 从其中一个的 include 里删去下一个",
        "words/x.yml:4:11: include[0]: 词表互相包含，成了一圈：x → y → x。 从其中一个的 include 里删去下一个"]


def test_a_thousand_lists_in_a_row_are_no_cycle() -> None:
    chain = {f"words/w{number}.yml": f"id: w{number}\ntitle: 表\nwords: [词{number}]\ninclude: [w{number + 1}]\n"
             for number in range(1_000)}
    book = parse_book({**GOOD, **chain, "words/w1000.yml": "id: w1000\ntitle: 表\nwords: [末]\n"}, ZONE)
    assert len(next(each for each in book.lists if each.id == "w0").words) == 1_001


def test_names_of_a_file_that_cannot_be_read_are_not_called_unknown() -> None:
    said = refused("terms: [{list: venue}]\ngroups: [本地论坛]\n", words_venue="id: venue\ntitle: [\n",
                   sources="sources: [\n")
    assert [line.split(":")[0] for line in said.splitlines()] == ["sources.yml", "words/venue.yml"]


def test_one_bad_field_does_not_hide_that_a_name_is_unknown() -> None:
    said = refused("terms: [{list: venu}]\nimpact: 9\n", words_venue=GOOD["words/venue.yml"].replace("场所", "''"),
                   roster=GOOD["roster.yml"].replace("members: [duty-a]", "members: [duty-a], start: '25:00'"),
                   routes=GOOD["routes.yml"].replace("duty", "dutty"))
    assert [line.split(" ")[0] for line in said.splitlines()] == [
        "roster.yml:4:63:", "roster.yml:5:61:", "routes.yml:3:21:", "subjects/polling.yml:6:16:",
        "subjects/polling.yml:7:9:", "words/venue.yml:2:8:"]


@pytest.mark.parametrize("pattern", [
    "第[0-9一二三四五六七八九十]+投票[站点]", "投票.{0,5}关门", r"\d{4}年", "(?i)cdc|疾控", r"\p{Han}{2}投票",
    "(投票|登记)(站|点)", "^通知", "(?P<where>学校|礼堂)门口", "a|投",
])
def test_an_expression_that_finds_something_is_taken(pattern: str) -> None:
    assert regexes.wrong(pattern) is None


@pytest.mark.parametrize("pattern", [r"\b", "^", "$", "()", "a?", "x*|y", r"[\s\S]", "..", r"[^。]+", r"(?s).{3}",
                                     "投\u200b+票", "\u0301*投", "投{２}", "投{2，5}"])
def test_an_expression_that_finds_everything_or_nothing_is_refused(pattern: str) -> None:
    assert regexes.wrong(pattern) is not None


@given(st.text("投票站a1()[]{}*+?|\\^$.<=!:P,-", min_size=1, max_size=30))
def test_whatever_is_written_as_an_expression_is_taken_or_explained(pattern: str) -> None:
    found = regexes.wrong(pattern)
    assert found is None or found.message and found.hint


@given(st.text("臺後投Ａｚ０a1\u200b\u0301ﬁ㈱［］－[]^()|*+?{}2\\dL", min_size=1, max_size=9), st.booleans())
def test_an_expression_that_was_taken_can_be_matched_with_however_it_is_folded(pattern: str, folds: bool) -> None:
    if regexes.wrong(pattern) is None:
        Expression(pattern, Spelling(width=folds, case=folds, marks=folds, variants=folds))


@given(st.recursive(st.sampled_from(["投票", "关门"]), lambda inner: st.dictionaries(
    st.sampled_from(["all", "any", "none"]), st.lists(inner, min_size=1, max_size=3), min_size=1), max_leaves=12))
def test_what_the_parser_takes_as_a_condition_the_schema_takes_too(tree: Any) -> None:
    document = {**yaml.safe_load(HEAD), "expires": "never", "match": tree}
    SUBJECT_SCHEMA.validate(document)
    text = json.dumps(document, ensure_ascii=False)
    try:
        parse_book({**GOOD, "subjects/polling.yml": text}, ZONE)
    except RuleBookError as error:
        reasons = ("永远不会匹配", "只说了不能出现什么", "条件嵌套超过")
        assert all(any(reason in each.message for reason in reasons) for each in error.problems)


@pytest.mark.parametrize("name", [
    "two-kinds-in-one-term", "term-without-anything-to-find", "mistyped-kind-of-term", "near-of-one-word",
    "near-too-far-apart", "near-as-a-list", "neither-terms-nor-match", "match-as-a-list", "match-with-a-mistyped-word",
    "match-with-words-beside-a-group", "match-with-a-weight", "scope-that-is-none", "status-that-is-none",
    "impact-out-of-bounds", "active-hours-that-are-none", "fold-that-is-unknown", "author-as-a-condition",
    "word-list-without-words", "word-list-as-a-plain-list",
])
def test_editors_underline_what_the_parser_refuses(name: str) -> None:
    file, _, rest = next(path for path in BAD if path.stem == name).read_text("utf-8").partition("\n")
    document = json.loads(json.dumps(yaml.safe_load(rest.split("----\n", 1)[1]), default=str))
    schema = SUBJECT_SCHEMA if file.startswith("subjects/") else WORDS_SCHEMA
    assert list(schema.iter_errors(document))


def test_editors_complete_inside_a_nested_condition() -> None:
    schema = json.loads(schema_files()["subject.json"])
    assert schema["properties"]["match"]["$ref"] == "#/$defs/condition"
    group = next(each for each in schema["$defs"]["condition"]["anyOf"] if "all" in each.get("properties", {}))
    assert {each["items"]["$ref"] for each in group["properties"].values()} == {"#/$defs/condition"}


TEXT = GOOD["subjects/polling.yml"]


@pytest.mark.parametrize(("content", "message"), [
    (TEXT.encode("gbk"), "文件是 GBK 编码，不是 UTF-8。"),
    (b"\xef\xbb\xbf" + TEXT.encode("gbk"), "文件是 GBK 编码，不是 UTF-8。"),
    (TEXT.encode("utf-16"), "文件是 UTF-16 编码，不是 UTF-8。"),
    (TEXT.encode("utf-16-le"), "文件是 UTF-16 编码，不是 UTF-8。"),
    (TEXT.encode()[:30], "文件末尾只有半个字，像是没有写完。"),
    (TEXT.encode() + b"\0" * 40, "文件里有空字节（NUL），像是没有写完或已经损坏。"),
    (b"\0" * 40, "文件里有空字节（NUL），像是没有写完或已经损坏。"),
    (b"id: \xff\xfe", "不是 UTF-8 编码。"),
])
def test_bytes_that_are_not_utf8_are_called_what_they_are(content: bytes, message: str) -> None:
    found = text_of("subjects/polling.yml", content)
    assert not isinstance(found, str) and found.message == message and found.hint


@pytest.mark.parametrize("content", [TEXT.encode("utf-8-sig"), TEXT.replace("\n", "\r\n").encode(), TEXT.encode()])
def test_a_byte_order_mark_and_windows_line_ends_change_nothing(content: bytes) -> None:
    text = text_of("subjects/polling.yml", content)
    assert isinstance(text, str)
    assert parse_book({**GOOD, "subjects/polling.yml": text}, ZONE).hash == parse_book(GOOD, ZONE).hash


@given(st.integers(0, len(TEXT.encode()) - 1))
def test_a_file_cut_anywhere_is_read_or_refused_in_words(length: int) -> None:
    text = text_of("subjects/polling.yml", TEXT.encode()[:length])
    if isinstance(text, str):
        node, found = compose("subjects/polling.yml", text)
        assert node is None or not found
        try:
            parse_book({**GOOD, "subjects/polling.yml": text}, ZONE)
        except RuleBookError as error:
            assert error.problems[0].message


def test_ten_thousand_rules_are_read_and_one_bad_one_among_them_is_found() -> None:
    many = {f"subjects/s{number}.yml": TEXT.replace("id: polling", f"id: s{number}").replace(
        "[投票站]", str([f"投票站{number}号{term}" for term in range(10)])) for number in range(1_000)}
    book = parse_book({**GOOD, **many}, ZONE)
    assert sum(len(each.terms) for each in book.subjects) == 10_001
    many["subjects/s777.yml"] += "impact: 0\n"
    assert problems({**GOOD, **many}) == "subjects/s777.yml:7:9: impact: 应为 1 到 5 的整数，现为“0”。 写成 impact: 3"
