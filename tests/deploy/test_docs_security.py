"""docs/security.md: what a role is said to hold is mounted into it, and where it is said to go it may go."""

from __future__ import annotations

from tests.deploy import doc_kit
from tests.deploy.test_kubernetes import of, overlay, pods

PAGE = doc_kit.page(doc_kit.ROOT / "docs" / "security.md")
HELD = {"wenxun-database": "the database password", "wenxun-link-key": "the link key",
        "wenxun-channels": "channel secrets", "wenxun-admin": "the first administrator's password"}
TOGETHER = {"desk": {"desk", "rules"}}
"""Pods that run more than one role."""


def rows(heading: str) -> dict[str, list[str]]:
    """A table below a heading, by the roles in its first column."""
    part = PAGE.text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line.strip("|").split("|") for line in part.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line] for line in lines]
    return {role.strip(): row[1:] for row in cells[2:] for role in row[0].split(",")}


def test_a_role_holds_the_secrets_that_are_mounted_into_it() -> None:
    told = rows("What runs where")
    seen = set()
    for workload, pod, _ in pods(overlay("production")):
        roles = TOGETHER.get(workload, {workload})
        if not roles <= told.keys():
            continue
        seen |= roles
        mounted = {HELD[volume["secret"]["secretName"]] for volume in pod["volumes"] if "secret" in volume}
        held = " ".join(told[role][1] for role in roles)
        assert mounted == {words for words in HELD.values() if words in held}, workload
    assert seen == told.keys()


def test_only_those_who_are_said_to_reach_it_reach_the_database_and_the_web() -> None:
    told = rows("What runs where")
    policies = {each["metadata"]["name"]: each for each in of(overlay("production"), "NetworkPolicy")}
    database, web = (set(policies[which]["spec"]["podSelector"]["matchExpressions"][0]["values"])
                     for which in ("database", "public-web"))
    assert database == pods_of({role for role, row in told.items() if "database" in row[0]})
    assert web == pods_of({role for role, row in told.items() if "public web" in row[0] or "chat" in row[0]})


def pods_of(roles: set[str]) -> set[str]:
    return {next((pod for pod, several in TOGETHER.items() if role in several), role) for role in roles}
