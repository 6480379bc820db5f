"""Feishu's and Lark's group robot: one call per message, signed in its body; the answer's `code` says what happened.

`StatusCode` is a relic: it is 0 even in answers whose `code` refuses, so it counts only where there is no `code`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import msgspec

from agents.deliverer import post
from agents.deliverer.letter import Letter, Outcome, Refused, Retry, Sent
from agents.deliverer.secrets import Secrets
from pipeline.model import Millis
from pipeline.notify import feishu
from pipeline.rulebook.schema import Channel

_FAST = Retry("飞书限制每个机器人每分钟 100 条、每秒 5 条，整点和半点更紧", 60_000)
_CARD = Refused("飞书不接受这张卡片的内容。请报告为程序错误")
_KNOWN: dict[int, Outcome] = {
    0: Sent(), 11232: _FAST, 99991400: _FAST, 230020: _FAST, 11246: _CARD, 230099: _CARD, 200621: _CARD,
    19001: Refused("飞书不认得这个机器人。它被移出了群，或地址不对：请在群设置里重新复制 Webhook 地址，"
                   "写进 url_file 指的文件"),
    19002: Refused("飞书说请求的参数不对。请报告为程序错误"),
    19007: Refused("飞书上这个机器人没有启用。请在群设置里启用它"),
    19021: Refused("签名不对，或时间戳与飞书相差 1 小时以上：请核对 secret_file 里的密钥与机器人“签名校验”一栏的"
                   "是否相同，并校准本机时钟"),
    19022: Refused("本机的出口 IP 不在机器人的白名单里：请在机器人的安全设置里加上"),
    19024: Refused("机器人设了自定义关键词，而消息里没有：请改用“签名校验”，或把关键词设成消息里总有的字"),
}
_BOTH = 9499
"""`too many request`, or `Bad Request`: a body that it cannot read."""


class Feishu:
    """real: milliseconds of real time, for the signature."""

    def __init__(self, client: httpx.AsyncClient, secrets: Secrets, real: Callable[[], Millis]) -> None:
        self._client, self._secrets, self._real = client, secrets, real

    async def __call__(self, channel: Channel, letter: Letter) -> Outcome:
        return await post.carried(channel, self._send(channel, letter))

    async def _send(self, channel: Channel, letter: Letter) -> Outcome:
        url, secret = await asyncio.to_thread(self._secrets.address, channel)
        payload = feishu.payload(letter.message.card, letter.people)
        body = msgspec.json.encode(feishu.signed(payload, secret, self._real() // 1000))
        answer = await post.send(self._client, url, body, post.JSON)
        said = answer.object()
        code = _code(said)
        if code == _BOTH:
            bad = "bad request" in str(said.get("msg")).lower()
            return post.by_code(channel, answer, code, {code: _CARD if bad else _FAST}, self._real())
        return post.by_code(channel, answer, code, _KNOWN, self._real())


def _code(said: dict[str, Any]) -> int | None:
    return post.number(said["code"] if "code" in said else said.get("StatusCode"))
