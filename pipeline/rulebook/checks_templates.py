"""The templates of an `http` channel: their places, that what they make can be sent, and that no secret is in them."""

from __future__ import annotations

import json
import re

import jmespath

from pipeline.rulebook import schema
from pipeline.rulebook.checks import inside
from pipeline.rulebook.kinds import nearest
from pipeline.rulebook.objects import Place
from pipeline.rulebook.schema.channels import PLACES

PLACE = re.compile(r"\{([a-z_]+)\}")
_NAMES = r"(?:pass(?:word|wd)?|pwd|secret|token|api[-_]?key|access[-_]?key|authorization|cookie)"
_SECRET_HEADER = re.compile(rf"(?i)(?:.*[-_])?{_NAMES}(?:[-_].*)?|x-api-key")
_SECRET_TEXT = re.compile(rf"(?i){_NAMES}[\"']?\s*[=:]\s*[\"']?(?!\{{)[^\s\"'&,{{}}]{{4,}}")
_HINT = "把它存进单独的文件，写 secret_file: 文件名，这里写 {secret}"
_NO_BODY = ("GET",)


def templates(value: schema.Channel, path: str, place: Place, looks_secret: re.Pattern[str]) -> None:
    texts = {"url": value.url, "body": value.body, **{f"headers.{name}": each for name, each in value.headers.items()}}
    for name, text in texts.items():
        _places(text, inside(path, name), place)
    if any("{secret}" in text for text in texts.values()) != bool(value.secret_file):
        wrong = "写了 secret_file，却没有地方用它。" if value.secret_file else "用了 {secret}，却没有 secret_file。"
        place.problem(path, wrong, "两个都写，或都不写")
    _secrets(value, path, place, looks_secret)
    if value.method in _NO_BODY and value.body:
        place.problem(inside(path, "body"), f"{value.method} 请求没有正文。", "删去 body，或写 method: POST")
    elif not value.body and value.method not in _NO_BODY:
        place.problem(path, "http 通道要有 body。", "补上 body: 'to={mobile}&text={text}'，或写 method: GET")
    elif value.body and json_body(value) and not _is_json(value.body):
        place.problem(inside(path, "body"), "填好以后不是 JSON。", "文字的位置加双引号，例如 {\"text\": \"{text}\"}")
    if value.expect:
        _expect(value.expect, inside(path, "expect"), place)


def json_body(value: schema.Channel) -> bool:
    """Whether the body is JSON: as its Content-Type says, else as it begins."""
    kind = next((each for name, each in value.headers.items() if name.lower() == "content-type"), "")
    return "json" in kind.lower() if kind else value.body.lstrip()[:1] in ("{", "[") and not PLACE.match(value.body)


def _places(text: str, path: str, place: Place) -> None:
    for name in PLACE.findall(text):
        if name not in PLACES:
            meant = nearest(name, PLACES)
            hint = f"是不是 {{{meant}}}？" if meant else "可用的位置：" + " ".join(f"{{{each}}}" for each in PLACES)
            place.problem(path, f"没有名为 {{{name}}} 的位置。", hint)


def _secrets(value: schema.Channel, path: str, place: Place, looks_secret: re.Pattern[str]) -> None:
    for name, text in value.headers.items():
        literal = PLACE.sub("", text)
        if (_SECRET_HEADER.fullmatch(name) and "{secret}" not in text
                or any(looks_secret.fullmatch(word) for word in literal.split())):
            place.problem(inside(path, f"headers.{name}"), "规则文件里不放明文密钥。", _HINT)
    for name in ("url", "body"):
        text = getattr(value, name)
        query = text.partition("?")[2] if name == "url" else text
        if _SECRET_TEXT.search(query):
            place.problem(inside(path, name), "规则文件里不放明文密钥。", _HINT)


def _is_json(body: str) -> bool:
    """With words in its places; a place outside quotes may be a number."""
    try:
        json.loads(PLACE.sub("0", body))
    except ValueError:
        return False
    return not re.search(r"[:\[,]\s*\{[a-z_]+\}\s*[,}\]]", body)


def _expect(text: str, path: str, place: Place) -> None:
    try:
        jmespath.compile(text)
    except jmespath.exceptions.JMESPathError:
        place.problem(path, f"“{text[:60]}”不是 JMESPath 表达式。", "例如 code == `0`")
