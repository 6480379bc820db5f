"""Fields of subjects/*.yml."""

from __future__ import annotations

from pipeline.rulebook import checks_subjects as own
from pipeline.rulebook import schema
from pipeline.rulebook.kinds import Many, ident, number, text
from pipeline.rulebook.layout_base import DATE
from pipeline.rulebook.objects import Field, Record, Short

TERM = Record(schema.Term, {
    "text": Field(text("投票站", 50), "要找的词", True),
    "weight": Field(number(0.01, 100, 1), "权重，默认 1"),
}, own.term)

PATTERN = Record(schema.Pattern, {"text": Field(text("游戏", 50), "要找的词", True)})

SUBJECT = Record(schema.Subject, {
    "id": Field(ident("subject"), "主题编号", True),
    "title": Field(text("投票地点与时间", 60), "主题名称", True),
    "owner": Field(text("选举办公室"), "谁负责这条规则", True),
    "reason": Field(text("群众需要准确的地点和时间"), "为什么关注", True),
    "expires": Field(DATE, "到哪一天为止（含当天）；过期后不再匹配", True),
    "terms": Field(Many(Short(text("投票站", 50), lambda word: schema.Term(text=word), TERM), 1),
                   "词表：不同的词各计一次权重", True),
    "threshold": Field(number(0.01, 1000, 1), "权重之和达到它就算匹配，默认 1"),
    "exclude": Field(Many(Short(text("游戏", 50), lambda word: schema.Pattern(text=word), PATTERN)),
                     "出现任何一个就不算匹配"),
}, own.subject)
