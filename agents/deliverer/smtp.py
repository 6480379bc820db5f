"""Mail by SMTP: to a checked address, TLS verified against the name, one mail per receiver.

The Message-ID is made of the delivery id, so that a repeat is the same mail; mails of one event refer to one thread.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from email.errors import MessageError
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime, formataddr, parseaddr

import aiosmtplib

from agents.deliverer.letter import Letter, Outcome, Refused, Retry, Sent
from agents.deliverer.secrets import SecretError, Secrets
from agents.outbound import Fault, OutboundError, Resolver, pinned_address
from pipeline.model import EscalationKind
from pipeline.notify.render import as_html
from pipeline.notify.safe import inert, shorten
from pipeline.rulebook.schema import Channel

TIMEOUT = 20.0
PORTS = {"starttls": 587, "tls": 465, "none": 25}
_NAME = "Wenxun 闻讯"


class Mail:
    """context: makes the TLS context, by default the system's trust store."""

    def __init__(
        self, allow: Iterable[str], secrets: Secrets,
        context: Callable[[], ssl.SSLContext] = ssl.create_default_context, resolver: Resolver | None = None,
    ) -> None:
        self._allow, self._secrets, self._context, self._resolver = tuple(allow), secrets, context, resolver

    async def __call__(self, channel: Channel, letter: Letter) -> Outcome:
        if not letter.person.mail:
            return Refused(f"{letter.person.id} 在 roster.yml 中没有 mail，通道 {channel.id} 无法给他写信")
        try:
            return await self._send(channel, letter)
        except SecretError as error:
            return Retry(str(error))
        except OutboundError as error:
            return Refused(str(error)) if error.fault is Fault.REFUSED else Retry(str(error))
        except aiosmtplib.SMTPRecipientsRefused as error:
            worst = max((one.code for one in error.recipients), default=550)
            return _by_code(worst, "收件人被拒绝")
        except aiosmtplib.SMTPAuthenticationError as error:
            return _by_code(error.code, "登录失败，请检查 username 和 password_file")
        except aiosmtplib.SMTPResponseException as error:
            return _by_code(error.code, f"邮件服务器拒绝（{type(error).__name__}）")
        except aiosmtplib.SMTPNotSupported:
            return Refused(f"邮件服务器 {channel.host} 不支持通道 {channel.id} 要求的 {channel.tls} 或登录方式")
        except ssl.SSLError as error:
            return Retry(f"与邮件服务器 {channel.host} 的加密连接失败（{error.reason}）")
        except (aiosmtplib.SMTPException, OSError) as error:
            return Retry(f"连接邮件服务器 {channel.host} 失败或中断（{type(error).__name__}）")
        except (ValueError, MessageError) as error:
            return Refused(f"邮件无法写成（{type(error).__name__}），请检查通道 {channel.id} 的 sender 和收件地址")

    async def _send(self, channel: Channel, letter: Letter) -> Outcome:
        mail = compose(channel, letter)
        password = ""
        if channel.password_file:
            password = await asyncio.to_thread(self._secrets.read, channel.id, channel.password_file)
        server = await self._connect(channel)
        try:
            if channel.username:
                await server.login(channel.username, password)
            await server.send_message(mail)
            return Sent()
        finally:
            await _leave(server)

    async def _connect(self, channel: Channel) -> aiosmtplib.SMTP:
        port = channel.port or PORTS.get(channel.tls, 587)
        address = await pinned_address(channel.host, port, self._allow, resolver=self._resolver)
        context = None if channel.tls == "none" else await asyncio.to_thread(self._context)
        async with asyncio.timeout(5.0):
            sock = await _dial(address, port)
        server = aiosmtplib.SMTP(
            hostname=channel.host, port=None, sock=sock, timeout=TIMEOUT,
            local_hostname="wenxun.invalid", use_tls=channel.tls == "tls", start_tls=False, tls_context=context)
        try:
            await server.connect()
            if channel.tls == "starttls":
                await _encrypt(server)
            return server
        except BaseException:
            _drop(server)
            raise


def compose(channel: Channel, letter: Letter) -> EmailMessage:
    """The mail: plain text and the same as HTML. ValueError for addresses that cannot be written.

    Mails of one event have one subject and refer to one id, or some mail programs open a new thread for each level;
    the level stands beside the sender's name.
    """
    mail = EmailMessage(policy=SMTP_POLICY)
    name, address = parseaddr(channel.sender)
    domain = channel.sender.rpartition("@")[2].strip("<> ") or "wenxun.invalid"
    escalation, thread = letter.escalation, _thread(letter)
    shown = (name or _NAME) + (f"【{letter.message.fields['level']}】" if thread else "")
    mail["Subject"] = thread or letter.message.subject
    mail["From"] = formataddr((shown, address if name else channel.sender))
    mail["To"] = letter.person.mail
    mail["Date"] = format_datetime(datetime.fromtimestamp(escalation.at / 1000, UTC))
    mail["Message-ID"] = f"<{letter.id}@{domain}>"
    if thread:
        mail["In-Reply-To"] = mail["References"] = f"<event.{escalation.event_id}@{domain}>"
    if escalation.kind is EscalationKind.PAGE:
        mail["Importance"] = "high"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(letter.message.text, charset="utf-8", cte="base64")
    mail.add_alternative(as_html(letter.message.text), subtype="html", charset="utf-8", cte="base64")
    return mail


def _thread(letter: Letter) -> str:
    """The subject that all mails about the event have: its number and title, which never change; else empty."""
    head = letter.escalation.head
    if head is None or letter.bundle or letter.escalation.kind is EscalationKind.DIGEST:
        return ""
    drill = "【演练】" if letter.escalation.drill else ""
    number = head.short if drill else letter.message.fields["number"]
    return shorten(f"{drill}{number} {inert(head.title)}".strip(), 200)


async def _dial(address: str, port: int) -> socket.socket:
    """A connected socket to this literal address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (address, port))
        return sock
    except BaseException:
        sock.close()
        raise


async def _encrypt(server: aiosmtplib.SMTP) -> None:
    """STARTTLS or nothing: a server that does not offer it (or somebody between) must not see the password."""
    await server.ehlo()
    if not server.supports_extension("starttls"):
        raise aiosmtplib.SMTPNotSupported("STARTTLS is not offered")
    await server.starttls()


def _drop(server: aiosmtplib.SMTP) -> None:
    """Close the connection at whatever stage it is: a transport owns its socket, before that the socket is ours."""
    sock, owned = server.sock, server.transport is not None
    server.close()
    if sock is not None and not owned:
        sock.close()


async def _leave(server: aiosmtplib.SMTP) -> None:
    """Say goodbye; the mail was accepted or not before this, so its failure says nothing."""
    try:
        async with asyncio.timeout(2.0):
            await server.quit()
    except (aiosmtplib.SMTPException, OSError):
        pass
    finally:
        server.close()


def _by_code(code: int, what: str) -> Outcome:
    text = f"{what}（SMTP {code}）"
    return Retry(text) if 400 <= code < 500 else Refused(text)
