"""POST to a web hook, signed as Standard Webhooks says (webhook-id, webhook-timestamp, webhook-signature).

The pinned client of agents/outbound.py carries it. Only the status counts, so the response body is not read.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable

import httpx
import msgspec

from agents.deliverer import post
from agents.deliverer.letter import Letter, Outcome
from agents.deliverer.secrets import SecretError, Secrets
from pipeline.model import Millis
from pipeline.rulebook.schema import Channel


class Webhook:
    """real: milliseconds of real time, for the signature's timestamp and for Retry-After dates."""

    def __init__(self, client: httpx.AsyncClient, secrets: Secrets, real: Callable[[], Millis]) -> None:
        self._client, self._secrets, self._real = client, secrets, real

    async def __call__(self, channel: Channel, letter: Letter) -> Outcome:
        return await post.carried(channel, self._send(channel, letter))

    async def _send(self, channel: Channel, letter: Letter) -> Outcome:
        url, keys = await asyncio.to_thread(self._read, channel)
        body = msgspec.json.encode(
            {"id": letter.id, "receiver": letter.person.id, "receivers": [each.id for each in letter.people],
             "channel": channel.id, **letter.message.body})
        answer = await post.send(self._client, url, body, self._headers(letter.id, body, keys), limit=0)
        return post.judge(answer.status, answer.headers.get("retry-after", ""), self._real())

    def _read(self, channel: Channel) -> tuple[str, list[bytes]]:
        """The address, and the keys: a line each, several while the receiver changes from one to the next."""
        url, secret = self._secrets.address(channel)
        return url, [signing_key(channel.id, row.strip()) for row in secret.splitlines() if row.strip()]

    def _headers(self, ident: str, body: bytes, keys: list[bytes]) -> dict[str, str]:
        seconds = self._real() // 1000
        headers = {**post.JSON, "Idempotency-Key": ident, "webhook-id": ident, "webhook-timestamp": str(seconds)}
        if keys:
            headers["webhook-signature"] = " ".join(signature(key, ident, seconds, body) for key in keys)
        return headers


def signing_key(channel: str, secret: str) -> bytes:
    """Standard Webhooks secrets are `whsec_` + base64; any other text is the key itself."""
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        raise SecretError(f"通道 {channel}：签名密钥以 whsec_ 开头，但其余部分不是 Base64") from None


def signature(key: bytes, ident: str, seconds: int, body: bytes) -> str:
    """`v1,` + base64 of HMAC-SHA256 over `id.timestamp.body`."""
    signed = f"{ident}.{seconds}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
