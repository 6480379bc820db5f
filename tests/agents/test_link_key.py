from __future__ import annotations

import os
import stat
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from agents import link_key
from agents.settings import Settings
from pipeline.errors import SettingsError
from pipeline.notify.signed import LIFE, Claim, verify
from tests.builders import NOON
from tests.messages import page, system


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", external_url="https://desk.example")


def test_whoever_needs_it_first_makes_it_for_its_owner_alone(settings: Settings) -> None:
    key = link_key.load(settings)
    made = settings.data_dir / "link.key"
    assert len(key) >= 64 and key == link_key.load(settings) and key == made.read_bytes().strip()
    assert stat.S_IMODE(made.stat().st_mode) == 0o600 and os.listdir(settings.data_dir) == ["link.key"]


def test_two_at_once_have_one_key(settings: Settings) -> None:
    found: list[bytes] = []
    start = threading.Barrier(8)

    def need() -> None:
        start.wait()
        found.append(link_key.load(settings))

    threads = [threading.Thread(target=need) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 8 and len(set(found)) == 1 and os.listdir(settings.data_dir) == ["link.key"]


@pytest.mark.parametrize(("content", "mode", "words"), [
    (b"x" * 40, 0o604, "chmod 600"), (b"x" * 40, 0o602, "chmod 600"), (b"x" * 31, 0o600, "31 字节"),
    (b"  \n", 0o600, "0 字节"), (b"x" * 5000, 0o600, "4097 字节")])
def test_a_key_that_is_open_or_no_key_is_refused(settings: Settings, content: bytes, mode: int, words: str) -> None:
    settings.data_dir.mkdir()
    (settings.data_dir / "link.key").write_bytes(content)
    (settings.data_dir / "link.key").chmod(mode)
    with pytest.raises(SettingsError, match=words) as caught:
        link_key.load(settings)
    assert "WENXUN_LINK_KEY_FILE" in str(caught.value) and "xxxx" not in str(caught.value)


def test_a_key_that_a_group_may_read_is_taken(settings: Settings, tmp_path: Path) -> None:
    shared = tmp_path / "shared.key"
    shared.write_bytes(b"k" * 32 + b"\n")
    shared.chmod(0o640)
    assert link_key.load(replace(settings, link_key_file=shared)) == b"k" * 32


def test_a_folder_that_cannot_be_written_is_named(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SettingsError, match="WENXUN_LINK_KEY_FILE=.*link.key"):
        link_key.load(replace(settings, data_dir=tmp_path / "file"))


def test_a_link_says_who_may_answer_what_and_until_when(settings: Settings) -> None:
    key = link_key.load(settings)
    link = link_key.answer_link(settings, key, page(), "duty-a")
    start, token = link.rsplit("/", 1)
    assert start == "https://desk.example/a" and link == link_key.answer_link(settings, key, page(), "duty-a")
    assert verify(key, token, NOON) == Claim("e1", "al1", "duty-a", NOON + LIFE)


def test_what_has_no_alert_has_no_link(settings: Settings) -> None:
    assert link_key.answer_link(settings, b"k" * 32, system(), "ops") == ""


@pytest.mark.parametrize("url", [
    "", "http://127.0.0.1:8000", "http://localhost:8000", "http://[::1]:8000", "http://desk.localhost", "http://0.0.0.0:8000",
    "http://127.9.9.9", "http://LOCALHOST."])
def test_a_link_that_only_this_machine_could_open_is_none(url: str) -> None:
    settings = Settings(external_url=url)
    assert settings.link_url == "" and link_key.answer_link(settings, b"k" * 32, page(), "duty-a") == ""
    assert replace(settings, link_loopback=True).link_url == url


@pytest.mark.parametrize("url", ["https://desk.example", "http://10.0.0.5:8000", "http://[fd00::1]", "http://wenxun"])
def test_a_link_that_others_can_open_is_carried(url: str) -> None:
    assert Settings(external_url=url).link_url == url


def test_the_settings_are_read_from_the_environment(tmp_path: Path) -> None:
    settings = Settings.from_env({"WENXUN_LINK_KEY_FILE": str(tmp_path / "k"), "WENXUN_LINK_LOOPBACK": "true"})
    assert settings.link_key_path == tmp_path / "k" and settings.link_loopback
    assert Settings.from_env({}).link_key_path == Path("wenxun-data/link.key")
