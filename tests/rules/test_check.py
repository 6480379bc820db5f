"""`wenxun rules check`: what is wrong, what is only hardly meant, and how a workflow learns of both."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from agents.cli import main
from pipeline.rulebook.parse import parse_book, parse_with_places
from pipeline.rulebook.warnings import EXPIRY, warnings
from tests.rules.test_parse import GOOD, ZONE

TODAY = dt.date(2026, 11, 22)
TERMS = GOOD["subjects/polling.yml"]
ROSTER = GOOD["roster.yml"]
MANY = GOOD["sources.yml"] + "".join(
    f"  - {{id: n{number}, name: 网{number}, url: 'https://n{number}.example.cn/rss.xml'}}\n" for number in range(9))
"""Enough sources for every level."""


def warned(**changes: str) -> list[str]:
    named = {name.replace("_", "/") + ".yml": text for name, text in changes.items()}
    book, places = parse_with_places({**GOOD, "sources.yml": MANY, **named}, ZONE)
    return [f"{each.code} {each}" for each in warnings(book, TODAY, places)]


def test_good_files_have_no_warnings() -> None:
    assert warned() == []


@pytest.mark.parametrize(("expires", "code"), [
    ("2026-11-21", "expired"), ("2026-11-22", "expires-soon"), ("2026-12-06", "expires-soon"), ("2026-12-07", ""),
    ("never", ""),
])
def test_the_owner_is_told_fourteen_days_ahead_and_ever_after(expires: str, code: str) -> None:
    found = warned(subjects_polling=TERMS.replace("2027-12-31", expires))
    assert [each.split()[0] for each in found] == ([code] if code else [])
    assert not code or code in EXPIRY
    retired = TERMS.replace("2027-12-31", expires) + "status: retired\n"
    assert warned(subjects_polling=retired) == [], "nobody waits for a rule that was put aside"


SPARE = ROSTER.replace("teams:\n", "teams:\n  - {id: spare, name: 备班, shifts: [{members: [duty-a]}]}\n")
SHIFT = "name: 值班组, shifts: [{members: [duty-a]}]"
NIGHT = SHIFT.replace("[duty-a]", "[duty-a], start: '20:00', end: '08:00'")
DAY = "{members: [duty-a], start: '08:00', end: '20:00'}"


@pytest.mark.parametrize(("changes", "said"), [
    ({"subjects_polling": TERMS.replace("2027-12-31", "2026-12-01")},
     "expires-soon subjects/polling.yml:5:10: expires: 主题 polling（投票地点）9 天后到期，之后不再匹配；负责人：选办。"
     " 要继续就改 expires"),
    ({"subjects_polling": TERMS + "groups: [其他, 人工上报]\n",
      "sources": GOOD["sources.yml"].replace("id: news", "id: news, enabled: false")},
     "group-without-source subjects/polling.yml:7:10: groups[0]: 分组“其他”里没有启用的来源，从它那里什么也不会匹配。"
     " 启用一个来源，或改 groups"),
    ({"subjects_polling": TERMS + "active: {end: 2026-11-21}\n"},
     "active-over subjects/polling.yml:7:9: active: 主题 polling 只在 2026-11-21 以前匹配，已经过了。"
     " 改 active.end，或写 status: retired"),
    ({"subjects_polling": TERMS.replace("投票站", "/投票.*站/")},
     "looks-like-a-regex subjects/polling.yml:6:9: terms[0]: “/投票.*站/”按普通的词找，斜杠也要出现。"
     " 要用正则就写 {regex: '…'}"),
    ({"subjects_polling": TERMS + "exclude: [打榜，粉丝投票]\n"},
     "looks-like-a-list subjects/polling.yml:7:11: exclude[0]: “打榜，粉丝投票”是一个词，其中的逗号或顿号也要出现。"
     " 几个词用英文逗号分开，或每行写一个"),
    ({"words_venue": GOOD["words/venue.yml"].replace("礼堂", "“礼堂”")},
     "looks-quoted words/venue.yml:3:13: words[1]: ““礼堂””的引号也是词的一部分，也要出现。 删去引号，或改用英文引号"),
    ({"channels": GOOD["channels.yml"] + "  - {id: spare, type: console}\n"},
     "channel-unused channels.yml:3:5: channels[1]: 没有人用通道 spare。 写进 roster.yml 里某人的 channels，或删去"),
    ({"channels": GOOD["channels.yml"] + "  - {id: rest, type: apprise, url_file: secrets/rest.url}\n",
      "roster": ROSTER.replace("[console]", "[rest]")},
     "best-effort-only roster.yml:2:5: people[0]: 值班员只有 Apprise 通道，它是尽力而为，说成功不等于送达。"
     " 再加一个别的通道，例如邮件或短信"),
    ({"channels": GOOD["channels.yml"] + "heartbeat: {url: 'http://alive.example.gov.cn/ping'}\n"},
     "sent-in-clear channels.yml:3:18: heartbeat.url: 心跳的地址是 http://，地址在网络上是明文，谁看到都能冒充闻讯报平安。"
     " 对方支持就改成 https://"),
    ({"channels": GOOD["channels.yml"] + "  - {id: hook, type: webhook, url: 'http://10.0.0.8/x', secret_file: s}\n",
      "roster": ROSTER.replace("[console]", "[console, hook]")},
     "sent-in-clear channels.yml:3:36: channels[1].url: 通道 hook 的地址是 http://，消息和其中的确认链接在网络上是明文，"
     "谁看到都能用。 对方支持就改成 https://"),
    ({"roster": SPARE},
     "team-never-told roster.yml:4:5: teams[0]: 没有路由通知班组 spare（备班）。 写进 routes.yml 的 tell，或删去"),
    ({"roster": ROSTER.replace("teams:", "  - {id: b, name: 乙, channels: [console]}\nteams:")},
     "person-never-told roster.yml:3:5: people[1]: 没有什么会通知到 乙。 排进班次，或写进 routes.yml 的 tell"),
    ({"roster": ROSTER.replace(SHIFT, NIGHT)},
     "duty-gap roster.yml:4:35: teams[0].shifts: 值班组 每天 08:00–20:00（11月22日 至 12月21日）没有人值班，"
     "那时改为通知值班员（duty-a）。 补上班次，或在 overrides 里写那几天由谁值；有意这样就不用改"),
    ({"routes": GOOD["routes.yml"] + "  - {id: more, levels: [较大], steps: [{tell: [ops]}]}\n"},
     "route-never-reached routes.yml:4:5: routes[1]: 路由 more 用不到：前面的 all 已经适用于它的全部情形。"
     " 移到前面，或删去"),
    ({"sources": GOOD["sources.yml"] + GOOD["sources.yml"].split("\n", 1)[1].replace("id: news", "id: again")},
     "same-address sources.yml:3:34: sources[1].url: 来源 again 和 news 的地址相同，同样的内容会采两遍。 删去一个"),
    ({"sources": "# 还没有\n"}, "no-sources sources.yml:1:1: 还没有来源，什么也不会采集。 在 sources: 里写订阅地址"),
])
def test_what_is_allowed_and_hardly_meant_is_said_with_its_place(changes: dict[str, str], said: str) -> None:
    assert said in warned(**changes)


BOT = "  - {id: bot, type: KIND, url_file: secrets/bot.url}\n"


@pytest.mark.parametrize(("kind", "extra", "said"), [
    ("wecom-bot", "", "企业微信群里的消息 @ 不到值班员：没有写 wecom 或 mobile。 补上 wecom:"),
    ("dingtalk-bot", ", wecom: zhiban", "钉钉群里的消息 @ 不到值班员：没有写 dingtalk 或 mobile。 补上 dingtalk:"),
    ("feishu-bot", ", mobile: '13800000000'", "飞书群里的消息 @ 不到值班员：没有写 feishu。 补上 feishu:"),
    ("wecom-bot", ", mobile: '13800000000'", ""), ("dingtalk-bot", ", dingtalk: a1", ""),
    ("feishu-bot", ", feishu: ou_1", "")])
def test_whoever_cannot_be_mentioned_in_a_group_is_named(kind: str, extra: str, said: str) -> None:
    roster = ROSTER.replace("channels: [console]", f"channels: [console, bot]{extra}")
    found = warned(roster=roster, channels=GOOD["channels.yml"] + BOT.replace("KIND", kind))
    assert found == ([f"no-mention roster.yml:2:5: people[0]: {said}"] if said else [])


def test_whoever_has_none_of_a_steps_channels_is_named() -> None:
    roster = ROSTER.replace("teams:", "  - {id: b, name: 乙, channels: [spare]}\nteams:").replace(
        SHIFT, SHIFT.replace("[duty-a]", "[duty-a, b]"))
    found = warned(roster=roster, channels=GOOD["channels.yml"] + "  - {id: spare, type: console}\n",
                   routes="routes:\n  - id: all\n    steps: [{tell: [duty], channels: [console]}]\n")
    assert found == ["not-by-these-channels routes.yml:3:38: routes[0].steps[0].channels: 乙没有这一步的任何一个通道，"
                     "会用自己的spare。 在 roster.yml 里给 b 加上其中一个，或有意这样就不用改"]


def test_a_year_whose_holidays_nobody_knows_is_said_where_somebody_is_on_duty_by_them() -> None:
    by_calendar = ROSTER.replace(SHIFT, SHIFT.replace("}]", ", calendar: workday}, {members: [duty-a]}]"))
    for text, expected in ((by_calendar, ["holidays-unknown"]), (ROSTER, [])):
        book, places = parse_with_places({**GOOD, "sources.yml": MANY, "roster.yml": text}, ZONE)
        found = [each for each in warnings(book, dt.date(2098, 12, 20), places) if each.code != "expired"]
        assert [each.code for each in found] == expected
        assert not expected or found[0].message == (
            "还没有 2098 年的放假和调休安排，值班组的这一班那年按周一至周五算工作日。")


def test_a_team_that_only_leads_is_not_useless() -> None:
    routes = "routes:\n  - id: all\n    lead: spare\n    steps: [{tell: [duty]}]\n"
    assert warned(roster=SPARE, routes=routes) == []
    assert warned(roster=SPARE, subjects_polling=TERMS + "team: spare\n") == []
    clock = "clocks: [{id: a, name: 回应, within: 5h, start_level: 一般, warnings: [{at: 50, tell: [spare]}]}]\n"
    assert warned(roster=SPARE, levels=GOOD["levels.yml"] + clock) == []


@pytest.mark.parametrize(("matcher", "covered"), [
    ("subjects: [polling]", True), ("groups: [其他]", True), ("teams: [duty]", True), ("regions: [石桥镇]", True),
    ("levels: [较大]", False), ("", True)])
def test_a_route_behind_one_that_fits_all_of_its_cases_is_never_reached(matcher: str, covered: bool) -> None:
    first = "routes:\n  - id: first\n    levels: [一般]\n    steps: [{tell: [duty]}]\n"
    second = f"  - id: second\n    levels: [一般]\n    {matcher or 'lead: duty'}\n    steps: [{{tell: [duty]}}]\n"
    second = second.replace("    levels: [一般]\n", "", 1) if "levels: [较大]" in second else second
    last = "  - id: last\n    levels: [较大]\n    groups: [其他]\n    steps: [{tell: [duty]}]\n"
    everything = "  - id: all\n    steps: [{tell: [duty]}]\n"
    found = warned(routes=first + second + last + everything,
                   sources=MANY.replace("name: 县新闻网", "name: 县新闻网, region: 石桥镇"))
    named = [each.split(" 用不到")[0].rpartition(" ")[2] for each in found if "route-never-reached" in each]
    assert named == (["second"] if covered else ["last"])


def test_a_night_shift_over_midnight_fills_the_hours_the_day_shift_leaves() -> None:
    assert warned(roster=ROSTER.replace(SHIFT, NIGHT.replace("}]", f"}}, {DAY}]"))) == []


def test_a_book_that_came_without_its_files_is_warned_of_by_file() -> None:
    book = parse_book({**GOOD, "sources.yml": MANY, "subjects/polling.yml": TERMS.replace("2027", "2025")}, ZONE)
    assert [(each.file, each.line, each.severity) for each in warnings(book, TODAY)] == [
        ("subjects/polling.yml", 1, "warning")]


def test_channels_whose_secrets_are_missing_are_named_and_whoever_has_no_other(
        rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (rules / "channels.yml").write_text("channels:\n  - {id: console, type: console}\n" + "".join(
        BOT.replace("bot", name, 1).replace("bot.url", f"{name}.url").replace("KIND", "webhook")
        for name in ("gone", "empty", "fine")), "utf-8")
    (rules / "roster.yml").write_text(ROSTER.replace("[console]", "[gone, empty]").replace(
        "teams:", "  - {id: b, name: 乙, channels: [gone, fine]}\nteams:").replace(SHIFT, SHIFT.replace(
            "[duty-a]", "[duty-a, b], start: '08:00', end: '20:00', days: [1]").replace(
            "}]", "}, {members: [b]}]")), "utf-8")
    (rules / "secrets").mkdir()
    (rules / "secrets" / "empty.url").write_text("")
    (rules / "secrets" / "fine.url").write_text("http://127.0.0.1:9/\n")
    assert main(["rules", "check", str(rules), "--format", "json"]) == 0
    told = {each["code"]: each["message"] for each in json.loads(capsys.readouterr().out)["warnings"]}
    assert set(told) >= {"channel-broken", "on-duty-unreached", "fallback-unreached"}
    assert main(["rules", "check", str(rules)]) == 0
    said = capsys.readouterr().out
    assert "通道 gone 现在发不出去：url_file 指的 secrets/gone.url 不存在。" in said
    assert "通道 empty 现在发不出去：url_file 指的 secrets/empty.url 是空的。" in said and "通道 fine" not in said
    assert "值班员的通道都发不出去：每周一 08:00–20:00" in said and "在值班组值班，收不到通知。" in said
    assert "乙的通道" not in said and "值班员的通道都发不出去：无人应答时收不到通知。" in said


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    for name, text in {**GOOD, "sources.yml": MANY}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def spoil(rules: Path) -> None:
    (rules / "channels.yml").write_text("channels:\n  - {id: a b, type: console}\n", "utf-8")


def alarm(rules: Path) -> None:
    (rules / "sources.yml").write_text("# 还没有\n", "utf-8")


@pytest.mark.parametrize(("change", "options", "code"), [
    (None, [], 0), (None, ["--strict"], 0), (alarm, [], 0), (alarm, ["--strict"], 3), (spoil, [], 1),
    (spoil, ["--strict"], 1),
])
@pytest.mark.parametrize("form", ["text", "json", "github"])
def test_errors_are_1_and_warnings_3_where_strict(rules: Path, change: object, options: list[str], code: int,
                                                  form: str) -> None:
    if callable(change):
        change(rules)
    assert main(["rules", "check", str(rules), "--format", form, *options]) == code


def test_text_says_warnings_after_what_was_read(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alarm(rules)
    main(["rules", "check", str(rules)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("规则没有问题：0 个来源，1 个主题，1 个词表，2 个级别")
    assert lines[1].startswith("提醒：sources.yml:1:1: 还没有来源")


def test_json_has_errors_and_warnings_apart(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alarm(rules)
    main(["rules", "check", str(rules), "--format", "json"])
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] and told["problems"] == [] and told["counts"]["subjects"] == 1
    assert [(each["file"], each["line"], each["code"], each["severity"]) for each in told["warnings"]] == [
        ("sources.yml", 1, "no-sources", "warning")]
    spoil(rules)
    main(["rules", "check", str(rules), "--format", "json"])
    told = json.loads(capsys.readouterr().out)
    assert not told["ok"] and told["problems"][0] | {"file": "channels.yml", "line": 2, "column": 10} == (
        told["problems"][0])


def test_a_workflow_shows_both_beside_the_files(rules: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alarm(rules)
    main(["rules", "check", str(rules), "--format", "github"])
    assert capsys.readouterr().out.startswith(f"::warning file={rules}/sources.yml,line=1,col=1")
    spoil(rules)
    main(["rules", "check", str(rules), "--format", "github"])
    out = capsys.readouterr().out
    assert out.startswith(f"::error file={rules}/channels.yml,line=2,col=10") and out.count("\n") == 1


def test_a_file_in_gbk_is_refused_by_name_and_the_others_are_named_too(rules: Path,
                                                                      capsys: pytest.CaptureFixture[str]) -> None:
    (rules / "subjects" / "polling.yml").write_bytes(TERMS.encode("gbk"))
    (rules / "words" / "venue.yml").write_bytes(b"\xef\xbb\xbf" + GOOD["words/venue.yml"].encode())
    assert main(["rules", "check", str(rules)]) == 1
    (rules / "levels.yml").write_text(GOOD["levels.yml"].replace("items: 3", "items: 三"), "utf-8")
    (rules / "routes.yml").write_text(GOOD["routes.yml"] + "  - {id: b, subjects: [polling], steps: []}\n", "utf-8")
    assert main(["rules", "check", str(rules)]) == 1
    said = capsys.readouterr().err
    lines = [line.split(" ")[0] for line in said.split("共 1 处要改。\n")[1].splitlines()]
    assert lines == ["levels.yml:4:20:", "routes.yml:4:41:", "subjects/polling.yml:2:1:", "共"]
    assert "subjects/polling.yml:2:1: 文件是 GBK 编码，不是 UTF-8。" in said and "words/venue.yml" not in said
