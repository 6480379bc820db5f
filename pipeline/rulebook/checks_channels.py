"""What must hold inside channels.yml beyond each field's own kind: which fields a type has and needs, what a provider
accepts, and that no secret stands in the file. Templates of `http` are in checks_templates."""

from __future__ import annotations

import ipaddress
import re
from typing import Any
from urllib.parse import SplitResult, urlsplit

import msgspec

from pipeline.rulebook import schema
from pipeline.rulebook.checks import host_of, inside
from pipeline.rulebook.checks_templates import templates
from pipeline.rulebook.objects import Place
from pipeline.rulebook.schema import ChannelType

LOOKS_SECRET = re.compile(r"(?=[^/]*[0-9])(?=[^/]*[A-Za-z])[A-Za-z0-9_\-=.]{20,}")
_ADDRESS = ("url", "url_file")
_CLOUD = ("key_file", "secret_file", "template", "params", "region", "url")
FITS: dict[ChannelType, tuple[str, ...]] = {
    ChannelType.WEBHOOK: (*_ADDRESS, "secret_file"),
    ChannelType.SMTP: ("host", "port", "tls", "username", "password_file", "sender"),
    ChannelType.CONSOLE: (),
    ChannelType.WECOM_BOT: _ADDRESS,
    ChannelType.WECOM_APP: ("corp", "agent", "secret_file", "url"),
    ChannelType.DINGTALK_BOT: (*_ADDRESS, "secret_file"),
    ChannelType.FEISHU_BOT: (*_ADDRESS, "secret_file"),
    ChannelType.ALIYUN_SMS: (*_CLOUD, "sign"),
    ChannelType.ALIYUN_VOICE: (*_CLOUD, "caller"),
    ChannelType.TENCENT_SMS: (*_CLOUD, "app", "sign"),
    ChannelType.TENCENT_VOICE: (*_CLOUD, "app"),
    ChannelType.HTTP: (*_ADDRESS, "secret_file", "method", "headers", "body", "expect"),
    ChannelType.ALERTMANAGER: (*_ADDRESS, "username", "password_file", "secret_file", "resend"),
    ChannelType.APPRISE: ("url_file",),
}
"""The fields of each type beside id, type and rate."""

_KEYS = {"key_file": "secrets/cloud.id", "secret_file": "secrets/cloud.key"}
NEEDS: dict[ChannelType, dict[str, str]] = {
    ChannelType.SMTP: {"host": "smtp.example.org", "sender": "wenxun@example.org"},
    ChannelType.WECOM_APP: {"corp": "ww0123456789abcdef", "agent": "1000002", "secret_file": "secrets/wecom-app.key"},
    ChannelType.ALIYUN_SMS: {**_KEYS, "sign": "石桥镇选举办", "template": "SMS_123456789", "params": "[number, level]"},
    ChannelType.ALIYUN_VOICE: {**_KEYS, "template": "TTS_123456789", "params": "[level, text]"},
    ChannelType.TENCENT_SMS: {**_KEYS, "app": "\"1400006666\"", "sign": "石桥镇选举办", "template": "\"1110\"",
                              "params": "[number, level]"},
    ChannelType.TENCENT_VOICE: {**_KEYS, "app": "\"1400006666\"", "template": "\"1110\"", "params": "[level, text]"},
    ChannelType.APPRISE: {"url_file": "secrets/apprise.url"},
}
"""What each type cannot do without, with an example; types with url or url_file need one of them besides."""

_ALIYUN = (ChannelType.ALIYUN_SMS, ChannelType.ALIYUN_VOICE)
_PROVIDER: dict[ChannelType, dict[str, tuple[str, str, str]]] = {
    ChannelType.ALIYUN_SMS: {
        "template": (r"SMS_[0-9]{1,20}", "阿里云短信模板编号是 SMS_ 加数字。", "template: SMS_123456789"),
        "sign": (r"[^【】\[\]\s]{2,50}", "签名写审核通过的名称，不带【】和空格。", "sign: 石桥镇选举办"),
        "region": (r"(cn|ap|us|eu|me)-[a-z0-9-]+", "不是阿里云的地域。", "region: cn-hangzhou，或删去这一行"),
    },
    ChannelType.ALIYUN_VOICE: {
        "template": (r"TTS_[0-9]{1,20}", "阿里云语音模板编号是 TTS_ 加数字。", "template: TTS_123456789"),
        "region": (r"cn-[a-z0-9-]+", "语音通知只在中国内地的地域。", "region: cn-hangzhou，或删去这一行"),
    },
    ChannelType.TENCENT_SMS: {
        "app": (r"[0-9]{5,20}", "腾讯云短信的 SdkAppId 是一串数字。", "app: \"1400006666\""),
        "template": (r"[0-9]{1,20}", "腾讯云短信模板编号是一串数字。", "template: \"1110\""),
        "sign": (r"[^【】\[\]\s]{2,50}", "签名写审核通过的名称，不带【】和空格。", "sign: 石桥镇选举办"),
        "region": (r"ap-(beijing|guangzhou|nanjing)", "腾讯云短信只有 ap-beijing、ap-guangzhou、ap-nanjing。",
                   "region: ap-guangzhou，或删去这一行"),
    },
    ChannelType.TENCENT_VOICE: {
        "app": (r"[0-9]{5,20}", "腾讯云语音的 SdkAppid 是一串数字。", "app: \"1400006666\""),
        "template": (r"[0-9]{1,20}", "腾讯云语音模板编号是一串数字。", "template: \"1110\""),
        "region": (r"ap-(beijing|guangzhou)", "腾讯云语音只有 ap-beijing、ap-guangzhou。",
                   "region: ap-guangzhou，或删去这一行"),
    },
}
"""Type -> field -> (what fits, what is wrong, what to write)."""


