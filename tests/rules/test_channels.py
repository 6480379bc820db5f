"""channels.yml: every type can be written, as its commented example says; each type refuses the fields of others."""

from __future__ import annotations

import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from pipeline.errors import RuleBookError
from pipeline.rulebook.json_schema import KINDS
from pipeline.rulebook.parse import parse_book
from pipeline.rulebook.schema import Channel, ChannelType, RuleBook
from tests.rules.test_parse import GOOD, ZONE

SHIPPED = Path(__file__).parents[2] / "rules" / "channels.yml"
SCHEMA = KINDS["channels"].schema()


def uncommented(text: str) -> str:
    """The shipped file with its examples switched on: what an operator does by hand."""
    def on(line: str) -> str:
        found = re.match(r"^(  )?# (- id: |  [a-z_]+: |heartbeat:|  (?:url_file|every):)", line)
        indent = (found[1] or "") if found else ""
        return indent + line[len(indent) + 2:] if found else line
    return "\n".join(map(on, text.splitlines())) + "\n"


def read(channels: str) -> RuleBook:
    """The book with these channels, and `console`, which the roster of these tests names."""
    if "id: console" not in channels:
        channels += "  - {id: console, type: console}\n"
    return parse_book({**GOOD, "channels.yml": channels}, ZONE)


EXAMPLES = {each.type: each for each in read(uncommented(SHIPPED.read_text("utf-8"))).channels}


def test_the_shipped_file_has_an_example_of_every_type_that_is_right_as_it_stands() -> None:
    assert set(EXAMPLES) == set(ChannelType)
    jsonschema.Draft7Validator(SCHEMA).validate(yaml.safe_load(uncommented(SHIPPED.read_text("utf-8"))))


def test_the_heartbeat_is_part_of_the_book() -> None:
    beat = read(uncommented(SHIPPED.read_text("utf-8"))).heartbeat
    assert beat is not None and (beat.url, beat.url_file, beat.every) == ("", "secrets/deadman.url", 60_000)
    assert read(SHIPPED.read_text("utf-8")).heartbeat is None


@pytest.mark.parametrize("kind", ChannelType)
def test_a_field_that_the_type_needs_is_asked_for_by_parser_and_schema(kind: ChannelType) -> None:
    written = {name: value for name in Channel.__struct_fields__ if (value := getattr(EXAMPLES[kind], name))
               and name not in ("params", "headers", "type", "id")}
    needed = [name for name in written if name in
              {"url_file", "url", "corp", "agent", "key_file", "secret_file", "sign", "template", "app", "host",
               "sender"} and not (name == "secret_file" and kind.value.endswith(("-bot", "webhook")))]
    for name in needed:
        text = "channels:\n" + "\n".join(
            line for line in _example(kind).splitlines() if not line.strip().startswith(f"{name}:")) + "\n"
        with pytest.raises(RuleBookError, match=rf"要有 {name}。|要有地址。|却没有 {name}。"):
            read(text)
        if kind is not ChannelType.HTTP:                 # what its templates use is beyond a schema
            assert not jsonschema.Draft7Validator(SCHEMA).is_valid(yaml.safe_load(text)), name


def _example(kind: ChannelType) -> str:
    """The lines of one example of the shipped file."""
    blocks = re.split(r"(?m)^(?=  - id: )", uncommented(SHIPPED.read_text("utf-8")).partition("heartbeat:")[0])
    return next(re.sub(r"(?m)^\s*#.*\n", "", block) for block in blocks if f"type: {kind.value} " in block + " "
                or f"type: {kind.value}\n" in block)


@pytest.mark.parametrize("kind", ChannelType)
@pytest.mark.parametrize("name, value", [("host", "smtp.example.org"), ("corp", "ww0123456789abcdef"),
                                         ("expect", "ok"), ("sign", "石桥镇选举办"), ("resend", "20s")])
def test_a_field_of_another_type_is_refused_by_parser_and_schema(kind: ChannelType, name: str, value: str) -> None:
    if name in _example(kind):
        return                                           # it is its own
    text = "channels:\n" + _example(kind).rstrip() + f"\n    {name}: {value}\n"
    with pytest.raises(RuleBookError, match=f"{kind.value} 通道没有 {name}。"):
        read(text)
    assert not jsonschema.Draft7Validator(SCHEMA).is_valid(yaml.safe_load(text))


@pytest.mark.parametrize("template, group", [("text={text}", True), ("to={mobile}&text={text}", False),
                                             ('{"touser": "{person}"}', False)])
def test_a_gateway_that_names_no_receiver_is_called_once_for_all(template: str, group: bool) -> None:
    channel = read("channels:\n  - id: gate\n    type: http\n    url: https://gate.example.cn/send\n"
                   f"    body: '{template}'\n").channels[0]
    assert channel.group is group


@pytest.mark.parametrize("body", ["sign=【石桥镇】&text={text}", "key={secret}&t={text}",
                                  '{"tokens": 3, "text": "{text}"}', '{"password": "{secret}", "text": "{text}"}'])
def test_what_only_looks_like_a_secret_may_be_written(body: str) -> None:
    secret = "    secret_file: secrets/gate.key\n" if "{secret}" in body else ""
    assert read("channels:\n  - id: gate\n    type: http\n    url: https://gate.example.cn/send\n"
                f"{secret}    body: '{body}'\n").channels[0].body == body
