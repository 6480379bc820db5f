"""Which fields each rule file has: the one description that parser, JSON Schemas and editors' hints share.

One module per group of files: layout_subjects, layout_levels, …; what holds between fields is in checks_*.
"""

from __future__ import annotations

from pipeline.rulebook.kinds import Kind
from pipeline.rulebook.layout_levels import LEVELS
from pipeline.rulebook.layout_people import CHANNELS, ROSTER, ROUTES
from pipeline.rulebook.layout_sentiment import SENTIMENT
from pipeline.rulebook.layout_sources import SOURCES
from pipeline.rulebook.layout_subjects import SUBJECT

__all__ = ["DEFINES", "FILES", "SUBJECT"]

FILES: dict[str, Kind] = {
    "sources.yml": SOURCES,
    "sentiment.yml": SENTIMENT,
    "levels.yml": LEVELS,
    "roster.yml": ROSTER,
    "channels.yml": CHANNELS,
    "routes.yml": ROUTES,
}
"""Files at the top of a rule directory. Each subject has a file of its own in subjects/."""

DEFINES = {
    "sources.yml": ("source",), "levels.yml": ("level",), "roster.yml": ("person", "team", "receiver"),
    "channels.yml": ("channel",), "routes.yml": ("route",),
}
"""Which names a file defines: when it cannot be read, references to them are not judged."""
