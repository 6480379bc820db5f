"""Fields of sentiment.yml."""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.rulebook import schema
from pipeline.rulebook.kinds import BAD, Choice, Many, Reading, Schema, Table, number, text, whole
from pipeline.rulebook.objects import Field, Record
from pipeline.rulebook.yaml_marks import Node, Sequence

WEIGHT = number(-10, 10, -1)


class Words:
    """Word weights: {word: weight}, or groups [{weight: -2, words: [...]}, …] that read better when there are many."""

    _table = Table(text("好", 30), WEIGHT)

    def read(self, node: Node, path: str, reading: Reading) -> Any:
        if not isinstance(node, Sequence):
            return self._table.read(node, path, reading)
        groups = Many(_GROUP).read(node, path, reading)
        if groups is BAD:
            return BAD
        words: dict[str, float] = {}
        for index, group in enumerate(groups):
            for word in group.words:
                if words.setdefault(word, group.weight) != group.weight:
                    reading.problem(reading.at(node.mark.file, f"{path}[{index}]"), f"{path}[{index}].words",
                                    f"“{word}”在两组里权重不同。", "只留一处")
        return words

    def schema(self) -> Schema:
        return {"anyOf": [self._table.schema(), Many(_GROUP).schema()]}


class _Group(msgspec.Struct):
    weight: float
    words: tuple[str, ...]


_GROUP = Record(_Group, {
    "weight": Field(WEIGHT, "这一组词的权重，负数为负面", True),
    "words": Field(Many(text("好", 30), 1), "这一组词", True),
})

SENTIMENT = Record(schema.SentimentRules, {
    "engine": Field(Choice.of(schema.SentimentEngine), "lexicon 词表（默认，快）；snownlp（慢，每秒几十条）"),
    "words": Field(Words(), "情感词和权重"),
    "negations": Field(Many(text("不", 10)), "否定词：反转后面的情感词"),
    "degrees": Field(Table(text("非常", 10), number(0.1, 10, 1.5)), "程度词：乘到后面的情感词上"),
    "reach": Field(whole(1, 20, 4), "否定词和程度词管到后面几个字"),
    "unsure_below": Field(number(0, 1, 0.2), "把握低于它就说不确定"),
})
