"""Fields of channels.yml."""

from __future__ import annotations

import msgspec

from pipeline.rulebook import checks_channels as own
from pipeline.rulebook import schema
from pipeline.rulebook.kinds import Choice, Many, ident, text, whole
from pipeline.rulebook.layout_base import FILE, HOST, MAIL, URL
from pipeline.rulebook.objects import Field, Record


class Channels(msgspec.Struct):
    channels: tuple[schema.Channel, ...]


CHANNEL = Record(schema.Channel, {
    "id": Field(ident("channel"), "通道编号", True),
    "type": Field(Choice.of(schema.ChannelType), "webhook、smtp 或 console", True),
    "url": Field(URL, "webhook 地址，不含密钥时才可以直接写"),
    "url_file": Field(FILE, "存有 webhook 地址的文件"),
    "secret_file": Field(FILE, "存有 webhook 签名密钥的文件"),
    "host": Field(HOST, "SMTP 服务器"),
    "port": Field(whole(1, 65535, 587), "SMTP 端口；默认 587，tls 为 tls 时 465，为 none 时 25"),
    "tls": Field(Choice(("starttls", "tls", "none")), "SMTP 加密方式"),
    "username": Field(text("wenxun@example.org"), "SMTP 用户名"),
    "password_file": Field(FILE, "存有 SMTP 口令的文件"),
    "sender": Field(MAIL, "发件人地址"),
}, own.channel)


CHANNELS = Record(Channels, {"channels": Field(Many(CHANNEL, 1), "通知通道", True)})
