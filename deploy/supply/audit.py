#!/usr/bin/env python3
"""Known weaknesses of what requirements.lock pins, by pip-audit; and whether anything was asked at all.

    python -m deploy.supply.audit             # `make audit`

A silent service looks like a clean lock: pip-audit leaves out what its service does not know and ends with 0. So a
release that has been known to be weak for years is asked for first (the canary), of each service in turn. Only one that
knows it is believed.

Exit status: 0 nothing known; 1 weaknesses, listed; 75 not reached: no service answered, which is no result.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from deploy.supply import locked

SERVICES = ("pypi", "osv")
CANARY = "pyyaml==5.3.1"
"""CVE-2020-14343, published in 2021."""
NOT_REACHED = 75
WAIT = 600
Report = list[dict[str, Any]]
Ask = Callable[[str, Path, list[str]], Report | str]


def ask(service: str, requirements: Path, options: list[str]) -> Report | str:
    """pip-audit's report, or why there is none."""
    command = [sys.executable, "-m", "pip_audit", "-r", str(requirements), "--disable-pip", "--format", "json",
               "--progress-spinner", "off", "--vulnerability-service", service, "--timeout", "15", *options]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT)  # noqa: S603 - our own arguments
    except subprocess.TimeoutExpired:
        return f"no answer within {WAIT} s"
    try:
        return list(json.loads(done.stdout)["dependencies"])
    except (ValueError, KeyError, TypeError):
        return (done.stderr.strip().splitlines() or [f"status {done.returncode}, no report"])[-1][:300]


def weak(report: Report) -> list[str]:
    return [f"{each['name']} {each['version']}: {one['id']}" + _mended(one)
            for each in report for one in each.get("vulns", [])]


def _mended(one: dict[str, Any]) -> str:
    versions = one.get("fix_versions") or []
    return f", mended in {', '.join(versions)}" if versions else ", not mended yet"


def unknown(report: Report) -> list[str]:
    return [f"{each['name']}: {each['skip_reason']}" for each in report if "skip_reason" in each]


def knows(service: str, answer: Ask) -> str:
    """Empty if the service tells of the canary, else what it did instead."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "canary.txt"
        path.write_text(f"{CANARY}\n", "utf-8")
        report = answer(service, path, ["--no-deps"])
    if isinstance(report, str):
        return report
    return "" if weak(report) else f"it does not know that {CANARY} is weak"


def audit(answer: Ask = ask, lock: Path = locked.RUNTIME) -> int:
    for service in SERVICES:
        silent = knows(service, answer)
        if silent:
            print(f"audit: {service}: not reached: {silent}")
            continue
        report = answer(service, lock, ["--require-hashes"])
        if isinstance(report, str):
            print(f"audit: {service}: not reached: {report}")
            continue
        return _told(service, report, [each.name for each in locked.read(lock) if each.here])
    print(f"audit: NOT REACHED: nobody was asked about {lock.name}, so this says nothing about it")
    return NOT_REACHED


def _told(service: str, report: Report, wanted: list[str]) -> int:
    """A distribution that the report leaves out was not audited, whatever became of the rest."""
    left_out = unknown(report) + [f"{name}: not in the report" for name in wanted
                                  if name not in {str(each["name"]).lower() for each in report}]
    for line in (found := weak(report)):
        print(f"audit: {line}")
    for line in left_out:
        print(f"audit: not audited: {line}")
    print(f"audit: {service}: {len(report)} distributions, {len(found)} weaknesses, {len(left_out)} not audited")
    return 1 if found else NOT_REACHED if left_out else 0


if __name__ == "__main__":
    sys.exit(audit())
