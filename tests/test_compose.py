"""docker-compose.yml, the Dockerfile and what they mount, read as data: they cannot be run where these tests run."""

from __future__ import annotations

import json
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from agents.addresses import Allow
from agents.demo.scenario import load
from agents.runtime import ALL
from agents.settings import TABLE, Settings

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docker-compose.yml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ROLES = {name: service for name, service in SERVICES.items() if name in ALL}
OURS = {**ROLES, "topics": SERVICES["topics"]}
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")
WRITABLE = {"kafka"}
"""Whose image writes its own configuration when it starts."""
VARIABLE = re.compile(r"\$\{(\w+)(?::?-([^}]*))?\}")
KNOWN = {each.name for each in TABLE}


def env_file(path: str) -> dict[str, str]:
    lines = (ROOT / path).read_text("utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def filled(text: str, given: dict[str, str]) -> str:
    """As Compose fills in variables: the given value if it is not empty, else the default."""
    return VARIABLE.sub(lambda found: given.get(found[1]) or found[2] or "", text)


def mounts(service: dict[str, Any], given: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Target -> source and mode of a service's volumes."""
    parts = [filled(volume, given).split(":") for volume in service.get("volumes", [])]
    return {part[1]: (part[0], part[2] if len(part) > 2 else "rw") for part in parts}


# ---------------------------------------------------------------- the whole file


def test_it_fits_the_compose_specification() -> None:
    schema = json.loads((ROOT / "tests/data/schemas/compose-spec.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    assert [f"{list(error.path)}: {error.message}" for error in validator.iter_errors(COMPOSE)] == []
    wrong = yaml.safe_load(TEXT)
    wrong["services"]["desk"]["healthchek"] = {}
    assert list(validator.iter_errors(wrong))


def test_every_role_is_a_service_of_its_own() -> None:
    assert set(ROLES) == set(ALL)
    assert all(service["command"] == ["run", "--roles", name] for name, service in ROLES.items())


@pytest.mark.parametrize("name", SERVICES, ids="service-{}".format)
def test_every_service_is_pinned_limited_confined_and_restarted(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+(\.\d+)?[\w.-]*", filled(service["image"], env_file(".env.example")))
    assert service["mem_limit"] and service["cpus"] and service["pids_limit"]
    assert service["cap_drop"] == ["ALL"] and "no-new-privileges:true" in service["security_opt"]
    assert service.get("read_only") is (None if name in WRITABLE else True)
    assert service["restart"] == ("no" if name == "topics" else "unless-stopped")
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"} & set(service)


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"topics"}), ids="service-{}".format)
def test_every_service_that_stays_is_watched(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL") and check["start_period"] and check["retries"]
    if name in ROLES:
        assert "8001/readyz" in check["test"][-1]


def test_nobody_is_root() -> None:
    assert re.search(r"^USER 10001:10001$", DOCKERFILE, re.M)
    for name, service in SERVICES.items():
        if "build" in service:
            assert "user" not in service
        else:
            assert re.fullmatch(r"[1-9]\d*:\d+", service["user"]), name


def test_every_wait_is_for_a_service_that_can_reach_that_state() -> None:
    for service in SERVICES.values():
        for other, how in service.get("depends_on", {}).items():
            once = other == "topics"
            assert how["condition"] == ("service_completed_successfully" if once else "service_healthy")
            assert how.get("required", True) or SERVICES[other]["profiles"]
    assert all({"kafka", "topics"} <= set(service["depends_on"]) for service in ROLES.values())


# ---------------------------------------------------------------- networks and ports


def test_nothing_listens_beyond_loopback() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(ports) == {"desk", "prometheus", "alertmanager", "grafana", "demo-feeds"}
    assert all(port.startswith("127.0.0.1:") for each in ports.values() for port in each)


def test_only_who_has_business_outside_gets_there() -> None:
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    outside = {name for name, service in SERVICES.items() if "outside" in service["networks"]}
    assert outside == {"collect", "deliver", "desk", "prometheus", "alertmanager", "grafana", "demo-feeds"}
    assert all("inside" in service["networks"] for service in SERVICES.values())


def test_addresses_inside_are_those_of_services() -> None:
    kafka = SERVICES["kafka"]["environment"]
    for service in OURS.values():
        assert service["environment"]["KAFKA_BOOTSTRAP_SERVERS"] in kafka["KAFKA_ADVERTISED_LISTENERS"]
        if url := service["environment"].get("WENXUN_DATABASE_URL"):
            assert re.fullmatch(r"postgresql://wenxun@postgres:5432/wenxun", url)
    assert SERVICES["postgres"]["environment"]["POSTGRES_DB"] == "wenxun"


# ---------------------------------------------------------------- data, settings, secrets


def test_what_must_last_lies_on_volumes() -> None:
    kept = {name: mounts(service, env_file(".env.example")) for name, service in SERVICES.items()}
    assert kept["kafka"][SERVICES["kafka"]["environment"]["KAFKA_LOG_DIRS"]][0] == "kafka-data"
    assert SERVICES["postgres"]["environment"]["PGDATA"].startswith("/var/lib/postgresql/data/")
    assert kept["postgres"]["/var/lib/postgresql/data"][0] == "postgres-data"
    assert "--storage.tsdb.path=/prometheus" in SERVICES["prometheus"]["command"]
    assert "--storage.path=/alertmanager" in SERVICES["alertmanager"]["command"]
    assert (kept["prometheus"]["/prometheus"][0], kept["alertmanager"]["/alertmanager"][0],
            kept["grafana"]["/var/lib/grafana"][0]) == ("prometheus-data", "alertmanager-data", "grafana-data")
    assert all(kept[name]["/data"][0] == "wenxun-data" for name in ROLES)
    named = {source for each in kept.values() for source, _ in each.values() if source[0] != "."}
    assert named == set(COMPOSE["volumes"])


@pytest.mark.parametrize("extra", [{}, env_file("deploy/demo/compose.env")], ids=["plain", "demo"])
def test_every_mounted_file_exists_and_is_read_only(extra: dict[str, str]) -> None:
    given = {**env_file(".env.example"), **extra}
    found = [(source, mode) for service in SERVICES.values() for source, mode in mounts(service, given).values()
             if source.startswith(".")]
    assert found and all((ROOT / source).exists() and mode == "ro" for source, mode in found)


@pytest.mark.parametrize("name", OURS, ids="service-{}".format)
@pytest.mark.parametrize("extra", [{}, env_file("deploy/demo/compose.env")], ids=["plain", "demo"])
def test_its_environment_is_one_that_the_settings_know_and_take(name: str, extra: dict[str, str]) -> None:
    service = OURS[name]
    given = {**env_file(".env.example"), **extra}
    environ = {key: filled(value, given) for key, value in service["environment"].items()}
    assert set(environ) <= KNOWN and "POD_NAME" not in environ      # two of a scaled service would share it
    settings = Settings.from_env(environ)
    assert settings.grace_seconds < int(service["stop_grace_period"].removesuffix("s"))
    assert settings.create_topics is (name == "topics")
    for key, value in environ.items():
        if key.endswith("PASSWORD_FILE"):
            assert value.removeprefix("/run/secrets/") in service["secrets"]
    Allow.parse(settings.allow_private)


def test_whoever_uses_the_store_has_its_password_and_waits_for_it() -> None:
    for name in ("archive", "desk", "deliver", "rules"):
        assert "postgres" in ROLES[name]["depends_on"] and "WENXUN_DATABASE_URL" in ROLES[name]["environment"]
        assert "postgres_password" in ROLES[name]["secrets"]
    assert "admin_password" in ROLES["archive"]["secrets"]           # it makes the first account


def test_deliver_and_desk_have_one_link_key_and_the_desk_answers_to_its_name() -> None:
    keys = {ROLES[name]["environment"]["WENXUN_LINK_KEY_FILE"] for name in ("deliver", "desk")}
    assert keys == {"/data/link.key"}
    assert Settings.from_env({"WENXUN_DESK_HOSTS": ROLES["desk"]["environment"]["WENXUN_DESK_HOSTS"]}).desk_hosts == (
        "desk",)


def test_every_variable_is_explained_and_has_a_default() -> None:
    used = {found[0]: found for found in VARIABLE.finditer(TEXT)}
    assert {found[1] for found in used.values()} == set(env_file(".env.example"))
    assert all(found[2] is not None for found in used.values())
    assert {name for name in env_file(".env.example") if name.startswith("WENXUN_")} <= KNOWN | {
        "WENXUN_RULES", "WENXUN_IMAGE", "WENXUN_DESK_PORT"}
    for name, (default, value) in {found[1]: (found[2], env_file(".env.example")[found[1]]) for found in used.values()
                                   }.items():
        assert value == default, name


def test_secrets_are_files_that_the_script_makes(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    made = subprocess.run([ROOT / "deploy/secrets.sh", folder], check=True, capture_output=True, text=True)
    files = {path.name: path.read_text() for path in folder.iterdir()}
    assert {name: f"./deploy/secrets/{name}" for name in files} == {
        name: each["file"] for name, each in COMPOSE["secrets"].items()}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700 and len(set(files.values())) == len(files)
    assert all(len(text) == 48 and text not in made.stdout for text in files.values())
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o444}
    subprocess.run([ROOT / "deploy/secrets.sh", folder], check=True, capture_output=True)
    assert {path.name: path.read_text() for path in folder.iterdir()} == files


def test_no_secret_is_in_an_environment_or_in_version_control() -> None:
    for service in SERVICES.values():
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
        for key, value in service.get("environment", {}).items():
            if re.search("password|secret|token|key", key.lower()):
                assert value.startswith(("/run/secrets/", "/data/")), key
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"/deploy/secrets/", "/.env", "/k8s-secrets/", "/wenxun-stack/"} <= set(ignored)
    assert {"deploy/secrets", ".env", "k8s-secrets", "wenxun-stack"} <= set(
        (ROOT / ".dockerignore").read_text().splitlines())


# ---------------------------------------------------------------- the demo's profile


def test_the_demo_is_a_profile_that_needs_no_edit() -> None:
    feeds = SERVICES["demo-feeds"]
    assert {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service} == {
        "demo-feeds": ["demo"]}
    given = env_file("deploy/demo/compose.env")
    written = mounts(feeds, given)["/rules"][0]
    assert {mounts(ROLES[name], given)["/rules"][0] for name in ("rules", "deliver")} == {written}
    ports = range(9100, 9100 + len(load().sites) + 1)
    assert given["WENXUN_FEED_ALLOW_PRIVATE_CIDRS"] == ",".join(f"demo-feeds:{port}" for port in ports)
    assert feeds["ports"] == [f"127.0.0.1:{ports[0]}-{ports[-1]}:{ports[0]}-{ports[-1]}"]
    assert set(given) <= set(env_file(".env.example"))
    folder = feeds["command"][feeds["command"].index("--folder") + 1]
    assert f"COPY deploy/demo {folder}" in DOCKERFILE


# ---------------------------------------------------------------- the image


def test_the_image_is_locked_small_and_pinned() -> None:
    assert "--require-hashes -r requirements.lock" in DOCKERFILE and DOCKERFILE.count("\nFROM ") + 1 >= 2
    assert len(re.findall(r"^FROM python:3\.\d+\.\d+-slim-bookworm(?: AS build)?$", DOCKERFILE, re.M)) == 2
    last = DOCKERFILE[DOCKERFILE.rindex("\nFROM "):]
    assert "pip install" not in last and "apt-get" not in DOCKERFILE
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.M):
        for path in source.split():
            assert (ROOT / path).exists(), path


def test_the_image_carries_the_postgresql_driver() -> None:
    assert re.search(r"^psycopg(\[\w+\])?==", (ROOT / "requirements.lock").read_text(), re.M)


def test_the_images_folders_are_the_ones_compose_mounts() -> None:
    for name in ("WENXUN_DATA_DIR", "WENXUN_RULES_DIR"):
        value = ROLES["rules"]["environment"][name]
        assert f"{name}={value}" in DOCKERFILE and re.search(rf"install -d .* {value}\b", DOCKERFILE)
