"""Receivers that misbehave as told, and a bus without a broker."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import Engine

from agents.clock import Clock
from agents.deliverer.claims import Claimed, Claims, Line
from agents.deliverer.ledger import Ledger
from agents.deliverer.parcel import Parcel
from agents.deps import Deps, RuleStore
from agents.metrics import Metrics
from agents.settings import Settings
from agents.store.engine import open_store
from agents.store.schema import metadata, outbox
from pipeline import codec
from pipeline.model import Escalation
from pipeline.rulebook.schema import Channel, ChannelType, Person, Roster, RuleBook, Shift, Team
from tests.builders import book
from tests.messages import page

CERTIFICATE = Path(__file__).parent / "data" / "mail.example.pem"
HANG, RESET = "hang", "reset"


class Server:
    """A loopback TCP server; `async with` it. port is its port."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Any:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        await self._server.wait_closed()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            await self.talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError


@dataclass
class Got:
    line: str
    headers: dict[str, str]
    body: bytes


class Hook(Server):
    """A web hook. script: what each request meets: a status, (status, extra header line), HANG or RESET; then 200.
    delay: seconds until each answer."""

    def __init__(self, *script: int | str | tuple[int, str]) -> None:
        super().__init__()
        self.script = list(script)
        self.got: list[Got] = []
        self.arrived = asyncio.Event()
        self.delay = 0.0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        top = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (row.partition(": ") for row in top[1:] if row)}
        self.got.append(Got(top[0], headers, await reader.readexactly(int(headers.get("content-length", "0")))))
        self.arrived.set()
        step = self.script.pop(0) if self.script else 200
        if self.delay:
            await asyncio.sleep(self.delay)
        if step == HANG:
            await asyncio.sleep(3600)
        if step == RESET:
            writer.transport.abort()
            return
        status, extra = step if isinstance(step, tuple) else (step, "X-Nothing: 1")
        writer.write(f"HTTP/1.1 {status} X\r\n{extra}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()


@dataclass
class MailServer(Server):
    """An SMTP server. replies: command -> replies in order, the last one stays: {"RCPT": ["450 later", "250 ok"]}.
    HANG as a reply says nothing. login: (user, password) it wants. tls: offers STARTTLS with this context."""

    replies: dict[str, list[str]] = field(default_factory=dict)
    login: tuple[str, str] | None = None
    tls: ssl.SSLContext | None = None
    implicit: ssl.SSLContext | None = None
    mails: list[bytes] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(self.implicit)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not await self._say(writer, self._reply("GREETING", "220 mail.example ready")):
            return
        while line := (await reader.readline()).decode().rstrip("\r\n"):
            verb = line.split(" ")[0].upper()
            self.commands.append(verb)
            if not await self._answer(verb, line, reader, writer):
                return

    async def _answer(
        self, verb: str, line: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        if verb == "EHLO":
            offers = ["mail.example", *(["STARTTLS"] if self.tls else []), *(["AUTH PLAIN"] if self.login else [])]
            rows = [f"250{'-' if n < len(offers) - 1 else ' '}{one}" for n, one in enumerate(offers)]
            return await self._say(writer, self._reply("EHLO", "\r\n".join(rows)))
        if verb == "STARTTLS" and self.tls:
            context, self.tls = self.tls, None
            await self._say(writer, "220 go")
            await writer.start_tls(context)
            return True
        if verb == "AUTH" and self.login:
            wanted = base64.b64encode(b"\0" + b"\0".join(part.encode() for part in self.login)).decode()
            return await self._say(writer, "235 ok" if line.split(" ")[-1] == wanted else "535 no")
        if verb == "DATA":
            if not await self._say(writer, self._reply("DATA", "354 go on")):
                return False
            if self.commands and not self._last.startswith("354"):
                return True
            self.mails.append((await reader.readuntil(b"\r\n.\r\n")).removesuffix(b".\r\n"))
            return await self._say(writer, self._reply("MAIL-DATA", "250 taken"))
        return await self._say(writer, self._reply(verb, "221 bye" if verb == "QUIT" else "250 ok"))

    def _reply(self, verb: str, usual: str) -> str:
        left = self.replies.get(verb)
        if not left:
            return usual
        return left.pop(0) if len(left) > 1 else left[0]

    async def _say(self, writer: asyncio.StreamWriter, text: str) -> bool:
        self._last = text
        if text == HANG:
            await asyncio.sleep(3600)
        if text == RESET:
            writer.transport.abort()
            return False
        writer.write(f"{text}\r\n".encode())
        await writer.drain()
        return True


class FakeBus:
    """Keeps what was sent: (topic, key, record, ident). failures: how many sends fail first."""

    def __init__(self, failures: int = 0) -> None:
        self.sent: list[tuple[str, str, Any, str]] = []
        self.failures = failures

    async def send(self, topic: str, key: str, record: Any, *, ident: str, partition: int | None = None) -> None:
        if self.failures:
            self.failures -= 1
            raise TimeoutError
        self.sent.append((topic, key, record, ident))

    def on(self, topic: str) -> list[Any]:
        return [record for where, _, record, _ in self.sent if where == topic]


class NoChance(Random):
    """The shortest wait at every retry."""

    def random(self) -> float:
        return 0.0


def server_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


def trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(CERTIFICATE))


def store(path: Path) -> Engine:
    engine = open_store(f"sqlite:///{path / 'outbox.db'}")
    metadata.create_all(engine)
    return engine


def delivery_book(*channels: Channel, mail: str = "duty@mail.example") -> RuleBook:
    """Everybody on duty is told by every one of these channels, ops only by `ops`."""
    ids = tuple(channel.id for channel in channels)
    people = (Person(id="duty-a", name="值班员甲", channels=ids, mail=mail),
              Person(id="ops-a", name="运维", channels=("ops",), mail=mail))
    teams = (Team(id="duty", name="值班组", shifts=(Shift(members=("duty-a",)),)),
             Team(id="ops", name="运维组", shifts=(Shift(members=("ops-a",)),)))
    return book(channels=(*channels, Channel(id="ops", type=ChannelType.CONSOLE)),
                roster=Roster(people=people, teams=teams, fallback="duty-a"))


def delivery_deps(path: Path, rules: RuleBook, *servers: Server, **changes: Any) -> Deps:
    settings = Settings(**{
        "data_dir": path, "database_url": f"sqlite:///{path / 'outbox.db'}", "rules_dir": path,
        "allow_private": tuple(f"127.0.0.1:{server.port}" for server in servers), **changes})
    return Deps(settings, Clock(), Metrics(), RuleStore(rules))


def parcel(ident: str = "d1", channel: str = "hook", escalation: Escalation | None = None, **changes: Any) -> Parcel:
    """A row of its own message, whatever its text: rows of one escalation share their call."""
    record = escalation or page()
    values: dict[str, Any] = {
        "id": ident, "escalation": codec.encode(record).decode(), "person": "duty-a", "channel": channel,
        "decided_at": Clock().now(), "escalation_id": f"of-{ident}", "event_id": record.event_id,
        "alert_id": record.alert_id, "kind": record.kind.value, "level": record.level, **changes}
    return Parcel(**values)


def claim(
    ledger: Ledger, channel: str = "hook", now: int = 0, until: int = 60_000, limit: int = 4, **line: Any
) -> list[Parcel]:
    """The rows of the calls that a courier would make now."""
    return [each for load in claimed(ledger, channel, now, until, limit, **line).loads for each in load.parcels]


def claimed(
    ledger: Ledger, channel: str = "hook", now: int = 0, until: int = 60_000, limit: int = 4, **line: Any
) -> Claimed:
    return Claims(ledger).claim(Line(channel, **line), now, until, limit)


async def until(true: Any, seconds: float = 60.0) -> None:
    """Wait for a condition that other tasks bring about."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.01)


def rows(engine: Engine) -> Sequence[Any]:
    with engine.connect() as connection:
        return connection.execute(outbox.select().order_by(outbox.c.id)).all()


def ledger_with(engine: Engine, *parcels: Parcel, now: int = 0) -> Ledger:
    ledger = Ledger(engine)
    ledger.take(parcels, (), now)
    return ledger
