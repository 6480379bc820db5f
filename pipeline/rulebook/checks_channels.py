"""What must hold inside channels.yml beyond each field's own kind."""

from __future__ import annotations

import ipaddress
import re
from typing import Any
from urllib.parse import SplitResult, urlsplit

from pipeline.rulebook import schema
from pipeline.rulebook.checks import host_of, inside
from pipeline.rulebook.objects import Place

_LOOKS_SECRET = re.compile(r"(?=[^/]*[0-9])(?=[^/]*[A-Za-z])[A-Za-z0-9_\-=.]{20,}")
_FITS = {
    schema.ChannelType.WEBHOOK: ("url", "url_file", "secret_file"),
    schema.ChannelType.SMTP: ("host", "port", "tls", "username", "password_file", "sender"),
    schema.ChannelType.CONSOLE: (),
}


def channel(value: schema.Channel, path: str, place: Place) -> None:
    fits = _FITS[value.type]
    for name in (each for names in _FITS.values() for each in names):
        if name not in fits and getattr(value, name) != _default(name):
            place.problem(inside(path, name), f"{value.type} 通道没有 {name}。", "删去这一行，或改 type")
    if value.type is schema.ChannelType.WEBHOOK:
        _webhook(value, path, place)
    if value.type is schema.ChannelType.SMTP:
        _smtp(value, path, place)


def _default(name: str) -> Any:
    return {"port": 0, "tls": "starttls"}.get(name, "")


def _webhook(value: schema.Channel, path: str, place: Place) -> None:
    if bool(value.url) == bool(value.url_file):
        wrong = "url 和 url_file 只能写一个。" if value.url else "webhook 通道要有地址。"
        place.problem(path, wrong, "地址含密钥时写 url_file: 文件名，否则写 url: 网址")
    elif value.url and not host_of(value.url):
        place.problem(inside(path, "url"), "网址里没有可用的主机名或端口。", "写成 url: https://主机/路径")
    elif value.url and (why := secret_in(value.url)):
        place.problem(inside(path, "url"), f"网址里{why}，规则文件里不放明文密钥。",
                      "把网址存进单独的文件，改写 url_file: 文件名")


def secret_in(url: str) -> str:
    """Why a webhook address must not stand in a rule file; empty when it has no secret, or is on this machine."""
    parts = urlsplit(url)
    if parts.username or parts.password:
        return "有用户名或口令"
    if _loopback(parts):
        return ""
    if parts.query:
        return "有查询参数（常是密钥）"
    return "有像密钥的一段" if any(_LOOKS_SECRET.fullmatch(part) for part in parts.path.split("/")) else ""


def _loopback(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _smtp(value: schema.Channel, path: str, place: Place) -> None:
    for name, example in (("host", "smtp.example.org"), ("sender", "wenxun@example.org")):
        if not getattr(value, name):
            place.problem(path, f"smtp 通道要有 {name}。", f"补上 {name}: {example}")
    if bool(value.username) != bool(value.password_file):
        place.problem(path, "username 和 password_file 要一起写。", "两个都写，或都不写")
