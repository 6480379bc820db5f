"""TrendRadar's word groups as subjects: what they match is what they matched there, and nothing is lost in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.cli import main
from agents.rule_files import read_dir
from pipeline.errors import WenxunError
from pipeline.rulebook import trendradar
from pipeline.rulebook.parse import parse_book
from pipeline.rulebook.schema import RuleBook, Status
from pipeline.score.score import Scorer
from tests.builders import raw_item
from tests.rules.test_parse import GOOD, ZONE

BASE = {name: text for name, text in GOOD.items() if not name.startswith(("subjects/", "words/"))}


def made(text: str) -> dict[str, str]:
    return trendradar.files(trendradar.read(text), expires="2027-11-22", source="词表.txt")


def book(text: str) -> RuleBook:
    return parse_book({**BASE, **made(text)}, ZONE)


def matched(text: str, title: str, body: str = "") -> list[str]:
    """Subjects' titles."""
    rules = book(text)
    found = Scorer(rules).score(raw_item(title=title, text=body))
    return [rules.subject(each.removeprefix("~")).title for each in found if each.startswith("~")]  # type: ignore[union-attr]


def notes(text: str) -> list[tuple[int, str]]:
    return [(note.line, note.text) for note in trendradar.read(text).notes]


GROUPS = """\
# 自己写的例子
[GLOBAL_FILTER]
震惊
/抽奖|秒杀/

[WORD_GROUPS]
[投票]
投票站
/选民证|登记点/ => 证件
!打榜

公交
地铁
+停运
+/明天|后天/

VAR
/(?<![a-z])ev(?![a-z])/ => 电动车
"""


@pytest.mark.parametrize(("title", "subjects"), [
    ("投票站搬了", ["投票"]), ("登记点在哪", ["投票"]), ("投票站人气打榜", []), ("震惊！投票站搬了", []),
    ("投票站抽奖", []), ("公交明天停运", ["公交 / 地铁 / 停运 / 明天 / 后天"]), ("地铁停运", []), ("公交明天照常", []),
    ("明天停运", []), ("var改判", ["电动车"]), ("新款ev上市", ["电动车"]), ("新款EV上市", ["电动车"]), ("level up", []),
    ("今天天气好", []),
])
def test_a_title_matches_what_it_matched_there(title: str, subjects: list[str]) -> None:
    assert matched(GROUPS, title) == subjects


def test_only_titles_are_looked_at() -> None:
    assert matched(GROUPS, "今天", "投票站搬了") == []


def test_subjects_begin_in_shadow_with_an_owner_to_be_named_and_an_end() -> None:
    subjects = book(GROUPS).subjects
    assert [(each.status, each.owner, each.expires, each.scope) for each in subjects] == [
        (Status.SHADOW, trendradar.OWNER, "2027-11-22", ("title",))] * 3
    assert [each.id for each in book(GROUPS).lists] == [trendradar.FILTER]


@pytest.mark.parametrize(("text", "line", "said"), [
    ("甲\n@5\n", 2, "@5：闻讯不限制条数"),
    ("甲\n@很多\n", 2, "@ 后面应是数字"),
    ("甲\n/乙(/\n", 2, "/乙(/ 不能用：圆括号没有配对"),
    ("甲\n/乙(?=丙)/\n", 2, "不支持前瞻"),
    ("甲\n/乙*/\n", 2, "连空文字也会匹配"),
    ("甲\n+/乙(/\n", 2, "圆括号没有配对"),
    ("!甲\n!乙\n", 1, "只有 ! 过滤词"),
    ("[空组]\n\n甲\n", 1, "组“空组”里没有可用的词"),
    ("甲\n[乙]\n", 2, "组名 [乙] 应是一组的第一行"),
    ("甲\n甲\n", 2, "“甲”第 1 行已经有了"),
    ("投票\n投票站\n!投票\n", 1, "“投票”在同一组里又被 ! 排除"),
    ("甲\n+乙\n!乙\n", 2, "这一组永远不会匹配"),
    ("[GLOBAL_FILTER]\n!震惊\n", 2, "全局过滤区里不用 ! 开头"),
    ("[GLOBAL_FILTER]\n[组]\n", 2, "[组] 在全局过滤区里，没有意义"),
    ("甲\n" + "长" * 51 + "\n", 2, "超过 50 个字"),
    ("甲\n=> 别名\n", 2, "这一行没有词"),
    ("甲\n……\n", 2, "“……”里没有文字"),
])
def test_what_is_not_carried_over_is_told_with_its_line(text: str, line: int, said: str) -> None:
    found = notes(text)
    assert any(number == line and said in told for number, told in found), found
    book(text)


def test_a_group_that_lost_a_required_word_is_left_out_rather_than_matching_too_much() -> None:
    assert made("甲甲\n+/乙(/\n") == {}
    assert [told for _, told in notes("甲甲\n+/乙(/\n")][0] == "组“甲甲”少了必须词就会匹配过多，没有生成主题"


