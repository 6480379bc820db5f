"""Fields of channels.yml."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from pipeline.rulebook import checks_channels as own
from pipeline.rulebook import schema
from pipeline.rulebook.kinds import Choice, Many, Schema, Table, ident, length, pattern, text, whole
from pipeline.rulebook.layout_base import FILE, HOST, MAIL, URL
from pipeline.rulebook.objects import Field, Record
from pipeline.rulebook.schema.channels import PARAMS, ChannelType


class Channels(msgspec.Struct):
    channels: tuple[schema.Channel, ...]
    heartbeat: schema.Heartbeat | None = None


@dataclass(frozen=True, slots=True)
class ByType(Record):
    """A record whose JSON Schema says which fields each type needs, and which it does not have."""

    def schema(self) -> Schema:
        return {**Record.schema(self), "allOf": [self._of(each) for each in ChannelType]}

    def _of(self, kind: ChannelType) -> Schema:
        fits = ("id", "type", "rate", *own.FITS[kind])
        then: Schema = {"properties": {name: False for name in self.fields if name not in fits}}
        if needs := list(own.NEEDS.get(kind, ())):
            then["required"] = needs
        if {"url", "url_file"} <= set(fits):
            then["oneOf"] = [{"required": ["url"]}, {"required": ["url_file"]}]
        return {"if": {"properties": {"type": {"const": kind.value}}, "required": ["type"]}, "then": then}


PARAM = pattern(f"{'、'.join(PARAMS)} 之一，或 模板变量名=其中之一", "number",
                rf"(?:[A-Za-z][A-Za-z0-9_]{{0,24}}=)?(?:{'|'.join(PARAMS)})")
HEADER = pattern("请求头的名字", "Authorization", r"[A-Za-z0-9!#$%&'*+.^_`|~\-]{1,64}")

CHANNEL = ByType(schema.Channel, {
    "id": Field(ident("channel"), "通道编号", True),
    "type": Field(Choice.of(schema.ChannelType), "通道类型：群机器人、应用消息、短信、电话、邮件、网关等", True),
    "rate": Field(whole(1, 6000, 18), "每分钟最多调用几次；默认按类型："
                  "企业微信和钉钉机器人 18，企业微信应用 25，飞书机器人 90"),
    "url": Field(URL, "地址，不含密钥时才可以直接写；wecom-app 和短信、语音只在不用服务商的官方地址时写"),
    "url_file": Field(FILE, "存有地址的文件：群机器人的地址里有密钥"),
    "secret_file": Field(FILE, "存有密钥的文件：webhook、钉钉、飞书的签名密钥，应用的 secret，云服务的 AccessKey "
                               "Secret / SecretKey，http 的 {secret}，Alertmanager 的令牌"),
    "host": Field(HOST, "SMTP 服务器"),
    "port": Field(whole(1, 65535, 587), "SMTP 端口；默认 587，tls 为 tls 时 465，为 none 时 25"),
    "tls": Field(Choice(("starttls", "tls", "none")), "SMTP 加密方式"),
    "username": Field(text("wenxun@example.org"), "SMTP 或 Alertmanager 的用户名"),
    "password_file": Field(FILE, "存有口令的文件"),
    "sender": Field(MAIL, "发件人地址"),
    "key_file": Field(FILE, "存有云服务 AccessKey ID / SecretId 的文件"),
    "corp": Field(pattern("企业 ID（corpid）", "ww0123456789abcdef", r"[A-Za-z0-9_-]{8,40}"), "企业微信的企业 ID"),
    "agent": Field(whole(1, 999_999_999, 1000002), "企业微信应用的 AgentId"),
    "app": Field(text("\"1400006666\"", 32), "腾讯云的 SdkAppId"),
    "sign": Field(text("石桥镇选举办", 50), "短信签名，不带【】"),
    "template": Field(text("SMS_123456789", 40), "短信或语音模板的编号"),
    "caller": Field(pattern("主叫号码", "\"057112345678\"", r"[0-9+]{3,20}"), "阿里云语音的主叫号码；公共模式不写"),
    "region": Field(text("cn-hangzhou", 40), "云服务的地域；默认 cn-hangzhou、ap-guangzhou"),
    "params": Field(Many(PARAM, 0, 20), f"依次填进模板变量的内容：{'、'.join(PARAMS)}；"
                                        "阿里云的变量名不同时写 变量名=内容，例如 code=number"),
    "method": Field(Choice(("POST", "PUT", "GET")), "http 通道的请求方法"),
    "headers": Field(Table(HEADER, text("Bearer {secret}", 500)), "http 通道的请求头，可用 {secret} 等位置"),
    "body": Field(text("'{\"to\": \"{mobile}\", \"text\": \"{text}\"}'", 4000),
                  "http 通道的正文：{number} {level} {title} {why} {text} {link} {mobile} 等处换成告警的内容"),
    "expect": Field(text("code == `0`", 200), "http 通道：JSON 应答要满足的 JMESPath 条件，不满足就是没有送达"),
    "resend": Field(length("5s", "100s", "1m"), "Alertmanager：多久重发一次没有结束的告警，"
                                                "不超过它 resolve_timeout 的三分之一"),
}, own.channel)

HEARTBEAT = Record(schema.Heartbeat, {
    "url": Field(URL, "心跳地址，不含密钥时才可以直接写"),
    "url_file": Field(FILE, "存有心跳地址的文件"),
    "every": Field(length("10s", "1h", "1m"), "多久一次"),
}, own.heartbeat)

CHANNELS = Record(Channels, {
    "heartbeat": Field(HEARTBEAT, "每个环节都正常时定时访问的外部地址；它收不到了就是出了故障"),
    "channels": Field(Many(CHANNEL, 1), "通知通道", True),
})
