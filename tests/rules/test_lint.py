"""Lint: each code is found where it is meant, and nowhere else; comments and options keep it quiet."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from agents.cli import main
from pipeline.errors import Problem
from pipeline.rulebook.cases import read_cases
from pipeline.rulebook.lint import CODES, History, Past, lint
from pipeline.rulebook.overlap import covers, doubled
from pipeline.rulebook.parse import parse_with_places
from pipeline.rulebook.schema import Condition, Pattern, Subject, Term
from pipeline.score.matcher import Matcher
from pipeline.score.score import folded_fields
from tests import builders
from tests.rules.test_parse import GOOD, ZONE

TODAY = dt.date(2026, 11, 22)
BASE = {name: text for name, text in GOOD.items() if not name.startswith(("subjects/", "words/"))}
PLAIN = "title: 题\nowner: 选办\nreason: 要知道\n"


def subject(ident: str, body: str, expires: str = "2027-12-31", head: str = PLAIN) -> str:
    return f"id: {ident}\n{head}expires: {expires}\n{body}\n"


def one(body: str = "terms: [投票站]", **more: str) -> dict[str, str]:
    """A directory with one subject that a case names."""
    return {**BASE, "subjects/a.yml": subject("a", body, **more), "tests/a.test.yml": cases("a")}


def cases(*idents: str) -> str:
    items = "".join(f"      - {{source: 甲, title: 投票站, subjects: [{ident}]}}\n" for ident in idents)
    return f"cases:\n  - name: 用例\n    items:\n{items}"


def several(**bodies: str) -> dict[str, str]:
    """Subjects that are all named by a case."""
    return {**BASE, "tests/a.test.yml": cases(*bodies),
            **{f"subjects/{ident}.yml": subject(ident, body) for ident, body in bodies.items()}}


def found(files: dict[str, str], history: History | None = None, ignore: Iterable[str] = ()) -> list[Problem]:
    book, places = parse_with_places(files, ZONE)
    written = [each.case for each in read_cases(files, book)]
    return lint(book, files, written, TODAY, places=places, history=history, ignore=list(ignore))


def codes(files: dict[str, str], history: History | None = None, ignore: Iterable[str] = ()) -> list[str]:
    return [each.code for each in found(files, history, ignore)]


def past(items: int = 5_000, days: int = 90, **of_a: int) -> History:
    return History(items, days, {"a": Past(**{"matches": 20, **of_a})})


@pytest.mark.parametrize(("files", "history", "expected"), [
    (one(), None, []),
    (one(head="title: 题\nowner: 选办（请改成本单位的科室）\nreason: 要知道\n"), None, ["WX001"]),
    (one(expires="2026-11-21"), None, ["WX002"]),
    (one(expires="2026-11-22"), None, ["WX003"]),
    (one(expires="2026-12-06"), None, ["WX003"]),
    (one(expires="2026-12-07"), None, []),
    (one(), past(), []),
    (one(), past(matches=0), ["WX004"]),
    (one(), History(5_000, 29, {}), []),                                                # no archive reaches so far
    (one(), History(0, 90, {}), []),                                                    # nothing was collected
    (one("terms: [投票站]\nactive: {hours: '08:00-18:00'}"), past(matches=0), []),
    (one(), past(matches=251), ["WX005"]),
    (one(), past(matches=250), []),
    (one(), past(items=999, matches=900), []),
    (one(), past(judged=5, false=3), ["WX005"]),
    (one(), past(judged=4, false=4), []),
    (one(), past(judged=10, false=4), []),
    ({**one(), "tests/a.test.yml": cases()[:-1].replace("    items:", "    items: [{source: 甲, title: 天气}]")}, None,
     ["WX007"]),
    ({name: text for name, text in one().items() if not name.startswith("tests/")}, None, ["WX007"]),
    (one("terms: [选]"), None, ["WX009"]),
    (one("terms: [{text: 选, weight: 0.5}, 投票站]"), None, []),                           # not enough alone
    (one("terms: [{text: 选, word: true}]"), None, []),
    (one("terms: [{regex: '[的了是在。]'}]"), None, ["WX009"]),
    (one("terms: [{regex: '第[0-9]+投票站'}]"), None, []),
    (one("terms: [{regex: '[的了是在。]'}]\nmatch: {all: [投票]}"), None, []),
    (one("terms: [投票站]\nstatus: shadow"), past(shadow_days=31), ["WX010"]),
    (one("terms: [投票站]\nstatus: shadow"), past(shadow_days=30), []),
    (one(expires="never"), None, ["WX011"]),
    (one(expires="2036-12-31"), None, ["WX011"]),
    (one("terms: [投票站]\nstatus: retired", expires="2020-01-01"), past(matches=0), []),
    ({**one(), "words/w.yml": "id: w\ntitle: 词\nowner: 选办\nwords: [甲, 乙]\n"}, None, ["WX012"]),
    ({**one("terms: [{list: w}]"), "words/w.yml": "id: w\ntitle: 词\nowner: 选办\nwords: [甲甲, 乙乙]\n"}, None, []),
    ({**one("terms: [{list: w}]"), "words/w.yml": "id: w\ntitle: 词\nowner: 选办\nwords: [甲甲]\ninclude: [v]\n",
      "words/v.yml": "id: v\ntitle: 词\nowner: 待定\nwords: [乙乙]\n"}, None, ["WX001"]),
], ids=range(33))
def test_a_code_is_found_where_it_is_meant(
    files: dict[str, str], history: History | None, expected: list[str],
) -> None:
    assert codes(files, history) == expected


@pytest.mark.parametrize(("bodies", "expected"), [
    ({"a": "terms: [投票站点]", "b": "terms: [投票站]"}, [("a", "b")]),
    ({"a": "terms: [投票站]", "b": "terms: [投票站]"}, [("a", "b"), ("b", "a")]),
    ({"a": "terms: [投票站, 搬迁]", "b": "terms: [投票站]"}, [("b", "a")]),
    ({"a": "terms: [{text: 投票, weight: 0.5}, {text: 站点, weight: 0.5}]", "b": "terms: [投票, 站点]"}, [("a", "b")]),
    ({"a": "terms: [投票站, 甲甲]", "b": "terms: [投票站, 乙乙]"}, []),
    ({"a": "terms: [投票站]\nmatch: {all: [搬]}", "b": "terms: [投票站]"}, [("a", "b")]),
    ({"a": "match: {all: [投票站, 搬]}", "b": "terms: [投票站]"}, [("a", "b")]),
    ({"a": "match: {any: [投票站, 搬]}", "b": "terms: [投票站]"}, []),
    ({"a": "terms: [投票站]", "b": "terms: [投票站]\nmatch: {all: [搬]}"}, [("b", "a")]),
    ({"a": "terms: [投票站点]", "b": "terms: [投票站]\nexclude: [比赛]"}, []),
    ({"a": "terms: [投票站点]\nexclude: [比赛]", "b": "terms: [投票站]\nexclude: [比赛]"}, [("a", "b")]),
    ({"a": "terms: [投票站点]", "b": "terms: [投票站]\nscope: [title]"}, []),
    ({"a": "terms: [投票站点]\nscope: [title]", "b": "terms: [投票站]"}, [("a", "b")]),
    ({"a": "terms: [投票站点]", "b": "terms: [投票站]\ngroups: [其他]"}, []),
    ({"a": "terms: [投票站点]\ngroups: [其他]", "b": "terms: [投票站]"}, [("a", "b")]),
    ({"a": "terms: [投票站点]", "b": "terms: [投票站]\nactive: {days: [1]}"}, []),
    ({"a": "terms: [投票站点]", "b": "terms: [投票站]\nfold: {case: false}"}, []),
    ({"a": "terms: [votes]", "b": "terms: [vote]"}, []),                                  # whole words
    ({"a": "terms: [投票站点]", "b": "terms: [{text: 投票站, word: true}]"}, []),
    ({"a": "terms: [投票站点]", "b": "terms: [{text: 投票站, field: title}]"}, []),
    ({"a": "terms: [{regex: '[0-9]号站'}]", "b": "terms: [{regex: '[0-9]号站'}]"}, [("a", "b"), ("b", "a")]),
])
def test_a_subject_is_covered_only_where_that_is_certain(
    bodies: dict[str, str], expected: list[tuple[str, str]],
) -> None:
    book, _ = parse_with_places(several(**bodies), ZONE)
    assert [(first.id, second.id) for first, second in covers(list(book.subjects), book)] == expected


def test_a_word_of_a_list_is_covered_by_the_list_and_a_list_by_its_words() -> None:
    files = {**several(a="terms: [甲甲]", b="terms: [{list: w}]", c="terms: [甲甲, 乙乙]"),
             "words/w.yml": "id: w\ntitle: 词\nowner: 选办\nwords: [甲甲, 乙乙]\n"}
    book, _ = parse_with_places(files, ZONE)
    pairs = {(first.id, second.id) for first, second in covers(list(book.subjects), book)}
    assert pairs == {("a", "b"), ("a", "c"), ("b", "c"), ("c", "b")}


WORDS = st.text("甲乙丙ab", min_size=1, max_size=4)
FIELDS = st.sampled_from(["", "", "", "title"])


@st.composite
def pairs_of_subjects(draw: st.DrawFn) -> tuple[Subject, Subject]:
    """Two subjects of which the second has something for each term of the first: the same, or a part of it."""
    words = draw(st.lists(WORDS, min_size=1, max_size=3, unique=True))
    sides: list[Subject] = []
    for ident in ("one", "other"):
        made = [word if ident == "one" else word[draw(st.integers(0, len(word) - 1)):] for word in words]
        made += draw(st.lists(WORDS, max_size=1)) if ident == "other" else []
        terms = tuple(Term(text=word, weight=draw(st.sampled_from([0.5, 1.0, 1.0])), field=draw(FIELDS),
                           word=draw(st.integers(0, 9)) == 0) for word in dict.fromkeys(made))
        exclude = tuple(Pattern(text=word) for word in draw(st.lists(WORDS, max_size=1)) if draw(st.booleans()))
        match = Condition(all=(Condition(pattern=Pattern(text=draw(WORDS))),)) if draw(st.integers(0, 4)) == 0 else None
        sides.append(Subject(
            id=ident, title="题", owner="选办", reason="要", terms=terms, exclude=exclude, match=match,
            expires=draw(st.sampled_from(["2026-11-21", "never", "never"])),
            scope=draw(st.sampled_from([("title",), ("title", "text"), ("title", "text")])),
            groups=draw(st.sampled_from([(), (), ("其他",)]))))
    return sides[0], sides[1]


TEXTS = st.text("甲乙丙ab ，", max_size=8)


@given(subjects=pairs_of_subjects(), texts=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=12))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.filter_too_much])
def test_what_a_covered_subject_matches_the_other_matches_too(
    subjects: tuple[Subject, Subject], texts: list[tuple[str, str]],
) -> None:
    made = builders.book(subjects=subjects)
    found = {(first.id, second.id) for first, second in covers(list(subjects), made)}
    assume(found)
    matcher = Matcher(made)
    words = [term.text for each in subjects for term in each.terms]
    for title, text in (*texts, *((word, "") for word in words), *(("", word) for word in words)):
        fields = folded_fields(builders.raw_item(title=title, text=text))
        matched = {match.subject for match in matcher.match(fields, builders.NOON, "其他")}
        assert not [pair for pair in found if pair[0] in matched and pair[1] not in matched], (title, text)


def test_shadowed_and_doubled_are_said_once() -> None:
    assert codes(several(a="terms: [投票站点]", b="terms: [投票站]")) == ["WX006"]
    assert codes(several(a="terms: [投票站]", b="terms: [投票站]")) == ["WX006"]
    assert codes(several(a="terms: [投票站, 甲甲]", b="terms: [投票站, 乙乙]")) == ["WX008"]
    apart = {"a": "terms: [投票站, 甲甲]\ngroups: [其他]", "b": "terms: [投票站, 乙乙]\ngroups: [人工上报]"}
    assert codes(several(**apart)) == [], "no item is of both"
    low = "terms: [{text: 投票站, weight: 0.5}, 乙乙]"
    assert codes(several(a="terms: [投票站, 甲甲]", b=low)) == [], "one of them needs more than that word"


def test_a_subject_that_is_not_live_covers_nothing() -> None:
    assert codes(several(a="terms: [投票站点]", b="terms: [投票站]\nstatus: shadow")) == []


def test_many_subjects_are_compared_by_their_words_not_in_pairs() -> None:
    many = {f"s{number}": f"terms: [投票站{number:05d}号]" for number in range(3_000)}
    book, _ = parse_with_places(several(**many, last="terms: [投票站00007号门]"), ZONE)
    assert [(first.id, second.id) for first, second in covers(list(book.subjects), book)] == []
    assert list(doubled(list(book.subjects))) == []


def test_a_finding_says_where_why_and_what_to_do() -> None:
    said = found(one(expires="2026-11-21"))[0]
    assert (said.file, said.line, said.code, said.severity) == ("subjects/a.yml", 5, "WX002", "warning")
    assert "2026-11-21 到期，已过 1 天" in said.message and CODES["WX002"].why in said.message
    assert said.hint == f"{CODES['WX002'].do}。"


@pytest.mark.parametrize("comment", [
    "# wenxun: ignore WX002", "#wenxun:ignore WX007, WX002", "terms2: # wenxun: ignore WX002 因为一直要用"])
def test_a_comment_keeps_a_code_quiet_in_its_file(comment: str) -> None:
    files = one(expires="2026-11-21")
    comment = comment.removeprefix("terms2: ")
    assert codes({**files, "subjects/a.yml": f"{comment}\n{files['subjects/a.yml']}"}) == []
    assert codes({**files, "subjects/a.yml": f"# wenxun: ignore WX001\n{files['subjects/a.yml']}"}) == ["WX002"]


def test_codes_can_be_left_out() -> None:
    assert codes(one(expires="2026-11-21"), ignore=["WX002"]) == []


# ---------------------------------------------------------------- the command


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WENXUN_DATA_DIR", str(tmp_path / "data"))
    return write(tmp_path / "rules", one())


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return root


def test_exit_codes_are_0_clean_3_findings_1_unreadable(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "lint", str(rules)]) == 0
    write(rules, {"subjects/a.yml": subject("a", "terms: [投票站]", "2020-01-01")})
    assert main(["rules", "lint", str(rules)]) == 3
    assert "subjects/a.yml:5:10: WX002" in capsys.readouterr().out
    assert main(["rules", "lint", str(rules), "--ignore", "wx002"]) == 0
    write(rules, {"subjects/a.yml": "id: a\n"})
    assert main(["rules", "lint", str(rules)]) == 1


def test_machines_get_json_or_annotations(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(rules, {"subjects/a.yml": subject("a", "terms: [投票站]", "2020-01-01")})
    assert main(["rules", "lint", str(rules), "--format", "json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert [(each["code"], each["file"], each["line"]) for each in told["findings"]] == [("WX002", "subjects/a.yml", 5)]
    assert main(["rules", "lint", str(rules), "--format", "github"]) == 3
    line = capsys.readouterr().out.strip()
    assert line.startswith(f"::warning file={rules.as_posix()}/subjects/a.yml,line=5,col=10,title=WX002 已经到期::")


def test_an_unknown_code_is_named(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["rules", "lint", str(rules), "--ignore", "WX999"])
    assert caught.value.code == 2 and "没有 WX999" in capsys.readouterr().err
