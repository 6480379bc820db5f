"""Bytes of a rule file -> text, or what the bytes are instead of UTF-8 and how to save them."""

from __future__ import annotations

import unicodedata

from pipeline.errors import Problem
from pipeline.rulebook.yaml_marks import MAX_BYTES

_SAVE = "用编辑器另存为 UTF-8（记事本：另存为，编码选 UTF-8；VS Code：点右下角的编码名，选“通过编码保存”）"


def text_of(name: str, content: bytes) -> str | Problem:
    """The file's text without its byte order mark. Past MAX_BYTES nothing is judged: the size is."""
    if len(content) > MAX_BYTES:
        return content.decode("utf-8-sig", "replace")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or _every_other_is_nul(content[:64]):
        return Problem(name, 1, 1, "", "文件是 UTF-16 编码，不是 UTF-8。", _SAVE)
    if (nul := content.find(0)) >= 0:
        line = content.count(b"\n", 0, nul) + 1
        return Problem(name, line, 1, "", "文件里有空字节（NUL），像是没有写完或已经损坏。",
                       "从备份或版本库取回，重新保存")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        if error.reason == "unexpected end of data":
            return Problem(name, line, 1, "", "文件末尾只有半个字，像是没有写完。", "重新保存一次")
        if _is_gbk(content.removeprefix(b"\xef\xbb\xbf")):
            return Problem(name, line, 1, "", "文件是 GBK 编码，不是 UTF-8。", _SAVE)
        return Problem(name, line, 1, "", "不是 UTF-8 编码。", _SAVE)


def _every_other_is_nul(head: bytes) -> bool:
    """ASCII in UTF-16 without its mark; a file that was not written to its end is all NUL instead."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    return max(even, odd) * 3 > len(head[1::2]) and min(even, odd) * 8 < len(head)


def _is_gbk(content: bytes) -> bool:
    """Nearly all bytes are GBK of something: it is, when what comes out is mostly Chinese."""
    try:
        text = content.decode("gb18030")
    except UnicodeDecodeError:
        return False
    foreign = [each for each in text if each > "\x7f"]
    chinese = sum("\u3000" <= each <= "\u9fff" or "\uff00" <= each <= "\uffef" for each in foreign)
    return chinese * 2 > len(foreign) and not any(unicodedata.category(each) in ("Co", "Cn", "Cc") for each in foreign)
