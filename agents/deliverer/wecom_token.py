"""Access tokens of WeCom apps: kept until they expire, fetched by one at a time, anew when WeCom calls one stale.

The address that fetches one holds the app's secret: it is in no text here.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from urllib.parse import urlencode

import httpx

from agents.deliverer import post
from agents.deliverer.letter import Outcome, Refused, Retry, Sent
from pipeline.model import Millis
from pipeline.rulebook.schema import Channel

FAST: Millis = 60_000
MARGIN: Millis = 300_000
"""Before its end that a token is not used any more."""
SHARED: dict[int, Outcome] = {
    0: Sent(), -1: Retry("企业微信系统繁忙", 30_000), 6000: Retry("企业微信数据冲突", 10_000),
    60020: Refused("本机的出口 IP 不在企业微信的可信 IP 里：请在应用详情的“企业可信IP”里加上"),
}
_KNOWN: dict[int, Outcome] = {
    **SHARED, 45009: Retry("取 access_token 超过了频率限制", FAST),
    40001: Refused("secret_file 里的应用 Secret 不对。请在企业微信管理后台的应用详情里重新查看"),
    40013: Refused("channels.yml 的 corp 不对。请在企业微信管理后台“我的企业”里查看企业 ID"),
    41002: Refused("channels.yml 的 corp 为空。请在企业微信管理后台“我的企业”里查看企业 ID"),
    41004: Refused("secret_file 里没有应用 Secret。请在企业微信管理后台的应用详情里查看"),
}


class Tokens:
    """real: milliseconds of real time."""

    def __init__(self, client: httpx.AsyncClient, real: Callable[[], Millis]) -> None:
        self._client, self._real = client, real
        self._kept: dict[bytes, tuple[str, Millis]] = {}
        self._locks: dict[bytes, asyncio.Lock] = {}

    async def get(self, channel: Channel, base: str, secret: str, stale: str = "") -> str | Outcome:
        """A token that is not `stale`, or why there is none. Raises what `post.carried` knows."""
        key = hashlib.sha256(f"{base}\n{channel.corp}\n{secret}".encode()).digest()
        async with self._locks.setdefault(key, asyncio.Lock()):
            token, until = self._kept.get(key, ("", 0))
            if token and token != stale and self._real() < until:
                return token
            return await self._fetch(key, channel, base, secret)

    async def _fetch(self, key: bytes, channel: Channel, base: str, secret: str) -> str | Outcome:
        self._kept.pop(key, None)
        query = urlencode({"corpid": channel.corp, "corpsecret": secret})
        answer = await post.send(self._client, f"{base}/cgi-bin/gettoken?{query}", None, {}, method="GET")
        said = answer.object()
        outcome = post.by_code(channel, answer, post.number(said.get("errcode")), _KNOWN, self._real())
        if not isinstance(outcome, Sent):
            return outcome
        token, life = said.get("access_token"), post.number(said.get("expires_in")) or 0
        if not isinstance(token, str) or not token or not token.isascii():
            return Retry(f"通道 {channel.id}：企业微信没有给出 access_token")
        self._kept[key] = (token, self._real() + max(life * 1000 - MARGIN, 30_000))
        return token
