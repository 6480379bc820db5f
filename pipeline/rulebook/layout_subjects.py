"""Fields of subjects/*.yml and words/*.yml."""

from __future__ import annotations

from pipeline.rulebook import checks_subjects as own
from pipeline.rulebook import schema
from pipeline.rulebook.conditions import Conditions
from pipeline.rulebook.kinds import FLAG, Choice, Many, Ref, Word, ident, number, text, whole
from pipeline.rulebook.layout_base import DATE, HOURS, date_of
from pipeline.rulebook.objects import Field, Record, Short
from pipeline.rulebook.regexes import Regex

WORD = text("投票站", 50)
FIELDS = ("title", "text")
WITHIN = 200

EXPIRES = Word("日期 年-月-日 或 never", "2026-12-31", lambda raw: raw if raw == schema.NEVER else date_of(raw),
               {"anyOf": [{"const": schema.NEVER}, DATE.schema()]})

NEAR = Record(schema.Near, {
    "words": Field(Many(WORD, 2, 10), "哪些词要挨着出现，至少两个", True),
    "within": Field(whole(0, WITHIN, 10), "第一个和最后一个最多相隔几个字；不写或 0 不限"),
    "sentence": Field(FLAG, "要在同一句里，默认 true"),
    "ordered": Field(FLAG, "要按写的先后出现，默认 false"),
}, own.near)

ONE_OF = ("text", "regex", "list", "near")
_PATTERN = {
    "text": Field(WORD, "要找的词"),
    "regex": Field(Regex(), "正则表达式：RE2，用单引号括起来，例如 '第[0-9]+投票站'"),
    "list": Field(Ref(("list",)), "词表编号：words/ 里的，其中任何一个词"),
    "near": Field(NEAR, "挨着出现的几个词"),
    "word": Field(FLAG, "true 时两头要在分词的边界上：“选”不会在“选择”里匹配"),
    "field": Field(Choice(FIELDS), "只在标题（title）或正文（text）里找；不写就看 scope"),
}
PATTERN = Record(schema.Pattern, _PATTERN, own.pattern, ONE_OF)
TERM = Record(schema.Term, {**_PATTERN, "weight": Field(number(0.01, 100, 1), "权重，默认 1")}, own.pattern, ONE_OF)

SHORT_PATTERN = Short(WORD, lambda word: schema.Pattern(text=word), PATTERN, own.pattern)
SHORT_TERM = Short(WORD, lambda word: schema.Term(text=word), TERM, own.pattern)
CONDITION = Conditions(SHORT_PATTERN)

ACTIVE = Record(schema.Active, {
    "start": Field(DATE, "从哪一天起（含当天）"),
    "end": Field(DATE, "到哪一天止（含当天）"),
    "hours": Field(HOURS, "每天的时段；结束不晚于开始则到次日"),
    "days": Field(Many(whole(1, 7, 1), 1, 7), "星期几，1 是星期一，7 是星期日"),
}, own.active)

FOLD = Record(schema.Fold, {
    "width": Field(FLAG, "全角和半角算一样，默认 true"),
    "case": Field(FLAG, "大写和小写算一样，默认 true"),
    "marks": Field(FLAG, "不看零宽字符和附加符号，默认 true"),
    "variants": Field(FLAG, "繁体和简体算一样，默认 true"),
    "evasion": Field(FLAG, "词中间夹的空格和标点不看（投.票.站），默认 true"),
})

SUBJECT = Record(schema.Subject, {
    "id": Field(ident("subject"), "主题编号", True),
    "title": Field(text("投票地点与时间", 60), "主题名称", True),
    "owner": Field(text("选举办公室"), "谁负责这条规则", True),
    "reason": Field(text("群众需要准确的地点和时间"), "为什么关注", True),
    "expires": Field(EXPIRES, "到哪一天为止（含当天），过期后不再匹配；一直有效写 never", True),
    "status": Field(Choice.of(schema.Status), "live 生效（默认）；shadow 试运行：只记录不告警；retired 停用"),
    "terms": Field(Many(SHORT_TERM, 1), "词表：不同的词各计一次权重"),
    "threshold": Field(number(0.01, 1000, 1), "权重之和达到它就算匹配，默认 1"),
    "match": Field(CONDITION, "条件：all 都有、any 有一个、none 都没有，可以嵌套；不写 terms 时就只看它"),
    "exclude": Field(Many(SHORT_PATTERN), "出现任何一个就不算匹配"),
    "scope": Field(Many(Choice(FIELDS), 1, 2), "看哪里，默认标题和正文：[title, text]"),
    "groups": Field(Many(Ref(("group",))), "只看这些来源分组（sources.yml 里的 group）；不写则全部"),
    "active": Field(ACTIVE, "只在这些日子和时段匹配"),
    "fold": Field(FOLD, "哪些写法算一样；默认全开"),
    "impact": Field(whole(1, 5, 3), "事关多大，1 到 5，默认 1；级别阈值可以用它"),
    "team": Field(Ref(("team",)), "归哪个班组（roster.yml 里的 teams）：路由的 teams 看它"),
}, own.subject, any_of=("terms", "match"))

WORDS = Record(schema.WordList, {
    "id": Field(ident("list"), "词表编号，规则里写 {list: 编号}", True),
    "title": Field(text("娱乐投票用语", 60), "词表名称", True),
    "owner": Field(text("选举办公室"), "谁负责这个词表"),
    "words": Field(Many(WORD, 1), "词，每行一个"),
    "include": Field(Many(Ref(("list",)), 1), "连同这些词表的词"),
}, own.words, any_of=("words", "include"))

DEFINITIONS = {CONDITION.name: CONDITION}
"""What the JSON Schemas refer to by name, because it holds itself."""