@pytest.mark.parametrize("text", [
    "", "\n\n", "# 只有注释\n", "[WORD_GROUPS]\n", "[GLOBAL_FILTER]\n震惊\n", "!甲\n", "@3\n"])
def test_a_file_without_groups_makes_no_subject(text: str) -> None:
    assert not [name for name in made(text) if name.startswith("subjects/")]
    book(text)


@pytest.mark.parametrize("text", [
    "yes\n", "- 破折号\n", "冒号: 值\n", "#井号在头是注释\n甲\n", "\"引号\"\n", "{花括号}\n", "2026-11-22\n",
    "😀\n", "甲 乙\n", "null\n", "'单引号\n", "*星号\n", "&和\n", "%百分号\n", "`反引号\n", "反斜杠\\\n",
    "甲\t乙\n", "/\\d+元/\n", "/^甲$/\n",
])
def test_odd_words_are_written_so_that_they_are_read_back_as_they_were(text: str) -> None:
    wanted = [line for line in text.splitlines() if not line.startswith("#")]
    terms = [term for subject in book(text).subjects for term in subject.terms]
    assert [f"/{term.regex}/" if term.regex else term.text for term in terms] == wanted


def test_ids_are_of_latin_titles_or_numbers_and_never_given_twice() -> None:
    text = "[AI News]\n甲\n\n[ai news]\n乙\n\n[中文]\n丙\n"
    assert [each.id for each in book(text).subjects] == [
        "trendradar-03", "trendradar-ai-news", "trendradar-ai-news-2"]
    taken = frozenset({"trendradar-03", "trendradar-filter"})
    again = trendradar.files(trendradar.read("[GLOBAL_FILTER]\n己\n[WORD_GROUPS]\n" + text), expires="2027-11-22",
                             source="x", taken=taken)
    assert {"words/trendradar-filter-2.yml", "subjects/trendradar-03-2.yml"} <= again.keys()


@pytest.mark.parametrize(("body", "name"), [
    ("投票站".encode(), "UTF-8"), (b"\xef\xbb\xbf" + "投票站".encode(), "UTF-8"), ("投票站".encode("gbk"), "GBK"),
    ("投票站".encode("utf-16"), "UTF-16"),
])
def test_a_file_is_read_in_the_encodings_that_editors_save(body: bytes, name: str) -> None:
    assert trendradar.decode(body) == ("投票站", name)


@pytest.mark.parametrize("body", [b"\x89PNG\r\n\x1a\n\x00\x00", b"a\xff\xff\xff", b"x" * (1024 * 1024 + 1)])
def test_what_is_no_text_is_refused(body: bytes) -> None:
    with pytest.raises(WenxunError):
        trendradar.decode(body)


# ---------------------------------------------------------------- the command


def run(tmp_path: Path, *options: str, text: str = GROUPS, encoding: str = "utf-8") -> int:
    (tmp_path / "词表.txt").write_bytes(text.encode(encoding))
    file, out = tmp_path / "词表.txt", tmp_path / "rules"
    return main(["rules", "import", "trendradar", str(file), "--out", str(out), *options])


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    for name, text in GOOD.items():
        path = tmp_path / "rules" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return tmp_path / "rules"


def test_files_are_written_beside_the_others_and_check_clean(
    tmp_path: Path, rules: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(tmp_path, encoding="gbk") == 0
    said = capsys.readouterr().out
    assert "（GBK）：3 组" in said and "没有照搬" in said
    assert len(read_dir(rules).parse(ZONE).subjects) == 4
    assert main(["rules", "check", str(rules)]) == 0


def test_importing_again_writes_over_nothing(tmp_path: Path, rules: Path) -> None:
    assert run(tmp_path) == 0
    before = read_dir(rules).texts
    assert run(tmp_path) == 0
    after = read_dir(rules).texts
    assert {name: after[name] for name in before} == before and len(after) == len(before) + 4
    assert len(read_dir(rules).parse(ZONE).subjects) == 7


def test_a_dry_run_shows_the_files_and_writes_none(
    tmp_path: Path, rules: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    before = read_dir(rules).texts
    assert run(tmp_path, "--dry-run") == 0
    assert read_dir(rules).texts == before
    said = capsys.readouterr().out
    assert "status: shadow" in said and "没有写入" in said


def test_a_folder_of_its_own_gets_the_subjects_alone(tmp_path: Path) -> None:
    assert run(tmp_path) == 0
    assert {path.parent.name for path in (tmp_path / "rules").rglob("*.yml")} == {"subjects", "words"}


def test_a_file_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "import", "trendradar", str(tmp_path / "none.txt")]) == 2
    assert "none.txt: 读不了" in capsys.readouterr().err
