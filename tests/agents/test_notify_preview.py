"""`wenxun notify preview` over every channel type: what the real sender would send, and nothing leaves."""

from __future__ import annotations

import json
import re
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from agents import cli, link_key
from agents.rule_files import load_book, starter_dir
from agents.settings import Settings
from agents.store import schema
from agents.store.engine import open_store, upgrade
from agents.store.projection import _escalation
from pipeline import codec
from pipeline.model import EscalationKind, EventHead
from pipeline.rulebook.schema import ChannelType
from tests.builders import NOON
from tests.messages import act, clock, head, page

ROBOT = {"url_file": "robot.url"}
CLOUD = {"key_file": "cloud.key", "secret_file": "cloud.secret"}
SECRETS = {"robot.url": "https://open.example/robot?key=canary", "cloud.key": "canary-id", "cloud.secret": "canary",
           "password": "canary"}
CHANNELS: dict[str, dict[str, Any]] = {
    "console": {},
    "webhook": {**ROBOT, "secret_file": "cloud.secret"},
    "smtp": {"host": "mail.example", "sender": "wenxun@mail.example", "password_file": "password", "username": "wx"},
    "wecom-bot": ROBOT,
    "wecom-app": {"corp": "ww1234567890abcdef", "agent": 1000002, "secret_file": "cloud.secret"},
    "dingtalk-bot": {**ROBOT, "secret_file": "cloud.secret"},
    "feishu-bot": {**ROBOT, "secret_file": "cloud.secret"},
    "aliyun-sms": {**CLOUD, "sign": "青禾县", "template": "SMS_1", "params": ["number", "level", "title"]},
    "aliyun-voice": {**CLOUD, "caller": "02100000000", "template": "TTS_1", "params": ["text"]},
    "tencent-sms": {**CLOUD, "app": "1400000000", "sign": "青禾县", "template": "1234", "params": ["number", "title"]},
    "tencent-voice": {**CLOUD, "app": "1400000000", "template": "1234", "params": ["number", "title"]},
    "http": {**ROBOT, "body": '{"to": "{mobile}", "text": "{number} {title}"}', "secret_file": "cloud.secret",
             "headers": {"Content-Type": "application/json", "Authorization": "Bearer {secret}"}},
    "alertmanager": {"url": "https://alerts.example"},
    "apprise": ROBOT,
}


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The starter rules with a channel of each type and its secrets, and an archive with one event."""
    import yaml

    rules = tmp_path / "rules"
    shutil.copytree(starter_dir(), rules)
    for name, content in SECRETS.items():
        (rules / name).write_text(content)
    channels = [{"id": name, "type": name, **fields} for name, fields in CHANNELS.items()]
    (rules / "channels.yml").write_text(yaml.safe_dump({"channels": channels}, allow_unicode=True))
    roster = yaml.safe_load((rules / "roster.yml").read_text())
    roster["people"][0] |= {"channels": list(CHANNELS), "mail": "duty@mail.example", "mobile": "13800138000",
                            "wecom": "zhiban", "dingtalk": "ding01", "feishu": "ou_01"}
    for person in roster["people"][1:]:
        person["channels"] = ["console"]
    (rules / "roster.yml").write_text(yaml.safe_dump(roster, allow_unicode=True))
    monkeypatch.setenv("WENXUN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("WENXUN_EXTERNAL_URL", "https://desk.example")
    _archive(tmp_path / "data", head(subject="投票站", excerpts=head().excerpts))
    return rules


def _archive(data: Path, *heads: EventHead) -> None:
    data.mkdir(exist_ok=True)
    url = Settings(data_dir=data).store_url
    upgrade(url)
    engine = open_store(url)
    with engine.begin() as connection:
        for one in heads:
            names = ("id", "number", "subject", "level", "level_name", "peak", "version", "title", "items", "sources",
                     "opened_at", "last_item_at", "changed_at", "shadow", "drill")
            connection.execute(insert(schema.events).values(
                status=str(one.status), head=codec.encode(one).decode(),
                **{name: getattr(one, name) for name in names}))
    engine.dispose()


def _sent(data: Path, *escalations: Any) -> None:
    engine = open_store(Settings(data_dir=data).store_url)
    with engine.begin() as connection:
        for one in escalations:
            connection.execute(insert(schema.escalations).values(_escalation(one)))
    engine.dispose()


def preview(rules: Path, *more: str) -> int:
    return cli.main(["notify", "preview", "--rules", str(rules), "--event", "E-0317", *more])


def test_the_channels_of_this_test_are_all_there_are() -> None:
    assert set(CHANNELS) == {kind.value for kind in ChannelType}


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Where somebody tried to connect to."""
    tried: list[object] = []

    def refuse(self: socket.socket, address: object) -> None:
        tried.append(address)
        raise ConnectionRefusedError("nobody goes out")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return tried


@pytest.mark.parametrize("name", sorted(CHANNELS))
@pytest.mark.parametrize("raw", [False, True], ids=["text", "raw"])
def test_every_channel_shows_what_it_would_get_and_no_secret(
    installation: Path, capsys: pytest.CaptureFixture[str], no_network: list[object], name: str, raw: bool,
) -> None:
    assert preview(installation, "--channel", name, *(["--raw"] if raw else [])) == 0
    shown = capsys.readouterr()
    assert "canary" not in shown.out + shown.err and "什么也没有发送" in shown.err and "按现状拟了一条" in shown.err
    assert re.search("E[- ]0317", _decoded(shown.out)) and no_network == []
    assert not (installation.parent / "data/link.key").exists()


