"""Which fields each rule file has: the one description that parser, JSON Schemas and editors' hints share.

One module per group of files: layout_subjects, layout_levels, …; what holds between fields is in checks_*.
"""

from __future__ import annotations

from pipeline.rulebook.kinds import Kind
from pipeline.rulebook.layout_channels import CHANNELS
from pipeline.rulebook.layout_levels import LEVELS
from pipeline.rulebook.layout_people import ROSTER, ROUTES
from pipeline.rulebook.layout_sentiment import SENTIMENT
from pipeline.rulebook.layout_sources import SOURCES
from pipeline.rulebook.layout_subjects import DEFINITIONS, SUBJECT, WORDS

__all__ = ["DEFINES", "DEFINITIONS", "FILES", "FOLDERS", "SUBJECT", "WORDS", "defines"]

FILES: dict[str, Kind] = {
    "sources.yml": SOURCES,
    "sentiment.yml": SENTIMENT,
    "levels.yml": LEVELS,
    "roster.yml": ROSTER,
    "channels.yml": CHANNELS,
    "routes.yml": ROUTES,
}
"""Files at the top of a rule directory, all of them needed."""

FOLDERS: dict[str, Kind] = {"subjects": SUBJECT, "words": WORDS}
"""Folders in which each rule has a file of its own."""

DEFINES = {
    "sources.yml": ("source", "group", "region"), "levels.yml": ("level", "clock"),
    "roster.yml": ("person", "team", "receiver"), "channels.yml": ("channel",), "routes.yml": ("route",),
    "subjects": ("subject",), "words": ("list",),
}
"""Which names a file or a folder's files define: when it cannot be read, references to them are not judged."""


def defines(path: str) -> tuple[str, ...]:
    """The name spaces of the file at `path` inside the rule directory."""
    return DEFINES.get(path) or DEFINES.get(path.partition("/")[0], ())
