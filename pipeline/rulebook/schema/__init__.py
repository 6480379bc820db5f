"""The rule book: everything an operator may change, as frozen values. Lengths of time are milliseconds.

One RuleBook is published whole on topic `rules`; `hash` names it in every decision. In YAML, durations are written
`30s 5m 2h 7d`, times of day `HH:MM`, dates `2026-12-31`. One module per group of files; all names are here.
"""

from pipeline.rulebook.schema.base import DAY, HOUR, MINUTE, Rule
from pipeline.rulebook.schema.book import RuleBook
from pipeline.rulebook.schema.channels import Channel, ChannelType, Heartbeat
from pipeline.rulebook.schema.levels import (
    ClockWarning,
    EventRules,
    Level,
    LevelOverride,
    Levels,
    ResponseClock,
    Threshold,
)
from pipeline.rulebook.schema.people import (
    Calendar,
    Override,
    Person,
    Quiet,
    Roster,
    Route,
    RouteMode,
    Shift,
    Step,
    Team,
)
from pipeline.rulebook.schema.sentiment import SentimentEngine, SentimentRules
from pipeline.rulebook.schema.sources import INTAKE, RSSHUB, JsonList, Source, SourceFormat, SourceKind, on_instance
from pipeline.rulebook.schema.subjects import (
    NEVER,
    Active,
    Condition,
    Fold,
    Near,
    Pattern,
    Status,
    Subject,
    Term,
    WordList,
)

__all__ = [
    "Active", "Calendar", "Channel", "ChannelType", "ClockWarning", "Condition", "DAY", "EventRules", "Fold", "HOUR",
    "Heartbeat", "INTAKE", "JsonList", "Level", "LevelOverride", "Levels", "MINUTE", "NEVER", "Near", "Override",
    "Pattern", "Person", "Quiet", "RSSHUB", "ResponseClock", "Roster", "Route", "RouteMode", "Rule", "RuleBook",
    "SentimentEngine", "SentimentRules", "Shift", "Source", "SourceFormat", "SourceKind", "Status", "Step", "Subject",
    "Team", "Term", "Threshold", "WordList", "on_instance",
]