def _decoded(text: str) -> str:
    """A mail's parts are Base64."""
    import email
    import email.policy

    if "MIME-Version" not in text:
        return text
    mail = email.message_from_string(text, policy=email.policy.default)
    body = mail.get_body(("plain",))
    assert body is not None
    return f"{mail['Subject']}\n{body.get_content()}"


def test_what_people_see_is_shown_as_they_see_it(installation: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, words in (
            ("wecom-bot", ("原因：</font>2 小时内", "第 1 次调用", "第 2 次调用", "［提醒 zhiban］", "[查看并确认](https://desk.example/a/")),
            ("dingtalk-bot", ("**原因**：2 小时内", "@ding01", "［查看并确认］ https://desk.example/a/")),
            ("feishu-bot", ("**原因**：2 小时内", "1. 「投票站几点关门」", "<at id=ou_01></at>", "［查看并确认］ https://desk.example/a/")),
            ("smtp", ("Subject: E-0317", "To: duty@mail.example", "查看并确认：https://desk.example/a/"))):
        assert preview(installation, "--channel", name) == 0
        shown = capsys.readouterr().out
        assert all(word in shown for word in words), (name, shown)


def test_who_looked_stands_in_the_audit(installation: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert preview(installation, "--channel", "console") == 0
    assert preview(installation, "--channel", "console", "--as", "nobody") == 2, "no such account"
    engine = open_store(Settings(data_dir=installation.parent / "data").store_url)
    with engine.connect() as connection:
        row, = connection.execute(select(schema.audit.c.account, schema.audit.c.action, schema.audit.c.object))
    engine.dispose()
    assert tuple(row) == ("cli", "event.read", "E-0317")


def test_the_raw_payload_is_json_and_nothing_else(installation: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert preview(installation, "--channel", "dingtalk-bot", "--raw") == 0
    payload = json.loads(capsys.readouterr().out)
    assert payload["msgtype"] == "actionCard" and payload["at"]["atUserIds"] == ["ding01"]


def test_what_was_sent_last_is_shown_and_the_link_in_it_opens_nothing(
    installation: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    one = head(subject="投票站")
    _sent(installation.parent / "data", page("p1", head=one), page("p2", head=one, step=1, at=NOON + 60_000),
          page("p3", head=one, step=2, at=NOON + 120_000, suppressed_by="quiet"))
    assert preview(installation, "--channel", "console") == 0
    shown = capsys.readouterr()
    assert "通知：第 2 次通知，前一位未确认" in shown.out and "存档里最近一条“告警”，2026-11-22 12:01" in shown.err
    token = shown.out.rpartition("https://desk.example/a/")[2].split()[0]
    from pipeline.notify.signed import LinkError, verify

    with pytest.raises(LinkError):
        verify(link_key.load(Settings.from_env({"WENXUN_DATA_DIR": str(installation.parent / "data")})), token, 0)


@pytest.mark.parametrize(("kind", "words"), [
    ("clock", "【较大】【时限】E-0317"), ("digest", "汇总：1 个事件"), ("inform", "【降为较大】E-0317"),
    ("page", "【较大】E-0317")])
def test_each_kind_can_be_looked_at(
    installation: Path, capsys: pytest.CaptureFixture[str], kind: str, words: str,
) -> None:
    assert preview(installation, "--channel", "console", "--kind", kind) == 0
    assert words in capsys.readouterr().out


def test_a_clock_that_was_told_is_shown_with_its_acts(installation: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = page("c1", kind=EscalationKind.CLOCK, why="clock", clock="answer", percent=50, clocks=(clock(),),
                acts=(act(),), head=head(subject="投票站"))
    _sent(installation.parent / "data", told)
    assert preview(installation, "--channel", "console", "--kind", "clock") == 0
    shown = capsys.readouterr().out
    assert "首次权威回应 还剩 4 小时" in shown and "王某 11:50 确认：已电话核实" in shown


@pytest.mark.parametrize(("url", "words"), [
    ("", "没有设置 WENXUN_EXTERNAL_URL"), ("http://localhost:8000", "本机地址")])
def test_without_a_usable_address_it_says_that_there_is_no_link(
    installation: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str, words: str,
) -> None:
    monkeypatch.setenv("WENXUN_EXTERNAL_URL", url)
    assert preview(installation, "--channel", "feishu-bot") == 0
    shown = capsys.readouterr()
    assert words in shown.err and "/a/" not in shown.out and "查看并确认" not in shown.out


@pytest.mark.parametrize(("arguments", "words"), [
    (("--channel", "console", "--event", "E-9999"), "存档里没有这个事件"), (("--channel", "nope"), "已有：console"),
    (("--channel", "console", "--person", "nope"), "roster.yml")])
def test_what_is_not_there_is_named(
    installation: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str,
) -> None:
    assert preview(installation, *arguments) == 2
    assert words in capsys.readouterr().err


def test_a_person_whom_the_channel_cannot_reach_is_told(
    installation: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    other = load_book(installation, "Asia/Shanghai").roster.people[1].id
    assert preview(installation, "--channel", "aliyun-sms", "--person", other) == 1
    assert f"不会给 {other} 发消息" in capsys.readouterr().err


@pytest.mark.sqlite                                     # an archive is a file
def test_without_an_archive_it_says_where_it_looked(
    installation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WENXUN_DATA_DIR", str(tmp_path / "nowhere"))
    assert preview(installation, "--channel", "console") == 2
    assert "没有存档" in capsys.readouterr().err
