"""Rule cases: what tests/*.test.yml may expect, and what a failure says."""

from __future__ import annotations

import pytest

from agents.commands.rule_test import run_files
from agents.rule_files import RuleFiles
from pipeline.errors import RuleBookError
from tests.rules.test_parse import GOOD

RULES = {
    **GOOD,
    "sources.yml": "sources:\n"
                   "  - {id: gov, name: 县政府, url: 'https://gov.example/rss', official: true, group: 权威发布}\n"
                   "  - {id: bbs, name: 县论坛, url: 'https://bbs.example/rss', group: 论坛}\n"
                   "  - {id: hotline, name: 热线, kind: intake, group: 人工上报}\n",
    "subjects/forum.yml": "id: forum\ntitle: 论坛里的排队\nowner: 选办\nreason: 要知道\nexpires: 2027-12-31\n"
                          "terms: [排队]\ngroups: [论坛]\n",
    "subjects/trial.yml": "id: trial\ntitle: 试运行\nowner: 选办\nreason: 要知道\nexpires: 2027-12-31\nstatus: shadow\n"
                          "terms: [搬迁]\n",
    "levels.yml": "ladder:\n"
                  "  - {name: 一般, response: 三级, enter: {items: 3, sources: 2, window: 1h}}\n"
                  "  - name: 较大\n    response: 二级\n    enter:\n"
                  "      - {items: 10, sources: 4, window: 2h}\n"
                  "      - {growth: 500, window: 2h}\n"
                  "overrides: [{subject: '*', enter: {较大: {items: 900, sources: 90, window: 1h}}}]\n"
                  "events: {urgent_level: 较大}\n",
    "routes.yml": "routes:\n"
                  "  - id: larger\n    levels: [较大]\n"
                  "    steps: [{tell: [duty]}, {tell: [ops], after: 15m}]\n    repeat: 10m\n"
                  "  - {id: ordinary, levels: [一般], mode: digest, steps: [{tell: [duty]}], every: 1h}\n",
}


def failures(cases: str, **files: str) -> list[str]:
    """What the cases fail with, one line per failure."""
    texts = {**RULES, **files, "tests/a.test.yml": "cases:\n" + cases}
    results, _ = run_files(RuleFiles(texts, [], 0))
    return [str(failure) for result in results for failure in result.failures]


def case(items: str, expected: str = "", start: str = "") -> str:
    return f"  - name: 用例\n{start}    items:\n{items}{expected}"


def spread(times: int = 3, sources: int = 2, **more: str) -> str:
    extra = "".join(f", {name}: {value}" for name, value in more.items())
    return (f"      - {{source: 论坛, title: 三小的投票站换地方了, "
            f"repeat: {{times: {times}, every: 1m, sources: {sources}}}{extra}}}\n")


@pytest.mark.parametrize("written", [
    case("      - {source: 论坛甲, title: 投票站在哪, subjects: [polling]}\n"),
    case("      - {source: 论坛甲, title: 今天天气好, subjects: []}\n"),
    case("      - {source: bbs, title: 排队太久, subjects: [forum]}\n"),                 # its group is known
    case("      - {source: 别处, title: 排队太久, subjects: []}\n"),
    case("      - {source: 别处, title: 排队太久, group: 论坛, subjects: [forum]}\n"),
    case(spread(), "    levels: {polling: 一般}\n"),
    case(spread(sources="1"), "    levels: {polling: 未达级}\n"),
    case(spread(official="true"), "    levels: {polling: 未达级}\n"),
    case("      - {source: gov, title: 投票站公告, repeat: {times: 3}}\n"
         "      - {source: 甲, title: 投票站公告, at: 4m}\n", "    levels: {polling: 未达级}\n"),
    case("      - {source: hotline, title: 投票站门锁了, urgent: true}\n", "    levels: {polling: 较大}\n"),
    case("      - {source: 某科室, title: 投票站门锁了, urgent: true}\n", "    levels: {polling: 较大}\n"),
    case("      - {source: bbs, title: 投票站门锁了, urgent: true}\n", "    levels: {polling: 较大}\n"),
    case("      - {source: bbs, title: 投票站门锁了}\n", "    levels: {polling: 未达级}\n"),
    case("      - source: bbs\n        title: 投票站门锁了\n        counts: {comments: 3, likes: 10}\n"
         "        later: [{after: 20m, comments: 203, likes: 400}]\n", "    levels: {polling: 较大}\n"),
    case("      - source: bbs\n        title: 投票站门锁了\n        counts: {comments: 303, likes: 300}\n"
         "        later: [{after: 20m, comments: 403, likes: 400}]\n", "    levels: {polling: 未达级}\n"),
], ids=range(15))
def test_a_case_passes_when_items_come_to_what_is_written(written: str) -> None:
    assert failures(written) == []


