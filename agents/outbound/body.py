"""Bodies, capped raw and decoded while they arrive."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Iterable

import httpx

from agents.outbound.faults import Fault, Limits, OutboundError

STEP = 256 * 1024
"""Decoded bytes after which others have a turn: a chunk of 64 KiB can hold 64 MiB."""


async def read_body(answer: httpx.Response, limits: Limits) -> bytes:
    """The decoded body; OutboundError as soon as it is too big, too slow or broken."""
    host = answer.request.url.host
    length = answer.headers.get("content-length", "")
    if length.isdigit() and int(length) > limits.raw:
        raise _too_big(host, limits.raw)
    inflate = _decoder(answer.headers.get("content-encoding", ""), host)
    body = bytearray()
    async for chunk in _metered(answer, host, limits):
        for piece in inflate(chunk):
            body += piece
            if len(body) > limits.decoded:
                raise _too_big(host, limits.decoded)
            if len(piece) >= STEP:
                await asyncio.sleep(0)
    for piece in inflate(b""):
        body += piece
    return bytes(body)


def _too_big(host: str, cap: int) -> OutboundError:
    return OutboundError(Fault.TOO_BIG, f"{host} 的应答超过 {cap / 1024**2:g} MiB，已停止读取")


async def _metered(answer: httpx.Response, host: str, limits: Limits) -> AsyncIterator[bytes]:
    """The raw chunks, as long as they stay under the raw cap and over the minimum rate."""
    clock = asyncio.get_running_loop().time
    began, total = clock(), 0
    async for chunk in answer.aiter_raw():
        total += len(chunk)
        if total > limits.raw:
            raise _too_big(host, limits.raw)
        took = clock() - began
        if took > limits.rate_grace and total < limits.min_rate * took:
            raise OutboundError(Fault.TOO_SLOW, f"{host} 答得太慢（每秒不到 {limits.min_rate:g} 字节）")
        yield chunk


Inflate = Callable[[bytes], Iterable[bytes]]
"""A chunk -> what it decodes to, in pieces; an empty chunk says that the body is over."""


def _decoder(coding: str, host: str) -> Inflate:
    """One coding at most: two of them make a gigabyte out of two kilobytes before anyone can look."""
    codings = [part.strip().lower() for part in coding.split(",") if part.strip().lower() not in ("", "identity")]
    if not codings:
        return lambda chunk: (chunk,)
    if len(codings) > 1 or codings[0] not in ("gzip", "x-gzip", "deflate"):
        raise OutboundError(Fault.PROTOCOL, f"{host} 用了不支持的压缩方式：{coding[:40]}")
    return _Inflater(codings[0] == "deflate", host)


class _Inflater:
    def __init__(self, deflate: bool, host: str) -> None:
        self._deflate, self._host = deflate, host
        self._stream: zlib._Decompress | None = None

    def __call__(self, chunk: bytes) -> Iterable[bytes]:
        try:
            if chunk:
                yield from self._pieces(chunk)
            elif self._stream is not None and not self._stream.eof:
                raise self._broken()
        except zlib.error:
            raise self._broken() from None

    def _pieces(self, chunk: bytes) -> Iterable[bytes]:
        full = False                                    # zlib may hold more than it was let say
        while chunk or full:
            if self._stream is None:
                self._stream = self._begin(chunk)
            elif self._stream.eof:
                if self._deflate or chunk[0] != 0x1F:   # padding after the end; a further gzip member goes on
                    return
                self._stream = self._begin(chunk)
            piece = self._stream.decompress(chunk, STEP)
            yield piece
            chunk = self._stream.unconsumed_tail or self._stream.unused_data
            full = len(piece) >= STEP and not self._stream.eof

    def _begin(self, chunk: bytes) -> zlib._Decompress:
        if not self._deflate:
            return zlib.decompressobj(31)
        raw = chunk[0] & 0x0F != 8                  # servers send `deflate` with and without the zlib header
        return zlib.decompressobj(-15 if raw else 15)

    def _broken(self) -> OutboundError:
        return OutboundError(Fault.PROTOCOL, f"{self._host} 的压缩内容损坏或不完整")
