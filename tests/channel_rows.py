"""What the contract suite of channels asks of a type: how to reach it, what its service can do wrong, what it shows.

A new type needs a row; rows of gateways are in gateway_rows.py.
"""

from __future__ import annotations

import contextlib
import email
import email.policy
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents.deliverer.letter import Refused, Retry
from pipeline.rulebook.schema import ChannelType
from tests.channel_servers import HTML, MINUTE, DingTalkRobot, FeishuRobot, WecomApi, WecomRobot, strings
from tests.delivery_fakes import HANG, RESET, Hook, MailServer

Fault = Callable[[Any], None]
Wanted = tuple[type[Retry] | type[Refused], int | None]
"""The kind of outcome, and of a Retry how long the service asked us to wait."""


def meets(step: Any) -> Fault:
    """The next request meets this instead of the service."""
    return lambda server: server.script.append(step)


def http_faults(**more: Fault) -> dict[str, Fault]:
    """hang and reset, 503 and a redirect; of services whose success is in the body, an error page as well."""
    return {"hang": meets(HANG), "reset": meets(RESET), "busy": meets(503), "redirect": meets((302, "Location: /x")),
            "html": meets(HTML), **more}


def said(server: Any) -> list[str]:
    """What was taken, as text: one per message."""
    return ["\n".join(strings(one)) for one in server.taken]


def bodies(server: Any) -> list[Any]:
    return [got.body for got in server.got if got.body]


@dataclass(frozen=True, kw_only=True)
class Row:
    """fields: of the channel, for a port and a rule directory into which it writes the secret files. secrets: texts
    that nothing may show. files: secret files without which nothing is sent. spoil: makes the secret a wrong one, with
    a text that nothing may show either. faults: as http_faults names them. answers: what the service says in a success
    of the protocol that is none, and what that means. shown: the messages it took. stamp: what says of each attempt
    which message it is. limit: (messages that it takes, how long it then asks to wait at least). mentions: the accounts
    of the first message that mentions any. size: True if the service refuses what is too long."""

    kind: ChannelType
    server: Callable[[], Any]
    fields: Callable[[int, Path], dict[str, Any]] = lambda port, path: {}
    secrets: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    spoil: Callable[[Path], Any] | None = None
    faults: dict[str, Fault] = field(default_factory=dict)
    redirect: type[Retry] | type[Refused] = Refused
    answers: tuple[tuple[Any, Wanted], ...] = ()
    shown: Callable[[Any], list[str]] = said
    stamp: Callable[[Any], list[Any]] = bodies
    limit: tuple[int, int] | None = None
    mentions: Callable[[Any], set[str]] | None = None
    size: bool = False
    link: bool = True

    @property
    def name(self) -> str:
        return f"to-{self.kind.value}"


def write(path: Path, **files: str) -> dict[str, Any]:
    """Secret files; no fields."""
    for name, text in files.items():
        (path / name).write_text(text + "\n", "utf-8")
    return {}


def secret_url(path: str, **files: str) -> Callable[[int, Path], dict[str, Any]]:
    """A channel whose address is in a file, and whose secret is in another one."""
    def fields(port: int, folder: Path) -> dict[str, Any]:
        write(folder, url=f"http://127.0.0.1:{port}{path}", **files)
        return {"url_file": "url", **{f"{name}_file": name for name in files}}
    return fields


def spoilt(**files: str) -> Callable[[Path], Any]:
    return lambda path: write(path, **files)


def bad_key(path: Path) -> None:
    found = (path / "url").read_text("utf-8").strip().partition("key=")[0]
    write(path, url=f"{found}key=canary-wrong")


# ---------------------------------------------------------------- chat programs


