"""What the senders over HTTP share: one request through the pinned client, and what comes of it as an outcome.

A redirect is never followed: a POST could lose its body or leave its host. Texts name no URL beyond the host.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import msgspec

from agents.deliverer.letter import Outcome, Refused, Retry, Sent
from agents.deliverer.secrets import SecretError
from agents.outbound import Fault, Limits, OutboundError
from agents.outbound.body import read_body
from pipeline.model import Millis
from pipeline.rulebook.schema import Channel

SECONDS = 20.0
"""Real seconds for one request with its answer."""
CONNECT_SECONDS = 5.0
ANSWER_BYTES = 64 * 1024
"""Of an answer's body; an error page may be larger, an answer of a message service never is."""
JSON = {"Content-Type": "application/json; charset=utf-8"}
_LATER = frozenset((408, 425, 429))
_MAX_WAIT = 24 * 3_600_000
_HOPELESS = frozenset((Fault.REFUSED,))


@dataclass(frozen=True, slots=True)
class Answer:
    """status; headers: names in lower case; body: decoded, empty when it was not read."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def object(self) -> dict[str, Any]:
        """The JSON object of the body, {} when it is none: an error page, a login page, nothing, or one that is nested
        without end."""
        try:
            found = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


async def send(
    client: httpx.AsyncClient, url: str, body: bytes | None, headers: Mapping[str, str], *, method: str = "POST",
    limit: int = ANSWER_BYTES,
) -> Answer:
    """One request; raises what `carried` makes an outcome of. limit: bytes of the body; 0 leaves it unread."""
    each = httpx.Timeout(SECONDS, connect=CONNECT_SECONDS)
    async with asyncio.timeout(SECONDS):
        request = client.build_request(method, url, content=body, headers=dict(headers), timeout=each)
        answer = await client.send(request, stream=True, follow_redirects=False)
        try:
            content = await read_body(answer, Limits(raw=limit, decoded=limit)) if limit else b""
            return Answer(answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, content)
        finally:
            await answer.aclose()


async def carried(channel: Channel, attempt: Awaitable[Outcome]) -> Outcome:
    """The attempt's outcome; what it raises as one. A foreign exception's text is not shown: it may hold the URL."""
    try:
        return await attempt
    except SecretError as error:
        return Retry(str(error))
    except OutboundError as error:
        return Refused(str(error)) if error.fault in _HOPELESS else Retry(str(error))
    except httpx.InvalidURL:
        return Refused(f"通道 {channel.id} 的网址无法识别")
    except (TimeoutError, httpx.TimeoutException):
        return Retry("对方没有按时应答")
    except httpx.HTTPError as error:
        return Retry(f"连接失败或中断（{type(error).__name__}）")


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


# ---------------------------------------------------------------- services that say it in the body


def number(value: object) -> int | None:
    """A code as services write it: a number, or its digits as text. `false` is no code."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().removeprefix("-").isdecimal():
        return int(value)
    return None


def by_code(channel: Channel, answer: Answer, code: int | None, known: Mapping[int, Outcome], real: Millis) -> Outcome:
    """What an answer means whose body says so: only code 0 of a 2xx answer is success.

    An unknown code is tried again: whatever it is, giving up is what loses the message. No text of the body is shown:
    it is foreign, and could repeat what was sent.
    """
    if code is not None and code in known and (answer.ok or (answer.status < 500 and code != 0)):
        outcome = known[code]
        if isinstance(outcome, Sent):
            return outcome
        return replace(outcome, error=f"通道 {channel.id}：{outcome.error}（错误码 {code}）")
    if not answer.ok:
        asked = answer.headers.get("retry-after", "") or answer.headers.get("x-ogw-ratelimit-reset", "")
        return judge(answer.status, asked, real)
    if code is None:
        return Retry(f"通道 {channel.id}：HTTP {answer.status} 的应答不是约定的结果，可能来自代理或登录页面")
    return Retry(f"通道 {channel.id}：对方没有接收（错误码 {code}，含义未知，请查对方的错误码说明）")
