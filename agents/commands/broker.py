"""Where a command finds the broker: as it is set, else where `wenxun up` on this data folder says that its own is."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from agents.settings import Settings

FILE = "broker"


def reachable(environ: Mapping[str, str], data_dir: Path | None = None) -> Settings:
    """Settings of a command that talks to the broker. data_dir: an option's value, before WENXUN_DATA_DIR."""
    settings = Settings.from_env(environ)
    if data_dir is not None:
        settings = replace(settings, data_dir=data_dir)
    if not environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        with suppress(OSError, UnicodeDecodeError):
            if address := (settings.data_dir / FILE).read_text("ascii").strip():
                return replace(settings, bootstrap=address, embedded=True)
    return settings


@contextmanager
def published(data_dir: Path, address: str) -> Iterator[None]:
    """Say where the embedded broker is, while it runs."""
    path = data_dir / FILE
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(address)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
