"""An installation's store with a seeded morning and accounts, for commands that act. No desk runs by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select

from agents import cli
from agents.clock import Clock
from agents.store import schema
from agents.store.engine import open_store
from tests.agents import store_fakes as fakes
from tests.desk import seed


class Place:
    """A data directory whose clock stands at seed.NOW."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        fakes.new_store(folder).dispose()
        self.engine: Engine = open_store(f"sqlite:///{folder}/wenxun.db")

    def account(self, name: str, role: str, *, disabled: bool = False) -> None:
        with self.engine.begin() as connection:
            connection.execute(insert(schema.accounts).values(
                name=name, role=role, password="x", created_at=seed.NOW, disabled=disabled))

    def run(self, *words: str) -> tuple[int, str]:
        """Exit status, and what was printed to either stream."""
        status = cli.main([*words, "--wait", "0"] if _acts(words) else [*words])
        shown = self._capsys.readouterr()
        return status, (shown.out + shown.err).strip()

    def json(self, *words: str) -> Any:
        status, text = self.run(*words, "--format", "json")
        assert status == 0, text
        return json.loads(text)

    def commands(self) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(select(schema.commands).order_by(schema.commands.c.accepted_at)))

    def audit(self) -> list[tuple[str, str, str]]:
        table = schema.audit.c
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(
                select(table.account, table.action, table.object).order_by(table.seq))]


def _acts(words: tuple[str, ...]) -> bool:
    return words[0] in ("event", "silence") and words[1] not in ("list", "show", "verdict")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """With the county's morning of tests/desk/seed.py and one admin, 局长."""
    monkeypatch.setenv("WENXUN_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(Clock, "parse", lambda text: Clock(seed.NOW, 0, 0.0))
    made = Place(tmp_path, capsys)
    seed.morning(made.engine)
    made.account("局长", "admin")
    yield made
    made.engine.dispose()
