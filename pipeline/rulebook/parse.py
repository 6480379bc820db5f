"""Rule files -> RuleBook, or every problem in them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from pipeline.errors import Problem, RuleBookError
from pipeline.rulebook import layout, schema
from pipeline.rulebook.checks import host_of
from pipeline.rulebook.checks_whole import check_whole
from pipeline.rulebook.kinds import BAD, Reading, nearest
from pipeline.rulebook.lists import resolved
from pipeline.rulebook.places import Places
from pipeline.rulebook.yaml_marks import Mark, compose

SPACES = {
    "source": "来源", "subject": "主题", "level": "级别", "person": "人员", "team": "班组", "receiver": "班组或人员",
    "channel": "通道", "list": "词表", "group": "来源分组", "region": "地区标签",
}
_KNOWN = (*layout.FILES, *(f"{name}/*.yml" for name in layout.FOLDERS), "tests/*.test.yml", "drills/*.yml")
_AVAILABLE = f"可用的文件：{'、'.join(_KNOWN)}"
_OTHER = schema.Source(id="", name="").group
"""The group of sources that name none."""
_GUESSES = 100
"""So many unknown names get the nearest known one; when a thousand are wrong, the cause is another."""
_PORTS = {"starttls": 587, "tls": 465, "none": 25}


def parse_book(files: Mapping[str, str], timezone: str) -> schema.RuleBook:
    """The book in these files (path inside the rule directory -> text). Files under tests/ and drills/ are left alone.

    Raises RuleBookError with all problems, in file order.
    """
    return parse_with_places(files, timezone)[0]


def parse_with_places(files: Mapping[str, str], timezone: str,
                      unread: Sequence[Problem] = ()) -> tuple[schema.RuleBook, Places]:
    """The same, and where each rule is written, for warnings. unread: files that are there and are no text, and why;
    what is wrong in the others is told with them."""
    reading = Reading(problems=list(unread))
    values, broken = _read_all(files, reading)
    _name_groups(values, reading)
    check_references(reading, broken)
    lists = resolved({path: value for path, value in values.items() if isinstance(value, schema.WordList)}, reading)
    if not reading.problems:
        check_whole(values, lists, reading)
    if reading.problems:
        raise RuleBookError(_in_order(reading.problems))
    return _book(values, lists, timezone), Places(reading)


def _name_groups(values: Mapping[str, Any], reading: Reading) -> None:
    """Groups and regions are not defined anywhere: those that a source names exist, and groups that need no source."""
    sources = values.get("sources.yml", BAD)
    written = sources.sources if sources is not BAD else ()
    for name in (schema.INTAKE.group, _OTHER, *(each.group for each in written)):
        reading.names.setdefault("group", {}).setdefault(name, Mark("sources.yml", 1, 1))
    for name in (each.region for each in written if each.region):
        reading.names.setdefault("region", {}).setdefault(name, Mark("sources.yml", 1, 1))


def _read_all(files: Mapping[str, str], reading: Reading) -> tuple[dict[str, Any], set[str]]:
    """Path -> value of each file, and the name spaces whose defining file could not be read."""
    values: dict[str, Any] = {}
    unread = {each.file for each in reading.problems}
    broken = {space for file in unread for space in layout.defines(file)}
    for path in sorted(files):
        kind = _kind(path, reading)
        if kind is None:
            continue
        node, problems = compose(path, files[path])
        reading.problems.extend(problems)
        if node is not None:
            values[path] = kind.read(node, "", reading)
        elif not problems:
            values[path] = _empty(path, reading)
        if problems or path in reading.lost:
            broken.update(layout.defines(path))
        elif values.get(path) is BAD and path == "sources.yml":
            broken.update(("group", "region"))   # these are no names of their own: they are told by whole sources
    _require_files({*files, *unread}, reading, broken)
    return values, broken


def _kind(path: str, reading: Reading) -> Any:
    if path.startswith(("tests/", "drills/")):
        return None
    folder, _, name = path.rpartition("/")
    if path in layout.FILES:
        return layout.FILES[path]
    if folder in layout.FOLDERS and name.endswith(".yml"):
        return layout.FOLDERS[folder]
    reading.problems.append(Problem(path, 1, 1, "", "不认识这个规则文件。", _right_name(folder, name)))
    return None


def _right_name(folder: str, name: str) -> str:
    right = name.removesuffix(".yaml") + ".yml" if name.endswith(".yaml") else name
    if folder and folder not in layout.FOLDERS:
        folder = nearest(folder, [*layout.FOLDERS, "tests", "drills"])
        return f"是不是 {folder}/{right}？" if folder else _AVAILABLE
    right = right if right != name else nearest(name, () if folder else layout.FILES)
    return f"是不是 {folder + '/' if folder else ''}{right}？" if right else _AVAILABLE


def _empty(path: str, reading: Reading) -> Any:
    """An empty file is an empty list of sources and plain sentiment; for the rest something is missing."""
    if path == "sources.yml":
        return layout.FILES[path].make()  # type: ignore[attr-defined]
    if path == "sentiment.yml":
        return schema.SentimentRules()
    reading.problems.append(Problem(path, 1, 1, "", "文件是空的。", "运行 wenxun init 得到一份样例，照它填写"))
    return BAD


def _require_files(files: set[str], reading: Reading, broken: set[str]) -> None:
    for name in layout.FILES:
        if name not in files:
            reading.problems.append(Problem(name, 1, 1, "", "缺少这个文件。", "运行 wenxun init 得到样例，把它拷过来"))
            broken.update(layout.DEFINES.get(name, ()))


def check_references(reading: Reading, broken: set[str]) -> None:
    """Note a problem for each reference to a name that nothing defines, unless its space could not be read."""
    known: dict[tuple[str, ...], dict[str, None]] = {}
    unknown: dict[tuple[str, str], str] = {}
    for each in reading.references:
        names = known.get(each.spaces)
        if names is None:
            names = known[each.spaces] = {name: None for space in each.spaces for name in reading.names.get(space, ())}
        if each.name not in names and not broken.intersection(each.spaces):
            what = SPACES[each.spaces[0]]
            if (what, each.name) not in unknown:
                unknown[what, each.name] = _instead(each.name, what, sorted(names), len(unknown) < _GUESSES)
            reading.problem(each.mark, each.path, f"没有名为“{each.name}”的{what}。", unknown[what, each.name])


def _instead(name: str, what: str, known: list[str], guess: bool) -> str:
    """What to write in place of an unknown name. Looking for the nearest of thousands takes milliseconds."""
    meant = nearest(name, known) if guess else ""
    listed = "、".join(known[:8]) + (" 等" if len(known) > 8 else "")
    return f"是不是 {meant}？" if meant else f"已有的{what}：{listed or '没有'}"


def _in_order(problems: list[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda each: (each.file, each.line, each.column))


def _book(values: Mapping[str, Any], lists: tuple[schema.WordList, ...], timezone: str) -> schema.RuleBook:
    subjects = [value for value in values.values() if isinstance(value, schema.Subject)]
    book = schema.RuleBook(
        sources=tuple(_source(each, timezone, values["sources.yml"].rsshub) for each in values["sources.yml"].sources),
        subjects=tuple(sorted(subjects, key=lambda each: each.id)),
        sentiment=values["sentiment.yml"],
        levels=values["levels.yml"],
        roster=values["roster.yml"],
        channels=tuple(_channel(each) for each in values["channels.yml"].channels),
        routes=values["routes.yml"].routes,
        quiet=values["routes.yml"].quiet,
        budget=values["routes.yml"].budget,
        heartbeat=values["channels.yml"].heartbeat,
        lists=lists,
        timezone=timezone,
        rsshub=values["sources.yml"].rsshub,
    )
    return msgspec.structs.replace(book, hash=content_hash(book))


def content_hash(book: schema.RuleBook) -> str:
    """16 hex digits of what the book says; comments and the order of fields do not count."""
    content = msgspec.json.encode(msgspec.structs.replace(book, hash=""), order="deterministic")
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def _source(each: schema.Source, timezone: str, instance: str) -> schema.Source:
    origin, route = each.origin or host_of(each.url) or each.id, ""
    if each.url.startswith("rsshub:"):        # many sites answer through one instance: not one source
        origin, route = each.origin or "rsshub:" + each.url.split("/")[1], each.url
    form = schema.SourceFormat.JSON if each.list is not None else each.format
    return msgspec.structs.replace(
        each, url=schema.on_instance(each.url, instance), route=route, origin=origin, format=form,
        timezone=each.timezone or timezone)


def _channel(each: schema.Channel) -> schema.Channel:
    if each.type is not schema.ChannelType.SMTP or each.port:
        return each
    return msgspec.structs.replace(each, port=_PORTS[each.tls])
