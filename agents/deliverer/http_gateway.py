"""Any gateway over HTTP: a request made of the channel's template, and what it answers held against `expect`.

Without `expect` the status is all that is known. With it only a JSON answer of which it is true is success.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import jmespath

from agents.deliverer import post
from agents.deliverer.letter import Letter, Outcome, Refused, Retry, Sent
from agents.deliverer.secrets import Secrets
from pipeline.model import Millis
from pipeline.notify import gateway, template
from pipeline.rulebook.schema import Channel


class HttpGateway:
    def __init__(self, client: httpx.AsyncClient, secrets: Secrets, real: Callable[[], Millis]) -> None:
        self._client, self._secrets, self._real = client, secrets, real

    async def __call__(self, channel: Channel, letter: Letter) -> Outcome:
        if lacking := _lacking(channel, letter):
            return Refused(f"{letter.person.id} 在 roster.yml 中没有 {lacking}，通道 {channel.id} 找不到他")
        return await post.carried(channel, self._send(channel, letter))

    async def _send(self, channel: Channel, letter: Letter) -> Outcome:
        url, secret = await asyncio.to_thread(self._secrets.address, channel)
        told = template.values(
            letter.message.fields, letter.person, letter.id, letter.escalation.drill, secret)
        content = None if channel.method == "GET" else template.body(channel, told)
        headers = {"Idempotency-Key": letter.id, **template.headers(channel, told)}
        answer = await post.send(
            self._client, template.url(url, told) if channel.url else url, content, headers, method=channel.method)
        judged = post.judge(answer.status, answer.headers.get("retry-after", ""), self._real())
        return judged if not isinstance(judged, Sent) or not channel.expect else _as_expected(channel, answer)


def _lacking(channel: Channel, letter: Letter) -> str:
    """What the template names and the receiver does not have."""
    written = "".join((channel.url, channel.body, *channel.headers.values()))
    if "{mobile}" in written and not gateway.mobile(letter.person.mobile):
        return "mobile"
    return "mail" if "{mail}" in written and not letter.person.mail else ""


def _as_expected(channel: Channel, answer: post.Answer) -> Outcome:
    """A foreign answer is not shown: it may repeat what was sent."""
    found = answer.object()
    if not found:
        return Retry(f"通道 {channel.id}：HTTP {answer.status} 的应答不是 JSON，可能来自代理或登录页面")
    try:
        met = jmespath.search(channel.expect, found)
    except jmespath.exceptions.JMESPathError:
        met = None
    return Sent() if met is True else Retry(f"通道 {channel.id}：应答不满足 expect（{channel.expect}），对方没有接收")
