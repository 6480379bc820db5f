"""The chat programs' services on loopback, as they are documented: they check addresses, tokens, signatures, sizes and
rates, and answer 200 with a code whatever happens. What they took is in `taken`, as their clients would show it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.delivery_fakes import HANG, RESET, Got, Server

NOW = 1_795_402_800_000
MINUTE, HOUR = 60_000, 3_600_000
HTML = "<!doctype html>\n<html><body><h1>502 Bad Gateway</h1></body></html>\n"
Step = dict[str, Any] | int | str | tuple[int, str]
"""What a request meets instead of the service: a JSON object or a text (200), a status, (status, extra header line),
HANG or RESET."""


class ChatServer(Server):
    """script: what the next requests meet; then the service itself. clock: the service's own time, ms."""

    def __init__(self, *script: Step, clock: Callable[[], int] = lambda: NOW) -> None:
        super().__init__()
        self.script: list[Step] = list(script)
        self.clock = clock
        self.got: list[Got] = []
        self.taken: list[dict[str, Any]] = []
        self.calls: list[int] = []

    def answer(self, query: dict[str, str], path: str, body: dict[str, Any], raw: bytes) -> dict[str, Any]:
        """The service's answer; what it takes goes into `taken`."""
        raise NotImplementedError

    def recent(self) -> int:
        """Messages that came within a minute, this one included."""
        now = self.clock()
        self.calls.append(now)
        return sum(now - at < MINUTE for at in self.calls)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        top = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (row.partition(": ") for row in top[1:] if row)}
        got = Got(top[0], headers, await reader.readexactly(int(headers.get("content-length", "0"))))
        self.got.append(got)
        step = self.script.pop(0) if self.script else self._serve_request(got)
        if step == HANG:
            await asyncio.sleep(3600)
        if step == RESET:
            writer.transport.abort()
            return
        status, extra, body = _parts(step)
        head = f"HTTP/1.1 {status} X\r\n{extra}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()

    def _serve_request(self, got: Got) -> dict[str, Any]:
        url = urlsplit(got.line.split(" ")[1])
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        body = json.loads(got.body) if got.body else {}
        return self.answer(query, url.path, body, got.body)


def _parts(step: Step) -> tuple[int, str, bytes]:
    """(status, a header line, body)"""
    if isinstance(step, dict):
        return 200, "Content-Type: application/json", json.dumps(step, ensure_ascii=False).encode()
    if isinstance(step, str):
        return 200, "Content-Type: text/html", step.encode()
    status, extra = step if isinstance(step, tuple) else (step, "X-Nothing: 1")
    return status, extra, b""


class WecomRobot(ChatServer):
    """20 messages a minute; a text of 2048 bytes, markdown of 4096; mentions only in a text."""

    KEY = "693a91f6-canary-4bc4-97a0-0ec2sifa5aaa"
    PATH = f"/cgi-bin/webhook/send?key={KEY}"
    SIZES = {"text": 2048, "markdown": 4096}

    def answer(self, query: dict[str, str], path: str, body: dict[str, Any], raw: bytes) -> dict[str, Any]:
        if (path, query.get("key")) != ("/cgi-bin/webhook/send", self.KEY):
            return _wecom(93000, f"invalid webhook url {query.get('key')}, hint: [1], from ip: 127.0.0.1")
        if self.recent() > 20:
            return _wecom(45009, "api freq out of limit, hint: [1]")
        kind = body.get("msgtype", "")
        content = body.get(kind, {}).get("content", "")
        if kind not in self.SIZES or not content or len(content.encode()) > self.SIZES[kind]:
            return _wecom(40058, "invalid Request Parameter")
        if b"\\u" in raw:
            return _wecom(40033, "invalid request character")
        self.taken.append(body)
        return _wecom(0, "ok")


class WecomApi(ChatServer):
    """Tokens for corp and secret, messages to accounts that the app sees; a repeat of the same bytes is not shown, and
    what is over 30 a minute is dropped without a word."""

    CORP, SECRET, AGENT, USERS = "ww-canary-corp", "canary-app-secret", 1000002, {"zhiban", "lingdao"}

    def __init__(self, *script: Step, clock: Callable[[], int] = lambda: NOW) -> None:
        super().__init__(*script, clock=clock)
        self.tokens: dict[str, int] = {}
        self.fetched = 0
        self.repeats = 0
        self.dropped = 0
        self._bytes: set[bytes] = set()

    def expire(self) -> None:
        """Every token is stale from now on, whatever was said when it was given out."""
        self.tokens = dict.fromkeys(self.tokens, 0)

    def answer(self, query: dict[str, str], path: str, body: dict[str, Any], raw: bytes) -> dict[str, Any]:
        if path == "/cgi-bin/gettoken":
            return self._token(query)
        if path != "/cgi-bin/message/send":
            return _wecom(404, "not found")
        until = self.tokens.get(query.get("access_token", ""))
        if until is None:
            return _wecom(40014, "invalid access_token")
        if self.clock() >= until:
            return _wecom(42001, "access_token expired")
        return self._message(body, raw)

    def _token(self, query: dict[str, str]) -> dict[str, Any]:
        self.fetched += 1
        if query.get("corpid") != self.CORP:
            return _wecom(40013, "invalid corpid")
        if query.get("corpsecret") != self.SECRET:
            return _wecom(40001, f"invalid credential {query.get('corpsecret')}")
        token = f"canary-token-{self.fetched}"
        self.tokens[token] = self.clock() + 7200_000
        return {**_wecom(0, "ok"), "access_token": token, "expires_in": 7200}

    def _message(self, body: dict[str, Any], raw: bytes) -> dict[str, Any]:
        kind = body.get("msgtype", "")
        if body.get("agentid") != self.AGENT:
            return _wecom(40056, "invalid agentid")
        if body.get("touser") not in self.USERS:
            return {**_wecom(81013, "user & party & tag all invalid"), "invaliduser": body.get("touser")}
        about = body.get(kind, {})
        sizes = {"text": (("content", 2048),), "textcard": (("title", 128), ("description", 512), ("url", 2048))}
        if kind not in sizes or any(not 0 < len(about.get(name, "").encode()) <= size for name, size in sizes[kind]):
            return _wecom(40058, "invalid Request Parameter")
        if raw in self._bytes and body.get("enable_duplicate_check") == 1:
            self.repeats += 1
        elif self.recent() > 30:
            self.dropped += 1
        else:
            self.taken.append(body)
        self._bytes.add(raw)
        return {**_wecom(0, "ok"), "invaliduser": "", "msgid": "m1"}