WECOM_BOT = Row(
    kind=ChannelType.WECOM_BOT, server=WecomRobot, fields=secret_url(WecomRobot.PATH), secrets=(WecomRobot.KEY,),
    files=("url",), spoil=bad_key, faults=http_faults(), limit=(20, MINUTE), size=True,
    mentions=lambda server: {
        *server.taken[0]["text"]["mentioned_list"], *server.taken[0]["text"]["mentioned_mobile_list"]},
    answers=(
        ({"errcode": 45009, "errmsg": "api freq out of limit"}, (Retry, 60_000)),
        ({"errcode": -1, "errmsg": "system busy"}, (Retry, 30_000)),
        ({"errcode": 93000, "errmsg": "invalid webhook url canary"}, (Refused, None)),
        ({"errcode": 93004, "errmsg": "robot is stopped"}, (Refused, None)),
        ({"errcode": 40058, "errmsg": "invalid Request Parameter"}, (Refused, None)),
        ({"errcode": 60020, "errmsg": "not allow to access from your ip"}, (Refused, None)),
        ({"errcode": 987654, "errmsg": "canary-unknown"}, (Retry, None)),
        ({"errcode": False, "errmsg": "ok"}, (Retry, None)), ({"errmsg": "ok"}, (Retry, None)),
        ("[]", (Retry, None)), ("", (Retry, None)), ("ok", (Retry, None)), ("null", (Retry, None)),
        ("x" * 100_000, (Retry, None))))

WECOM_APP = Row(
    kind=ChannelType.WECOM_APP, server=WecomApi,
    fields=lambda port, path: {
        **write(path, secret=WecomApi.SECRET), "url": f"http://127.0.0.1:{port}", "secret_file": "secret",
        "corp": WecomApi.CORP, "agent": WecomApi.AGENT},
    secrets=(WecomApi.SECRET, "canary-token-1"), files=("secret",), spoil=spoilt(secret="canary-wrong"),
    faults=http_faults(), size=True,
    stamp=lambda server: [json.loads(got.body) for got in server.got if got.body],
    answers=(                                               # of the request for a token
        ({"errcode": 0, "errmsg": "ok"}, (Retry, None)),
        ({"errcode": 0, "errmsg": "ok", "access_token": "", "expires_in": 7200}, (Retry, None)),
        ({"errcode": 40013, "errmsg": "invalid corpid"}, (Refused, None)),
        ({"errcode": 40001, "errmsg": "invalid credential canary"}, (Refused, None)),
        ({"errcode": 60020, "errmsg": "not allow to access from your ip"}, (Refused, None)),
        ({"errcode": 45009, "errmsg": "api freq out of limit"}, (Retry, 60_000)), ("[]", (Retry, None))))

DINGTALK_BOT = Row(
    kind=ChannelType.DINGTALK_BOT, server=DingTalkRobot,
    fields=secret_url(DingTalkRobot.PATH, secret=DingTalkRobot.SECRET),
    secrets=(DingTalkRobot.TOKEN, DingTalkRobot.SECRET), files=("url", "secret"),
    spoil=spoilt(secret="SECcanary-wrong"), faults=http_faults(), redirect=Retry, limit=(20, 10 * MINUTE), size=True,
    mentions=lambda server: {*server.taken[0]["at"]["atUserIds"], *server.taken[0]["at"]["atMobiles"]},
    answers=(
        ({"errcode": 130101, "errmsg": "send too fast, exceed 20 times per minute"}, (Retry, 600_000)),
        ({"status": 1111, "wait": 5, "source": "x5", "punish": "deny"}, (Retry, 600_000)),
        ({"errcode": -1, "errmsg": "系统繁忙"}, (Retry, 30_000)),
        ({"errcode": 310000, "errmsg": "keywords not in content"}, (Refused, None)),
        ({"errcode": 310000, "errmsg": "ip 1.2.3.4 not in whitelist"}, (Refused, None)),
        ({"errcode": 310000, "errmsg": "invalid timestamp"}, (Refused, None)),
        ({"errcode": 310000, "errmsg": "sign not match, canary"}, (Refused, None)),
        ({"errcode": 300005, "errmsg": "token canary is not exist"}, (Refused, None)),
        ({"errcode": 400102, "errmsg": "bot is stopped"}, (Refused, None)),
        ({"errcode": 987654, "errmsg": "canary-unknown"}, (Retry, None)), ("[]", (Retry, None)), ("", (Retry, None))))

