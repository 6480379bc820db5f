"""A role that dies comes back and its rule fires; one that stays away is told to ops, until it is back."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

from agents.runtime import ALL
from tests.stack.installation import Installation, get
from tests.stack.quicker import expression
from tests.stack.runbooks import walk

pytestmark = pytest.mark.stack

RESTARTED = expression('count(changes(process_start_time_seconds{job="wenxun"}[15m]) > 0)')
QUIET = len(ALL) // 2 - 1
"""More processes than this that restarted within the window count as a new version, not as restarts."""


def settled(stack: Installation) -> bool:
    found = stack.query(RESTARTED)
    return not found or int(found[0]["value"][1]) < QUIET


@pytest.mark.parametrize("role", ALL)
def test_a_role_that_is_killed_is_started_again_and_the_rule_for_it_fires(told: Installation, role: str) -> None:
    stack = told
    stack.until(lambda: settled(stack), "earlier restarts out of the rule's window")
    before, killed = stack.processes()[role]["pid"], time.time()
    os.kill(before, signal.SIGKILL)
    stack.until(lambda: stack.processes()[role]["pid"] not in (0, before), f"{role} is started again")
    stack.until(lambda: stack.firing("WenxunRoleRestarted", since=killed, role=role), f"WenxunRoleRestarted for {role}")


def test_the_runbook_of_a_restart_can_be_walked_through_as_written(told: Installation) -> None:
    said = walk(told, "WenxunRoleRestarted", "score")
    assert "wenxun.runtime running: score" in said and 'role="score"' in said


def test_all_that_were_killed_work_again(told: Installation) -> None:
    told.until(lambda: not any(each["missing"] for each in told.processes().values()), "every process is ready")


def test_a_role_that_stays_away_is_told_to_ops_and_its_runbook_brings_it_back(told: Installation) -> None:
    stack = told
    stack.run("stop", "score")
    stack.until(lambda: stack.firing("WenxunRoleDown", role="score"), "WenxunRoleDown for score")

    def held() -> list[dict[str, Any]]:
        return [each for each in stack.held() if each["labels"]["alertname"] == "WenxunRoleDown"
                and each["labels"]["role"] == "score"]

    stack.until(held, "Alertmanager holds it")
    page = held()[0]["annotations"]["runbook_url"]
    assert page == f"{stack.state['desk']}/runbooks/WenxunRoleDown" and "进程没有应答" in get(page).text
    stack.until(lambda: [each for each in stack.messages() if each["person"] == "technician"
                         and "【系统】" in each["text"] and "进程没有应答：score" in each["text"]], "a notice to ops")
    said = walk(stack, "WenxunRoleDown", "score")
    assert "已停下" in said and "启动 score" in said
    stack.until(lambda: not stack.firing("WenxunRoleDown", role="score"), "WenxunRoleDown is over")
    stack.until(lambda: not held(), "Alertmanager holds it no more")


def test_every_role_that_is_away_has_its_own_alert(told: Installation) -> None:
    stack, others = told, sorted(set(ALL) - {"score"})
    stack.run("stop", *others)
    try:
        for role in others:
            stack.until(lambda role=role: stack.firing("WenxunRoleDown", role=role), f"WenxunRoleDown for {role}")
    finally:
        stack.run("start", *others)
    stack.until(lambda: not stack.firing("WenxunRoleDown"), "all alerts are over")
