from __future__ import annotations

from typing import Any


def add(groups: Any) -> None:
    """Placeholder until its owner writes it."""
