"""`make eval` of feeds: what an archive's own comments say is what is counted."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from bench.eval_feeds import feeds
from bench.eval_oracle import DATE, LINK, TITLE, feedparser_cases

RIGHT = """<!--
Description: a title, a link and a date
Expect:      not bozo and entries[0]['title'] == u'停水通知' and entries[0]['link'] == 'http://a.example/1'
--><rss version="2.0"><channel><item><title>停水通知</title><link>http://a.example/1</link></item></channel></rss>"""
WRONG = RIGHT.replace("<title>停水通知", "<title>停电通知")
DATED = """<!--
Header: Content-type: text/xml; charset=utf-8
Description: a date
Expect: entries[0]['published_parsed'] == (2026, 11, 22, 3, 0, 0, 6, 326, 0)
--><rss version="2.0"><channel><item><pubDate>2026-11-22 11:00</pubDate></item></channel></rss>"""
UNREAD = RIGHT.replace("entries[0]['title'] == u'停水通知' and entries[0]['link'] == 'http://a.example/1'",
                       "feed['author'] == 'x'")


def archive(folder: Path, **documents: str) -> Path:
    (folder / "feeds").mkdir()
    with tarfile.open(folder / "feeds" / "feedparser-tests.tar.gz", "w:gz") as tar:
        for name, document in documents.items():
            info = tarfile.TarInfo(f"feedparser/tests/wellformed/{name}.xml")
            info.size = len(document.encode())
            tar.addfile(info, io.BytesIO(document.encode()))
    return folder


def test_expectations_are_read_from_the_comments(tmp_path: Path) -> None:
    right, dated, unread = feedparser_cases(archive(tmp_path, right=RIGHT, dated=DATED, unread=UNREAD))
    assert [(each.column, each.place, each.value) for each in right.wanted] == [
        (TITLE, 0, "停水通知"), (LINK, 0, "http://a.example/1")]
    assert [(each.column, each.value) for each in dated.wanted] == [(DATE, 1_795_316_400_000)]
    assert dated.content_type == "text/xml; charset=utf-8" and unread.wanted == ()


def test_right_and_wrong_are_counted_and_misses_listed(tmp_path: Path) -> None:
    data = archive(tmp_path, right=RIGHT, wrong=WRONG, dated=DATED, unread=UNREAD)
    rows = {(what, on): figure for what, on, figure in feeds(data, tmp_path / "misses")}
    family = "feedparser's tests"
    assert rows["feeds: titles right", family] == "1 of 2 (50.0%)"
    assert rows["feeds: dates right", family] == "1 of 1 (100.0%)"
    assert rows["feeds: files all right", family] == "2 of 3"
    assert rows["feeds: files not judged", family].startswith("1:")
    assert rows["feeds", "miniflux's feeds"].startswith("missing: ")
    listed = (tmp_path / "misses").read_text("utf-8").splitlines()
    assert "wellformed/wrong.xml: titles: wanted '停水通知', got ['停电通知']" in listed[0]
