"""What channels may be and probably should not: nobody's only way to hear of an alert is a best effort, and what is
sent over a network is encrypted."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from pipeline.errors import Problem
from pipeline.rulebook.places import Places
from pipeline.rulebook.schema import ChannelType, RuleBook


def best_effort(book: RuleBook, today: dt.date, places: Places) -> Iterator[Problem]:
    """Apprise calls a message sent that the service did not take."""
    types = {each.id: each.type for each in book.channels}
    for person in book.roster.people:
        kinds = {types.get(name) for name in person.channels}
        if kinds == {ChannelType.APPRISE}:
            yield places.warning("best-effort-only", ("person", person.id, ""),
                                 f"{person.name}只有 Apprise 通道，它是尽力而为，说成功不等于送达。",
                                 "再加一个别的通道，例如邮件或短信")


def in_clear(book: RuleBook, today: dt.date, places: Places) -> Iterator[Problem]:
    """What is written in `url_file` only the deliverer reads."""
    for each in book.channels:
        if _in_clear(each.url):
            yield places.warning("sent-in-clear", ("channel", each.id, "url"),
                                 f"通道 {each.id} 的地址是 http://，消息和其中的确认链接在网络上是明文，谁看到都能用。",
                                 "对方支持就改成 https://")
    if book.heartbeat is not None and _in_clear(book.heartbeat.url):
        yield places.warning("sent-in-clear", ("channels.yml", "", "heartbeat.url"),
                             "心跳的地址是 http://，地址在网络上是明文，谁看到都能冒充闻讯报平安。",
                             "对方支持就改成 https://")


def _in_clear(url: str) -> bool:
    """Whether it is http:// to another machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        return parts.scheme == "http" and not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"
