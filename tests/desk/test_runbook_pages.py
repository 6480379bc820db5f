"""Runbooks on the desk: open to whoever has the link, with nothing but the pages; a notice's link leads there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from agents.desk import runbooks
from agents.desk.api_alertmanager import Alert, _text
from pipeline.notify import safe
from tests.deploy.test_alert_rules import CONTRACT
from tests.desk.conftest import Stand

ROOT = Path(__file__).parent.parent.parent
DOWN = "WenxunRoleDown"
ABOUT = "进程停了。\n影响：没有人收到通知。\n先做：看日志。"


async def test_the_index_and_every_page_open_without_a_sign_in(stand: Stand) -> None:
    async with stand.client() as http:
        index = await http.get("/runbooks/")
        linked = re.findall(r'<td><a href="/runbooks/(\w+)">', index.text)
        assert sorted(linked) == sorted(CONTRACT) == sorted(runbooks.names())
        assert (await http.get("/runbooks")).text == index.text
        for name in linked:
            page = await http.get(f"/runbooks/{name}")
            assert page.status_code == 200 and f"<h1>{name} " in page.text and "<h2>先看</h2>" in page.text
            assert 'lang="en"' in page.text and "<pre><code>" in page.text
            assert set(re.findall(r'href="(/runbooks/[^"]+)"', page.text)) <= {f"/runbooks/{each}" for each in CONTRACT}
            assert not re.search(r'href="[^/#]', page.text), "no link to what the desk does not have"
    assert stand.audit() == []


@pytest.mark.parametrize(
    "path", ["WenxunNothing", "README", "readme", "..%2Fsecurity", "%2e%2e", "WenxunRoleDown.md", "a/b"])
async def test_what_is_no_page_is_told_so_in_chinese(stand: Stand, path: str) -> None:
    async with stand.client() as http:
        answer = await http.get(f"/runbooks/{path}")
    assert answer.status_code == 404 and re.search("没有这(一页手册|个页面)", answer.text)
    assert path not in answer.text


async def test_it_opens_while_the_store_is_away_and_under_no_other_name(stand: Stand) -> None:
    stand.engine.dispose()
    (stand.settings.data_dir / "wenxun.db").unlink(missing_ok=True)
    async with stand.client() as http:
        assert (await http.get(f"/runbooks/{DOWN}")).status_code == 200
        assert (await http.get(f"/runbooks/{DOWN}", headers={"host": "evil.example"})).status_code == 421
        assert "script" not in (await http.get(f"/runbooks/{DOWN}")).text


def test_markup_in_a_page_is_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "X.md").write_text("# X y\n\n<b>a</b> [z](javascript:alert(1)) [w](../secrets.md)\n", "utf-8")
    monkeypatch.setattr(runbooks, "folder", lambda: tmp_path)
    _, (part,) = runbooks.page.__wrapped__("X")
    assert "&lt;b&gt;" in part and "href" not in part and "w</p>" in part


def test_an_installed_wheel_has_its_own_copy(tmp_path: Path) -> None:
    copy = tmp_path / "source"                          # without pyproject.toml: its packages are not the question
    copy.mkdir()
    for name in ("setup.py", "rules", "docs"):
        (copy / name).symlink_to(ROOT / name)
    subprocess.run([sys.executable, "setup.py", "-q", "build_py", "-d", tmp_path / "lib"], cwd=copy, check=True)
    packed = tmp_path / "lib" / "agents" / "runbooks"
    assert {path.name for path in packed.iterdir()} == {path.name for path in runbooks.folder().iterdir()}
    assert (tmp_path / "lib" / "agents" / "starter" / "levels.yml").exists()


def test_the_image_takes_the_runbooks_along() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "COPY docs/runbooks docs/runbooks" in (ROOT / "deploy/Dockerfile").read_text()
    assert ignored.index("!docs/runbooks") > ignored.index("docs/*") and "docs" not in ignored


def test_a_notice_links_to_the_page_under_the_address_of_this_desk() -> None:
    rule = {"description": ABOUT, "runbook_url": f"http://127.0.0.1:8000/runbooks/{DOWN}"}
    alert = Alert(labels={"alertname": DOWN, "severity": "page", "role": "score"}, annotations=rule)
    for desk_url, book in (("https://desk.example/", f"https://desk.example/runbooks/{DOWN}"),
                           ("", f"http://127.0.0.1:8000/runbooks/{DOWN}")):
        lines = safe.notice(_text(alert, desk_url)).splitlines()
        assert lines[:4] == [*ABOUT.splitlines(), f"手册：{book}"]
    over = Alert(status="resolved", labels=alert.labels, annotations=rule)
    assert _text(over, "").splitlines()[:2] == ["已经结束，当时的情况：", ABOUT.splitlines()[0]]


def test_a_notice_of_others_keeps_their_link_and_a_bad_one_is_none() -> None:
    def said(url: str) -> str:
        return _text(Alert(labels={"alertname": "DiskFull"}, annotations={"runbook_url": url}), "https://desk.example")

    assert "手册：https://wiki.example/disk" in said("https://wiki.example/disk")
    assert "手册" not in said("javascript:alert(1)") + said("") + said("//x")
