"""What a channel would get: the real senders run against a client that only writes down, and without any secret."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec

from agents.deliverer.letter import Letter, Outcome, Sent
from agents.deliverer.secrets import Secrets
from agents.deliverer.senders import real_now, senders
from agents.deliverer.smtp import compose
from agents.settings import Settings
from pipeline.rulebook.schema import Channel, ChannelType

_PLACE = "preview.invalid"
"""In place of an address that a file holds; a name that never exists."""
_KEY = "preview-in-place-of-a-secret"
_ANSWER = {
    "errcode": 0, "code": 0, "errmsg": "ok", "access_token": "preview", "expires_in": 7200, "Code": "OK",
    "Response": {"SendStatusSet": [{"Code": "Ok"}], "SendStatus": {"CallId": "preview"}}}
"""Taken, as every provider says it."""
_ASKS_FOR_TOKEN = "/cgi-bin/gettoken"  # noqa: S105  (a path, no secret)


@dataclass(frozen=True, slots=True)
class Call:
    """A request that would have been sent. host: empty when a file holds the address."""

    method: str
    host: str
    query: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """mail, text: of channels that make no request. error: why nothing would have been sent."""

    calls: tuple[Call, ...] = ()
    mail: str = ""
    text: str = ""
    error: str = ""


async def rehearse(settings: Settings, channel: Channel, letter: Letter) -> Rehearsed:
    """Nothing leaves: no request, no mail, no file with a secret is opened."""
    if channel.type is ChannelType.SMTP:
        return _mail(channel, letter)
    if channel.type in (ChannelType.CONSOLE, ChannelType.APPRISE):
        return Rehearsed(text=f"{letter.message.subject}\n\n{letter.message.text}"
                         if channel.type is ChannelType.APPRISE else letter.message.text)
    notes = _Notes()
    async with httpx.AsyncClient(transport=httpx.MockTransport(notes)) as client:
        send = senders(settings, client, real_now, secrets=_NoSecrets(channel))[channel.type]
        outcome: Outcome = await send(channel, letter)
    return Rehearsed(tuple(notes.calls), error="" if isinstance(outcome, Sent) or notes.calls else outcome.error)


def _mail(channel: Channel, letter: Letter) -> Rehearsed:
    if not letter.person.mail:
        return Rehearsed(error=f"{letter.person.id} 在 roster.yml 中没有 mail，通道 {channel.id} 无法给他写信")
    mail = compose(channel, letter)
    heads = "\n".join(f"{name}: {mail[name]}" for name in ("Subject", "From", "To"))
    return Rehearsed(mail=f"{heads}\n\n{letter.message.text}", text=mail.as_string())


class _Notes:
    """Writes requests down and says that they were taken."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path != _ASKS_FOR_TOKEN:
            host = "" if request.url.host == _PLACE else request.url.host
            self.calls.append(Call(request.method, host, request.url.query.decode(), request.content))
        return httpx.Response(200, content=_taken())


async def _taken() -> AsyncIterator[bytes]:
    """Senders read the answer as a stream."""
    yield msgspec.json.encode(_ANSWER)


class _NoSecrets(Secrets):
    """An address that leads nowhere and a key that signs nothing, in place of what the files hold."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(Path())
        self._url_file = channel.url_file

    def read(self, channel: str, name: str) -> str:
        return f"https://{_PLACE}/" if name == self._url_file else _KEY
