"""The whole topology runs: every target is scraped, every rule is loaded, metrics are clean, the demo's day pages."""

from __future__ import annotations

import json
import stat
import subprocess
from pathlib import Path

import pytest

from agents.runtime import ALL
from deploy.stack import layout
from tests import servers
from tests.stack.installation import ROOT, RUN, Installation, get

pytestmark = pytest.mark.stack


def test_every_process_is_ready_and_status_says_where_everything_is(stack: Installation) -> None:
    stack.until(lambda: not any(each["missing"] for each in stack.processes().values()), "all ready")
    said = stack.run("status", code=None)               # a busy machine may have one answer late just now
    found = json.loads(stack.run("status", "--json"))["processes"]
    assert set(found) == set(layout.NAMES)
    assert len({each["pid"] for each in found.values()}) == len(layout.NAMES), "each is a process of its own"
    for address in (stack.state["desk"], stack.state["prometheus"], stack.state["alertmanager"], stack.state["phone"],
                    stack.state["admin_password_file"], "Grafana"):
        assert address in said
    assert get(stack.state["desk"] + "/login").status_code == 200


def test_every_target_is_up_and_each_role_is_one(stack: Installation) -> None:
    def targets() -> dict[str, str]:
        found = get(f"{stack.state['prometheus']}/api/v1/targets").json()["data"]["activeTargets"]
        return {each["labels"].get("role") or each["labels"]["part"]: each["health"] for each in found}

    assert set(targets()) == {*ALL, "prometheus", "alertmanager"}
    stack.until(lambda: set(targets().values()) == {"up"}, "all targets up")


def test_every_rule_file_is_loaded_and_every_rule_can_be_worked_out(stack: Installation) -> None:
    def groups() -> list[dict[str, object]]:
        return list(get(f"{stack.state['prometheus']}/api/v1/rules").json()["data"]["groups"])

    wanted = {path.name for path in (ROOT / "deploy/prometheus/rules").glob("*.yml")}
    assert {Path(str(group["file"])).name for group in groups()} == wanted and len(wanted) > 3
    stack.until(lambda: all(rule["health"] == "ok" for group in groups() for rule in group["rules"]),  # type: ignore
                "every rule evaluated")
    assert stack.query("prometheus_rule_evaluation_failures_total > 0") == []
    config = get(f"{stack.state['prometheus']}/api/v1/status/config").json()["data"]["yaml"]
    assert f"desk: {stack.state['desk']}\n" in config, "links of alerts lead to this desk"


@pytest.mark.parametrize("role", ALL)
def test_promtool_finds_nothing_wrong_with_a_live_scrape(stack: Installation, role: str) -> None:
    scrape = get(stack.state["roles"][role]).text
    assert f'wenxun_role_info{{role="{role}"}} 1.0' in scrape
    done = subprocess.run([servers.program("promtool", "stack"), "check", "metrics"], input=scrape,
                          capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_demos_day_ends_in_a_page_that_is_delivered(told: Installation) -> None:
    pages = [each for each in told.messages() if each["level"] == "重大"]
    assert {each["person"] for each in pages} & {"duty", "chief"}
    listed = told.wenxun("event", "list", "--all")
    assert "重大" in listed
    assert told.query('wenxun_deliveries_total{outcome="accepted"} > 0') or told.query("wenxun_deliveries_total > 0")


def test_secrets_are_in_closed_files_and_in_no_command_line(stack: Installation) -> None:
    secrets = {path.name: path.read_text().strip() for path in stack.folder["secrets"].iterdir()}
    assert set(secrets) == {*layout.SECRETS, layout.ALERT_TOKEN} and all(len(text) > 20 for text in secrets.values())
    closed = [*stack.folder["secrets"].iterdir(), *(stack.folder.config / "programs").iterdir(), stack.folder.state]
    assert [path for path in closed if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
    assert stat.S_IMODE(stack.folder.run.stat().st_mode) == 0o700
    lines = b"\n".join(path.read_bytes() for each in stack.processes().values()
                       for path in [Path("/proc", str(each["pid"]), "cmdline")])
    shown = lines.decode() + stack.run("status") + stack.logs() + json.dumps(stack.state)
    assert [name for name, text in secrets.items() if text in shown] == []


def test_everything_listens_on_this_machine_only(stack: Installation) -> None:
    pids = {each["pid"] for each in stack.processes().values()}
    inodes = {link.readlink().name for pid in pids for link in Path(f"/proc/{pid}/fd").iterdir()
              if str(link.readlink()).startswith("socket:")} if pids else set()
    local = {"0100007F", "0000000000000000FFFF00000100007F"}
    heard = []
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in inodes:
                heard.append(words[1].split(":")[0])
    assert len(heard) >= len(pids) and set(heard) <= local


def test_started_twice_is_the_same_stack_and_other_options_are_refused(stack: Installation) -> None:
    before = {name: each["pid"] for name, each in stack.processes().items()}
    stack.run("stop", "alertmanager")
    assert stack.processes()["alertmanager"]["missing"] == "已停下"
    assert "启动 alertmanager" in stack.start(), "what is missing is started, and only that"
    after = {name: each["pid"] for name, each in stack.processes().items()}
    assert after.pop("alertmanager") not in (0, before.pop("alertmanager")) and after == before
    assert "已在运行" in stack.run("start", "--no-feeds", code=2)
    assert RUN.stat().st_mode & 0o111
