"""Bytes to clean text, and HTML to plain text.

Chinese feeds declare the wrong charset, none, or break in the middle of a character. A declaration is evidence, not
proof: readings are scored by how much of them is common text, and the best one wins. Everything here is linear in
the length of its input.
"""

from __future__ import annotations

import codecs
import html
import re
from collections.abc import Iterable
from functools import cache

from pipeline.collect.resync import resynced

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_FAMILIES = {
    "utf-8": "utf-8", "gb2312": "gb18030", "gbk": "gb18030", "gb18030": "gb18030", "cp936": "gb18030", "hz": "gb18030",
    "big5": "big5hkscs", "cp950": "big5hkscs", "big5hkscs": "big5hkscs",
    "ascii": "cp1252", "iso8859-1": "cp1252", "latin_1": "cp1252", "cp1252": "cp1252",
}
"""Python's name of a codec -> the one that reads all of its texts as browsers do."""
_GUESSES = ("utf-8", "gb18030", "big5hkscs", "cp1252")
_TRUSTED = re.compile(r"cp\d|iso8859|koi8|shift|euc|johab|tis|mac|iso2022")
"""Of these a declaration is believed. UTF-16 is none of them: it shows by itself, and raises where it is not."""
_SAMPLE = 65536
CLEANINGS = 4
"""A reference inside a reference is nobody's slip; a fifth in it costs its author the rest."""

_XML_DECLARATION = re.compile(r"\s*<\?xml[^>]{0,400}\?>", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"<\?xml[^>]{0,400}?encoding\s*=\s*[\"']([A-Za-z0-9._:-]{1,40})[\"']", re.IGNORECASE)
_META_CHARSET = re.compile(rb"<meta\s[^>]{0,300}?charset\s*=\s*[\"']?\s*([A-Za-z0-9._:-]{1,40})", re.IGNORECASE)
_HEAD = 8192
"""Bytes of a page in which its <meta> is looked for."""
_HTTP_CHARSET = re.compile(r"charset\s*=\s*[\"']?([A-Za-z0-9._:-]{1,40})", re.IGNORECASE)
_HIGH = re.compile(rb"[\x80-\xff]")

_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffd\ufffe\uffff]")
_CONTROLS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u206a-\u206f\ufeff\ufff9-\ufffb]")
"""Directions and annotations: they make a text look otherwise than it reads. Joiners and the like stay (emoji)."""
_WINDOWS = {code: bytes((code,)).decode("cp1252")
            for code in (0x80, 0x82, 0x84, 0x85, 0x8B, *range(0x91, 0x98), 0x99, 0x9B)}
"""Control characters that no text means: whoever writes them means Windows' quotation marks and dashes."""
_C1 = re.compile("[\x80-\x84\x86-\x9f]")
_REFERENCE = re.compile(r"&#(?:[xX]0*([0-9a-fA-F]+)|0*([0-9]+));?")


# ---------------------------------------------------------------- charset


def decode(body: bytes, content_type: str = "") -> str:
    """The text of a response body, without BOM, control characters and what could not be read.

    content_type: the HTTP header. A character cut off at the end is dropped; a bad byte costs only itself.
    """
    return decoded(body, content_type)[0]


def decoded(body: bytes, content_type: str = "") -> tuple[str, str]:
    """The text as `decode` gives it, and Python's name of the charset it was read in."""
    for bom, codec in _BOMS:
        if body.startswith(bom):
            return clean(_read(body[len(bom):], codec)), codec
    codec = _charset(body, content_type)
    text = _read(body, codec)
    return clean(resynced(body, text) if codec == "gb18030" else text), codec


def clean(text: str) -> str:
    """Without control characters, lone surrogates, replacement characters and numeric references to such."""
    text = _legal(text)
    if "&#" not in text:
        return text
    for _ in range(CLEANINGS):                          # what one leaves behind may close up to another
        before, text = text, _REFERENCE.sub(_legal_reference, text)
        if text == before:
            return text
    return text.replace("&#", "& #")


def unescape(markup: str) -> str:
    """References as their characters. The standard library's own raises ValueError on thousands of digits."""
    return html.unescape(_REFERENCE.sub(_legal_reference, markup) if "&#" in markup else markup)


def _legal(text: str) -> str:
    return _ILLEGAL.sub("", text.translate(_WINDOWS) if _C1.search(text) else text)


def _legal_reference(match: re.Match[str]) -> str:
    if len(match[1] or match[2]) > 8:
        return ""                                       # no character, and too long for some readers of numbers
    number = int(match[1], 16) if match[1] else int(match[2])
    if number in _WINDOWS and number != 0x85:
        return _WINDOWS[number]
    legal = number <= 0x10FFFF and (number >= 0x80 or not _ILLEGAL.match(chr(number)))
    return match[0] if legal and not 0xD800 <= number <= 0xDFFF else ""


