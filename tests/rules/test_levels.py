"""levels.yml: windows with names, several ways into a level, and thresholds that mean nothing or contradict another."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agents.cli import main
from pipeline.errors import RuleBookError
from pipeline.rulebook.checks_levels import implies, spread_beside
from pipeline.rulebook.factors import FACTORS, NAMES
from pipeline.rulebook.json_schema import schema_files
from pipeline.rulebook.parse import parse_book
from pipeline.rulebook.places import Places
from pipeline.rulebook.reach import reachability
from pipeline.rulebook.schema import HOUR, MINUTE, Levels, Status, Threshold
from tests.builders import book as a_book
from tests.rules.test_parse import GOOD, ZONE

LOW = "  - name: 一般\n    response: 三级响应\n    enter: {items: 3, sources: 2, window: 1h}\n"


def level(name: str, enter: str, **more: str) -> str:
    fields = "".join(f"    {key}: {value}\n" for key, value in more.items())
    return f"  - name: {name}\n    response: 响应\n    enter: {enter}\n{fields}"


def read(*ladder: str, before: str = "", after: str = "") -> Levels:
    return parse_book({**GOOD, "levels.yml": f"{before}ladder:\n{''.join(ladder)}{after}"}, ZONE).levels


def problems(*ladder: str, before: str = "", after: str = "") -> list[str]:
    with pytest.raises(RuleBookError) as caught:
        read(*ladder, before=before, after=after)
    return [f"{each.path}: {each.message} {each.hint}" for each in caught.value.problems]


# ---------------------------------------------------------------- what can be written


def test_a_window_has_a_length_or_a_name_wherever_the_names_stand() -> None:
    named = read(level("一般", "{items: 3, sources: 2, window: 短}", leave="{items: 2, window: long}"),
                 after="windows: {短: 30m, long: 3h}\n")
    (low,) = named.ladder
    assert [each.window for each in (*low.enter, *low.leave)] == [30 * MINUTE, 3 * HOUR]
    assert named.windows == {"短": 30 * MINUTE, "long": 3 * HOUR}


def test_a_level_may_have_several_ways_in() -> None:
    (low,) = read(level("一般", "[{items: 3, sources: 2, window: 1h}, {growth: 50, groups: 2, window: 2h}]")).ladder
    assert low.enter == (Threshold(items=3, sources=2, window=HOUR), Threshold(growth=50, groups=2, window=2 * HOUR))


def test_what_one_mapping_meant_before_there_were_lists_it_means_still() -> None:
    (low,) = read(level("一般", "{items: 3, sources: 2, growth: 50, growth_sources: 2, window: 1h}")).ladder
    assert low.enter == (Threshold(items=3, sources=2, window=HOUR),
                         Threshold(growth=50, growth_sources=2, window=HOUR))
    (both,) = read(level("一般", "[{items: 3, sources: 2, growth: 50, window: 1h}]")).ladder
    assert both.enter == (Threshold(items=3, sources=2, growth=50, window=HOUR),), "in a list all of it has to be there"


def test_every_factor_is_a_field_and_its_example_can_be_written() -> None:
    assert set(NAMES) == set(Threshold.__struct_fields__) - {"window"}
    for each in FACTORS:
        more = {"growth_sources": ", growth: 9"}.get(each.name, ", items: 9, sources: 2" * (each.name != "items"))
        name, value = each.example.split(": ")
        enter = {**yaml.safe_load(f"{{x: 0{more}}}"), "sources": 4, name: yaml.safe_load(value), "window": "1h"}
        (low,) = read(level("一般", f"[{json.dumps({key: each for key, each in enter.items() if key != 'x'})}]")).ladder
        assert getattr(low.enter[0], name) == float(value)


def test_the_command_lists_every_factor(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "factors", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in listed] == list(NAMES)
    assert {each["name"] for each in listed if not each["windowed"]} == {"impact", "official"}
    assert main(["rules", "factors"]) == 0
    shown = capsys.readouterr().out
    assert all(each.example in shown and each.meaning in shown for each in FACTORS)


# ---------------------------------------------------------------- what cannot

NEEDS_SPREAD = ("负面情绪本身不提高级别（批评不是事件），要同时有传播。 "
                "在同一组里补上 items 和 sources（都不小于 2），或 growth 和 growth_sources（不小于 2）")
BASIS = "补上 items: 和 sources:，或 growth:；全部因素见 wenxun rules factors"
ALONE = f"它们只能同传播或互动一起用，单独不决定级别。 {BASIS}"
UNSEEN = ("ladder[1].enter: 达到 一般 的 ladder[0].enter 时，较大 的这一组也一定达到了，一般 不会出现。 "
          "把这一组写得更高，或删去其中一组")


@pytest.mark.parametrize(("enter", "message"), [
    ("{negative: 0.5, window: 1h}", f"ladder[0].enter: 只有 negative：{ALONE}"),
    ("{negative: 0.5, items: 1, sources: 1, window: 1h}", f"ladder[0].enter.negative: {NEEDS_SPREAD}"),
    ("{negative: 0.5, items: 9, sources: 1, window: 1h}", f"ladder[0].enter.negative: {NEEDS_SPREAD}"),
    ("{negative: 0.5, growth: 9, window: 1h}", f"ladder[0].enter.negative: {NEEDS_SPREAD}"),
    ("[{negative: 0.5, heat: 50, sources: 3, window: 1h}]", f"ladder[0].enter[0].negative: {NEEDS_SPREAD}"),
    ("{impact: 5, window: 1h}", f"ladder[0].enter: 只有 impact：{ALONE}"),
    ("{impact: 5, official: 1, window: 1h}",
     f"ladder[0].enter: 只有 impact、official：{ALONE}"),
    ("{window: 1h}", f"ladder[0].enter: 只有窗口，没有任何条件：什么都算达到。 {BASIS}"),
    ("{items: 3, window: 1h}", "ladder[0].enter: 写了 items，没写要来自几个独立来源：一家反复发也会达到。 "
                               "补上 sources: 2，一家也算就写 sources: 1"),
    ("{speed: 3, window: 1h}", "ladder[0].enter: 写了 speed，没写要来自几个独立来源：一家反复发也会达到。 "
                               "补上 sources: 2，一家也算就写 sources: 1"),
    ("{items: 3, sources: 2, growth: 5, impact: 2, window: 1h}",
     "ladder[0].enter: items、sources 和 growth 不写成列表时是“或”，再加 impact 说不清。 "
     "改成列表：每组条件一项，以“- ”开头，同一组里的都要达到"),
    ("{items: 3, sources: 2, window: 长}", "ladder[0].enter.window: windows 里没有名为“长”的窗口。 "
                                           "直接写时长，如 window: 2h，或先在 windows: 里起名"),
    ("{itms: 3, sources: 2, window: 1h}", "ladder[0].enter.itms: 没有名为 itms 的字段。 是不是 items？"),
    ("{items: 3, sources: 2, mood: 1, window: 1h}",
     f"ladder[0].enter.mood: 没有名为 mood 的字段。 可用的字段：window、{'、'.join(NAMES)}"),
    ("{items: 3, sources: 2, negative: 1, window: 1h}",
     "ladder[0].enter.negative: 应为 0.05 到 0.95 的数，现为“1”。 写成 negative: 0.5"),
])
def test_a_threshold_that_cannot_be_meant_says_why(enter: str, message: str) -> None:
    assert message in problems(level("一般", enter))


def test_a_window_with_a_mistyped_name_is_told_the_nearest_one() -> None:
    assert problems(level("一般", "{items: 3, sources: 2, window: shrt}"), before="windows: {short: 1h}\n") == [
        "ladder[0].enter.window: windows 里没有名为“shrt”的窗口。 是不是 short？"]


@pytest.mark.parametrize(("low", "high", "message"), [
    ("{growth: 500, impact: 2, window: 1h}", "{growth: 400, window: 2h}",
     UNSEEN),
    ("{items: 10, sources: 4, window: 1h}", "[{items: 30, sources: 8, window: 1h}, {items: 8, sources: 4, window: 1h}]",
     "ladder[1].enter[1].items: 较大 的 8 条应多于一般 的 10 条。 写成 items: 11 或更多"),
    ("{items: 3, sources: 2, impact: 3, window: 1h}", "{items: 9, sources: 2, impact: 1, window: 1h}",
     "ladder[1].enter.impact: 较大 的 1 不应少于一般 的 3。 写成 impact: 3 或更多"),
    ("{groups: 2, window: 1h}", "{groups: 2, window: 1h}",
     UNSEEN),
])
def test_a_higher_level_that_is_easier_is_refused(low: str, high: str, message: str) -> None:
    assert problems(level("一般", low), level("较大", high)) == [message]


@pytest.mark.parametrize(("low", "high"), [
    ("{items: 10, sources: 2, window: 6h}", "{items: 8, sources: 2, window: 30m}"),            # faster
    ("[{items: 10, sources: 4, window: 2h}, {items: 5, sources: 2, window: 30m}]",
     "{items: 8, sources: 4, window: 30m}"),                                                   # above one of them
    ("{items: 3, sources: 2, window: 1h}", "{items: 3, sources: 2, groups: 2, window: 1h}"),   # more is asked for
    ("{items: 3, sources: 2, window: 1h}", "{items: 3, sources: 2, negative: 0.5, window: 1h}"),
])
def test_a_higher_level_may_be_faster_or_ask_for_something_else(low: str, high: str) -> None:
    assert len(read(level("一般", low), level("较大", high)).ladder) == 2


@pytest.mark.parametrize(("more", "message"), [
    ({"leave": "{items: 5, window: 1h}"},
     "ladder[0].leave.items: 一般 的 leave 高于 ladder[0].enter：items 要 5，进入时只要 3，一进入就已经该离开。 "
     "leave 的每一项都不高于 enter，窗口不短于它"),
    ({"leave": "[{items: 2, window: 30m}]"},
     "ladder[0].leave[0].window: 一般 的 leave 高于 ladder[0].enter：窗口比进入时的短，一进入就已经该离开。 "
     "leave 的每一项都不高于 enter，窗口不短于它"),
    ({"leave": "{impact: 1, window: 1h}"},
     f"ladder[0].leave: 只有 impact：{ALONE}"),
    ({"leave": "{items: 2, window: 1h}", "leave_ratio": "0.5"},
     "ladder[0].leave_ratio: 写了 leave，leave_ratio 不起作用。 只留一个"),
    ({"leave_ratio": "1", "hold": "0s"},
     "ladder[0].hold: 一般 的 leave_ratio 是 1 而 hold 是 0：在阈值上下会不停地来回跳。 "
     "写成 leave_ratio: 0.6，或 hold: 30m"),
])
def test_a_level_that_is_left_as_it_is_entered_or_never_is_refused(more: dict[str, str], message: str) -> None:
    assert problems(level("一般", "{items: 3, sources: 2, window: 1h}", **more)) == [message]


# ---------------------------------------------------------------- for every threshold

thresholds = st.fixed_dictionaries({"window": st.sampled_from(["30m", "1h", "2h"])}, optional={
    "items": st.integers(1, 6), "sources": st.integers(1, 4), "groups": st.integers(1, 3),
    "speed": st.sampled_from([0.5, 2, 6]), "heat": st.sampled_from([1, 5, 20]), "growth": st.integers(0, 50),
    "growth_sources": st.integers(1, 3), "negative": st.sampled_from([0.05, 0.3, 0.9]), "impact": st.integers(1, 5),
    "official": st.integers(1, 2)})
LEVELS_SCHEMA = jsonschema.Draft7Validator(json.loads(schema_files()["levels.json"]))


def tried(enter: Any) -> tuple[bool, bool]:
    """Whether the parser takes a level with these thresholds, and whether an editor would."""
    document = {"ladder": [{"name": "一般", "response": "响应", "enter": enter}]}
    try:
        parse_book({**GOOD, "levels.yml": json.dumps(document, ensure_ascii=False)}, ZONE)
    except RuleBookError:
        return False, LEVELS_SCHEMA.is_valid(document)
    return True, LEVELS_SCHEMA.is_valid(document)


@given(st.one_of(thresholds, st.lists(thresholds, min_size=1, max_size=2)))
@settings(max_examples=200, deadline=None)
def test_what_is_taken_asks_for_spread_beside_sentiment_and_editors_take_it_too(enter: Any) -> None:
    taken, valid = tried(enter)
    assert valid or not taken
    if taken:
        for each in read(level("一般", json.dumps(enter))).ladder[0].enter:
            assert not each.negative or spread_beside(each)


@given(thresholds.filter(lambda each: "negative" in each))
@settings(max_examples=100, deadline=None)
def test_an_editor_underlines_sentiment_without_spread(enter: dict[str, Any]) -> None:
    value = Threshold(**{**enter, "window": HOUR})
    assume(not spread_beside(value))
    assert tried(enter) == (False, False)


def test_one_threshold_implies_another_that_asks_for_no_more() -> None:
    one = Threshold(items=10, sources=4, window=HOUR)
    for other, implied in (
        (Threshold(items=10, sources=4, window=HOUR), True), (Threshold(items=8, sources=2, window=2 * HOUR), True),
        (Threshold(speed=5, sources=1, window=2 * HOUR), True), (Threshold(heat=10, window=HOUR), True),
        (Threshold(items=10, sources=4, window=30 * MINUTE), False), (Threshold(items=11, window=HOUR), False),
        (Threshold(speed=6, window=2 * HOUR), False), (Threshold(groups=1, window=HOUR), False),
        (Threshold(items=3, growth=1, window=HOUR), False), (Threshold(items=3, official=1, window=HOUR), False),
    ):
        assert implies(one, other) is implied, other


# ---------------------------------------------------------------- what the sources can reach

SITES = "sources:\n" + "".join(
    f"  - {{id: n{n}, name: 网{n}, url: 'https://n{n}.example.cn/rss.xml', group: {group}{more}}}\n"
    for n, (group, more) in enumerate([
        ("新闻", ""), ("新闻", ""), ("论坛", ""), ("论坛", ", enabled: false"), ("官网", ", official: true")]))


def out_of_reach(levels: str, **files: str) -> list[str]:
    book = parse_book({**GOOD, "sources.yml": SITES, "levels.yml": f"ladder:\n{levels}", **files}, ZONE)
    return [f"{each.file} {each.path} {each.message}" for each in reachability(book, dt.date(2026, 11, 22), Places())]


@pytest.mark.parametrize(("enter", "lack"), [
    ("{items: 9, sources: 4, window: 1h}", ""),                          # three sites, and the desk for reports
    ("{items: 9, sources: 5, window: 1h}", "要 5 个独立来源，启用的只有 4 个"),
    ("{groups: 3, window: 1h}", ""),
    ("{groups: 4, window: 1h}", "要 4 个来源分组，启用的来源只有 3 个分组"),
    ("{items: 9, sources: 2, official: 1, window: 1h}", ""),
    ("[{items: 9, sources: 5, window: 1h}, {growth: 9, window: 1h}]", ""),
    ("[{items: 9, sources: 5, window: 1h}, {growth: 9, growth_sources: 6, window: 1h}]",
     "要 5 个独立来源，启用的只有 4 个；或要 6 个独立来源，启用的只有 4 个"),
])
def test_a_level_that_the_sources_cannot_reach_is_warned_of(enter: str, lack: str) -> None:
    assert out_of_reach(level("一般", enter)) == (
        [f"levels.yml enter 级别“一般”永远达不到：{lack}。"] if lack else [])


def test_the_groups_of_a_subject_count_alone_and_an_override_has_its_own_place() -> None:
    narrow = {"subjects/polling.yml": GOOD["subjects/polling.yml"] + "groups: [新闻]\n"}
    assert out_of_reach(level("一般", "{items: 9, sources: 3, window: 1h}"), **narrow) == [
        "levels.yml enter 对主题 polling，级别“一般”永远达不到：要 3 个独立来源，启用的只有 2 个。"]
    own = "overrides:\n  - {subject: polling, enter: {一般: {items: 9, sources: 7, window: 1h}}}\n"
    assert out_of_reach(level("一般", "{items: 9, sources: 3, window: 1h}") + own) == [
        "levels.yml overrides[0].enter.一般 对主题 polling，级别“一般”永远达不到：要 7 个独立来源，启用的只有 4 个。"]


def test_official_without_an_official_source_and_what_only_grave_subjects_reach() -> None:
    dull = SITES.replace(", official: true", "")
    assert out_of_reach(level("一般", "{items: 9, sources: 2, official: 1, window: 1h}"), **{"sources.yml": dull}) == [
        "levels.yml enter 级别“一般”永远达不到：要官方发布，但没有启用 official: true 的来源。"]
    assert out_of_reach(level("一般", "{items: 99, sources: 99, impact: 5, window: 1h}")) == []


def test_a_retired_subject_is_not_warned_of() -> None:
    gone = a_book(subjects=tuple(
        type(each)(**{**{name: getattr(each, name) for name in each.__struct_fields__}, "status": Status.RETIRED,
                      "groups": ("没有的",)}) for each in a_book().subjects))
    said = list(reachability(gone, dt.date(2026, 11, 22), Places()))
    assert all("polling" not in each.message for each in said) and said