class DingTalkRobot(ChatServer):
    """Signed within the hour; 20 messages a minute, more block it for ten; 20000 bytes."""

    TOKEN, SECRET = "canary-access-token", "SECcanary-secret"
    PATH = f"/robot/send?access_token={TOKEN}"
    SHAPES = {"text": ("content",), "markdown": ("title", "text"),
              "actionCard": ("title", "text", "singleTitle", "singleURL")}

    def __init__(self, *script: Step, clock: Callable[[], int] = lambda: NOW) -> None:
        super().__init__(*script, clock=clock)
        self.blocked_until = 0

    def answer(self, query: dict[str, str], path: str, body: dict[str, Any], raw: bytes) -> dict[str, Any]:
        if (path, query.get("access_token")) != ("/robot/send", self.TOKEN):
            return _ding(300005, f"token {query.get('access_token')} is not exist")
        if self.clock() < self.blocked_until:
            return {"status": 1111, "wait": 5, "source": "x5", "punish": "deny", "uuid": "0"}
        if wrong := self._unsigned(query):
            return wrong
        if self.recent() > 20:
            self.blocked_until = self.clock() + 10 * MINUTE
            return _ding(130101, "send too fast, exceed 20 times per minute")
        kind = body.get("msgtype", "")
        if kind not in self.SHAPES or not all(body.get(kind, {}).get(name) for name in self.SHAPES[kind]):
            return _ding(400105, "unsupported msgtype")
        if len(raw) > 20_000:
            return _ding(460101, "message too long, exceed 20000 bytes")
        self.taken.append(body)
        return _ding(0, "ok")

    def _unsigned(self, query: dict[str, str]) -> dict[str, Any] | None:
        stamp = query.get("timestamp", "0")
        if abs(self.clock() - int(stamp)) > HOUR:
            return _ding(310000, "invalid timestamp")
        made = hmac.new(self.SECRET.encode(), f"{stamp}\n{self.SECRET}".encode(), hashlib.sha256).digest()
        if query.get("sign") != base64.b64encode(made).decode():
            return _ding(310000, f"sign not match, more: [{query.get('sign')}]")
        return None


class FeishuRobot(ChatServer):
    """Signed within the hour; 100 messages a minute; 20 KB. A refusal still says StatusCode 0."""

    TOKEN, SECRET = "canary-hook-token", "canary-lark-secret"
    PATH = f"/open-apis/bot/v2/hook/{TOKEN}"

    def answer(self, query: dict[str, str], path: str, body: dict[str, Any], raw: bytes) -> dict[str, Any]:
        if path != self.PATH:
            return _lark(19001, f"param invalid: incoming webhook access token invalid {path}")
        stamp = str(body.get("timestamp", "0"))
        made = hmac.new(f"{stamp}\n{self.SECRET}".encode(), digestmod=hashlib.sha256).digest()
        if abs(self.clock() // 1000 - int(stamp)) > 3600 or body.get("sign") != base64.b64encode(made).decode():
            return _lark(19021, "sign match fail or timestamp is not within one hour from current time")
        if self.recent() > 100:
            return _lark(11232, "frequency limited psm[lark.oapi.app_platform_runtime]appID[1500]")
        card = body.get("card", {})
        if body.get("msg_type") != "interactive" or not card.get("header") or len(raw) > 20 * 1024:
            return {"code": 9499, "msg": "Bad Request", "data": {}}
        self.taken.append(body)
        return _lark(0, "success")


def _wecom(code: int, text: str) -> dict[str, Any]:
    return {"errcode": code, "errmsg": text}


def _ding(code: int, text: str) -> dict[str, Any]:
    return {"errcode": code, "errmsg": text}


def _lark(code: int, text: str) -> dict[str, Any]:
    return {"StatusCode": 0, "StatusMessage": "success" if not code else "", "code": code, "msg": text, "data": {}}


def strings(value: Any) -> list[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for one in inner for text in strings(one)]
