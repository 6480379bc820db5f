"""A desk on a temp store, its clock standing at NOW, a broker that is a list, and a browser's worth of HTTP."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, insert, make_url, select

from agents.clock import Clock
from agents.deps import Deps, RuleStore
from agents.desk import accounts, sessions, web
from agents.desk.accounts import Role
from agents.desk.app import create_app
from agents.desk.sender import CommandSender
from agents.desk.web import Desk
from agents.metrics import Metrics
from agents.settings import Settings
from agents.store import schema
from agents.store.engine import open_store
from pipeline.model import Silence
from pipeline.rulebook.schema import RuleBook
from tests import stores
from tests.desk import seed

PASSWORD = "correct horse battery"
HASHES: dict[str, str] = {}
EMPTY: list[bytes] = []


@dataclass
class Broker:
    """What was sent, in order: (topic, key, record), and to which partition. away: as if nobody listened."""

    sent: list[tuple[str, str, Any]] = field(default_factory=list)
    where: list[int | None] = field(default_factory=list)
    away: bool = False
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Broker]:
        if self.away:
            raise ConnectionError("nobody listens")
        yield self

    async def send(self, topic: str, key: str, record: Any, *, ident: str, partition: int | None = None) -> None:
        if self.away:
            raise ConnectionError("nobody listens")
        ended = isinstance(record, Silence) and record.expired_at is not None      # an end has its silence's id
        assert ended or ident == getattr(record, "id", ident) and ident
        self.where.append(partition)
        self.sent.append((topic, key, record))
        self.arrived.set()

    def partitions(self, topic: str) -> int:
        return 4


@dataclass
class Stand:
    """A desk with everything a test looks at."""

    desk: Desk
    engine: Engine
    broker: Broker
    settings: Settings

    def client(self, **options: Any) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(
            app=create_app(self.desk), raise_app_exceptions=False, client=("10.0.0.9", 40000))
        return httpx.AsyncClient(**{"transport": transport, "base_url": "http://127.0.0.1:8000", **options})

    def account(self, name: str, role: Role = Role.DUTY) -> None:
        """An account whose password is PASSWORD (hashed once per session: argon2 is slow on purpose)."""
        if PASSWORD not in HASHES:
            HASHES[PASSWORD] = accounts.hashed(PASSWORD)
        with self.engine.begin() as connection:
            connection.execute(insert(schema.accounts).values(
                name=name, role=role.value, password=HASHES[PASSWORD], created_at=seed.NOW, disabled=False))

    async def signed_in(self, name: str = "李敏", role: Role = Role.DUTY) -> httpx.AsyncClient:
        """A client with a session of a new account."""
        self.account(name, role)
        token = sessions.open_session(self.engine, name, self.desk.real.now())
        return self.client(cookies={web.COOKIE: token})

    def audit(self) -> list[tuple[str, str, str]]:
        table = schema.audit
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(
                select(table.c.account, table.c.action, table.c.object).order_by(table.c.seq))]

    def rows(self, table: Any) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(select(table)))


def _with_tables(url: str) -> Engine:
    """A store with all tables; a file of SQLite is a copy of the first one: to make them takes longer than a test."""
    file = Path(make_url(url).database or "")
    if EMPTY and url.startswith("sqlite:///") and not stores.swapped:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(EMPTY[0])
        return open_store(url)
    engine = open_store(url)
    schema.metadata.create_all(engine)
    if engine.dialect.name == "sqlite":
        engine.dispose()                                # all of it is in the file then
        EMPTY.append(file.read_bytes())
    return engine


def make_stand(tmp_path: Path, *, book: RuleBook | None = None, **settings: Any) -> Stand:
    chosen = Settings(data_dir=tmp_path, **settings)
    engine = _with_tables(chosen.store_url)
    deps = Deps(chosen, Clock(seed.NOW, 0, 0.0), Metrics(), RuleStore(book))
    broker = Broker()
    return Stand(Desk(deps, engine, CommandSender(engine, broker.open, retry_seconds=0.01)), engine, broker, chosen)


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = make_stand(tmp_path, book=seed.book())
    yield made
    made.engine.dispose()


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Stand]:
    """A desk of an installation that knows no source yet."""
    made = make_stand(tmp_path, book=seed.book(sources=()))
    yield made
    made.engine.dispose()


def csrf_of(html: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', html)
    assert found, "no form with a token on this page"
    return found[1]