FEISHU_BOT = Row(
    kind=ChannelType.FEISHU_BOT, server=FeishuRobot, fields=secret_url(FeishuRobot.PATH, secret=FeishuRobot.SECRET),
    secrets=(FeishuRobot.TOKEN, FeishuRobot.SECRET), files=("url", "secret"), spoil=spoilt(secret="canary-wrong"),
    faults=http_faults(), limit=(100, MINUTE), size=True,
    mentions=lambda server: {
        part.split(">")[0] for text in strings(server.taken[0]) for part in text.split("<at id=")[1:]},
    answers=(
        ({"StatusCode": 0, "StatusMessage": "", "code": 9499, "msg": "too many request"}, (Retry, 60_000)),
        ({"code": 9499, "msg": "Bad Request", "data": {}}, (Refused, None)),
        ({"StatusCode": 0, "code": 11232, "msg": "frequency limited psm[x]appID[1500]"}, (Retry, 60_000)),
        ({"StatusCode": 0, "code": 19021, "msg": "sign match fail canary"}, (Refused, None)),
        ({"code": 19001, "msg": "param invalid: incoming webhook access token invalid"}, (Refused, None)),
        ({"code": 19007, "msg": "Bot Not Enabled"}, (Refused, None)),
        ({"code": 19022, "msg": "Ip Not Allowed"}, (Refused, None)),
        ({"code": 19024, "msg": "Key Words Not Found"}, (Refused, None)),
        ({"StatusCode": 19021, "StatusMessage": "sign error"}, (Refused, None)),
        ({"code": 987654, "StatusCode": 0, "msg": "canary-unknown"}, (Retry, None)),
        ({"msg": "success"}, (Retry, None)), ("[]", (Retry, None)), ("", (Retry, None))))


# ---------------------------------------------------------------- the plain ones


def _hook_said(server: Hook) -> list[str]:
    return ["\n".join(strings(json.loads(got.body))) for got in server.got]


WEBHOOK = Row(
    kind=ChannelType.WEBHOOK, server=Hook, secrets=("canary-key", "canary-hook-secret"), files=("url", "secret"),
    fields=secret_url("/hook?key=canary-key", secret="canary-hook-secret"),
    faults={name: fault for name, fault in http_faults().items() if name != "html"},   # only the status counts
    shown=_hook_said, stamp=lambda server: [(got.headers["webhook-id"], got.body) for got in server.got])


def _reply(verb: str, text: str) -> Fault:
    return lambda server: server.replies.__setitem__(verb, [text])


def _mail_said(server: MailServer) -> list[str]:
    found = []
    for raw in server.mails:
        mail = email.message_from_bytes(raw, policy=email.policy.default)
        plain = mail.get_body(("plain",))
        assert plain is not None
        found.append(f"{mail['Subject']}\n{plain.get_content()}")
    return found


SMTP = Row(
    kind=ChannelType.SMTP, server=lambda: MailServer(login=("me", "canary-password")),
    fields=lambda port, path: {
        **write(path, password="canary-password"), "host": "127.0.0.1", "port": port, "tls": "none",
        "sender": "wenxun@office.example", "username": "me", "password_file": "password"},
    secrets=("canary-password",), files=("password",), spoil=spoilt(password="canary-wrong"),
    faults={"hang": _reply("GREETING", HANG), "reset": _reply("MAIL-DATA", RESET), "busy": _reply("MAIL", "451 later")},
    shown=_mail_said, stamp=lambda server: [email.message_from_bytes(raw)["Message-ID"] for raw in server.mails])


class Terminal:
    """Standard output. It takes everything."""

    port = 0

    async def __aenter__(self) -> Terminal:
        self._text = io.StringIO()
        self._redirect = contextlib.redirect_stdout(self._text)
        self._redirect.__enter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._redirect.__exit__(None, None, None)

    @property
    def messages(self) -> list[str]:
        return [f"── {one}" for one in self._text.getvalue().split("── ")[1:]]


CONSOLE = Row(
    kind=ChannelType.CONSOLE, server=Terminal, shown=lambda server: server.messages,
    stamp=lambda server: server.messages)

ROWS = (WECOM_BOT, WECOM_APP, DINGTALK_BOT, FEISHU_BOT, WEBHOOK, SMTP, CONSOLE)
