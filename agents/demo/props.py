"""What a run of the demo needs before it starts: folder, ports, rules, secrets, clock and the child's settings."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agents.clock import Clock
from agents.demo.book import write_rules
from agents.demo.phone import Phone
from agents.demo.scenario import Scenario
from agents.demo.sites import base_url
from agents.demo.web import HOST, listen, port_of, reserve
from agents.embedded import PARTITIONS
from agents.settings import Settings
from pipeline.model import Millis
from pipeline.rulebook.schema import HOUR, RuleBook

DAY_SECONDS = 120.0
EXTRA_TIME: Millis = 5 * HOUR
"""Of the demo's time after its day: late steps of a slow machine still count. Then the clock runs at real speed."""
LEAST_POLL_SECONDS = 0.5
TICK_SECONDS = 0.25
"""Real time. Each is a record on every partition, which the archive has to read too: the desk is to keep up."""
GRACE_SECONDS = 15
DESK_PORT, METRICS_PORT, PHONE_PORT = 8000, 8001, 8010
"""Used when they are free."""


@dataclass(frozen=True, slots=True)
class Props:
    """factor: milliseconds of the demo per real one. Sockets listen already; `held` keeps the child's ports for it."""

    scenario: Scenario
    folder: Path
    clock: Clock
    factor: float
    sites: Mapping[str, socket.socket]
    phone_socket: socket.socket
    held: tuple[socket.socket, ...]
    phone: Phone
    book: RuleBook
    settings: Settings

    @property
    def ports(self) -> dict[str, int]:
        return {name: port_of(sock) for name, sock in self.sites.items()}

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        return (*self.sites.values(), self.phone_socket, *self.held)

    @property
    def desk_url(self) -> str:
        return self.settings.external_url

    @property
    def phone_url(self) -> str:
        return base_url(port_of(self.phone_socket))


def prepare(scenario: Scenario, folder: Path, broker: str, speed: float, environ: Mapping[str, str]) -> Props:
    """Everything in `folder`, which exists. Errors are those of the rule files and of the settings."""
    factor = (scenario.closes - scenario.opens) / 1000 / DAY_SECONDS * speed
    clock = Clock(scenario.opens, 0, factor, scenario.closes + EXTRA_TIME, str(folder / "clock"))
    sites = {site.id: listen() for site in scenario.sites}
    ports = {name: port_of(sock) for name, sock in sites.items()}
    phone_socket = reserve(PHONE_PORT)
    phone_socket.listen(128)
    held = reserve(DESK_PORT), reserve(METRICS_PORT)
    key = secrets.token_urlsafe(24)
    minutes = max(4, round(LEAST_POLL_SECONDS * factor / 60))
    book = write_rules(folder / "rules", scenario, ports, port_of(phone_socket), key, minutes)
    phone = Phone.of(book, key.encode(), clock.now)
    allowed = [*ports.values(), port_of(phone_socket)]
    settings = Settings.from_env(child_environ(environ, folder, broker, clock, allowed, *map(port_of, held)))
    return Props(scenario, folder, clock, factor, sites, phone_socket, held, phone, book, settings)


def child_environ(
    environ: Mapping[str, str], folder: Path, broker: str, clock: Clock, allowed: list[int], desk: int, metrics: int
) -> dict[str, str]:
    """What `wenxun up` would give its child, with the demo's clock and its own loopback ports; nothing of the
    visitor's own installation gets in."""
    kept = {name: value for name, value in environ.items() if not name.startswith(("WENXUN_", "KAFKA_", "POD_"))}
    return {
        **kept, "KAFKA_BOOTSTRAP_SERVERS": broker, "WENXUN_EMBEDDED": "1", "WENXUN_PARTITIONS": str(PARTITIONS),
        "WENXUN_CREATE_TOPICS": "false", "WENXUN_DATA_DIR": str(folder), "WENXUN_RULES_DIR": str(folder / "rules"),
        "WENXUN_TIMEZONE": "Asia/Shanghai", "WENXUN_DESK_BIND": f"{HOST}:{desk}",
        "WENXUN_METRICS_BIND": f"{HOST}:{metrics}", "WENXUN_EXTERNAL_URL": base_url(desk),
        "WENXUN_LINK_LOOPBACK": "true",
        "WENXUN_CONTACT": "demo@yunxi.example",
        "WENXUN_FEED_ALLOW_PRIVATE_CIDRS": ",".join(f"{HOST}:{port}" for port in allowed),
        "WENXUN_ADMIN_PASSWORD_FILE": str(folder / "admin-password"), "WENXUN_TICK_SECONDS": f"{TICK_SECONDS:g}",
        "WENXUN_GRACE_SECONDS": str(GRACE_SECONDS), "WENXUN_CLOCK": str(clock), "WENXUN_BANNER": "演示"}