@pytest.mark.parametrize(("written", "said"), [
    (case("      - {source: 甲, title: 今天天气好, subjects: [polling]}\n"),
     "tests/a.test.yml:4:45: cases[0].items[0].subjects: 应为 [polling]，实为 []（polling 没有一个词出现）。"),
    (case("      - {source: 甲, title: 投票站在哪, subjects: []}\n"),
     "应为 []，实为 [polling]（polling 匹配了 投票站，共 1）。"),
    (case("      - {source: 甲, title: 排队太久, subjects: [forum]}\n"), "来源分组是“其他”，规则只看“论坛”"),
    (case("      - {source: 甲, title: 坏坏坏, polarity: positive}\n"), "应为 positive，实为 negative（把握"),
    (case("      - {source: 甲, title: 投票站在哪, question: true}\n"), "应为 true，实为 false。"),
    (case(spread(), "    levels: {polling: 较大}\n"), "cases[0].levels.polling: 应为 较大，实为 一般。"),
    (case(spread(), "    pages: []\n"),
     "cases[0].pages: 应为 谁都不通知，实为 3m 一般汇总给 duty"),
    (case("      - {source: hotline, title: 投票站锁了, urgent: true}\n", "    pages: [{at: 5m, tell: [duty]}]\n"),
     "cases[0].pages[0]: 应为 5m 告警给 duty，实为 0m 较大告警给 duty"),
])
def test_a_failure_says_where_what_was_wanted_and_what_came(written: str, said: str) -> None:
    routes = RULES["routes.yml"].replace("every: 1h", "every: 1m")
    found = failures(written, **{"routes.yml": routes})
    assert len(found) == 1 and said in found[0]


def test_pages_say_who_is_told_when_while_nobody_answers() -> None:
    urgent = "      - {source: hotline, title: 投票站锁了, urgent: true}\n"
    told = ("    pages:\n      - {at: 0s, tell: [duty], level: 较大, subject: polling}\n"
            "      - {at: 15m, tell: [ops]}\n      - {at: 25m, tell: [duty, duty-a]}\n")
    assert failures(case(urgent, told)) == []
    assert failures(case(urgent, told.replace("level: 较大", "level: 一般"))) != []
    assert failures(case(urgent, told.replace("subject: polling", "subject: forum"))) != []
    assert failures(case(urgent, "    watch: 16m\n    pages: [{at: 0s, tell: [duty]}, {at: 15m, tell: [ops]}]\n")) == []
    longer = "    watch: 30m\n    pages: [{at: 0s, tell: [duty]}, {at: 15m, tell: [ops]}]\n"
    assert "25m 较大告警给 duty、duty-a" in failures(case(urgent, longer))[0]


def test_a_digest_is_a_message_of_its_own_kind_and_comes_in_its_hours() -> None:
    digest = "    pages: [{at: 60m, tell: [duty], level: 一般, kind: digest}]\n"
    assert failures(case(spread(), digest)) == []
    assert failures(case(spread(), digest.replace(", kind: digest", ""))) != []


def test_a_start_moves_the_case_to_a_day_and_hour() -> None:
    active = "active: {start: 2026-11-01, hours: '08:00-18:00'}\n"
    rules = {"subjects/polling.yml": GOOD["subjects/polling.yml"] + active}
    item = "      - {source: 甲, title: 投票站在哪, subjects: [polling]}\n"
    assert failures(case(item, start="    start: 2026-11-22T09:00\n"), **rules) == []
    assert "不在生效时段里" in failures(case(item), **rules)[0]
    assert "不在生效时段里" in failures(case(item, start="    start: 2026-11-22T20:00\n"), **rules)[0]


def test_a_shadow_rule_is_tested_as_if_live_where_a_file_names_it_and_never_tells_anybody() -> None:
    item = "      - {source: 甲, title: 投票站搬迁, subjects: [polling]}\n"
    assert failures(case(item)) == [], "other files need not know of it"
    assert failures(case(item.replace("[polling]", "[polling, trial]"))) == []
    both = case(item.replace("[polling]", "[polling, trial]")) + case(item)
    assert len(failures(both)) == 1, "where it is named, it counts"
    trial = "      - {source: 甲, title: 学校搬迁, repeat: {times: 4, sources: 2}}\n"
    assert failures(case(trial, "    levels: {trial: 一般}\n    watch: 2h\n    pages: []\n")) == []


@pytest.mark.parametrize(("written", "said"), [
    (case("      - {source: 甲, title: 题, subjects: [poling]}\n"), "没有名为“poling”的主题。 是不是 polling？"),
    (case(spread(), "    pages: [{at: 5m, tell: [dutty]}]\n"), "没有名为“dutty”的班组或人员。 是不是 duty？"),
    (case(spread(), "    pages: [{at: 5m, tell: [duty]}, {at: 1m, tell: [duty]}]\n"), "pages[1].at: 早于上一条。"),
    (case(spread(), start="    start: 明天\n"), "应为日期和时刻 年-月-日T时:分"),
    (case(spread(), "    levels: {polling: 特大}\n"), "没有名为“特大”的级别。"),
])
def test_a_case_that_cannot_be_read_says_where_and_what_to_write(written: str, said: str) -> None:
    with pytest.raises(RuleBookError) as caught:
        failures(written)
    assert said in str(caught.value)


def test_rules_that_no_case_names_are_told() -> None:
    texts = {**RULES, "tests/a.test.yml": "cases:\n" + case("      - {source: 甲, title: 排队, subjects: []}\n")
             + case(spread(), "    levels: {polling: 一般}\n")}
    assert run_files(RuleFiles(texts, [], 0))[1] == ("forum", "trial")