def channel(value: schema.Channel, path: str, place: Place) -> None:
    _fields(value, path, place)
    if "url_file" in FITS[value.type] and value.type is not ChannelType.APPRISE:
        address(value, path, place, f"{value.type} 通道")
    elif value.url:
        _plain(value.url, path, place)
    for name, (regex, wrong, hint) in _PROVIDER.get(value.type, {}).items():
        if getattr(value, name) and not re.fullmatch(regex, getattr(value, name)):
            place.problem(inside(path, name), wrong, f"写成 {hint}")
    _params(value, path, place)
    if value.type in (ChannelType.SMTP, ChannelType.ALERTMANAGER) and bool(value.username) != bool(value.password_file):
        place.problem(path, "username 和 password_file 要一起写。", "两个都写，或都不写")
    if value.type is ChannelType.ALERTMANAGER and value.secret_file and value.username:
        place.problem(inside(path, "secret_file"), "secret_file（令牌）和 username（口令）只能用一种登录。", "只留一种")
    if value.type is ChannelType.HTTP:
        templates(value, path, place, LOOKS_SECRET)


def heartbeat(value: schema.Heartbeat, path: str, place: Place) -> None:
    address(value, path, place, "heartbeat ")


def _fields(value: schema.Channel, path: str, place: Place) -> None:
    """Every field that is written belongs to the type, and none that it needs is missing."""
    fits = ("id", "type", "rate", *FITS[value.type])
    for each in msgspec.structs.fields(value):
        if each.name not in fits and getattr(value, each.name) != _default(each):
            place.problem(inside(path, each.name), f"{value.type} 通道没有 {each.name}。", "删去这一行，或改 type")
    for name, example in NEEDS.get(value.type, {}).items():
        if not getattr(value, name):
            place.problem(path, f"{value.type} 通道要有 {name}。", f"补上 {name}: {example}")


def _default(each: msgspec.structs.FieldInfo) -> Any:
    return each.default_factory() if each.default_factory is not msgspec.NODEFAULT else each.default


def address(value: schema.Channel | schema.Heartbeat, path: str, place: Place, whose: str) -> None:
    """One of url and url_file; in a url no secret."""
    if bool(value.url) == bool(value.url_file):
        wrong = "url 和 url_file 只能写一个。" if value.url else f"{whose}要有地址。"
        place.problem(path, wrong, "地址含密钥时写 url_file: 文件名，否则写 url: 网址")
    elif value.url:
        _plain(value.url, path, place, template=getattr(value, "type", None) is ChannelType.HTTP)


def _plain(url: str, path: str, place: Place, template: bool = False) -> None:
    if not host_of(url):
        place.problem(inside(path, "url"), "网址里没有可用的主机名或端口。", "写成 url: https://主机/路径")
    elif why := secret_in(url, template):
        place.problem(inside(path, "url"), f"网址里{why}，规则文件里不放明文密钥。",
                      "把网址存进单独的文件，改写 url_file: 文件名")


def secret_in(url: str, template: bool = False) -> str:
    """Why an address must not stand in a rule file; empty when it has no secret, or is on this machine.

    template: its query is one of places in braces, which checks_templates looks at.
    """
    parts = urlsplit(url)
    if parts.username or parts.password:
        return "有用户名或口令"
    if _loopback(parts):
        return ""
    if parts.query and not template:
        return "有查询参数（常是密钥）"
    return "有像密钥的一段" if any(LOOKS_SECRET.fullmatch(part) for part in parts.path.split("/")) else ""


def _loopback(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _params(value: schema.Channel, path: str, place: Place) -> None:
    """Aliyun's places have names, Tencent's are numbered by their order; neither takes one twice."""
    named = [each.partition("=")[0] for each in value.params if "=" in each]
    if named and value.type not in _ALIYUN:
        place.problem(inside(path, "params"), "只有阿里云的模板变量有名字。",
                      "按模板里 {1} {2} 的顺序写，例如 [number, level]")
    places = [each.partition("=")[0] for each in value.params]
    for index, name in enumerate(places):
        if value.type in _ALIYUN and name in places[:index]:
            place.problem(inside(path, f"params[{index}]"), f"模板变量 {name} 写了两次。", "每个变量只写一次")
