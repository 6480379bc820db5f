"""Reads pages of documentation: their parts, the commands in them, and what is wrong with what they tell to do."""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from urllib.parse import unquote

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from agents.cli import parser
from agents.metrics import TABLE as METRICS
from agents.settings import TABLE as SETTINGS
from deploy.stack.cli import parser as stack_parser
from deploy.stack.cli import with_verb

ROOT = Path(__file__).parent.parent.parent
GENERATED = {"docs/reference.md", "docs/metrics.md", "docs/licences.md"}
"""Made from the code by tests of their own; their links are looked at, their commands are usages."""
MARKDOWN = MarkdownIt("commonmark").enable("table")
OPERATORS = re.compile(r"[|;()&]+")


@dataclass(frozen=True)
class Page:
    path: Path
    text: str

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def tokens(self) -> list[Token]:
        return MARKDOWN.parse(self.text)

    @cached_property
    def inline(self) -> list[Token]:
        return [each for token in self.tokens for each in token.children or []]

    @cached_property
    def blocks(self) -> list[str]:
        return [each.content for each in self.tokens if each.type in ("fence", "code_block")]

    @cached_property
    def spans(self) -> list[str]:
        return [each.content for each in self.inline if each.type == "code_inline"]

    @cached_property
    def links(self) -> list[str]:
        return [unquote(str(each.attrGet("href" if each.type == "link_open" else "src")))
                for each in self.inline if each.type in ("link_open", "image")]

    @cached_property
    def headings(self) -> list[tuple[int, str]]:
        """Level and text, as they follow each other."""
        pairs = zip(self.tokens, self.tokens[1:], strict=False)
        return [(int(opening.tag[1]), _plain(content)) for opening, content in pairs if opening.type == "heading_open"]

    @cached_property
    def anchors(self) -> set[str]:
        """As GitHub makes them: lower case, spaces as dashes, signs left out, the second of a name with -1."""
        found: set[str] = set()
        for _, text in self.headings:
            plain = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            found.add(next(each for each in (plain, *(f"{plain}-{n}" for n in range(1, 99))) if each not in found))
        return found


def _plain(token: Token) -> str:
    return "".join(each.content for each in token.children or [] if each.type in ("text", "code_inline"))


def page(path: Path) -> Page:
    return Page(path, path.read_text("utf-8"))


@cache
def pages() -> list[Page]:
    """What people read: docs/, the readmes, and the pages at the top."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "rules" / "README.md",
             *ROOT.glob("deploy/**/README.md")]
    return [page(each) for each in sorted(found) if ".venv" not in each.parts]


# ---------------------------------------------------------------- commands


def lines(block: str) -> Iterator[str]:
    """Lines of a block, continued ones joined."""
    return (each.strip() for each in re.sub(r"\\\n\s*", " ", block).splitlines() if each.strip())


def simple(line: str) -> Iterator[list[str]]:
    """The simple commands in a line, those in `sh -c '…'` too, without sudo, assignments, redirections and comments."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|;()&")
    lexer.whitespace_split = True
    command: list[str] = []
    for word in [*lexer, ";"]:
        if not OPERATORS.fullmatch(word):
            command.append(word)
            continue
        command = bare(command)
        if command[:2] == ["sh", "-c"]:
            yield from simple(command[2])
        elif command:
            yield command
        command = []


def bare(words: list[str]) -> list[str]:
    """Without sudo and its user, leading assignments, and what follows a redirection."""
    for sign in (">", ">>", "<"):
        words = words[:words.index(sign)] if sign in words else words
    if words[:1] == ["sudo"]:
        words = words[3:] if words[1] == "-u" else words[1:]
    while words and re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    return words


def commands(of: Page) -> Iterator[tuple[str, list[str]]]:
    """The line and each simple command in it, of every block that is one of commands."""
    for block in of.blocks:
        for line in lines(block):
            try:
                found = list(simple(line))
            except ValueError:                  # a quotation mark of a sentence, a template, YAML
                continue
            yield from ((line, command) for command in found)