def _charset(body: bytes, content_type: str) -> str:
    first = _HIGH.search(body)
    wide = _wide(body)
    if wide or first is None:
        return wide or "utf-8"
    declared = list(_declared(body, content_type))
    if _is_utf8(body) and not ("gb18030" in declared and _looks_two_byte(body)):
        return "utf-8"
    sample = body[first.start():first.start() + _SAMPLE]
    for name in declared:
        if name not in _GUESSES and "\ufffd" not in _read(sample, name):
            return name
    names = [*(name for name in declared if name in _GUESSES), *_GUESSES]
    scores = {name: _score(_read(sample, name), name) + (0.15 if name in declared else 0) for name in names}
    return max(scores, key=lambda name: scores[name])


def _declared(body: bytes, content_type: str) -> Iterable[str]:
    """Codecs that the HTTP header and the XML declaration or a page's <meta> name, if they are ones we use."""
    header = _HTTP_CHARSET.search(content_type)
    inside = _XML_ENCODING.search(body[:1024]) or _META_CHARSET.search(body[:_HEAD])
    labels = ([header[1]] if header else []) + ([inside[1].decode("ascii")] if inside else [])
    for label in labels:
        try:
            name = codecs.lookup(label.replace("x-gbk", "gbk")).name
        except LookupError:
            continue
        if name in _FAMILIES:
            yield _FAMILIES[name]
        elif _TRUSTED.match(name):
            yield name


def _wide(body: bytes) -> str:
    """UTF-16 without a BOM shows as a zero byte beside the first bracket."""
    first = re.search(rb"[<{\[]", body[:256])
    at = first.start() if first else 0
    if at % 2 == 0 and body[at + 1:at + 2] == b"\0":
        return "utf-16-le"
    return "utf-16-be" if at % 2 and body[at - 1:at] == b"\0" else ""


def _read(body: bytes, codec: str) -> str:
    return codecs.getincrementaldecoder(codec)("replace").decode(body, final=False)


