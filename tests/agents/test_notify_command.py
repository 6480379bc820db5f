from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents import cli
from agents.rule_files import starter_dir
from tests.delivery_fakes import Hook


@pytest.fixture
def server() -> Iterator[Hook]:
    """A web hook in a thread of its own: the command has its own event loop."""
    hook, ready, loop = Hook(), threading.Event(), asyncio.new_event_loop()

    async def serve() -> None:
        async with hook:
            hook.stop = asyncio.Event()  # type: ignore[attr-defined]
            ready.set()
            await hook.stop.wait()  # type: ignore[attr-defined]

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait(5)
    yield hook
    loop.call_soon_threadsafe(hook.stop.set)  # type: ignore[attr-defined]
    thread.join(5)
    loop.close()


@pytest.fixture
def rules(tmp_path: Path, server: Hook) -> Path:
    """The starter rules with one web hook."""
    import shutil

    folder = tmp_path / "rules"
    shutil.copytree(starter_dir(), folder)
    (folder / "url").write_text(f"http://127.0.0.1:{server.port}/canary\n")
    (folder / "channels.yml").write_text(
        "channels:\n  - id: hook\n    type: webhook\n    url_file: url\n  - id: console\n    type: console\n")
    return folder


def command(rules: Path, *more: str) -> int:
    return cli.main(["notify", "test", "--rules", str(rules), *more])


def test_a_test_message_goes_through_the_real_sender_and_is_marked(
    rules: Path, server: Hook, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WENXUN_FEED_ALLOW_PRIVATE_CIDRS", f"127.0.0.1:{server.port}")
    assert command(rules, "--channel", "hook", "--person", _anybody(rules)) == 0
    assert "已确认" in capsys.readouterr().out
    assert "【测试】" in server.got[0].body.decode()


def test_a_refusal_is_said_with_what_to_do_and_without_the_url(
    rules: Path, server: Hook, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(rules, "--channel", "hook", "--person", _anybody(rules)) == 1
    error = capsys.readouterr().err
    assert "WENXUN_FEED_ALLOW_PRIVATE_CIDRS" in error and "canary" not in error and server.got == []


@pytest.mark.parametrize(("arguments", "word"), [
    (("--channel", "nope"), "hook、console"), (("--channel", "hook", "--person", "nope"), "roster.yml")])
def test_an_unknown_channel_or_person_is_named(
    rules: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], word: str
) -> None:
    assert command(rules, *arguments) == 2
    assert word in capsys.readouterr().err


@pytest.mark.parametrize(("url", "words"), [
    ("", "没有设置 WENXUN_EXTERNAL_URL"), ("http://127.0.0.1:8000", "是本机地址，别人打不开"),
    ("https://desk.example", "会带链接，以 https://desk.example 开头")])
def test_a_test_says_whether_alerts_will_carry_links(
    rules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str,
    words: str,
) -> None:
    monkeypatch.setenv("WENXUN_EXTERNAL_URL", url)
    monkeypatch.setenv("WENXUN_DATA_DIR", str(tmp_path / "data"))
    assert command(rules, "--channel", "console") == 0
    assert words in capsys.readouterr().out and not (tmp_path / "data").exists(), "whoever tries it makes no key"


def test_a_key_that_cannot_be_used_is_told(
    rules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "open.key").write_text("k" * 40)
    (tmp_path / "open.key").chmod(0o644)
    monkeypatch.setenv("WENXUN_EXTERNAL_URL", "https://desk.example")
    monkeypatch.setenv("WENXUN_LINK_KEY_FILE", str(tmp_path / "open.key"))
    assert command(rules, "--channel", "console") == 0
    assert "告警里不带链接" in (said := capsys.readouterr().out) and "chmod 600" in said and "kkkk" not in said


def test_the_console_channel_prints_the_message(rules: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert command(rules, "--channel", "console") == 0
    assert "【测试】通道 console 的测试消息" in capfd.readouterr().out


def _anybody(rules: Path) -> str:
    from agents.rule_files import load_book

    return load_book(rules, "Asia/Shanghai").roster.people[0].id
