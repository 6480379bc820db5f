"""Apprise: what it may be told to call, and what its answers are worth."""

from __future__ import annotations

import inspect
import logging
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from apprise.manager_plugins import NotificationManager
from apprise.plugins.discord import NotifyDiscord

from agents.deliverer import apprise as ours
from agents.deliverer.apprise import MARK, SERVICES, Apprise, refused
from agents.deliverer.letter import Letter, Outcome, Refused, Retry, Sent
from agents.deliverer.secrets import Secrets
from agents.settings import Settings
from pipeline.notify.render import Setting, render
from pipeline.rulebook.schema import Channel, ChannelType, Person
from tests.builders import book
from tests.delivery_fakes import Hook
from tests.messages import page

URL = "discord://4174216298/canary-token-JHMHI8qBe7bk2ZwO5U711o3dV_js"


def letter() -> Letter:
    record = page()
    return Letter("d1", Person(id="duty-a", name="甲", channels=("rest",)), record,
                  render(record, Setting(book(), Settings().zone)))


async def send(path: Path, url: str = URL, notify: Callable[[str, str, str], bool] | None = None) -> Outcome:
    (path / "url").write_text(f"{url}\n")
    return await Apprise(Secrets(path), notify)(Channel(id="rest", type=ChannelType.APPRISE, url_file="url"), letter())


@pytest.mark.parametrize(("url", "words"), [
    ("json://127.0.0.1:8080/hook", "type: webhook"), ("mailto://me:pw@example.org", "type: smtp"),
    ("wecombot://canary", "type: wecom-bot"), ("dingtalk://canary", "type: dingtalk-bot"),
    ("lark://canary", "type: feishu-bot"), ("xml://169.254.169.254/", "清单"), ("gotify://10.0.0.1/canary", "清单"),
    ("ntfy://localhost/canary", "清单"), ("syslog://", "清单"), ("dbus://", "清单"), ("windows://", "清单"),
    ("file:///etc/passwd", "清单"), ("https://discord.com/api/webhooks/1/canary", "清单"),
    ("schan://a, json://127.0.0.1/", "一行里的一个"), ("schan://a,json://127.0.0.1/", "一行里的一个"),
    ("schan://a\njson://127.0.0.1/", "一行里的一个"), ("discord://1/canary?template=/etc/passwd", "template"),
    ("discord://1/canary?verify=no", "verify"), ("discord://1/canary?redirect=yes", "redirect"),
    ("discord://1/canary?%2Bcanary=1", "别的参数"), ("", "一行里的一个")])
def test_what_could_call_a_host_or_read_a_file_is_refused_and_not_shown(url: str, words: str) -> None:
    told = refused(url)
    assert words in told and "canary" not in told


def test_the_schema_counts_however_it_is_written() -> None:
    assert refused("JSON://127.0.0.1/") and refused("Discord://1/abc") == "" and refused(f"{URL}?format=text") == ""


@pytest.mark.parametrize("schema", sorted(SERVICES))
def test_a_service_that_is_let_through_has_its_address_in_apprise(schema: str) -> None:
    """No place of its URL is a host, and no address in its code has a host that is made of something."""
    manager = NotificationManager()
    manager.load_modules()
    plugin = manager[schema]
    assert not {"host", "port"} & set(plugin.template_tokens), plugin
    code = inspect.getsource(inspect.getmodule(plugin))  # type: ignore[arg-type]
    assert re.findall(r"https?://[^/\s\"']*\.", code) and not re.findall(r"[\"']https?://[^/\s\"']*\{", code)


async def test_a_message_goes_out_by_the_plugin_and_follows_no_redirect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with Hook(204, (302, "Location: /elsewhere"), 500) as server:
        monkeypatch.setattr(NotifyDiscord, "notify_url", f"http://127.0.0.1:{server.port}/api/webhooks")
        outcomes = [await send(tmp_path) for _ in range(3)]
    assert outcomes[0] == Sent() and all(isinstance(each, Retry) and MARK in each.error for each in outcomes[1:])
    assert len(server.got) == 3 and "elsewhere" not in str([got.line for got in server.got])
    assert "E-0317" in server.got[0].body.decode("unicode_escape")
    assert "canary" not in caplog.text + str(outcomes)


async def test_a_url_that_apprise_does_not_know_is_refused(tmp_path: Path) -> None:
    outcome = await send(tmp_path, "pover://")
    assert isinstance(outcome, Refused) and "不认" in outcome.error


async def test_without_apprise_the_message_says_what_to_install(tmp_path: Path) -> None:
    def missing(*words: str) -> bool:
        raise ImportError

    outcome = await send(tmp_path, notify=missing)
    assert isinstance(outcome, Refused) and "pip install 'wenxun[apprise]'" in outcome.error


async def test_a_plugin_that_breaks_or_hangs_is_tried_again_without_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*words: str) -> bool:
        raise RuntimeError(f"canary {words[0]}")

    release = threading.Event()

    def hanging(*words: str) -> bool:
        return release.wait(60)

    monkeypatch.setattr(ours, "SECONDS", 0.05)
    try:
        for notify in (broken, hanging):
            outcome = await send(tmp_path, notify=notify)
            assert isinstance(outcome, Retry) and MARK in outcome.error and "canary" not in outcome.error
    finally:
        release.set()


async def test_a_missing_file_can_be_mended(tmp_path: Path) -> None:
    outcome: Any = await Apprise(Secrets(tmp_path))(
        Channel(id="rest", type=ChannelType.APPRISE, url_file="nothing"), letter())
    assert isinstance(outcome, Retry) and "nothing" in outcome.error


