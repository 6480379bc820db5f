"""Large rule books and directories, for tests of what is live."""

from __future__ import annotations

import random
from pathlib import Path

from msgspec.structs import replace

from agents.rule_files import load_book, starter_dir
from pipeline.rulebook.parse import content_hash
from pipeline.rulebook.schema import RuleBook, Subject, Term

ZONE = "Asia/Shanghai"


def words(count: int, seed: int = 7) -> list[str]:
    """Made words of Chinese characters, no two the same."""
    chance = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        found["".join(chr(chance.randrange(0x4E00, 0x9000)) for _ in range(chance.randint(2, 4)))] = None
    return list(found)


def large_book(subjects: int, terms: int = 4) -> RuleBook:
    """The starter book with so many subjects of so many terms."""
    made = words(subjects * terms)
    many = tuple(
        Subject(id=f"s{n:05d}", title=f"主题{n:05d}", owner="值班室", reason="很多规则也要装得下", expires="2099-12-31",
                terms=tuple(Term(text=word, weight=0.6) for word in made[n * terms:(n + 1) * terms]))
        for n in range(subjects))
    book = replace(load_book(starter_dir(), ZONE), subjects=many, hash="")
    return replace(book, hash=content_hash(book))


def many_files(root: Path, subjects: int, terms: int, seed: int = 7) -> None:
    """subjects/ with so many files of so many terms each, beside what is there."""
    made = words(subjects * terms, seed)
    for n in range(subjects):
        own = "".join(f"  - {{text: {word}, weight: 0.6}}\n" for word in made[n * terms:(n + 1) * terms])
        (root / "subjects" / f"m{n:05d}.yml").write_text(
            f"id: m{n:05d}\ntitle: 主题{n}\nowner: 值班室\nreason: 测试\n"
            f"expires: 2099-12-31\nthreshold: 1\nterms:\n{own}", "utf-8")
