"""The receiving page: what on-call gets, as a live page like a phone's message list. Unsigned messages are refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from pipeline.model import Millis
from pipeline.rulebook.schema import RuleBook

TOLERANCE_SECONDS = 300
MAX_BODY = 256 * 1024
_PAGE = Path(__file__).with_name("phone.html")


@dataclass(frozen=True, slots=True)
class Received:
    """A message that arrived. at: the demo's clock. body: what the web hook carried."""

    number: int
    person: str
    at: Millis
    id: str
    body: dict[str, Any]


@dataclass(slots=True)
class Phone:
    """The phones of all people of the roster, and what arrived. refused: messages whose signature was wrong."""

    key: bytes
    people: Mapping[str, str]
    now: Callable[[], Millis]
    colors: Mapping[str, str] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    repeats: int = 0
    refused: int = 0

    @classmethod
    def of(cls, book: RuleBook, key: bytes, now: Callable[[], Millis]) -> Phone:
        return cls(key, {person.id: person.name for person in book.roster.people}, now,
                   {level.name: level.color for level in book.levels.ladder})

    def app(self) -> Starlette:
        return Starlette(routes=[
            Route("/", self._page), Route("/messages", self._messages),
            Route("/inbox/{person}", self._inbox, methods=["POST"])])

    async def _inbox(self, request: Request) -> Response:
        person = request.path_params["person"]
        body = await request.body()
        if person not in self.people or len(body) > MAX_BODY:
            return PlainTextResponse("unknown receiver or message too large", 404)
        if not signed(self.key, request.headers, body, time.time()):
            self.refused += 1
            return PlainTextResponse("wrong signature", 401)
        ident = request.headers["webhook-id"]
        if any(known.id == ident and known.person == person for known in self.received):
            self.repeats += 1
        else:
            self.received.append(Received(len(self.received) + 1, person, self.now(), ident, json.loads(body)))
        return JSONResponse({"ok": True})

    async def _messages(self, request: Request) -> Response:
        text = request.query_params.get("after", "0")
        after = int(text) if text.isdigit() else 0
        return JSONResponse({"now": self.now(), "messages": [_shown(one) for one in self.received[after:]]})

    async def _page(self, request: Request) -> Response:
        setting = json.dumps({"people": list(self.people.items()), "colors": dict(self.colors)}, ensure_ascii=False)
        return HTMLResponse(_PAGE.read_text(encoding="utf-8").replace("{{setting}}", setting.replace("<", "\\u003c")))


def signed(key: bytes, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Whether a message is signed as Standard Webhooks says, and is not an old one sent again."""
    ident, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not ident or not (stamp.isascii() and stamp.isdigit()) or abs(now - int(stamp)) > TOLERANCE_SECONDS:
        return False
    mac = hmac.new(key, f"{ident}.{stamp}.".encode() + body, hashlib.sha256).digest()
    expected = "v1," + base64.b64encode(mac).decode()
    return any(hmac.compare_digest(expected, given) for given in headers.get("webhook-signature", "").split())


def _shown(message: Received) -> dict[str, Any]:
    data = message.body.get("data") or {}
    event = data.get("event") or {}
    return {
        "number": message.number, "person": message.person, "at": message.at, "type": message.body.get("type", ""),
        "subject": data.get("subject", ""), "text": data.get("text", ""), "level": data.get("level_name", ""),
        "url": data.get("link") or event.get("url", "")}
