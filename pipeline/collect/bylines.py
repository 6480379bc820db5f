"""Lines of forum software that name who wrote what, cut out of an entry's markup before anything else reads it.

Known: phpBB's statistics line and quotes, Discourse's quotes and "wrote" lines, Discuz!'s note of the last edit. What
people write themselves is left to the masking of personal data.
"""

from __future__ import annotations

import re

from pipeline.collect.figures import counts
from pipeline.model import Counts

_SIGNS = re.compile(r"本帖最后由|<cite|<aside|(?:wrote|写道|寫道|发表|發表) ?[:：]")
_QUOTE = re.compile(r"<aside\b[^<>]{0,600}\bquote\b[^<>]{0,600}>(?=\s*<div class=\"title\")")
_CITE = re.compile(r"<blockquote[^<>]*>\s*(?:<div[^<>]*>\s*)?(?=<cite\b)")
_WROTE = re.compile(
    r"\s*<p>(?:\s*<a\s[^<>]*>)?[^<>]{1,80}(?:</a>)?[^<>]{0,10}(?:wrote|写道|寫道|发表|發表) ?[:：]\s*</p>")
_EDITED = re.compile(r"本帖最后由\s?(?:<[^<>]{1,200}>)?[^<>\n]{1,40}?(?:</\w{1,10}>)?\s?于\s?[^<>\n]{4,30}?\s?编辑")

_STATISTICS = re.compile(r"<p>(?P<line>.{0,1500})</p>\s*(?:<hr\s*/?>)?\s*", re.DOTALL)
_STATISTICS_HEAD = re.compile(r"(?:Statistics|统计|統計)[^<>:：]{0,6}[:：]", re.IGNORECASE)
_LAST_NUMBER = re.compile(r"(\d[\d,]{0,14})\s*$")


def without_bylines(markup: str) -> str:
    """The markup without what a forum's software says about who wrote it."""
    if _SIGNS.search(markup) is None:
        return markup
    wrote = _WROTE.match(markup)
    markup = markup[wrote.end():] if wrote else markup
    markup = _cut(_cut(markup, _QUOTE, "<blockquote"), _CITE, "</cite>", keep_end=False)
    return _EDITED.sub("", markup)


def _cut(markup: str, begin: re.Pattern[str], end: str, *, keep_end: bool = True) -> str:
    """Without what stands between such a beginning and the next `end`."""
    out: list[str] = []
    at = 0
    while (match := begin.search(markup, at)) is not None and (stop := markup.find(end, match.end())) != -1:
        out.append(markup[at:match.end()])
        at = stop if keep_end else stop + len(end)
    return "".join(out) + markup[at:]


def phpbb_statistics(markup: str) -> tuple[str, Counts | None]:
    """The markup of a phpBB feed without its last line, which names the poster, and the counts of that line.

    The line reads in any language: label: posted by <a …>name</a> — date — replies 3 — views 120.
    """
    at = markup.rfind("<p>")
    match = _STATISTICS.fullmatch(markup, at) if at != -1 else None
    if match is None:
        return markup, None
    line = match["line"]
    parts = line.split(" — ")
    if len(parts) < 2 or not ("mode=viewprofile" in parts[0] or _STATISTICS_HEAD.match(line)):
        return markup, None
    replies, views = ([*map(_last_number, parts[2:]), "", ""])[:2]
    return markup[:at], counts(comments=replies, views=views)


def _last_number(words: str) -> str:
    match = _LAST_NUMBER.search(words)
    return match[1] if match else ""
