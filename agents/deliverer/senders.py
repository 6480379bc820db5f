"""One sender for every channel type."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import httpx

from agents.deliverer.alertmanager import Alertmanager
from agents.deliverer.apprise import Apprise
from agents.deliverer.cloud import Cloud
from agents.deliverer.console import Console
from agents.deliverer.dingtalk import DingTalk
from agents.deliverer.feishu import Feishu
from agents.deliverer.http_gateway import HttpGateway
from agents.deliverer.letter import Send
from agents.deliverer.secrets import Secrets
from agents.deliverer.smtp import Mail
from agents.deliverer.standing import Standing
from agents.deliverer.webhook import Webhook
from agents.deliverer.wecom import WecomApp, WecomBot
from agents.settings import Settings
from pipeline.model import Millis
from pipeline.rulebook.schema import ChannelType

Senders = Mapping[ChannelType, Send]


def real_now() -> Millis:
    """Real time, for leases, retries and signatures; decisions use deps.clock."""
    return time.time_ns() // 1_000_000


def senders(
    settings: Settings, client: httpx.AsyncClient, real: Callable[[], Millis] = real_now,
    secrets: Secrets | None = None, standing: Standing | None = None,
) -> dict[ChannelType, Send]:
    """secrets: where they are read, the files of the rule directory by default. standing: what Alertmanager is sent
    again; None where only single messages go out."""
    secrets = secrets or Secrets(settings.rules_dir)
    cloud = Cloud(client, secrets, real)
    return {
        ChannelType.WEBHOOK: Webhook(client, secrets, real),
        ChannelType.SMTP: Mail(settings.allow_private, secrets),
        ChannelType.CONSOLE: Console(),
        ChannelType.WECOM_BOT: WecomBot(client, secrets, real),
        ChannelType.WECOM_APP: WecomApp(client, secrets, real),
        ChannelType.DINGTALK_BOT: DingTalk(client, secrets, real),
        ChannelType.FEISHU_BOT: Feishu(client, secrets, real),
        ChannelType.ALIYUN_SMS: cloud,
        ChannelType.ALIYUN_VOICE: cloud,
        ChannelType.TENCENT_SMS: cloud,
        ChannelType.TENCENT_VOICE: cloud,
        ChannelType.HTTP: HttpGateway(client, secrets, real),
        ChannelType.ALERTMANAGER: Alertmanager(client, secrets, real, standing),
        ChannelType.APPRISE: Apprise(secrets),
    }
