"""Where each rule of a book is written: for what is said of a book after its files were read."""

from __future__ import annotations

from pipeline.errors import Problem
from pipeline.rulebook.kinds import Reading
from pipeline.rulebook.yaml_marks import Mark

_FILES = {
    "source": "sources.yml", "level": "levels.yml", "person": "roster.yml", "team": "roster.yml",
    "channel": "channels.yml", "route": "routes.yml",
}
_FOLDERS = {"subject": "subjects", "list": "words"}


class Places:
    """Places of named rules. Without a reading (a book that came without its files) only files can be told."""

    def __init__(self, reading: Reading | None = None) -> None:
        self._reading = reading
        self._paths: dict[Mark, str] | None = None

    def at(self, space: str, name: str, field: str = "") -> tuple[Mark, str]:
        """Where the rule (or its field; the rule, if the field is not written) stands, and its path in the document.

        space: subject, list, source, level, person, team, channel, route; or a file's name, when name is empty.
        """
        if not name:
            mark = Mark(space, 1, 1) if self._reading is None else self._reading.at(space, field)
            return mark, field
        known = self._reading.names.get(space, {}).get(name) if self._reading is not None else None
        if known is None or self._reading is None:
            file = _FILES.get(space) or f"{_FOLDERS[space]}/{name}.yml"
            return Mark(file, 1, 1), field
        path = self._path(known)
        inner = f"{path}.{field}" if path and field else path or field
        return self._reading.marks.get((known.file, inner), known), inner

    def warning(self, code: str, where: tuple[str, str, str], message: str, hint: str = "") -> Problem:
        """A warning at (space, name, field)."""
        mark, path = self.at(*where)
        return Problem(mark.file, mark.line, mark.column, path, message, hint, "warning", code)

    def _path(self, named: Mark) -> str:
        """The path of the object whose name stands at this mark: `people[2]`, or nothing for a file's own."""
        if self._paths is None:
            marks = self._reading.marks if self._reading is not None else {}
            self._paths = {mark: path for (_, path), mark in marks.items() if path.endswith(("id", "name"))}
        return self._paths.get(named, "").rpartition(".")[0]
