"""The parse worker: a child process that turns bodies into items, and may be killed for it.

A hostile document can cost seconds and hundreds of megabytes inside a parser. Here it costs a child that has a memory
limit and a deadline; the collector goes on. Frames on stdin and stdout: four bytes of length, then msgpack. The end of
stdin ends the worker, so it never outlives its parent.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import traceback
from contextlib import suppress
from typing import BinaryIO
from zoneinfo import ZoneInfo

import msgspec

from pipeline.collect.entries import Reading
from pipeline.collect.feed import parse_feed
from pipeline.collect.fulltext import article
from pipeline.errors import NotAFeed
from pipeline.model import Millis, RawItem
from pipeline.rulebook.schema import JsonList, SourceFormat

MEMORY_BYTES = 512 * 1024**2
TOO_HARD = "内容过大或嵌套过深，无法解析。请联系发布方，或换一个订阅地址"


PAGE = "page"
"""`form` of a page whose article is wanted."""


class Job(msgspec.Struct, frozen=True, array_like=True):
    """A body and how to read it. form: a SourceFormat, or PAGE. rules: of a `json` source. by_link: links name the
    entries, guids do not."""

    body: bytes
    content_type: str
    form: str
    source_id: str
    url: str
    zone: str
    now: Millis
    backfill: bool
    rules: JsonList | None = None
    by_link: bool = False


class Done(msgspec.Struct, frozen=True, array_like=True):
    """What was read (as in entries.Parsed; `text`: a page's article), or in `error` why nothing was."""

    items: tuple[RawItem, ...] = ()
    kind: str = ""
    ttl: Millis | None = None
    skipped: int = 0
    error: str = ""
    clamped: int = 0
    undated: int = 0
    title: str = ""
    charset: str = ""
    text: str = ""


def handle(job: Job) -> Done:
    """Never raises: a parser that fails on a document says so as an error of that document."""
    if job.form == PAGE:
        return _page(job)
    how = Reading(job.source_id, job.url, ZoneInfo(job.zone), job.now, job.backfill, job.by_link)
    try:
        parsed = parse_feed(job.body, how, content_type=job.content_type, form=SourceFormat(job.form), rules=job.rules)
        return Done(parsed.items, parsed.kind, parsed.ttl, parsed.skipped, clamped=parsed.clamped,
                    undated=parsed.undated, title=parsed.title, charset=parsed.charset)
    except NotAFeed as error:
        return Done(error=str(error))
    except (MemoryError, RecursionError):
        return Done(error=TOO_HARD)
    except Exception as error:                          # feedparser raises whatever its insides raise
        where = traceback.extract_tb(error.__traceback__)[-1]       # its words may quote the document
        print(f"parser failed on {job.source_id}: {type(error).__name__} in {where.filename}:{where.lineno}",
              file=sys.stderr)
        return Done(error=f"解析失败（{type(error).__name__}）。请把这个地址报告给 Wenxun 的维护者")


def _page(job: Job) -> Done:
    try:
        return Done(text=article(job.body, job.content_type))
    except Exception as error:                          # lxml and trafilatura raise whatever their insides raise
        return Done(error=type(error).__name__)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)        # Ctrl-C is for the parent
    with suppress(OSError):                             # a system call filter, as of the systemd unit, may refuse it
        os.nice(10)                                     # the parent's loop comes first where cores are few
    with suppress(ValueError, OSError):                 # macOS knows the limit and refuses to set it
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    decode, encode = msgspec.msgpack.Decoder(Job).decode, msgspec.msgpack.Encoder().encode
    _write(sys.stdout.buffer, b"")                      # ready: from here on a document's time counts
    while (frame := _read(sys.stdin.buffer)) is not None:
        _write(sys.stdout.buffer, encode(handle(decode(frame))))


def _write(stream: BinaryIO, frame: bytes) -> None:
    stream.write(len(frame).to_bytes(4, "big") + frame)
    stream.flush()


def _read(stream: BinaryIO) -> bytes | None:
    head = stream.read(4)
    if len(head) < 4:
        return None
    length = int.from_bytes(head, "big")
    frame = stream.read(length)
    return frame if len(frame) == length else None
