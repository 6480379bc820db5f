"""Pages in Chinese say what the English ones say: same commands, settings, links and parts, in the same order."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.deploy import doc_kit
from tests.deploy.doc_kit import ROOT, Page

ENGLISH = ROOT / "docs"
CHINESE = ENGLISH / "zh"
PAIRS = [(ENGLISH / each.name, each) for each in sorted(CHINESE.glob("*.md")) if each.name != "README.md"]
PARTS = {"heading_open", "fence", "code_block", "tr_open", "list_item_open"}
NAMED = {"setting": doc_kit.SETTING, "metric": doc_kit.METRIC, "command": re.compile("`wenxun [^`]*`")}
HAN = re.compile(r"[\u4e00-\u9fff]")


def skeleton(of: Page) -> list[str]:
    """The parts of a page as they follow each other: headings with their level, blocks, rows, list items."""
    return [f"{each.type} {each.tag}" for each in of.tokens if each.type in PARTS]


def commands(of: Page) -> list[list[str]]:
    return [words for _, words in doc_kit.commands(of)]


def differing(english: Page, chinese: Page) -> list[str]:
    """Where the two say different things, as far as it can be seen without understanding them."""
    wrong = []
    here, there = skeleton(english), skeleton(chinese)
    if here != there:
        place = next((n for n, pair in enumerate(zip(here, there, strict=False)) if pair[0] != pair[1]),
                     min(len(here), len(there)))
        wrong.append(f"part {place + 1} of {len(here)} and {len(there)}: {here[place:place + 1]}, "
                     f"{there[place:place + 1]}")
    wrong += [f"block: {ours!r} {theirs!r}" for ours, theirs in zip(_code(english), _code(chinese), strict=False)
              if ours != theirs][:1]
    for name, found in NAMED.items():
        if odd := _odd(found.findall(english.text), found.findall(chinese.text)):
            wrong.append(f"{name}: {odd}")
    if odd := _odd(targets(english), targets(chinese)):
        wrong.append(f"link: {odd}")
    return wrong


def _odd(here: list[str], there: list[str]) -> list[str]:
    return sorted({" ".join(each.split()) for each in here} ^ {" ".join(each.split()) for each in there})


def _code(of: Page) -> list[list[str]]:
    """The lines of each block without their comments."""
    return [[re.sub(r"(^|\s+)#.*", "", line) for line in doc_kit.lines(block) if not line.startswith("#")]
            for block in of.blocks]


def targets(of: Page) -> list[str]:
    """Files that are linked to; a page in Chinese counts as the English one that it is a translation of."""
    files = []
    for link in of.links:
        if re.match(r"[a-z]+:", link):
            files.append(link)
            continue
        file = (of.path.parent / link.partition("#")[0]).resolve() if link.partition("#")[0] else of.path
        english = ENGLISH / file.name
        if file.parent == CHINESE and english.exists():
            file = english
        files.append(file.name.replace("README.zh-CN.md", "README.md"))
    return files


@pytest.mark.parametrize(("english", "chinese"), PAIRS, ids=lambda path: path.name)
def test_both_say_the_same(english: Path, chinese: Path) -> None:
    assert differing(doc_kit.page(english), doc_kit.page(chinese)) == []


@pytest.mark.parametrize("path", [chinese for _, chinese in PAIRS], ids=lambda path: path.name)
def test_a_page_in_chinese_is_in_chinese(path: Path) -> None:
    of = doc_kit.page(path)
    prose = [each.content for each in of.inline if each.type == "text" and len(each.content) > 40]
    assert len(prose) > 5
    assert [text for text in prose if not HAN.search(text)] == []
    assert {text for _, text in of.headings if not HAN.search(text)} <= {
        "Compose", "Kubernetes", "Kafka", "RSSHub", "Web hook（webhook）"}


def test_operators_have_their_pages_in_chinese() -> None:
    wanted = {"install", "operating", "sources", "channels", "security", "upgrading", "backup", "capacity"}
    assert {chinese.stem for _, chinese in PAIRS} >= wanted
    assert all(english.exists() for english, _ in PAIRS)


@pytest.mark.parametrize(("english", "chinese", "said"), [
    ("    wenxun event list     # open", "    wenxun event list --all     # 全部", "block"),
    ("    make test", "没有命令", "part 1"),
    ("# A\n\n## B", "# 甲\n\n### 乙", "part 2"),
    ("- a\n- b", "- 甲", "part 2 of 2 and 1"),
    ("Set `WENXUN_CONTACT`.", "请设置联系方式。", "setting"),
    ("`wenxun_sources`", "指标", "metric"),
    ("`wenxun dlq list`", "`wenxun dlq show`", "command"),
    ("[a](operating.md)", "见运行手册", "link"),
])
def test_what_is_left_out_of_a_translation_is_found(english: str, chinese: str, said: str) -> None:
    found = differing(Page(ENGLISH / "made.md", english), Page(CHINESE / "made.md", chinese))
    assert found and found[0].startswith(said)


def test_what_is_the_same_in_other_words_is_the_same() -> None:
    english = Page(ENGLISH / "made.md", "# A\n\nSee [b](backup.md), `WENXUN_CONTACT`.\n\n    make test     # all\n")
    chinese = Page(CHINESE / "made.md", "# 甲\n\n`WENXUN_CONTACT`，见[备份](backup.md)。\n\n    make test     # 全部\n")
    assert differing(english, chinese) == []


def test_the_index_names_every_page_in_both_languages() -> None:
    index = doc_kit.page(ENGLISH / "README.md")
    linked = Counter(each.partition("#")[0] for each in index.links)
    pages = {each.relative_to(ENGLISH).as_posix() for each in ENGLISH.glob("**/*.md")} - {"README.md", "zh/README.md"}
    assert {each for each in pages if not each.startswith("runbooks/")} <= set(linked)
