"""channels.yml: endpoints, and the heartbeat's dead-man URL."""

from __future__ import annotations

from enum import StrEnum

from pipeline.rulebook.schema.base import MINUTE, Rule


class ChannelType(StrEnum):
    WEBHOOK = "webhook"                      # Standard Webhooks
    SMTP = "smtp"
    CONSOLE = "console"
    WECOM_BOT = "wecom-bot"                  # group robot
    WECOM_APP = "wecom-app"                  # message of an own app, to one person
    DINGTALK_BOT = "dingtalk-bot"
    FEISHU_BOT = "feishu-bot"                # Lark too: its host is in the URL
    ALIYUN_SMS = "aliyun-sms"
    ALIYUN_VOICE = "aliyun-voice"
    TENCENT_SMS = "tencent-sms"
    TENCENT_VOICE = "tencent-voice"
    HTTP = "http"                            # any gateway, by a template
    ALERTMANAGER = "alertmanager"            # v2 API, re-sent while firing
    APPRISE = "apprise"                      # the rest, best effort


class Channel(Rule, frozen=True):
    """An endpoint. Secrets are read from files, relative to the rule directory, by the deliverer alone.

    url: of wecom-app and the gateways, only where it is not the provider's own. rate: calls per minute at most, 0 for
    the type's own (notify/pace.py). For gateways: key_file holds the access key id,
    secret_file its secret; app, sign, template and caller are what the provider calls them; params: what fills the
    template's places, in order, of PARAMS; `code=number` where the provider's places have names. corp, agent: of a
    WeCom app. method, headers, body, expect: of `http`; its url, headers and body are templates with the places of
    PLACES in braces, expect a JMESPath that must be true of a JSON answer. resend: of alertmanager, ms.
    """

    id: str
    type: ChannelType
    url: str = ""
    url_file: str = ""
    secret_file: str = ""
    host: str = ""
    port: int = 0
    tls: str = "starttls"
    username: str = ""
    password_file: str = ""
    sender: str = ""
    rate: int = 0
    key_file: str = ""
    corp: str = ""
    agent: int = 0
    app: str = ""
    sign: str = ""
    template: str = ""
    caller: str = ""
    region: str = ""
    params: tuple[str, ...] = ()
    method: str = "POST"
    headers: dict[str, str] = {}
    body: str = ""
    expect: str = ""
    resend: int = MINUTE

    @property
    def group(self) -> bool:
        """Whether one message is read by many: its link names nobody. `http` is, unless its template names a person."""
        if self.type is ChannelType.HTTP:
            written = "".join((self.url, self.body, *self.headers.values()))
            return not any(f"{{{name}}}" in written for name in PERSONAL)
        return self.type in (ChannelType.WECOM_BOT, ChannelType.DINGTALK_BOT, ChannelType.FEISHU_BOT,
                             ChannelType.CONSOLE, ChannelType.WEBHOOK, ChannelType.APPRISE, ChannelType.ALERTMANAGER)

    @property
    def addressed(self) -> bool:
        """Whether one person alone gets a message, so that its link may act as that person. An `http` channel finds
        somebody by an address; by a name alone it could write to any group."""
        if self.type is ChannelType.HTTP:
            written = "".join((self.url, self.body, *self.headers.values()))
            return any(f"{{{name}}}" in written for name in ADDRESSES)
        return not self.group


PARAMS = ("number", "level", "title", "why", "clock", "text")
"""What may fill a place of an SMS or voice template. No link: providers refuse messages with one in a place."""

ADDRESSES = ("person", "mobile", "mail")
PERSONAL = ("name", *ADDRESSES)

PLACES = (*PARAMS, *PERSONAL, "link", "id", "drill", "secret")
"""What may stand in braces in the templates of an `http` channel. id: of the delivery, the same at every attempt;
person, name, mobile, mail: of the receiver; drill: 演练, or empty; secret: the text of secret_file."""


class Heartbeat(Rule, frozen=True):
    """A URL that is called while every stage works, every `every` ms; whoever owns it alarms when the calls stop."""

    url: str = ""
    url_file: str = ""
    every: int = MINUTE
