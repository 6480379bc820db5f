"""Alertmanager's configuration: where alerts go, and which of them a cause mutes, asked of amtool and of a server."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from agents.runtime import ALL
from tests import servers
from tests.agents.test_alertmanager_real import alertmanager, known, until
from tests.deploy.test_alert_rules import ALERTS

FOLDER = Path(__file__).parent.parent.parent / "deploy" / "alertmanager"
FILES = sorted(FOLDER.glob("*.yml"))
CONFIG: dict[str, Any] = yaml.safe_load((FOLDER / "alertmanager.yml").read_text("utf-8"))
SEVERITIES = {each.name: {one.rule["labels"]["severity"] for one in ALERTS if one.name == each.name} for each in ALERTS}

def labels(text: str) -> dict[str, str]:
    """`Name severity label=value …`"""
    name, severity, *more = text.split()
    return {"alertname": name, "severity": severity, **dict(each.split("=") for each in more)}


MUTED = [
    ("WenxunBrokerAway page", "WenxunRoleBehind page role=score"),
    ("WenxunBrokerAway page", "WenxunHeartbeatGone page"),
    ("WenxunRoleDown page role=score", "WenxunRoleBehind page role=score"),
    ("WenxunRoleDown page role=track", "WenxunRoleNotReady page role=track"),
    ("WenxunRoleMissing page role=archive", "WenxunArchiveBehind page role=archive"),
    ("WenxunStoreAway page role=archive", "WenxunArchiveBehind page role=archive"),
    ("WenxunDeliveryLate page", "WenxunDeliveryLate warning"),
    ("WenxunChannelBroken page", "WenxunChannelBroken warning channel=mail"),
    ("WenxunDiskFull page job=wenxun", "WenxunDiskFilling warning job=wenxun"),
    ("WenxunSourcesBlind page", "WenxunNoItems page"),
]
HEARD = [
    ("WenxunRoleDown page role=score", "WenxunRoleBehind page role=track"),
    ("WenxunRoleDown warning role=score", "WenxunRoleBehind page role=score"),
    ("WenxunBrokerAway page", "WenxunRoleDown page role=score"),
    ("WenxunBrokerAway page", "WenxunStoreAway page role=desk"),
    ("WenxunDeliveryFailing page channel=wecom", "WenxunDeliveryFailing warning channel=smtp"),
    ("WenxunChannelBroken warning channel=mail", "WenxunDeliveryLate page"),
    ("WenxunRoleDown page role=desk", "WenxunResponseClockOverdue warning clock=answer"),
]


def test_what_mutes_and_what_is_muted_are_alerts_of_ours_and_of_severities_that_they_have() -> None:
    assert len(CONFIG["inhibit_rules"]) > 5
    for rule in CONFIG["inhibit_rules"]:
        for side in ("source_matchers", "target_matchers"):
            text = " ".join(rule[side])
            names, severity = set(re.findall(r"Wenxun\w+", text)), re.search(r'severity="(\w+)"', text)
            assert names <= set(SEVERITIES)
            assert all(severity is None or severity[1] in SEVERITIES[name] for name in names), text


def test_nothing_mutes_what_mutes_it() -> None:
    pairs = [(set(re.findall(r"Wenxun\w+", str(rule["source_matchers"]))),
              set(re.findall(r"Wenxun\w+", str(rule["target_matchers"])))) for rule in CONFIG["inhibit_rules"]]
    edges = {(cause, effect) for causes, effects in pairs for cause in causes for effect in effects if cause != effect}
    assert not {(effect, cause) for cause, effect in edges} & edges


@pytest.mark.alertmanager
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
@pytest.mark.parametrize(("about", "receivers"), [
    ("alertname=WenxunRoleDown severity=page role=score", "outside,wenxun"),
    ("alertname=WenxunRoleRestarted severity=warning role=score", "wenxun"),
    ("alertname=WenxunResponseClockOverdue severity=warning clock=answer", "wenxun"),
    ("alertname=NodeOutOfInodes severity=critical", "wenxun")])
def test_amtool_sends_an_alert_where_it_belongs(path: Path, about: str, receivers: str) -> None:
    tool = servers.program("amtool", "alertmanager")
    done = subprocess.run([tool, "config", "routes", "test", f"--config.file={path}",
                           f"--verify.receivers={receivers}", *about.split()], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip() == receivers, done.stdout + done.stderr


def test_a_group_is_one_alert_of_one_role_and_a_clock_is_told_once_a_day() -> None:
    route = CONFIG["route"]
    assert route["group_by"] == ["alertname", "role"] and route["receiver"] == "wenxun"
    clock = next(each for each in route["routes"] if "ResponseClock" in str(each["matchers"]))
    assert clock["repeat_interval"] == "1d" and not clock.get("continue")
    assert [each["name"] for each in CONFIG["receivers"]] == ["wenxun", "outside"]
    assert len(ALL) < CONFIG["receivers"][0]["webhook_configs"][0]["max_alerts"]


@pytest.mark.alertmanager
async def test_a_cause_mutes_what_follows_from_it_and_nothing_else(tmp_path: Path,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules of the shipped file in a real server, which sends nothing: each pair with a label of its own."""
    rules = [{**rule, "equal": [*rule.get("equal", ()), "pair"]} for rule in CONFIG["inhibit_rules"]]
    write = Path.write_text

    def with_rules(path: Path, text: str, *more: Any) -> int:
        return write(path, text + yaml.safe_dump({"inhibit_rules": rules}) if path.suffix == ".yml" else text, *more)

    monkeypatch.setattr(Path, "write_text", with_rules)
    pairs = [(True, *pair) for pair in MUTED] + [(False, *pair) for pair in HEARD]
    posted = [{"labels": {**labels(about), "pair": str(number), "side": side}}
              for number, (_, cause, effect) in enumerate(pairs)
              for side, about in (("cause", cause), ("effect", effect))]
    async with alertmanager(tmp_path) as base, httpx.AsyncClient(trust_env=False) as client:
        (await client.post(f"{base}/api/v2/alerts", json=posted)).raise_for_status()

        async def all_known() -> bool:
            return len(await known(base)) == len(posted)

        await until(all_known)
        found = {(each["labels"]["pair"], each["labels"]["side"]): bool(each["status"]["inhibitedBy"])
                 for each in await known(base)}
    said = [(pairs[int(number)], muted)
            for (number, side), muted in found.items() if side == "effect" and muted != pairs[int(number)][0]]
    assert said == []
    assert not any(muted for (_, side), muted in found.items() if side == "cause")
