"""A start that cannot work ends with 2 and one line: which setting, which address or file, and what to do."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agents import cli, secret_files
from agents.demo import feeds
from agents.desk import accounts
from agents.listening import refused
from agents.outbound.proxy import Proxy
from agents.rule_files import load_book, starter_dir
from agents.settings import Settings
from agents.store.engine import open_store, upgrade
from pipeline.errors import SettingsError
from pipeline.rulebook.schema import Channel, ChannelType
from tests import servers
from tests.builders import book as book_of
from tests.kafka.broker import RUN, absent

SECRET = "geheimnis-9f3a"


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *command: str, **environ: str) -> int:
    """A command as in a shell of its own settings; embedded, so that no broker is waited for. Its exit code."""
    for name in [name for name in os.environ if name.startswith("WENXUN_")]:
        monkeypatch.delenv(name)
    for name, value in {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "WENXUN_EMBEDDED": "1",
                        "WENXUN_DATA_DIR": str(tmp_path / "data"), "WENXUN_METRICS_BIND": "127.0.0.1:0",
                        "WENXUN_DESK_BIND": "127.0.0.1:0", **environ}.items():
        monkeypatch.setenv(name, value)
    return cli.main(command)


def only_line(said: str) -> str:
    """What the operator reads; there must be just one."""
    found = [line for line in said.splitlines() if line.startswith("wenxun: ")]
    assert len(found) == 1 and "Traceback" not in said, said
    return found[0]


@pytest.mark.parametrize(("roles", "setting"), [("score", "WENXUN_METRICS_BIND"), ("desk", "WENXUN_DESK_BIND")])
def test_a_taken_port_ends_a_role_with_2_and_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], taken: int, roles: str,
    setting: str,
) -> None:
    assert start(monkeypatch, tmp_path, "run", "--roles", roles, **{setting: f"127.0.0.1:{taken}"}) == 2
    assert only_line(capsys.readouterr().err) == (
        f"wenxun: {setting}=127.0.0.1:{taken}: another program listens there already (`ss -ltnp 'sport = :{taken}'` "
        f"shows which): stop it, or set {setting} to another port")


def test_a_taken_port_ends_up_as_well_and_nothing_is_started_again(tmp_path: Path, taken: int) -> None:
    environ = {**os.environ, "WENXUN_METRICS_BIND": "127.0.0.1:0", "WENXUN_DESK_BIND": f"127.0.0.1:{taken}"}
    command = [sys.executable, "-m", "agents", "up", "--rules", str(starter_dir()), "--data", str(tmp_path / "data")]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2
    assert f"WENXUN_DESK_BIND=127.0.0.1:{taken}: another program listens there" in only_line(ended.stderr)
    assert "starting them again" not in ended.stderr


def test_a_taken_port_of_the_demos_feeds_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], taken: int
) -> None:
    assert feeds.main(["--rules", str(tmp_path / "rules"), "--port", str(taken)]) == 2
    assert f"--bind and --port=127.0.0.1:{taken}: another program listens" in only_line(capsys.readouterr().err)


@pytest.mark.kafka
@pytest.mark.parametrize("command", ["start", "serve"])
def test_a_taken_port_of_kafka_is_named(tmp_path: Path, taken: int, command: str) -> None:
    if reason := absent():
        servers.missing("kafka", reason)
    line = [RUN, command, "--data", str(tmp_path / "kafka"), "--port", str(taken)]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2 and len(ended.stderr.splitlines()) == 1
    assert f"--port {taken}: another program listens on 127.0.0.1:{taken} already" in ended.stderr


def test_an_address_that_is_not_ours_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start(monkeypatch, tmp_path, "run", "--roles", "score", WENXUN_METRICS_BIND="192.0.2.1:8001") == 2
    said = only_line(capsys.readouterr().err)
    assert "WENXUN_METRICS_BIND=192.0.2.1:8001: this machine has no such address" in said and "0.0.0.0" in said


def test_what_else_the_system_may_say_of_an_address() -> None:
    low = str(refused("X", "0.0.0.0", 80, PermissionError(13, "Permission denied")))
    assert low == "X=0.0.0.0:80: this user may not listen on ports below 1024: set X to a higher port"
    assert "(odd): set X to another address" in str(refused("X", "h", 8000, OSError(5, "odd")))
    assert "no such address" in str(refused("X", "nowhere.invalid", 8000, socket.gaierror(-2, "Name or service")))


# ---------------------------------------------------------------- secrets


def missing(path: Path) -> None:
    """No file at all."""


def folder(path: Path) -> None:
    path.mkdir()


def empty(path: Path) -> None:
    path.write_text(" \n")


def noise(path: Path) -> None:
    path.write_bytes(b"\xff\xfe" + SECRET.encode())


WRONG: dict[Callable[[Path], None], str] = {
    missing: "there is no such file: write the secret into it", folder: "this is a folder",
    empty: "the file is empty", noise: "this is no text in UTF-8"}
STARTS = {
    "WENXUN_DATABASE_PASSWORD_FILE": ("archive", {"WENXUN_DATABASE_URL": "postgresql://wenxun@127.0.0.1:1/wenxun"}),
    "WENXUN_ADMIN_PASSWORD_FILE": ("desk", {}),
}


@pytest.mark.parametrize("wrong", WRONG, ids=lambda made: made.__name__)
@pytest.mark.parametrize("setting", STARTS)
def test_a_secret_that_cannot_be_used_ends_a_start_with_2_and_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], setting: str,
    wrong: Callable[[Path], None],
) -> None:
    path = tmp_path / "a-secret"
    wrong(path)
    role, more = STARTS[setting]
    assert start(monkeypatch, tmp_path, "run", "--roles", role, **{setting: str(path)}, **more) == 2
    said = capsys.readouterr().err
    assert only_line(said).startswith(f"wenxun: {setting}={path}: {WRONG[wrong]}") and SECRET not in said


def test_a_secret_that_may_not_be_read_says_whose_it_must_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "a-secret"
    path.write_text(SECRET)

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)                # root may read everything
    with pytest.raises(SettingsError, match="this user may not read it: give the file to the user that runs Wenxun"):
        secret_files.read("WENXUN_ADMIN_PASSWORD_FILE", path)


def test_an_admins_password_that_is_too_short_is_no_secret_either(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a-secret"
    path.write_text("kurz\n")
    assert start(monkeypatch, tmp_path, "run", "--roles", "desk", WENXUN_ADMIN_PASSWORD_FILE=str(path)) == 2
    said = only_line(capsys.readouterr().err)
    assert "WENXUN_ADMIN_PASSWORD_FILE" in said and "kurz" not in said


@pytest.mark.parametrize("wrong", WRONG, ids=lambda made: made.__name__)
def test_a_proxys_sign_in_that_cannot_be_used_is_named(tmp_path: Path, wrong: Callable[[Path], None]) -> None:
    path = tmp_path / "a-secret"
    wrong(path)
    with pytest.raises(SettingsError) as refusal:
        Proxy.of(("127.0.0.1", 3128), path)
    assert str(refusal.value).startswith(f"WENXUN_FEED_PROXY_AUTH_FILE={path}: {WRONG[wrong]}")


def test_the_first_line_of_a_secret_counts(tmp_path: Path) -> None:
    path = tmp_path / "a-secret"
    path.write_text(f"{SECRET}\n# 换口令用 wenxun user passwd\n", "utf-8")
    given = Settings(data_dir=tmp_path, admin_password_file=path)
    upgrade(given.store_url)
    engine = open_store(given.store_url)
    assert accounts.ensure_admin(engine, given, 1) is None
    assert accounts.check_password(engine, "admin", SECRET) is not None
    engine.dispose()


def test_channels_without_their_secret_are_found_before_a_page_needs_them(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    shutil.copytree(starter_dir(), rules)
    (rules / "channels.yml").write_text(
        "channels:\n  - {id: console, type: console}\n  - {id: hook, type: webhook, url_file: secrets/hook.url}\n",
        "utf-8")
    book = load_book(rules, "Asia/Shanghai")
    assert secret_files.of_channels(book, rules) == {"hook": "url_file 指的 secrets/hook.url 不存在"}
    (rules / "secrets").mkdir(exist_ok=True)
    (rules / "secrets" / "hook.url").write_text("")
    assert "是空的" in secret_files.of_channels(book, rules)["hook"]
    (rules / "secrets" / "hook.url").write_text("http://hook.example/\n")
    assert secret_files.of_channels(book, rules) == {}


def test_a_folder_of_secrets_that_this_user_may_not_enter_is_said_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    rules = book_of(channels=(Channel(id="hook", type=ChannelType.WEBHOOK, url_file="secrets/hook.url"),))
    monkeypatch.setattr(Path, "stat", refuse)
    assert "读不了" in secret_files.of_channels(rules, tmp_path)["hook"]