def _is_utf8(body: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")("strict").decode(body, final=False)
    except UnicodeDecodeError:
        return False
    return True


def _looks_two_byte(body: bytes) -> bool:
    """Some short GBK texts happen to be valid UTF-8, but then of two-byte characters only: Greek, not Chinese."""
    return all(ch < "\u0800" for ch in _read(body, "utf-8"))


def _score(text: str, codec: str) -> float:
    """1 for a reading that is all plausible, less for rare characters, far less for bytes that cannot be read."""
    high = [ch for ch in text if ch > "\x7f"]
    if not high:
        return 0.0
    bad = 3 * sum(ch == "\ufffd" for ch in high)
    if codec == "utf-8":
        good = float(len(high))
    elif codec == "cp1252":                             # accents stand alone in Latin text; Chinese would run on
        good = float(sum(len(run) for run in re.findall("[^\x00-\x7f]+", text) if len(run) <= 2))
    else:
        common = _common()
        good = float(sum(ch in common for ch in high))
    return (good - bad) / len(high)


@cache
def _common() -> frozenset[str]:
    """The first-level characters of GB 2312 and Big5, with their punctuation."""
    found: set[str] = set()
    for codec, leads in (("gb2312", (0xA1, 0xA3, *range(0xB0, 0xD8))), ("big5", (0xA1, *range(0xA4, 0xC7)))):
        for lead in leads:
            found.update("".join(bytes((lead, trail)).decode(codec, "ignore") for trail in range(0x40, 0xFF)))
    return frozenset(ch for ch in found if ch > "\x7f")


def as_utf8_xml(text: str) -> bytes:
    """XML text as UTF-8 without its declaration and DOCTYPEs: nothing is left for a parser to look up or expand."""
    match = _XML_DECLARATION.match(text)
    at, kept = match.end() if match else 0, [""]
    while True:
        end = _prolog_end(text, at)
        kept.append(text[at:end])
        if text[end:end + 9].upper() != "<!DOCTYPE":
            break
        at = _doctype_end(text, end)
    root = _ELEMENT.search(text, end)
    begin = root.start() if root else len(text)
    # remains of a DOCTYPE that ended early: feedparser would still take them for declarations
    return "".join((*kept, _DECLARED.sub("< ", text[end:begin]), text[begin:])).encode()


_ELEMENT = re.compile(r"<[A-Za-z0-9_]")
_DECLARED = re.compile(r"<!(?=DOCTYPE|ENTITY)", re.IGNORECASE)


def _prolog_end(text: str, at: int) -> int:
    """Where the white space, comments and processing instructions before the root element end."""
    while True:
        black = _BLACK.search(text, at)
        at = black.start() if black else len(text)
        begin, end = next(
            (pair for pair in (("<!--", "-->"), ("<?", "?>")) if text.startswith(pair[0], at)), ("", ""))
        stop = text.find(end, at + len(begin)) if end else -1
        if stop == -1:
            return at
        at = stop + len(end)


def _doctype_end(text: str, start: int) -> int:
    """Behind the `>` that ends a DOCTYPE, its internal subset included; the end of the text when it never ends."""
    close = text.find(">", start)
    if close == -1:
        return len(text)
    subset = text.find("[", start, close)
    if subset == -1:
        return close + 1
    over = _SUBSET_END.search(text, subset)
    return over.end() if over else len(text)


_BLACK = re.compile(r"\S")
_SUBSET_END = re.compile(r"\]\s*>")


# ---------------------------------------------------------------- HTML


_TAG = re.compile(
    r"<(/?)([A-Za-z][A-Za-z0-9:-]*)(?:[\s/](?:[^<>\"']|\"[^\"<]*\"|'[^'<]*')*)?>|<(/?)([A-Za-z][A-Za-z0-9:-]*)(?:[\s/][^<>]*)?>")
_BLOCKS = frozenset(
    "address article aside blockquote br caption dd details div dl dt fieldset figcaption figure footer form h1 h2 h3 "
    "h4 h5 h6 header hr li main nav ol option p pre section summary table tbody tfoot thead tr ul".split())
_CELLS = frozenset(("td", "th"))
_SILENT = frozenset("script style head title template noscript iframe object svg math".split())
_SPACES = re.compile(r"[ \t\r\f\v\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]+")
_LINES = re.compile(r" ?\n[ \n]*")
_WIDE_CHARACTER = "[\u2e80-\u9fff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60]"
_WRAPPED_CHINESE = re.compile(f"(?<={_WIDE_CHARACTER})\n(?={_WIDE_CHARACTER})")


def to_text(markup: str) -> str:
    """HTML as plain text: each block on a line of its own, cells and wrapped lines joined by a space, tags gone.

    Without any block the line breaks of the source stay: such texts were never HTML.
    """
    if "<" in markup:
        markup = _without_tags(without_comments(markup.replace("\r\n", "\n").replace("\r", "\n")))
    return tidy(unescape(markup))


def tidy(text: str) -> str:
    """Without control characters; single spaces; no blank lines. Width and zero-width characters stay as written."""
    text = _SPACES.sub(" ", _CONTROLS.sub("", _legal(text.replace("\r\n", "\n").replace("\r", "\n"))))
    return _LINES.sub("\n", text).strip()


def one_line(text: str) -> str:
    return _SPACES.sub(" ", text.replace("\n", " ")).strip()


def without_comments(markup: str) -> str:
    for begin, end in (("<!--", "-->"), ("<![CDATA[", "]]>"), ("<!", ">"), ("<?", ">")):
        keep = begin == "<![CDATA["
        out, at = [], 0
        while (start := markup.find(begin, at)) != -1 and (stop := markup.find(end, start + len(begin))) != -1:
            out.append(markup[at:start])
            if keep:
                out.append(markup[start + len(begin):stop])
            at = stop + len(end)
        markup = "".join(out) + markup[at:] if out else markup
    return markup


def _without_tags(markup: str) -> str:
    found: list[tuple[str, bool, str]] = []             # text, whether its line breaks count, what its tag leaves
    at, pre, unclosed = 0, 0, set[str]()
    while (match := _TAG.search(markup, at)) is not None:
        closing, name = match[1] or match[3], (match[2] or match[4]).lower()
        found.append((markup[at:match.start()], pre > 0, "\n" if name in _BLOCKS else " " if name in _CELLS else ""))
        at = match.end()
        if name == "pre":
            pre = max(0, pre + (-1 if closing else 1))
        if name in _SILENT and not closing and name not in unclosed:
            stop = re.compile(rf"</{name}\s*>", re.IGNORECASE).search(markup, at)
            if stop:
                at = stop.end()
            else:
                unclosed.add(name)                      # looked for once: it is not there further on either
    found.append((markup[at:], pre > 0, ""))
    blocks = any(left for _, _, left in found)
    return "".join((_unwrapped(text) if blocks and not kept else text) + left for text, kept, left in found)


def _unwrapped(text: str) -> str:
    """A line break in HTML's source is a space, and between Chinese characters nothing."""
    if "\n" not in text:
        return text
    return _WRAPPED_CHINESE.sub("", _LINES.sub("\n", _SPACES.sub(" ", text))).replace("\n", " ")


def cut(text: str, limit: int) -> tuple[str, bool]:
    """At most `limit` bytes of UTF-8, whole characters, and whether something was cut off."""
    if len(text) * 4 <= limit or len(data := text.encode("utf-8", "ignore")) <= limit:
        return text, False
    return data[:limit].decode("utf-8", "ignore"), True
