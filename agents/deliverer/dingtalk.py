"""DingTalk's group robot: one signed call per message; the answer is 200 whatever happened, its errcode says what.

After 20 messages in a minute it is blocked for ten: further calls meet 130101, a redirect or an answer of the guard in
front, without errcode.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import msgspec

from agents.deliverer import post
from agents.deliverer.letter import Letter, Outcome, Refused, Retry, Sent
from agents.deliverer.secrets import Secrets
from pipeline.model import Millis
from pipeline.notify import dingtalk
from pipeline.rulebook.schema import Channel

BLOCKED: Millis = 600_000
_FAST = Retry("钉钉限制每个机器人每分钟 20 条，超过后停 10 分钟", BLOCKED)
_GONE = Refused("钉钉不认得这个机器人。它被移出了群，或地址里的 access_token 不对：请在群设置里重新复制 Webhook 地址，"
                "写进 url_file 指的文件")
_STOPPED = Refused("钉钉上这个机器人已停用，或群已解散。请在群设置里启用它，或换一个机器人")
_KNOWN: dict[int, Outcome] = {
    0: Sent(), -1: Retry("钉钉系统繁忙", 30_000), 130101: _FAST, 410100: _FAST, 90030: _FAST,
    300001: _GONE, 300005: _GONE, 400101: _GONE, 400106: _GONE, 40035: _GONE, 400013: _STOPPED, 400102: _STOPPED,
    400105: Refused("钉钉不支持这种消息类型。请报告为程序错误"),
    460101: Refused("钉钉说消息太长。请报告为程序错误"),
    430101: Refused("钉钉认为消息里有不安全的链接。请检查 WENXUN_EXTERNAL_URL 的域名是否被钉钉拦截"),
    430102: Refused("钉钉认为消息里有不合适的文本，没有发出。请在值班台查看这条消息，用其他通道通知"),
    430103: Refused("钉钉认为消息里有不合适的图片。请报告为程序错误"),
    430104: Refused("钉钉认为消息里有不合适的内容，没有发出。请在值班台查看这条消息，用其他通道通知"),
}
_SECURITY = 310000
_WHY = (
    ("sign", "签名不对：请核对 secret_file 里的密钥与机器人“加签”一栏的是否相同（SEC 开头）"),
    ("timestamp", "时间戳不被接受：请校准本机时钟，误差要在 1 小时以内"),
    ("keyword", "机器人设了自定义关键词，而消息里没有：请改用“加签”，或把关键词设成消息里总有的字"),
    ("whitelist", "本机的出口 IP 不在机器人的白名单里：请在机器人的安全设置里加上"),
)


class DingTalk:
    """real: milliseconds of real time, for the signature."""

    def __init__(self, client: httpx.AsyncClient, secrets: Secrets, real: Callable[[], Millis]) -> None:
        self._client, self._secrets, self._real = client, secrets, real

    async def __call__(self, channel: Channel, letter: Letter) -> Outcome:
        return await post.carried(channel, self._send(channel, letter))

    async def _send(self, channel: Channel, letter: Letter) -> Outcome:
        url, secret = await asyncio.to_thread(self._secrets.address, channel)
        body = msgspec.json.encode(dingtalk.payload(letter.message.card, letter.people))
        answer = await post.send(self._client, dingtalk.signed(url, secret, self._real()), body, post.JSON)
        return self._judge(channel, answer)

    def _judge(self, channel: Channel, answer: post.Answer) -> Outcome:
        said = answer.object()
        code = post.number(said.get("errcode"))
        if answer.status == 302 or (code is None and "punish" in said):
            return Retry(f"通道 {channel.id}：{_FAST.error}", BLOCKED)
        if code == _SECURITY:
            return post.by_code(channel, answer, code, {code: Refused(_security(said.get("errmsg")))}, self._real())
        return post.by_code(channel, answer, code, _KNOWN, self._real())


def _security(errmsg: object) -> str:
    """One code for four reasons: the words tell them apart."""
    words = str(errmsg).lower()
    found = next((why for word, why in _WHY if word in words), "")
    return found or "没有通过机器人的安全设置：请核对加签密钥、关键词和 IP 白名单"
