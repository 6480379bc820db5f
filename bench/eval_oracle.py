"""What feeds of the evaluation data should be read as, by the data's own word.

feedparser's test feeds carry it in a comment (`Expect: …`); for miniflux's and the Chinese captures it is what an XML
or JSON parser finds in the document when it is told the right charset. Archives are read in memory.
"""

from __future__ import annotations

import ast
import calendar
import json
import re
import tarfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

TITLE, TEXT, DATE, LINK, ENCODING = "titles", "texts", "dates", "links", "encodings"
FEED = -1
"""Place of what is said of the document itself."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One expectation of a file. place: of the entry in the document. value: text, epoch milliseconds or a codec."""

    column: str
    place: int
    value: Any


@dataclass(frozen=True, slots=True)
class Case:
    """A document as a server would send it, and all that is expected of it."""

    file: str
    body: bytes
    content_type: str
    url: str
    wanted: tuple[Wanted, ...]


def _members(archive: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            if member.isfile() and (file := tar.extractfile(member)) is not None:
                yield member.name, file.read()


# ---------------------------------------------------------------- feedparser

_EXPECT = re.compile(r"Expect:\s*(.*?)\s*-->", re.DOTALL)
_HEADER = re.compile(r"^Header:\s+([^:]+):(.*)$", re.MULTILINE)
_WIDE = ((b"\xff\xfe\0\0", "utf-32-le"), (b"\0\0\xfe\xff", "utf-32-be"), (b"\0\0\0<", "utf-32-be"),
         (b"<\0\0\0", "utf-32-le"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"), (b"\0<", "utf-16-be"),
         (b"<\0", "utf-16-le"))
_COLUMNS = {"title": TITLE, "description": TEXT, "summary": TEXT, "content": TEXT, "link": LINK, "updated_parsed": DATE,
            "published_parsed": DATE, "created_parsed": DATE, "date_parsed": DATE}


def feedparser_cases(data: Path) -> Iterator[Case]:
    """Its test feeds; those that expect nothing we read come with nothing wanted."""
    for name, body in _members(data / "feeds" / "feedparser-tests.tar.gz"):
        if not name.endswith(".xml"):
            continue
        codec = next((codec for mark, codec in _WIDE if body.startswith(mark)), "utf-8")
        words = body.decode(codec, "ignore")
        expect = _EXPECT.search(words)
        headers = {key.strip().lower(): value.strip() for key, value in _HEADER.findall(words)}
        wanted = tuple(_said(expect[1])) if expect else ()
        yield Case(name.removeprefix("feedparser/tests/"), body, headers.get("content-type", ""),
                   headers.get("content-location", "http://127.0.0.1:8097/feed.xml"), wanted)


def _said(expression: str) -> Iterator[Wanted]:
    """`entries[0]['title'] == 'x'` and its like, wherever they stand in an expression."""
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.Eq):
            try:
                value = ast.literal_eval(node.comparators[0])
            except ValueError:
                continue
            yield from _wanted(_path(node.left), value)


def _path(node: ast.expr) -> list[Any]:
    steps: list[Any] = []
    while isinstance(node, ast.Subscript):
        steps.append(node.slice.value if isinstance(node.slice, ast.Constant) else None)
        node = node.value
    return [node.id if isinstance(node, ast.Name) else None, *reversed(steps)]


def _wanted(path: list[Any], value: Any) -> Iterator[Wanted]:
    match path:
        case ["encoding"]:
            yield Wanted(ENCODING, FEED, value)
        case ["feed", "title"] | ["feed", "title_detail", "value"]:
            yield Wanted(TITLE, FEED, value)
        case ["entries", int(place), str(name)] | ["entries", int(place), "content", 0 as name, "value"] if (
                name in _COLUMNS or name == 0):
            column = TEXT if name == 0 else _COLUMNS[str(name)]
            yield Wanted(column, place, calendar.timegm(value) * 1000 if column == DATE else value)
        case ["entries", int(place), "title_detail" | "summary_detail" as name, "value"]:
            yield Wanted(TITLE if name == "title_detail" else TEXT, place, value)


# ---------------------------------------------------------------- miniflux

_REAL = {"encoding_ISO-8859-1.xml": "cp1252", "encoding_WINDOWS-1251.xml": "cp1251", "large_atom.xml": "utf-8",
         "large_rss.xml": "utf-8", "no_encoding_ISO-8859-1.xml": "cp1252", "rdf_UTF8.xml": "utf-8",
         "small_atom.xml": "utf-8", "urdu_UTF8.xml": "utf-8", "invalid-prolog.xml": "utf-8", "iso-8859-1.xml": "cp1252",
         "iso-8859-1.html": "cp1252", "iso-8859-1-meta-after-1024.html": "cp1252", "koi8r.xml": "koi8-r",
         "utf8-incorrect-prolog.xml": "utf-8", "utf8.xml": "utf-8", "utf8.html": "utf-8",
         "utf8-meta-after-1024.html": "utf-8", "windows-1252-incorrect-prolog.xml": "utf-8",
         "windows-1252.xml": "cp1252"}
"""What each file's name says it is written in."""


def miniflux_cases(data: Path) -> Iterator[Case]:
    for name, body in _members(data / "feeds" / "miniflux-testdata.tar.gz"):
        file = name.rpartition("/")[2]
        if file in _REAL:
            wanted = () if file.endswith(".html") else tuple(_of_xml(body.decode(_REAL[file])))
            yield Case(file, body, "", "http://feed.example/", (Wanted(ENCODING, FEED, _REAL[file]), *wanted))


def _of_xml(document: str) -> Iterator[Wanted]:
    """Titles, links and dates of a well-formed document by the standard library's parser."""
    root = ElementTree.fromstring(re.sub(r"^\s*<\?xml.*?\?>", "", document, flags=re.DOTALL).strip().encode())
    for place, entry in enumerate(each for each in root.iter() if _name(each) in ("item", "entry")):
        for child in entry:
            value = "".join(child.itertext()).strip()
            if _name(child) == "title" and value:
                yield Wanted(TITLE, place, value)
            elif _name(child) == "link" and child.get("rel", "alternate") == "alternate":
                if link := (child.get("href") or value).strip():
                    yield Wanted(LINK, place, link)
            elif _name(child) in ("pubDate", "published") and value:
                yield Wanted(DATE, place, _moment(value))


def _name(element: ElementTree.Element) -> str:
    """Without its namespace; other vocabularies' titles and links are not the entry's."""
    space, _, name = element.tag.rpartition("}")
    return name if space in ("", "{http://www.w3.org/2005/Atom", "{http://purl.org/rss/1.0/",
                             "{http://my.netscape.com/rdf/simple/0.9/") else ""


def _moment(value: str) -> int:
    try:
        return int(datetime.fromisoformat(value).timestamp() * 1000)
    except ValueError:
        return int(parsedate_to_datetime(value).timestamp() * 1000)


# ---------------------------------------------------------------- Chinese

_ODD_DATES = (1592992201000, 1592990520000, 1592990526000, 1592990308000, 1592988200000, 1592983572000)
"""The moments of `discuz_dates_cn.xml` in China, read by a person."""


def chinese_cases(data: Path) -> Iterator[Case]:
    """The captures, then their variants, which must be read as the capture they were made of."""
    folder = data / "feeds" / "cn"
    if not folder.is_dir():
        raise FileNotFoundError(2, "no such folder", str(folder))
    captured = {}
    for path in sorted(folder.glob("*.*ml")):
        captured[path.name] = tuple(_of_xml(path.read_text("utf-8")))
        yield _capture(path, captured[path.name])
    for path in sorted(folder.glob("*.json")):
        yield _capture(path, tuple(_of_json(json.loads(path.read_bytes()))))
    original = captured["discuz_x3cn_20200624.xml"]
    for path in sorted((folder / "derived").glob("*.xml")):
        yield _capture(path, _of_variant(path, original))


def _capture(path: Path, wanted: tuple[Wanted, ...]) -> Case:
    """A damaged file's charset is judged by its titles alone: no decoder is right about it."""
    codec = "gb18030" if "_gb" in path.name.partition("declared")[0] else "utf-8-sig"
    damaged = "bad_byte" in path.name or "truncated" in path.name
    written = () if damaged else (Wanted(ENCODING, FEED, codec),)
    return Case(path.name, path.read_bytes(), "", "http://feed.example/latest.json", (*wanted, *written))


def _of_variant(path: Path, original: tuple[Wanted, ...]) -> tuple[Wanted, ...]:
    if path.name == "discuz_dates_cn.xml":
        dates = tuple(Wanted(DATE, place, at) for place, at in enumerate(_ODD_DATES))
        return (*(each for each in original if each.column != DATE), *dates)
    if "4byte" in path.name:                            # its title has a character that the capture has not
        return tuple(_of_xml(path.read_bytes().decode("gb18030")))
    if "truncated" in path.name:
        whole = path.read_bytes().count(b"</item>")
        return tuple(each for each in original if each.place < whole)
    return original


def _of_json(document: Any) -> Iterator[Wanted]:
    topics = document["topics"] if "topics" in document else document["topic_list"]["topics"]
    for place, topic in enumerate(topics):
        yield Wanted(TITLE, place, topic["title"])
        yield Wanted(DATE, place, _moment(topic.get("timestampISO") or topic["created_at"]))
