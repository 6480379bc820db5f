"""Apprise, for services that nothing here speaks to: best effort.

Apprise makes its own HTTP requests, past the pinned client, and says yes where a service answered 200 with an error in
the body. So only services are let through whose address Apprise itself knows: no host of a URL is ever called, no file
read, no command run, no redirect followed. Services that a channel type speaks to are refused: there answers are read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qsl, urlsplit

from agents.deliverer.letter import Letter, Outcome, Refused, Retry, Sent
from agents.deliverer.secrets import SecretError, Secrets
from pipeline.rulebook.schema import Channel

SERVICES = frozenset((
    "tgram", "slack", "discord", "gchat", "webex", "wxteams", "line", "threema", "zoom", "groupme",
    "pover", "pbul", "psafer", "psafers", "pushy", "prowl", "spush", "simplepush", "chanify", "join", "onesignal",
    "schan", "wxpusher", "pushplus", "pushme", "spugpush", "wpush", "qq", "kook",
    "pagerduty", "opsgenie", "victorops", "splunk", "signl4", "ilert", "squadcast", "spike", "incidentio",
    "sendgrid", "brevo", "resend", "postmark", "mailersend",
    "twilio", "vonage", "nexmo", "plivo", "msgbird", "clicksend", "clickatell", "46elks", "telnyx"))
"""Schemas whose requests all go to an address that is written in Apprise."""
OPTIONS = frozenset((
    "format", "overflow", "priority", "sound", "silent", "thread", "topic", "region", "to", "from", "name", "image",
    "preview", "tags", "channel"))
"""What may follow `?`. Others read files (template=), skip certificates (verify=) or follow redirects."""
_OWN = {"wecombot": "wecom-bot", "dingtalk": "dingtalk-bot", "feishu": "feishu-bot", "lark": "feishu-bot",
        "mailto": "smtp", "mailtos": "smtp", "json": "webhook", "jsons": "webhook", "form": "http", "forms": "http"}
MARK = "Apprise（尽力而为）"
SECONDS = 25.0
_THREADS = 4

Notify = Callable[[str, str, str], bool]
"""(URL, title, body) -> whether the service took it, as far as Apprise knows. Blocking."""


class Apprise:
    """Threads of its own: a service that hangs takes none of the others'."""

    def __init__(self, secrets: Secrets, notify: Notify | None = None) -> None:
        self._secrets, self._notify = secrets, notify or by_apprise
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="apprise")

    async def __call__(self, channel: Channel, letter: Letter) -> Outcome:
        try:
            url = await asyncio.to_thread(self._secrets.read, channel.id, channel.url_file)
        except SecretError as error:
            return Retry(str(error))
        if why := refused(url):
            return Refused(f"{MARK}：通道 {channel.id} 的地址{why}")
        title, _, rest = letter.message.text.partition("\n")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(SECONDS):
                taken = await loop.run_in_executor(self._threads, self._notify, url, title, rest.strip() or title)
        except TimeoutError:
            return Retry(f"{MARK}：{SECONDS:g} 秒内没有完成")
        except ImportError:
            return Refused(f"{MARK}：没有安装 Apprise，请运行 pip install 'wenxun[apprise]'")
        except ValueError:
            return Refused(f"{MARK}：Apprise 不认通道 {channel.id} 的地址，请照它的文档改写")
        except Exception as error:               # a plugin's own; its text may hold the URL
            return Retry(f"{MARK}：内部错误（{type(error).__name__}）")
        return Sent() if taken else Retry(f"{MARK}：服务没有接收，或连接失败")


def refused(url: str) -> str:
    """Why an Apprise URL is not used, after 地址; empty if it may be. It shows the schema and option names alone."""
    if len(url.split()) != 1 or "," in url.partition("?")[0]:
        return "要是一行里的一个地址"
    try:
        parts = urlsplit(url)
    except ValueError:
        return "无法识别"
    schema = parts.scheme.lower()
    if schema in _OWN:
        return f"是 {schema}://，请改用 type: {_OWN[schema]}，那里会核对应答"
    if schema not in SERVICES:
        return "的服务不在清单里（docs/channels.md）：只收地址固定的云服务，不收能访问任意主机、文件或命令的"
    wrong = sorted({name for name, _ in parse_qsl(parts.query, keep_blank_values=True)} - OPTIONS)
    if wrong:
        shown = "、".join(name[:20] for name in wrong if name.isascii() and name.isalnum()) or "别的参数"
        return f"带了不允许的参数 {shown}"
    return ""


def by_apprise(url: str, title: str, body: str) -> bool:
    """One message. ImportError without Apprise; ValueError for a URL that it does not understand."""
    import apprise

    for name in ("apprise", "requests", "urllib3"):                   # they log URLs, and these hold keys
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    asset = apprise.AppriseAsset(
        app_id="Wenxun", async_mode=False, secure_logging=True, http_redirects=False, interpret_emojis=False,
        interpret_escapes=False, storage_mode="memory")
    service = apprise.Apprise.instantiate(url, asset=asset)
    if service is None:
        raise ValueError("not an Apprise URL")
    service.overflow_mode = apprise.OverflowMode.SPLIT     # a text past the service's size goes out in parts
    sender = apprise.Apprise(asset=asset)
    sender.add(service)
    return bool(sender.notify(body=body, title=title, body_format=apprise.NotifyFormat.TEXT))
