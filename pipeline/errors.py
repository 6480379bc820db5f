"""The errors the pipeline raises. Ordinary life (a 304, an unsure sentiment) is a value, never an error.

WenxunError
├── CodecError        bytes that are no record of ours
├── NotAFeed          a response body that is no feed we can read
├── RuleBookError     rule files with problems: carries all of them
└── SettingsError     an environment variable or option that cannot be used
"""

from __future__ import annotations

from dataclasses import dataclass


class WenxunError(Exception):
    """Base of every error that a user may read. Its text says where and what to do."""


class CodecError(WenxunError):
    """Bytes that cannot be decoded as the record they claim to be."""


class NotAFeed(WenxunError):
    """A response body that is not a feed. The text names what it looks like instead."""


class SettingsError(WenxunError):
    """A setting that cannot be used. The text names the variable or option."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a rule file, or with severity `warning` one thing that is allowed and probably not meant.

    line and column count from 1; path is the place inside the document (`levels[1].enter.items`). code: of a warning,
    a word that stays (`expires-soon`).
    """

    file: str
    line: int
    column: int
    path: str
    message: str
    hint: str = ""
    severity: str = "error"
    code: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}"
        hint = f" {self.hint}" if self.hint else ""
        return f"{where}: {self.path + ': ' if self.path else ''}{self.message}{hint}"


class RuleBookError(WenxunError):
    """Rule files that cannot be used. `problems` holds every one of them, in file order."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))
