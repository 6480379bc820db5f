"""docker-compose.yml and the Dockerfile, read as data: they cannot be run where these tests run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from agents.settings import TABLE, Settings

ROOT = Path(__file__).parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES = COMPOSE["services"]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")


@pytest.mark.parametrize("name", SERVICES, ids="service-{}".format)
def test_every_service_is_pinned_watched_limited_and_restarted(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[\w./-]+:\d+\.\d+(\.\d+)?[\w.-]*", service["image"])
    assert service["healthcheck"]["test"] and service["mem_limit"] and service["restart"] == "unless-stopped"


def test_nothing_listens_beyond_loopback() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports and all(port.startswith("127.0.0.1:") for port in ports)


def test_what_must_last_lies_on_volumes() -> None:
    mounts = {name: [mount.split(":")[1] for mount in service["volumes"]] for name, service in SERVICES.items()}
    assert SERVICES["kafka"]["environment"]["KAFKA_LOG_DIRS"] in mounts["kafka"]
    assert SERVICES["wenxun"]["environment"]["WENXUN_DATA_DIR"] in mounts["wenxun"]
    named = {mount.split(":")[0] for service in SERVICES.values() for mount in service["volumes"] if mount[0] != "."}
    assert named == set(COMPOSE["volumes"])


def test_the_roles_wait_for_a_healthy_broker_and_know_its_address() -> None:
    wenxun = SERVICES["wenxun"]
    assert wenxun["depends_on"]["kafka"]["condition"] == "service_healthy"
    assert wenxun["environment"]["KAFKA_BOOTSTRAP_SERVERS"] in SERVICES["kafka"]["environment"][
        "KAFKA_ADVERTISED_LISTENERS"]


def test_its_environment_is_one_that_the_settings_know_and_take() -> None:
    environ = SERVICES["wenxun"]["environment"]
    assert set(environ) <= {each.name for each in TABLE}
    plain = {name: "" if str(value).startswith("${") else str(value) for name, value in environ.items()}
    assert Settings.from_env(plain).grace_seconds < int(SERVICES["wenxun"]["stop_grace_period"].removesuffix("s"))


def test_secrets_are_files_and_in_no_environment() -> None:
    text = (ROOT / "docker-compose.yml").read_text("utf-8").lower()
    assert "password:" not in text.replace("admin_password:", "") and COMPOSE["secrets"]["admin_password"]["file"]


def test_the_image_is_locked_small_and_runs_as_nobody_special() -> None:
    assert "--require-hashes -r requirements.lock" in DOCKERFILE and re.search(r"^USER wenxun$", DOCKERFILE, re.M)
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.M):
        for path in source.split():
            assert (ROOT / path).exists(), path


def test_the_images_folder_of_rules_and_data_are_the_ones_compose_mounts() -> None:
    for name in ("WENXUN_DATA_DIR", "WENXUN_RULES_DIR"):
        assert f"{name}={SERVICES['wenxun']['environment'][name]}" in DOCKERFILE
