"""Rule books as earlier versions wrote them, on the topic and in the archive, brought to today's shape."""

from __future__ import annotations

from typing import Any

_GROWTH = ("growth", "growth_sources")


def as_now(loose: dict[str, Any]) -> dict[str, Any]:
    """A decoded book of any version. `enter` was one threshold that meant spread or growth, `exclude` were words."""
    found = dict(loose)
    levels = loose.get("levels")
    if isinstance(levels, dict):
        found["levels"] = {
            **levels, "ladder": [_enter(each) for each in levels.get("ladder", ())],
            "overrides": [{**each, "enter": {name: any_of(one) for name, one in each.get("enter", {}).items()}}
                          for each in levels.get("overrides", ())]}
    found["subjects"] = [
        {**each, "exclude": [{"text": one} if isinstance(one, str) else one for one in each.get("exclude", ())]}
        for each in loose.get("subjects", ())]
    if isinstance(loose.get("shadow"), dict):
        found["shadow"] = as_now(loose["shadow"])
    return found


def any_of(enter: Any) -> Any:
    """Thresholds of which any is enough, from one that meant items of sources, or growth."""
    if not isinstance(enter, dict):
        return enter
    spread = {name: value for name, value in enter.items() if name not in _GROWTH}
    growth = {name: value for name, value in enter.items() if name in (*_GROWTH, "window")}
    return [spread, growth] if enter.get("growth") else [spread]


def _enter(level: dict[str, Any]) -> dict[str, Any]:
    return {**level, "enter": any_of(level["enter"])} if "enter" in level else level
