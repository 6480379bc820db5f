"""SMS and calls by Alibaba Cloud and Tencent Cloud: what is asked and what answers mean is in pipeline/notify/cloud."""

from __future__ import annotations

import asyncio
import secrets as chance
from collections.abc import Callable

import httpx

from agents.deliverer import post
from agents.deliverer.letter import Letter, Outcome, Refused, Retry, Sent
from agents.deliverer.secrets import Secrets
from pipeline.model import Millis
from pipeline.notify import cloud, gateway
from pipeline.notify.cloud import Fate
from pipeline.notify.cloud_sign import Key
from pipeline.rulebook.schema import Channel


def _nonce() -> str:
    return chance.token_hex(16)


class Cloud:
    """real: milliseconds of real time; a signature is good for some minutes. nonce: another one for every request."""

    def __init__(
        self, client: httpx.AsyncClient, secrets: Secrets, real: Callable[[], Millis],
        nonce: Callable[[], str] = _nonce,
    ) -> None:
        self._client, self._secrets, self._real, self._nonce = client, secrets, real, nonce

    async def __call__(self, channel: Channel, letter: Letter) -> Outcome:
        number = gateway.mobile(letter.person.mobile)
        if not number:
            wrong = "的 mobile 不是手机号" if letter.person.mobile else "没有 mobile"
            return Refused(f"{letter.person.id} 在 roster.yml 中{wrong}，通道 {channel.id} 找不到他")
        return await post.carried(channel, self._send(channel, letter, number))

    async def _send(self, channel: Channel, letter: Letter, number: str) -> Outcome:
        key = await asyncio.to_thread(self._key, channel)
        outcome: Outcome = Refused("")
        for longest in cloud.lengths(channel.type):
            asked = cloud.request(channel, key, letter.message.fields, number, letter.id, longest,
                                  self._real() // 1000, self._nonce())
            answer = await post.send(self._client, asked.url, asked.body, asked.headers)
            told = cloud.verdict(channel, answer.object())
            if told is None or (told.fate is Fate.SENT and not answer.ok):
                return self._no_answer(channel, answer)
            if told.fate is not Fate.TOO_LONG:
                return _outcome(told, number)
            outcome = _outcome(told, number)
        return outcome

    def _key(self, channel: Channel) -> Key:
        ident, secret = (self._secrets.read(channel.id, name) for name in (channel.key_file, channel.secret_file))
        return Key(ident, secret)

    def _no_answer(self, channel: Channel, answer: post.Answer) -> Outcome:
        """An error page, a proxy, a redirect: nothing that the provider says."""
        if answer.ok:
            return Retry(f"通道 {channel.id}：HTTP {answer.status} 的应答不是约定的结果，可能来自代理或登录页面")
        return post.judge(answer.status, answer.headers.get("retry-after", ""), self._real())


def _outcome(told: cloud.Verdict, number: str) -> Outcome:
    if told.fate is Fate.SENT:
        return Sent()
    text = f"{told.text}，号码 {gateway.masked(number)}"
    return Retry(text, told.after) if told.fate is Fate.RETRY else Refused(text)
