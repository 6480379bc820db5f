"""What the pages tell a reader to type, to set, to look at and to follow is there. Each check finds what it is for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deploy import doc_kit
from tests.deploy.doc_kit import Page

Check = Callable[[Page], list[str]]
USAGES = {doc_kit.wrong_commands, doc_kit.wrong_mentions}


@pytest.mark.parametrize("check", doc_kit.CHECKS, ids=lambda check: check.__name__)
def test_the_pages_are_right(check: Check) -> None:
    found = {each.name: check(each) for each in doc_kit.pages()
             if not (check in USAGES and each.name in doc_kit.GENERATED)}
    assert len(found) > 15
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


BAD: list[tuple[Check, str, str]] = [
    (doc_kit.wrong_commands, "    wenxun rule check", "invalid choice: 'rule'"),
    (doc_kit.wrong_commands, "```\nwenxun rules check --strictly my-rules\n```", "unrecognized arguments: --strictly"),
    (doc_kit.wrong_commands, "    sudo -u 'wenxun' sh -c 'set -a; /opt/wenxun/bin/wenxun user ad x'", "'ad'"),
    (doc_kit.wrong_commands, "    docker compose exec -T archive wenxun token create --name x", "--account"),
    (doc_kit.wrong_commands, "    A=1 wenxun event close E-0317    # no reason", "--reason"),
    (doc_kit.wrong_commands, "    wenxun silence list; wenxun silence expire", "ID"),
    (doc_kit.wrong_commands, "    wenxun event list | head -n 3 && wenxun events", "'events'"),
    (doc_kit.wrong_commands, "    wenxun user add \\\n      li --role king", "'king'"),
    (doc_kit.wrong_mentions, "Type `wenxun db current|downgrade`.", "no command `downgrade`"),
    (doc_kit.wrong_mentions, "| a | `wenxun rules test [--watched]` |\n|---|---|\n| b | c |", "no option `--watched`"),
    (doc_kit.wrong_mentions, "`wenxun notify preview --channel ID --kind page|call`", "takes no `call`"),
    (doc_kit.wrong_stack, "    deploy/stack/run restart scorer", "'scorer'"),
    (doc_kit.wrong_stack, "`make stack ARGS='--no-feed --free-port-s'`", "--free-port-s"),
    (doc_kit.wrong_targets, "    make ARGS=status stak", "make stak"),
    (doc_kit.wrong_targets, "Then `make everything`.", "make everything"),
    (doc_kit.wrong_settings, "Set `WENXUN_DATABASE`.", "WENXUN_DATABASE"),
    (doc_kit.wrong_metrics, "`wenxun_lag_records`, `wenxun_delivery_attempt_seconds_bucket`", "wenxun_lag_records"),
    (doc_kit.wrong_rules, "The alert WenxunRoleLost.", "WenxunRoleLost"),
    (doc_kit.wrong_rules, "It reads `wenxun:no_such:rate5m`.", "wenxun:no_such:rate5m"),
    (doc_kit.wrong_links, "[x](operating.md#no-such-part)", "operating.md#no-such-part"),
    (doc_kit.wrong_links, "[x](nowhere.md)", "nowhere.md"),
    (doc_kit.wrong_links, "# A part\n\n[x](#another-part)", "#another-part"),
    (doc_kit.wrong_links, "![x](picture.png)", "picture.png"),
    (doc_kit.wrong_files, "In `agents/nowhere.py`.", "agents/nowhere.py"),
    (doc_kit.wrong_files, "    cp deploy/nowhere/*.env /etc", "deploy/nowhere/*.env"),
]


@pytest.mark.parametrize(("check", "text", "said"), BAD, ids=lambda value: value if isinstance(value, str) else "")
def test_each_check_finds_what_it_is_for(check: Check, text: str, said: str) -> None:
    found = check(Page(doc_kit.ROOT / "docs" / "made.md", text))
    assert len(found) == 1 and said in found[0]


GOOD = """# A part

Set `WENXUN_DATA_DIR`, look at `wenxun_records_total`, read [this](#a-part) and [that](sources.md#add) and
[the web](https://example.org/nothing). `make test`, `wenxun db current|upgrade`, `wenxun event ack|snooze …`.

    wenxun event close E-0317 --reason 不相关     # a comment with `wenxun nonsense`
    make test ARGS=-x

```yaml
- id: it's not a command
```
"""


@pytest.mark.parametrize("check", doc_kit.CHECKS, ids=lambda check: check.__name__)
def test_no_check_complains_of_what_is_right(check: Check) -> None:
    assert check(Page(doc_kit.ROOT / "docs" / "made.md", GOOD)) == []


def test_checks_look_at_something() -> None:
    """A reader of Markdown that loses the blocks would find nothing wrong."""
    pages = doc_kit.pages()
    assert sum(len(list(doc_kit.ours(each))) for each in pages) > 50
    assert sum(len(list(doc_kit.mentions(each))) for each in pages) > 60
    assert sum(len(each.links) for each in pages) > 40
    assert len(doc_kit.targets()) > 12 and len(doc_kit.ruled()) > 10


def test_variables_that_are_no_settings_are_read_where_it_is_said() -> None:
    for name, file in doc_kit.ELSEWHERE.items():
        assert name in (doc_kit.ROOT / file).read_text("utf-8")


def test_chinese_headings_have_anchors() -> None:
    page = Page(Path("x.md"), "# 安装\n\n## 一台机器（Debian）\n\n## Setup\n\n## Setup\n\n### `a` and b\n")
    assert doc_kit.wrong_links(Page(Path("x.md"), "# 安装\n\n[x](#安装) [y](#没有)")) == ["#没有"]
    assert page.anchors == {"安装", "一台机器debian", "setup", "setup-1", "a-and-b"}
