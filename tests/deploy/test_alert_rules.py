"""Alert and recording rules of the system itself: promtool reads and tests them, every alert has what a person needs at
night, its series exist, its tests fire and keep quiet, and a changed threshold or duration fails one of them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from prometheus_client import Counter, Histogram

from agents.metrics import TABLE
from agents.runtime import ALL
from tests import servers

ROOT = Path(__file__).parent.parent.parent
RULES = ROOT / "deploy" / "prometheus" / "rules"
TESTS = ROOT / "deploy" / "prometheus" / "tests"
RUNBOOKS = ROOT / "docs" / "runbooks"
CONTRACT = """WenxunRoleDown WenxunRoleRestarted WenxunRoleNotReady WenxunRoleMissing WenxunRoleBehind
WenxunArchiveBehind WenxunCommitStuck WenxunBrokerAway WenxunStoreAway WenxunSourcesBlind
WenxunNoItems WenxunDeadLetters WenxunDeliveryFailing WenxunChannelBroken WenxunDeliveryLate
WenxunAlertsUnaccounted WenxunResponseClockOverdue WenxunHeartbeatGone WenxunRulesNotLoaded
WenxunRulesPending WenxunRulesDiffer WenxunDiskFilling WenxunDiskFull WenxunMemoryHigh
WenxunHostClockOff WenxunAgentErrors WenxunAlertmanagerAway WenxunMonitoringDown""".split()
FOREIGN = {
    "up", "ALERTS", "process_start_time_seconds", "process_resident_memory_bytes",
    "prometheus_notifications_alertmanagers_discovered", "prometheus_notifications_errors_total",
    "prometheus_config_last_reload_successful", "prometheus_rule_evaluation_failures_total",
    "alertmanager_notifications_failed_total"}
"""Series that others make: of client libraries, Prometheus and Alertmanager."""
WORDS = {"and", "or", "unless", "on", "by", "without", "offset", "ignoring", "group_left", "group_right", "bool",
         "sum", "min", "max", "count", "avg"}
ANNOTATIONS = {"summary", "description", "runbook_url"}
URL = "{{ $externalLabels.desk }}/runbooks/%s"


class Alert(NamedTuple):
    """One rule of an alert: a name may have two, a page and a warning."""

    file: str
    group: str
    rule: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.rule["alert"])

    @property
    def key(self) -> str:
        return f"{self.name}-{self.rule['labels']['severity']}"


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


WHOLE = {path.name: read(path) for path in [*sorted(TESTS.glob("*.test.yml")), *sorted(RULES.glob("*.yml"))]}
EVERY: list[tuple[str, str, dict[str, Any]]] = [
    (file, group["name"], rule) for file, whole in WHOLE.items() for group in whole.get("groups", ())
    for rule in group["rules"]]
ALERTS = [Alert(*each) for each in EVERY if "alert" in each[2]]
RECORDED = {each["record"] for _, _, each in EVERY if "record" in each}
UNIT = [group for whole in WHOLE.values() for group in whole.get("tests", ())]


def exported() -> set[str]:
    """Names as Prometheus stores them."""
    found = set()
    for each in TABLE:
        ends = ("_bucket", "_sum", "_count") if each.kind is Histogram else ("",)
        name = each.name.removesuffix("_total") + "_total" if each.kind is Counter else each.name
        found |= {f"wenxun_{name}{end}" for end in ends}
    return found


def named(expression: str) -> set[str]:
    """Series that a PromQL expression reads."""
    text = re.sub(r"\"[^\"]*\"|'[^']*'", "", expression)
    text = re.sub(r"#.*", "", text)
    text = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", r"\1 ", text)
    text = re.sub(r"\{[^}]*\}|\[[^]]*\]", "", text)
    return {word for word in re.findall(r"(?<![\w:.])([a-zA-Z_][\w:]*)(?!\s*\(|[\w:])", text)
            if word not in WORDS and not re.fullmatch(r"[smhdwy]", word)}


# ---------------------------------------------------------------- what is written


def test_the_alerts_are_those_of_the_contract() -> None:
    assert {each.name for each in ALERTS} == set(CONTRACT)
    keys = [each.key for each in ALERTS]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.key)
def test_an_alert_says_what_it_is_what_it_means_what_to_do_and_where_to_read_on(alert: Alert) -> None:
    rule = alert.rule
    assert set(rule["labels"]) == {"severity"} and rule["labels"]["severity"] in ("page", "warning")
    assert set(rule["annotations"]) == ANNOTATIONS
    assert rule["annotations"]["runbook_url"] == URL % alert.name
    summary, lines = rule["annotations"]["summary"], rule["annotations"]["description"].splitlines()
    assert re.search(r"[\u4e00-\u9fff]", summary) and len(summary) <= 100
    assert len(lines) == 3 and lines[1].startswith("影响：") and lines[2].startswith("先做：")
    assert "{{" in summary + lines[0] or re.search(r"\d", lines[0]), "a figure"


def test_every_series_of_an_expression_exists() -> None:
    known = exported() | RECORDED | FOREIGN
    unknown = {(rule.get("alert") or rule["record"], name) for _, _, rule in EVERY for name in named(rule["expr"])
               if name not in known}
    assert unknown == set()
    queried = [name for each in ALERTS
               for query in re.findall(r'range (?:query|printf) "(.*?)"', str(each.rule["annotations"]))
               for name in named(query)]
    assert queried and set(queried) <= known


def test_series_are_found_in_an_expression() -> None:
    text = 'sum by (le, x) (rate(a_b{c="d e"}[5m])) > on (f) group_left w:x:y unless up offset 1d # z\n or g == 3'
    assert named(text) == {"a_b", "w:x:y", "up", "g"}


def test_recorded_series_have_the_prefix_and_one_rule_each() -> None:
    names = [rule["record"] for _, _, rule in EVERY if "record" in rule]
    assert len(set(names)) == len(names) and all(re.fullmatch(r"wenxun:[a-z0-9_]+:[a-z0-9]+", name) for name in names)
    for file, _, rule in EVERY:
        if "alert" in rule:                             # or its figures were of the round before, or of none
            own = {each["record"] for name, _, each in EVERY if name == file and "record" in each}
            assert {name for name in named(rule["expr"]) if ":" in name} <= own


def test_a_role_that_is_missing_is_looked_for_by_every_role() -> None:
    rule = next(each.rule for each in ALERTS if each.name == "WenxunRoleMissing")
    assert set(re.findall(r'absent\(wenxun_role_info\{job="wenxun", role="(\w+)"\}\)', rule["expr"])) == set(ALL)


def test_prometheus_links_to_the_desk_and_leaves_roles_to_the_series_that_name_them() -> None:
    config = read(RULES.parent / "prometheus.yml")
    assert config["rule_files"] == ["rules/*.yml"]
    assert re.fullmatch(r"https?://[^/]+", config["global"]["external_labels"]["desk"])
    assert config["alerting"]["alert_relabel_configs"] == [{"action": "labeldrop", "regex": "desk"}]
    jobs = {each["job_name"]: each for each in config["scrape_configs"]}
    assert jobs["wenxun"]["honor_labels"] is True and "honor_labels" not in jobs["monitoring"]


def test_what_the_monitoring_watches_of_itself_is_what_the_targets_name() -> None:
    """A part that a rule names and no target has would never be missed; Grafana is not on one machine by itself."""
    parts = {each["labels"]["part"] for variant in ("compose", "one-machine")
             for each in read(RULES.parent / "targets" / variant / "monitoring.yml")}
    text = (RULES / "monitoring.yml").read_text("utf-8")
    asked = set(re.findall(r'part!?="(\w+)"|part "(\w+)"', text))
    assert {a or b for a, b in asked} == {"alertmanager", "grafana", "prometheus"} == parts


# ---------------------------------------------------------------- promtool


def promtool(*words: object) -> subprocess.CompletedProcess[str]:
    program = servers.program("promtool", "promtool")
    return subprocess.run([program, *map(str, words)], capture_output=True, text=True)


@pytest.mark.promtool
def test_promtool_takes_every_rule() -> None:
    done = promtool("check", "rules", *sorted(RULES.glob("*.yml")))
    assert done.returncode == 0 and done.stdout.count("SUCCESS") == len(list(RULES.glob("*.yml"))), done.stdout


@pytest.mark.promtool
@pytest.mark.parametrize("path", sorted(TESTS.glob("*.test.yml")), ids=lambda path: path.name)
def test_the_unit_tests_of_the_rules_pass(path: Path) -> None:
    done = promtool("test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


def fires(group: dict[str, Any], alert: Alert) -> bool:
    return any(each["alertname"] == alert.name
               and alert.rule["labels"]["severity"] in (one["exp_labels"]["severity"] for one in each["exp_alerts"])
               for each in group.get("alert_rule_test", ()) if each.get("exp_alerts"))


def quiet(group: dict[str, Any], alert: Alert) -> bool:
    """An expectation of no such alert in this group."""
    rows = (each for each in group.get("promql_expr_test", ()) if not each.get("exp_samples"))
    return any(each["alertname"] == alert.name and not each.get("exp_alerts")
               for each in group.get("alert_rule_test", ())) or any(
        re.search(rf"\b{alert.name}\b", each["expr"]) for each in rows)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.key)
def test_an_alert_has_tests_that_fire_and_tests_that_do_not(alert: Alert) -> None:
    firing = [group for group in UNIT if fires(group, alert)]
    assert firing and all(fired["exp_annotations"].keys() == ANNOTATIONS for group in firing
                          for each in group["alert_rule_test"] for fired in each.get("exp_alerts") or ())
    assert any(quiet(group, alert) for group in UNIT), "not too early, or over, or its benign twin"


def concerns(group: dict[str, Any], alert: Alert) -> bool:
    tests = (*group.get("alert_rule_test", ()), *group.get("promql_expr_test", ()))
    return any(alert.name in (each.get("alertname") or each["expr"]) for each in tests)


# ---------------------------------------------------------------- mutation

COMPARED = re.compile(r"(==|>=|<=|>|<)\s*(\d+(?:\.\d+)?)(?![\w.])")
UNITS = {"m": 60, "h": 3600, "s": 1}


def mutants(alert: Alert) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rule with one threshold doubled or halved (0: out of reach), or one duration."""
    text = alert.rule["expr"]
    for found in COMPARED.finditer(text):
        value = float(found[2])
        for other in (value * 2, value / 2) if value else (1e9,) if found[1] != "==" else (7,):
            changed = f"{text[:found.start(2)]}{other:.10g}{text[found.end(2):]}"
            yield f"{found[0]} to {other:g}", {**alert.rule, "expr": changed}
    if "for" in alert.rule:
        seconds = int(alert.rule["for"][:-1]) * UNITS[alert.rule["for"][-1]]
        for other in (seconds * 2, seconds // 2):
            yield f"for {other} s", {**alert.rule, "for": f"{other}s"}


def crossed(name: str, changes: Sequence[tuple[Alert, dict[str, Any]]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Files for promtool: the rules of this alert once per change, as NAME__0, NAME__1, ..., and its tests for each."""
    own = [each for each in ALERTS if each.name == name]
    group = next(each for each in WHOLE[own[0].file]["groups"] if each["name"] == own[0].group)
    rules = [each for each in group["rules"] if "record" in each]
    for number, (changed, rule) in enumerate(changes):
        rules += [{**(rule if each is changed else each.rule), "alert": f"{name}__{number}"} for each in own]
    yield own[0].file, {"groups": [{**group, "rules": rules}]}
    for file, whole in WHOLE.items():
        if tests := [multiplied(test, name, len(changes)) for test in whole.get("tests", ()) if concerns(test, own[0])]:
            yield file, {**whole, "rule_files": [own[0].file], "tests": tests}


def multiplied(test: dict[str, Any], name: str, count: int) -> dict[str, Any]:
    """A group of unit tests, what it says of this alert said of each of its variants."""
    kinds = {kind: [each for each in test.get(kind, ()) if name in (each.get("alertname") or each["expr"])]
             for kind in ("alert_rule_test", "promql_expr_test")}
    return {**test, **{kind: [renamed(each, name, number) for each in rows for number in range(count)]
                       for kind, rows in kinds.items()}}


def renamed(row: dict[str, Any], name: str, number: int) -> dict[str, Any]:
    urls = re.sub(rf"\b{name}\b(?<!/runbooks/{name})", f"{name}__{number}", json.dumps(row))
    return dict(json.loads(urls))


@pytest.mark.promtool
@pytest.mark.fault                                      # 20 s of a processor: what the gate runs
def test_a_changed_threshold_or_duration_fails_a_unit_test_and_the_unchanged_rule_none(tmp_path: Path) -> None:
    changes = {name: [(alert, "as it is", alert.rule) for alert in ALERTS if alert.name == name][:1] +
               [(alert, *each) for alert in ALERTS if alert.name == name for each in mutants(alert)]
               for name in CONTRACT}
    files = []
    for name, made in changes.items():
        (tmp_path / name).mkdir()
        for file, content in crossed(name, [(alert, rule) for alert, _, rule in made]):
            (tmp_path / name / file).write_text(json.dumps(content), "utf-8")
            files += [tmp_path / name / file] if file.endswith(".test.yml") else []
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda part: promtool("test", "rules", *part), (files[::2], files[1::2])))
    said = "".join(each.stdout + each.stderr for each in done)
    assert said.count("Unit Testing:") == len(files)
    dead = set(re.findall(r"\b(Wenxun\w+?)__(\d+)\b", said))
    alive = [f"{alert.key}: {what}" for name, made in changes.items() for number, (alert, what, _) in enumerate(made)
             if (name, str(number)) not in dead]
    assert sum(map(len, changes.values())) > 150
    assert alive == [f"{made[0][0].key}: as it is" for made in changes.values()], said[:3000]
