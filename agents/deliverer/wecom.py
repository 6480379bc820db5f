"""WeCom: the group robot and messages of an own app. The answer is 200 whatever happened, its errcode says what.

The robot gets two calls where somebody is mentioned: a short text with the mentions, then the card. When the card fails
after the text arrived, the text is not repeated by later attempts of this process: it remembers the deliveries whose
text was taken. After a restart it may be: at least once.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import httpx
import msgspec

from agents.deliverer import post
from agents.deliverer.letter import Letter, Outcome, Refused, Retry, Sent
from agents.deliverer.secrets import Secrets
from agents.deliverer.wecom_token import FAST, SHARED, Tokens
from pipeline.model import Millis
from pipeline.notify import chat, wecom
from pipeline.rulebook.schema import Channel

REMEMBERED = 4096
HOST = "https://qyapi.weixin.qq.com"
_FORM = Refused("企业微信不接受消息的格式或长度。请报告为程序错误")
_ROBOT: dict[int, Outcome] = {
    **SHARED, 45009: Retry("企业微信限制每个机器人每分钟 20 条", FAST),
    93000: Refused("企业微信不认得这个机器人。它被移出了群，或地址里的 key 不对：请在群设置里重新复制 Webhook 地址，"
                   "写进 url_file 指的文件"),
    93004: Refused("企业微信上这个机器人已停用。请在群设置里启用它，或换一个机器人"),
    93008: Refused("企业微信上机器人不在这个群里。请重新添加机器人，把新地址写进 url_file 指的文件"),
    40058: _FORM, 40008: _FORM, 44004: _FORM, 45002: _FORM,
}
_APP: dict[int, Outcome] = {
    **SHARED, 45009: Retry("企业微信应用的调用超过了频率限制", FAST),
    45033: Retry("企业微信应用的并发调用超过了限制", 10_000),
    40056: Refused("企业微信没有这个应用。请核对 channels.yml 的 agent 与应用详情里的 AgentId"),
    301002: Refused("企业微信不允许用这个应用发消息：请核对 channels.yml 的 agent 与 secret_file 是同一个应用的"),
    48002: Refused("企业微信没有给这个应用发消息的权限。请在管理后台检查应用的权限"),
    60011: Refused("企业微信没有给这个应用发给他的权限。请在管理后台把他加进应用的可见范围"),
    81013: Refused("收件人不在应用的可见范围里，或 roster.yml 的 wecom 写错了。请在管理后台核对"),
    40031: Refused("企业微信没有这个账号。请核对 roster.yml 的 wecom"),
    40003: Refused("企业微信没有这个账号。请核对 roster.yml 的 wecom"),
    40058: _FORM, 40008: _FORM, 44004: _FORM, 45002: _FORM,
}
_STALE = frozenset((40014, 42001, 41001))


class WecomBot:
    def __init__(self, client: httpx.AsyncClient, secrets: Secrets, real: Callable[[], Millis]) -> None:
        self._client, self._secrets, self._real = client, secrets, real
        self._told: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def __call__(self, channel: Channel, letter: Letter) -> Outcome:
        return await post.carried(channel, self._send(channel, letter))

    async def _send(self, channel: Channel, letter: Letter) -> Outcome:
        url, _ = await asyncio.to_thread(self._secrets.address, channel)
        which = (channel.id, letter.id)
        text = wecom.mention(letter.message.card, letter.people)
        if text is not None and which not in self._told:
            outcome = await self._post(channel, url, text)
            if not isinstance(outcome, Sent):
                return outcome
            self._remember(which)
        outcome = await self._post(channel, url, wecom.markdown(letter.message.card, letter.people))
        if isinstance(outcome, Sent):
            self._told.pop(which, None)
        return outcome

    def _remember(self, which: tuple[str, str]) -> None:
        self._told[which] = None
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)

    async def _post(self, channel: Channel, url: str, body: dict[str, Any]) -> Outcome:
        answer = await post.send(self._client, url, msgspec.json.encode(body), post.JSON)
        return post.by_code(channel, answer, post.number(answer.object().get("errcode")), _ROBOT, self._real())


class WecomApp:
    def __init__(self, client: httpx.AsyncClient, secrets: Secrets, real: Callable[[], Millis]) -> None:
        self._client, self._secrets, self._real = client, secrets, real
        self._tokens = Tokens(client, real)

    async def __call__(self, channel: Channel, letter: Letter) -> Outcome:
        if not (user := chat.account(letter.person.wecom)):
            return Refused(f"{letter.person.id} 在 roster.yml 中没有可用的 wecom，通道 {channel.id} 无法发给他")
        return await post.carried(channel, self._send(channel, letter, user))

    async def _send(self, channel: Channel, letter: Letter, user: str) -> Outcome:
        secret = await asyncio.to_thread(self._secrets.read, channel.id, channel.secret_file)
        base = (channel.url or HOST).rstrip("/")
        body = msgspec.json.encode(wecom.app(letter.message.card, user, channel.agent, letter.id))
        stale = ""
        for last in (False, True):
            token = await self._tokens.get(channel, base, secret, stale)
            if not isinstance(token, str):
                return token
            answer = await post.send(self._client, f"{base}/cgi-bin/message/send?access_token={token}", body, post.JSON)
            said = answer.object()
            code = post.number(said.get("errcode"))
            if code not in _STALE or last:
                break
            stale = token
        if code in _STALE:
            return Retry(f"通道 {channel.id}：企业微信不接受刚取得的 access_token（错误码 {code}）", FAST)
        if code == 0 and answer.ok and _missed(said, user):
            return post.by_code(channel, answer, 81013, _APP, self._real())
        return post.by_code(channel, answer, code, _APP, self._real())


def _missed(said: dict[str, Any], user: str) -> bool:
    """Whether an accepted message did not reach the account: not visible to the app, or without a licence."""
    missed = f"{said.get('invaliduser') or ''}|{said.get('unlicenseduser') or ''}"
    return user.lower() in missed.lower().split("|")
