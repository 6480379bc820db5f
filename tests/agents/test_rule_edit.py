"""Sources that the program writes into sources.yml: what people wrote stays; what does not check is not written."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from pathlib import Path

import pytest

from agents.rule_edit import FILE, RuleEditError, add_sources
from agents.rule_files import load_book, starter_dir
from pipeline.errors import RuleBookError
from pipeline.rulebook.schema import JsonList, Source, SourceFormat

ZONE = "Asia/Shanghai"
NEW = Source(id="town", name="镇社区 #1: 热帖", url="https://town.example.cn/latest.json", group="论坛",
             interval=180_000, official=True, full_text=True)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    return Path(shutil.copytree(starter_dir(), tmp_path / "rules"))


def put(rules: Path, text: str) -> Path:
    (rules / FILE).write_bytes(text.encode())
    return rules / FILE


STYLES = {
    "starter": None,
    "no file content": "",
    "only comments": "# 还没有\n# sources:\n#   - id: a\n",
    "no key": "rsshub: https://rsshub.example.cn   # 自建\n",
    "no end of line": "rsshub: https://rsshub.example.cn",
    "nothing": "sources:\n\n# 尾注\nrsshub: https://rsshub.example.cn\n",
    "nothing, no end of line": "sources:",
    "null with a comment": "sources: ~   # 待填\nrsshub: https://rsshub.example.cn\n",
    "empty in front": "sources: []   # 待填\n# 实例\nrsshub: https://rsshub.example.cn\n",
    "entries in front": ("sources:\n  - id: a            # 第一个\n    name: 甲\n    url: https://a.example/x   # 尾\n"
                         "\n  # 下面是实例\n\nrsshub: https://rsshub.example.cn\n"),
    "flush left, spaced wide": "sources:\n-   id: a\n    name: \"甲\"\n    url: 'https://a.example/x'\n# 完",
    "carriage returns": "sources:\r\n  - id: a\r\n"
                        "    name: 甲\r\n    url: http://a.example\r\n# 尾\r\n",
    "flow inside": "sources:\n  - {id: a, name: 甲,\n     url: https://a.example/x}\n  # 尾注\n",
    "a long text at the end": ("sources:\n  - id: a\n    url: https://a.example/x\n    name: >-\n      甲\n      乙\n"
                               "# 尾注\n"),
}


@pytest.mark.parametrize("style", STYLES)
def test_what_people_wrote_stays_and_the_entry_stands_behind_it(rules: Path, style: str) -> None:
    path = rules / FILE
    if STYLES[style] is not None:
        put(rules, str(STYLES[style]))
    before, book = path.read_bytes().decode(), load_book(rules, ZONE)
    edit = add_sources(rules, ZONE, [NEW])
    after, now = path.read_bytes().decode(), load_book(rules, ZONE)
    assert after == edit.text and now == edit.book and now.sources[:-1] == book.sources
    added = now.sources[-1]
    assert (added.id, added.name, added.url, added.interval) == (NEW.id, NEW.name, NEW.url, NEW.interval)
    assert added.official and added.full_text and added.group == "论坛"
    lines = after.split("\n")
    kept = [line for line in before.split("\n") if line and not line.startswith("sources:")]
    assert [line for line in lines if line in kept] == kept         # every line, in its order
    if "#" in before.partition("sources:")[2].partition("\n")[0]:
        assert "# 待填" in after
    assert before.count("\r\n") == 0 or after.replace("\r\n", "").count("\n") == 0


def test_entries_are_spaced_as_people_spaced_theirs(rules: Path) -> None:
    path = put(rules, "sources:\n- id: a\n  name: 甲\n  url: https://a.example/x\n- id: b\n  name: 乙\n"
                      "  url: https://b.example/x\n")
    add_sources(rules, ZONE, [NEW, Source(id="c", name="丙", url="https://c.example/x")])
    assert path.read_text().endswith(
        "https://b.example/x\n- id: town\n  name: '镇社区 #1: 热帖'\n  url: https://town.example.cn/latest.json\n"
        "  group: 论坛\n  official: true\n  interval: 3m\n  full_text: true\n- id: c\n  name: 丙\n  url: https://c.example/x\n")


def test_twins_are_named_and_ids_made_free(rules: Path) -> None:
    put(rules, "sources:\n  - id: town\n    name: 甲\n    url: https://A.example:443/x/\n  - id: hot\n    name: 热\n"
               "    url: rsshub:/weibo/search/hot\nrsshub: https://rsshub.example.cn\n")
    edit = add_sources(rules, ZONE, [
        Source(id="x", name="甲", url="http://a.example/x"), Source(id="y", name="热", url="rsshub:/weibo/search/hot"),
        Source(id="z", name="热", url="https://rsshub.example.cn/weibo/search/hot"), NEW,
        Source(id="intake", name="甲", url="https://i.example/"), Source(id="v", name="甲", url=NEW.url)])
    assert [(twin.proposed.id, twin.present.id) for twin in edit.twins] == [
        ("x", "town"), ("y", "hot"), ("z", "hot"), ("v", "town-2")]
    assert [each.id for each in edit.added] == ["town-2", "intake-2"]


def test_lists_and_routes_come_back_as_written(rules: Path) -> None:
    hot = Source(id="hot", name="热榜", url="https://bbs.example.cn/api/hot", format=SourceFormat.JSON,
                 list=JsonList(items="data.list", title="title", link="https://bbs.example.cn/t/{tid}"))
    route = Source(id="weibo", name="微博热搜", url="https://rsshub.app/weibo/search/hot",
                   route="rsshub:/weibo/search/hot")
    add_sources(rules, ZONE, [hot, route])
    found = load_book(rules, ZONE).sources
    assert found[0].list == hot.list and found[0].format is SourceFormat.JSON
    assert found[1].route == route.route and "rsshub:/weibo/search/hot" in (rules / FILE).read_text()


@pytest.mark.parametrize("text", [
    "sources: [{id: a, name: 甲, url: https://a.example/x}]\n", "sources:\n  [\n  ]\n", "sources: [\n]\n# 尾注\n"])
def test_odd_writing_is_left_alone_or_understood(rules: Path, text: str) -> None:
    path = put(rules, text)
    count = len(load_book(rules, ZONE).sources)
    try:
        add_sources(rules, ZONE, [NEW])
    except (RuleEditError, RuleBookError):
        assert path.read_text() == text
    else:
        assert len(load_book(rules, ZONE).sources) == count + 1


def test_nothing_is_written_when_the_directory_does_not_check(rules: Path) -> None:
    before = (rules / FILE).read_bytes()
    with pytest.raises(RuleBookError) as wrong:                    # the new entry
        add_sources(rules, ZONE, [Source(id="a", name="甲", url="https://a.example/x", interval=1)])
    assert wrong.value.problems[0].file == FILE and "interval" in str(wrong.value)
    (rules / "levels.yml").write_text("ladder: []\n")
    with pytest.raises(RuleBookError) as wrong:                    # another file, before
        add_sources(rules, ZONE, [NEW])
    assert wrong.value.problems[0].file == "levels.yml" and (rules / FILE).read_bytes() == before


def test_mode_and_link_are_kept_and_nothing_is_left_lying(rules: Path, tmp_path: Path) -> None:
    real = rules / ".kept" / "real.yml"
    real.parent.mkdir()
    (rules / FILE).rename(real)
    (rules / FILE).symlink_to(Path(".kept") / real.name)
    real.chmod(0o640)
    add_sources(rules, ZONE, [NEW])
    assert (rules / FILE).is_symlink() and real.stat().st_mode & 0o777 == 0o640 and "town" in real.read_text()
    assert [path.name for path in real.parent.iterdir()] == ["real.yml"]


def test_a_file_that_cannot_be_replaced_is_said_and_whole(rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (rules / FILE).read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RuleEditError, match="没有改动"):
        add_sources(rules, ZONE, [NEW])
    assert (rules / FILE).read_bytes() == before and not list(rules.glob(".sources*"))


def test_only_tried_is_not_written(rules: Path) -> None:
    before = (rules / FILE).read_bytes()
    edit = add_sources(rules, ZONE, [NEW], write=False)
    assert "镇社区" in edit.text and (rules / FILE).read_bytes() == before


def add_some(rules: Path, who: int) -> None:
    for number in range(5):
        add_sources(rules, ZONE, [Source(id="s", name="同名", url=f"https://s{who}.example/{number}")])


def test_commands_at_once_lose_nothing(rules: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=add_some, args=(rules, who)) for who in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    found = load_book(rules, ZONE).sources
    assert [worker.exitcode for worker in workers] == [0, 0, 0] and len({each.id for each in found}) == len(found) == 15
