"""POST to a web hook, signed as Standard Webhooks says (webhook-id, webhook-timestamp, webhook-signature).

The pinned client of agents/outbound.py carries it. A redirect is never followed: a POST could lose its body or leave
its host. Only the status counts, so the response body is not read.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
from collections.abc import Callable
from email.utils import parsedate_to_datetime

import httpx
import msgspec

from agents.deliverer.letter import Letter, Outcome, Refused, Retry, Sent
from agents.deliverer.secrets import SecretError, Secrets
from agents.outbound import Fault, OutboundError
from pipeline.model import Millis
from pipeline.rulebook.schema import Channel

TIMEOUT = httpx.Timeout(20.0, connect=5.0)
_LATER = frozenset((408, 425, 429))
_MAX_WAIT = 24 * 3_600_000
_HOPELESS = frozenset((Fault.REFUSED,))


class Webhook:
    """real: milliseconds of real time, for the signature's timestamp and for Retry-After dates."""

    def __init__(self, client: httpx.AsyncClient, secrets: Secrets, real: Callable[[], Millis]) -> None:
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)   # at INFO they log URLs, and these carry keys
        self._client, self._secrets, self._real = client, secrets, real

    async def __call__(self, channel: Channel, letter: Letter) -> Outcome:
        try:
            url, key = await asyncio.to_thread(self._read, channel)
            body = msgspec.json.encode(
                {"id": letter.id, "receiver": letter.person.id, "channel": channel.id, **letter.message.body})
            headers = self._headers(letter.id, body, key)
        except SecretError as error:
            return Retry(str(error))
        try:
            return await self._post(url, body, headers)
        except OutboundError as error:
            return Refused(str(error)) if error.fault in _HOPELESS else Retry(str(error))
        except httpx.InvalidURL:
            return Refused(f"通道 {channel.id} 的网址无法识别")
        except httpx.TimeoutException:
            return Retry("对方没有按时应答")
        except httpx.HTTPError as error:   # its text may hold the URL, and that a key
            return Retry(f"连接失败或中断（{type(error).__name__}）")

    async def _post(self, url: str, body: bytes, headers: dict[str, str]) -> Outcome:
        request = self._client.build_request("POST", url, content=body, headers=headers, timeout=TIMEOUT)
        answer = await self._client.send(request, stream=True, follow_redirects=False)
        try:
            return judge(answer.status_code, answer.headers.get("retry-after", ""), self._real())
        finally:
            await answer.aclose()

    def _read(self, channel: Channel) -> tuple[str, bytes | None]:
        url = self._secrets.read(channel.id, channel.url_file) if channel.url_file else channel.url
        secret = self._secrets.read(channel.id, channel.secret_file) if channel.secret_file else ""
        return url, signing_key(channel.id, secret) if secret else None

    def _headers(self, ident: str, body: bytes, key: bytes | None) -> dict[str, str]:
        seconds = self._real() // 1000
        headers = {"Content-Type": "application/json; charset=utf-8", "Idempotency-Key": ident,
                   "webhook-id": ident, "webhook-timestamp": str(seconds)}
        if key is not None:
            headers["webhook-signature"] = signature(key, ident, seconds, body)
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


def judge(status: int, retry_after: str, real_now: Millis) -> Outcome:
    """2xx is success; overload, rate limits and server errors pass; everything else needs a person."""
    if 200 <= status < 300:
        return Sent()
    if status in _LATER or status >= 500:
        return Retry(f"HTTP {status}", wait_of(retry_after, real_now))
    hint = "（对方要求跳转，告警不跟随跳转，请填写最终网址）" if 300 <= status < 400 else ""
    return Refused(f"HTTP {status}{hint}")


def wait_of(retry_after: str, real_now: Millis) -> Millis | None:
    """Milliseconds that a Retry-After header (seconds or a date) asks for, at most a day; None if it says nothing."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:9]) * 1000, _MAX_WAIT)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return min(max(0, int(moment.timestamp() * 1000) - real_now), _MAX_WAIT)