def of_program(of: Page, name: str) -> list[list[str]]:
    return [command[1:] for _, command in commands(of) if command[0].rpartition("/")[2] == name]


def ours(of: Page) -> Iterator[list[str]]:
    """What follows `wenxun` in the commands of the blocks, in a container too."""
    for _, words in commands(of):
        if words[0].rpartition("/")[2] == "wenxun":
            yield words[1:]
        elif words[0] in ("docker", "kubectl") and "exec" in words:
            told = words[words.index("exec"):]          # before it, `wenxun` is a namespace
            if "wenxun" in told:
                yield told[told.index("wenxun") + 1:]


@cache
def top() -> argparse.ArgumentParser:
    return parser()


@cache
def stack() -> argparse.ArgumentParser:
    return stack_parser()


def refused(words: list[str], by: argparse.ArgumentParser | None = None) -> str:
    """What the command line's own parser says against it, empty if it takes it."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            (by or top()).parse_args(words)
    except SystemExit as stop:
        return "" if stop.code == 0 else said.getvalue().strip().splitlines()[-1]
    return ""


def expanded(words: list[str]) -> Iterator[list[str]]:
    """A mention with alternatives (`db current|upgrade`) as several; brackets mean nothing here."""
    plain = [each for word in words for each in [word.strip("[]")] if each and each != "…"]
    places = [place for place, word in enumerate(plain) if "|" in word]
    if not places:
        yield plain
        return
    place = places[0]
    for choice in plain[place].split("|"):
        yield from expanded([*plain[:place], choice, *plain[place + 1:]])


def unknown(words: list[str]) -> str:
    """What a mention names that is not there: a command, an option, a choice. It need not be complete."""
    at = top()
    for place, word in enumerate(words):
        below = next((each.choices for each in at._actions if isinstance(each, argparse._SubParsersAction)), None)
        if below is None:
            return _unknown_options(at, words[place:])
        if word not in below:
            return f"no command `{word}`"
        at = below[word]
    return ""


def _unknown_options(at: argparse.ArgumentParser, words: list[str]) -> str:
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if not word.startswith("-") or word == "-":
            continue
        name, _, value = word.partition("=")
        action = at._option_string_actions.get(name)
        if action is None:
            return f"no option `{name}`"
        value = value or following
        if action.choices and value and not value.isupper() and value not in action.choices:
            return f"`{name}` takes no `{value}`"
    return ""


def mentions(of: Page) -> Iterator[list[str]]:
    """`wenxun …` in a sentence."""
    for span in of.spans:
        if span.startswith("wenxun "):
            with contextlib.suppress(ValueError):
                yield from expanded(shlex.split(span)[1:])


# ---------------------------------------------------------------- what is wrong with a page


def wrong_commands(of: Page) -> list[str]:
    """Commands that are told to be typed and that our parser does not take."""
    return [f"wenxun {' '.join(words)}: {said}" for words in ours(of) for said in [refused(words)] if said]


def wrong_mentions(of: Page) -> list[str]:
    return [f"wenxun {' '.join(words)}: {said}" for words in mentions(of) for said in [unknown(words)] if said]


A_ROLE = "score"


def wrong_stack(of: Page) -> list[str]:
    """Words after `deploy/stack/run` and `make stack ARGS=…` that it does not take."""
    told = [words[1:] for _, words in commands(of) if words[0] == "deploy/stack/run"]
    made = [words for _, words in commands(of) if words[:2] == ["make", "stack"]]
    made += [shlex.split(span) for span in of.spans if span.startswith("make stack ")]
    told += [shlex.split(word.partition("=")[2]) for words in made for word in words if word.startswith("ARGS=")]
    told = [[A_ROLE if word == "$ROLE" else word for word in words] for words in told]
    return [f"{' '.join(words)}: {said}" for words in told for said in [refused(with_verb(words), stack())] if said]


@cache
def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text("utf-8"), re.M))


def wrong_targets(of: Page) -> list[str]:
    """Words after `make` that are no target (settings and options may stand between)."""
    told = [words for _, words in commands(of) if words[0] == "make"]
    told += [shlex.split(span) for span in of.spans if span.startswith("make ")]
    return [f"make {word}" for words in told for word in words[1:]
            if re.fullmatch(r"[a-z][\w-]*", word) and word not in targets()]


ELSEWHERE = {
    "WENXUN_REQUIRE": "tests/conftest.py", "WENXUN_FUZZ": "tests/conftest.py", "WENXUN_KILLS": "Makefile",
    "WENXUN_KAFKA_LIBS": "deploy/kafka/run", "WENXUN_RULES": "docker-compose.yml", "WENXUN_IMAGE": "docker-compose.yml",
    "WENXUN_DESK_PORT": "docker-compose.yml",
}
"""Variables with our name that are no settings, and who reads them."""
SETTING = re.compile(r"\b(?:WENXUN_[A-Z][A-Z_]*[A-Z]|KAFKA_BOOTSTRAP_SERVERS)\b")


def wrong_settings(of: Page) -> list[str]:
    known = {each.name for each in SETTINGS}
    told = {each for each in SETTING.findall(of.text) if each not in known}
    return sorted(each for each in told
                  if each not in ELSEWHERE or each not in (ROOT / ELSEWHERE[each]).read_text("utf-8"))


METRIC = re.compile(r"\bwenxun_[a-z][a-z_]*[a-z]\b")
SUFFIX = re.compile(r"_(?:bucket|count|sum|created)$")
NO_METRICS = {"wenxun_test"}
"""Names with our prefix that are databases."""


def wrong_metrics(of: Page) -> list[str]:
    known = {f"wenxun_{each.name}" for each in METRICS} | NO_METRICS
    return sorted({each for each in METRIC.findall(of.text) if not {each, SUFFIX.sub("", each)} & known})


RECORDED = re.compile(r"\bwenxun:[a-z][\w:]*")
ALERT = re.compile(r"\bWenxun[A-Z]\w+")
OUR_ALERTS = {"WenxunEvent", "WenxunNotice", "WenxunTest"}
"""What the channel `alertmanager` posts by itself."""


@cache
def ruled() -> set[str]:
    """Names of the alert and recording rules."""
    books = [yaml.safe_load(each.read_text("utf-8")) for each in (ROOT / "deploy/prometheus/rules").glob("*.yml")]
    return {str(rule.get("alert") or rule.get("record")) for book in books for group in book["groups"]
            for rule in group["rules"]}


def wrong_rules(of: Page) -> list[str]:
    """Alert and recording rules of Prometheus that are told of and not there."""
    told = set(RECORDED.findall(of.text)) | set(ALERT.findall(of.text))
    return sorted(told - ruled() - OUR_ALERTS)


def wrong_links(of: Page) -> list[str]:
    """Links within the project to a file or a heading that is not there."""
    wrong = []
    for target in of.links:
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (of.path.parent / path).resolve() if path else of.path
        if path and not file.exists():
            wrong.append(target)
        elif anchor and file.suffix == ".md" and anchor not in (page(file) if path else of).anchors:
            wrong.append(target)
    return wrong


FILE = re.compile(r"(?:agents|pipeline|deploy|docs|tests|bench|rules)/[\w./*@-]+")
LATER = ("deploy/secrets", "rules/secrets", "deploy/kafka/libs", "deploy/kafka/data", "deploy/kubernetes/rules")
"""What an installation makes there."""


def wrong_files(of: Page) -> list[str]:
    """Files of this project that are told of and not there."""
    told = {each.rstrip("/") for span in of.spans if FILE.fullmatch(span) for each in [span]}
    told |= {word.rstrip("/") for _, words in commands(of) for word in words if FILE.fullmatch(word)}
    return sorted(each for each in told if not each.startswith(LATER)
                  and not any(list(folder.glob(each)) for folder in (ROOT, of.path.parent)))


CHECKS = (wrong_commands, wrong_mentions, wrong_stack, wrong_targets, wrong_settings, wrong_metrics, wrong_rules,
          wrong_links, wrong_files)
