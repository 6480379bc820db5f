"""Tests that are about PostgreSQL itself: a server of their own, whatever --store says."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from tests import postgres_server
from tests.postgres_server import Server

_numbers = count()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with postgres_server.running() as found:
        yield found


@pytest.fixture
def postgres_url(server: Server) -> Iterator[str]:
    """An empty database."""
    name = f"own_{next(_numbers)}"
    server.create(name)
    yield server.url(name)
    server.drop(name)
