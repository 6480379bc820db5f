"""How fast a channel may be called, and which of the waiting messages go out together. Pure; times are real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.model import EscalationKind, Millis
from pipeline.rulebook.schema import Channel, ChannelType

MINUTE: Millis = 60_000
RATES = {ChannelType.WECOM_BOT: 18, ChannelType.DINGTALK_BOT: 18, ChannelType.FEISHU_BOT: 90, ChannelType.WECOM_APP: 25}
"""Calls a minute, a little under what the receivers allow: 20, 20, 100, and 30 to one person (what is over that a WeCom
app says it took, and drops)."""
REQUESTS = {ChannelType.WECOM_BOT: 2}
"""What a message takes of the rate, where it is not one: a text that mentions, then the card."""
SINGLY = frozenset((ChannelType.ALERTMANAGER, ChannelType.ALIYUN_SMS, ChannelType.ALIYUN_VOICE,
                    ChannelType.TENCENT_SMS, ChannelType.TENCENT_VOICE, ChannelType.HTTP))
"""A list has no place in their templates, or each alert has a state of its own: they wait for their turn instead."""


def rate_of(channel: Channel) -> int:
    """Messages a minute at most; 0: as many as there are."""
    rate = channel.rate or RATES.get(channel.type, 0)
    return max(1, rate // REQUESTS.get(channel.type, 1)) if rate else 0


@dataclass(frozen=True, slots=True)
class Bucket:
    """tokens: calls that may be made at once. A bucket that was never used is full."""

    tokens: float = 0.0
    refilled_at: Millis = 0

    def refilled(self, rate: int, now: Millis) -> Bucket:
        """A clock that jumps back brings no tokens, and takes none."""
        size, speed = capacity(rate), refill(rate)
        if not self.refilled_at:
            return Bucket(float(size), now)
        passed = max(0, now - self.refilled_at)
        return Bucket(min(float(size), self.tokens + passed * speed / MINUTE), now)

    def taken(self, count: int) -> Bucket:
        return Bucket(self.tokens - count, self.refilled_at)

    def due(self, rate: int, now: Millis) -> Millis:
        """When there is a whole token; of a bucket that was refilled now."""
        missing = 1.0 - self.tokens
        return now if missing <= 0 else now + int(missing * MINUTE / refill(rate)) + 1


def capacity(rate: int) -> int:
    """How many calls may come at once."""
    return max(1, rate // 3)


def refill(rate: int) -> float:
    """Tokens a minute. With a full bucket before it, no 60 s see more than `rate` calls."""
    return max(rate - capacity(rate), 0.95)


@dataclass(frozen=True, slots=True)
class Unit:
    """What goes out in one call when there is no hurry: a message to one receiver, or to all of a group channel.

    urgency: as `urgency` gives it. top: a page of the highest level."""

    key: str
    receiver: str
    urgency: tuple[int, int]
    top: bool = False


def urgency(kind: str, level: int) -> tuple[int, int]:
    """Less is sooner: the higher level, of one level the page."""
    return -level, 0 if kind == EscalationKind.PAGE else 1 if kind == EscalationKind.CLOCK else 2


def calls(units: Sequence[Unit], limit: int, *, scarce: bool, bundles: bool) -> list[tuple[Unit, ...]]:
    """At most `limit` calls for these units, the most urgent first; a call of several units is a bundle.

    scarce: the limit is the channel's rate, so that what does not fit waits long: then all that waits for a receiver
    goes together. Pages of the highest level are still sent alone while there is room for them.
    """
    ordered = sorted(units, key=lambda unit: unit.urgency)
    if not scarce or not bundles or len(ordered) <= limit:
        return [(unit,) for unit in ordered[:max(0, limit)]]
    tops = [unit for unit in ordered if unit.top]
    alone = tops if len(tops) <= limit else []
    together: dict[str, list[Unit]] = {}
    for unit in ordered:
        if unit not in alone:
            together.setdefault(unit.receiver, []).append(unit)
    return [*((unit,) for unit in alone), *(tuple(each) for each in together.values())][:max(0, limit)]
