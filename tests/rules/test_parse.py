"""Rule files that cannot be used: each fixture of bad/ holds the file, the exact message, and the text it is for."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import RuleBookError
from pipeline.rulebook import schema
from pipeline.rulebook.kinds import Many
from pipeline.rulebook.layout import FILES, SUBJECT, WORDS
from pipeline.rulebook.objects import Record
from pipeline.rulebook.parse import parse_book
from pipeline.rulebook.schema import HOUR, MINUTE, ChannelType, RuleBook
from pipeline.rulebook.yaml_marks import MAX_BYTES, compose

ZONE = "Asia/Shanghai"
GOOD = {
    "sources.yml": "sources:\n  - {id: news, name: 县新闻网, url: 'https://www.news.example.cn/rss.xml'}\n",
    "subjects/polling.yml": "id: polling\ntitle: 投票地点\nowner: 选办\nreason: 群众要知道\nexpires: 2027-12-31\n"
                            "terms: [投票站]\n",
    "words/venue.yml": "id: venue\ntitle: 场所\nwords: [学校, 礼堂]\n",
    "sentiment.yml": "words: {好: 1, 坏: -1}\n",
    "levels.yml": "ladder:\n"
                  "  - name: 一般\n    response: 三级响应\n    enter: {items: 3, sources: 2, window: 1h}\n"
                  "  - name: 较大\n    response: 二级响应\n    enter: {items: 10, sources: 4, window: 2h}\n",
    "roster.yml": "people:\n  - {id: duty-a, name: 值班员, channels: [console]}\nteams:\n"
                  "  - {id: duty, name: 值班组, shifts: [{members: [duty-a]}]}\n"
                  "  - {id: ops, name: 运维, shifts: [{members: [duty-a]}]}\nfallback: duty-a\n",
    "channels.yml": "channels:\n  - {id: console, type: console}\n",
    "routes.yml": "routes:\n  - id: all\n    steps: [{tell: [duty]}]\n",
}
BAD = sorted(Path(__file__).with_name("bad").glob("*.txt"))


def parse(**changes: str) -> RuleBook:
    named = {name.replace("_", "/") + ".yml": text for name, text in changes.items()}
    return parse_book({**GOOD, **named}, ZONE)


def problems(files: dict[str, str]) -> str:
    with pytest.raises(RuleBookError) as caught:
        parse_book(files, ZONE)
    return str(caught.value)


@pytest.mark.parametrize("fixture", BAD, ids=lambda path: path.stem)
def test_a_bad_file_says_where_what_and_what_to_write(fixture: Path) -> None:
    head, text = fixture.read_text("utf-8").split("\n----\n", 1)
    file, expected = head.split("\n", 1)
    assert problems({**GOOD, file: text}) == expected


def test_there_are_enough_bad_files() -> None:
    assert len(BAD) >= 100
    files = {fixture.read_text("utf-8").split("\n", 1)[0] for fixture in BAD}
    assert files >= {*FILES, "subjects/polling.yml", "words/venue.yml"}, "every kind of file"


def test_the_good_files_of_these_tests_are_good() -> None:
    book = parse()
    assert (len(book.sources), len(book.subjects), len(book.levels.ladder)) == (1, 1, 2)


def test_what_is_not_written_has_its_default() -> None:
    source = parse().sources[0]
    assert source.origin == "news.example.cn", "the host without www."
    assert (source.interval, source.timezone, source.enabled) == (5 * MINUTE, ZONE, True)


def test_lengths_of_time_are_milliseconds() -> None:
    book = parse(levels=GOOD["levels.yml"].replace("window: 1h", "window: 30m"))
    assert [level.enter[0].window for level in book.levels.ladder] == [30 * MINUTE, 2 * HOUR]


def test_a_term_is_a_word_or_a_word_with_its_weight() -> None:
    terms = parse(subjects_polling=GOOD["subjects/polling.yml"].replace(
        "[投票站]", "[投票站, {text: 几点关门, weight: 0.4}]")).subjects[0].terms
    assert [(term.text, term.weight) for term in terms] == [("投票站", 1.0), ("几点关门", 0.4)]


def test_words_may_be_grouped_by_weight() -> None:
    grouped = parse(sentiment="words:\n  - {weight: -2, words: [骗子, 失望]}\n  - {weight: 1, words: [好]}\n")
    assert grouped.sentiment.words == {"骗子": -2.0, "失望": -2.0, "好": 1.0}


@pytest.mark.parametrize("word", ["yes", "no", "on", "12", "1e3", "08:30", "2026-01-01"])
def test_what_yaml_would_convert_stays_the_text_that_was_written(word: str) -> None:
    book = parse(subjects_polling=GOOD["subjects/polling.yml"].replace("投票站", word))
    assert book.subjects[0].terms[0].text == word


def test_the_port_of_smtp_follows_its_encryption() -> None:
    mail = "  - {id: mail, type: smtp, host: smtp.example.org, sender: a@example.org, tls: tls}\n"
    channel = parse(channels=GOOD["channels.yml"] + mail).channels[1]
    assert (channel.type, channel.port) == (ChannelType.SMTP, 465)


def test_a_person_told_by_mail_needs_an_address() -> None:
    mail = "  - {id: mail, type: smtp, host: smtp.example.org, sender: a@example.org}\n"
    files = {**GOOD, "channels.yml": GOOD["channels.yml"] + mail,
             "roster.yml": GOOD["roster.yml"].replace("[console]", "[console, mail]")}
    assert problems(files) == "roster.yml:2:5: people[0]: 值班员用邮件通道，但没有邮箱。 补上 mail: 邮箱地址"


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000/hook?key=abc", "http://localhost:9000/0f1e2d3c4b5a69788796a5b4",
                                 "https://alerts.example.gov.cn/wenxun", "http://[::1]:9000/x?y=1"])
def test_a_webhook_without_a_secret_or_on_this_machine_may_be_written_out(url: str) -> None:
    hook = f"  - {{id: robot, type: webhook, url: '{url}'}}\n"
    assert parse(channels=GOOD["channels.yml"] + hook).channels[1].url == url


@pytest.mark.parametrize("missing", sorted(FILES))
def test_every_file_is_needed_and_init_is_named(missing: str) -> None:
    files = {name: text for name, text in GOOD.items() if name != missing}
    assert problems(files) == f"{missing}:1:1: 缺少这个文件。 运行 wenxun init 得到样例，把它拷过来"


def test_an_unreadable_file_does_not_make_every_reference_to_it_wrong() -> None:
    message = problems({**GOOD, "channels.yml": "channels: [\n"})
    assert message.count("\n") == 0 and message.startswith("channels.yml:2:1: ")


def test_all_problems_of_all_files_come_at_once_in_order() -> None:
    message = problems({**GOOD, "levels.yml": "ladder: 三级\n", "sources.yml": "source: []\n", "sentiment.yml": "a: 1"})
    assert [line.split(":")[0] for line in message.splitlines()] == ["levels.yml", "sentiment.yml", "sources.yml"]


def test_an_empty_list_of_sources_and_of_words_is_no_problem() -> None:
    book = parse(sources="# none yet\n", sentiment="words:\n")
    assert book.sources == () and book.sentiment.words == {}


def test_cases_are_not_rules() -> None:
    assert parse_book({**GOOD, "tests/a.test.yml": "not: [yaml"}, ZONE).hash == parse().hash


def test_the_hash_is_of_what_the_rules_say() -> None:
    spaced = parse(levels="# 说明\n\n" + GOOD["levels.yml"].replace("items: 3, sources: 2", "sources: 2,  items: 3"))
    changed = parse(levels=GOOD["levels.yml"].replace("items: 3", "items: 4"))
    assert spaced.hash == parse().hash != changed.hash
    assert len(parse().hash) == 16 and set(parse().hash) <= set("0123456789abcdef")


def test_the_zone_belongs_to_the_book() -> None:
    assert parse_book(GOOD, "Asia/Urumqi").hash != parse().hash


@pytest.mark.parametrize("text", ["[" * 300_000, "a: " + "{b: " * 50_000, "- " * 50_000])
def test_endless_nesting_is_a_problem_and_not_the_end_of_the_process(text: str) -> None:
    node, found = compose("levels.yml", text)
    assert node is None and "嵌套超过 24 层" in str(found[0])


def test_a_file_past_one_mebibyte_is_refused_unread() -> None:
    _, found = compose("levels.yml", "#" * (MAX_BYTES + 1))
    assert [problem.message for problem in found] == ["文件超过 1 MiB。"]


def test_secrets_do_not_reach_a_message() -> None:
    heads = [fixture.read_text("utf-8").split("\n----\n")[0] for fixture in BAD]
    assert not [head for head in heads if "hunter2" in head or "me:pw" in head or "key=abc" in head]


def test_every_field_of_every_rule_can_be_written() -> None:
    made = _records(SUBJECT) | _records(WORDS) | {kind for each in FILES.values() for kind in _records(each)}
    written = {record: set(fields) for record, fields in made}
    written[schema.Source].add("route")                 # not written as such: what `url: rsshub:/…` said
    for rule in (schema.Source, schema.Subject, schema.Term, schema.SentimentRules, schema.Threshold, schema.Level,
                 schema.LevelOverride, schema.EventRules, schema.Levels, schema.Person, schema.Shift, schema.Team,
                 schema.Roster, schema.Channel, schema.Heartbeat, schema.Step,
                 schema.Route, schema.JsonList, schema.Pattern, schema.Near,
                 schema.Active, schema.Fold, schema.WordList, schema.Override, schema.Quiet, schema.ResponseClock,
                 schema.ClockWarning):
        assert written[rule] == set(rule.__struct_fields__), rule.__name__


def _records(kind: object) -> set[tuple[type, tuple[str, ...]]]:
    """Every record inside a kind, with the names of its fields."""
    found: set[tuple[type, tuple[str, ...]]] = set()
    if isinstance(kind, Record):
        found.add((kind.make, tuple(kind.fields)))
        for field in kind.fields.values():
            found |= _records(field.kind)
    for inner in ("kind", "value", "long"):
        if not isinstance(kind, Record) and (nested := getattr(kind, inner, None)) is not None:
            found |= _records(nested)
    return found if not isinstance(kind, Many) else found | _records(kind.kind)
