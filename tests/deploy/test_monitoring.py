"""Prometheus' and Alertmanager's configuration, read by promtool and amtool, and against what it names."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from agents.desk import api
from agents.desk.guard import Hosts
from agents.runtime import ALL
from agents.settings import Settings
from agents.store import views
from tests import servers

ROOT = Path(__file__).parent.parent.parent
PROMETHEUS = ROOT / "deploy" / "prometheus"
ALERTMANAGER = ROOT / "deploy" / "alertmanager"
VARIANTS = ("compose", "one-machine")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


def targets(variant: str, name: str) -> dict[str, str]:
    """Target -> role or part."""
    found = read(PROMETHEUS / "targets" / variant / f"{name}.yml")
    return {target: next(iter(each.get("labels", {"": name}).values())) for each in found for target in each["targets"]}


@pytest.mark.promtool
@pytest.mark.parametrize("variant", VARIANTS)
def test_promtool_takes_the_configuration_with_its_targets_and_rules(variant: str, tmp_path: Path) -> None:
    program = servers.program("promtool", "promtool")
    shutil.copy(PROMETHEUS / "prometheus.yml", tmp_path)
    shutil.copytree(PROMETHEUS / "rules", tmp_path / "rules")
    shutil.copytree(PROMETHEUS / "targets" / variant, tmp_path / "targets")
    done = subprocess.run([program, "check", "config", tmp_path / "prometheus.yml"], capture_output=True, text=True)
    assert done.returncode == 0 and "not found" not in done.stdout + done.stderr, done.stdout + done.stderr
    wanted = {path.name for path in (tmp_path / "targets").iterdir()}
    assert wanted == {"roles.yml", "alertmanager.yml", "monitoring.yml"}


@pytest.mark.alertmanager
@pytest.mark.parametrize("name", ["alertmanager", "one-machine"], ids="file-{}".format)
def test_amtool_takes_the_configuration(name: str) -> None:
    program = servers.program("amtool", "alertmanager")
    done = subprocess.run([program, "check-config", ALERTMANAGER / f"{name}.yml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_role_is_scraped_once_under_its_name(variant: str) -> None:
    assert sorted(targets(variant, "roles").values()) == sorted(ALL)
    assert len(targets(variant, "roles")) == len(ALL)


def test_the_targets_of_compose_are_its_services_on_the_ports_that_they_have() -> None:
    for target, role in targets("compose", "roles").items():
        host, port = target.split(":")
        assert host == role and COMPOSE[host]["environment"]["WENXUN_METRICS_BIND"].endswith(f":{port}")
    hosts = {target.split(":")[0] for target in targets("compose", "monitoring")}
    assert hosts == {"localhost", "alertmanager", "grafana"}
    assert all("inside" in COMPOSE[name]["networks"] for name in ("prometheus", *ALL))


def test_the_targets_of_one_machine_are_the_ports_of_the_units() -> None:
    folder = ROOT / "deploy" / "systemd" / "roles"
    for target, role in targets("one-machine", "roles").items():
        assert (folder / f"{role}.env").read_text().strip() == f"WENXUN_METRICS_BIND={target}"


def test_both_variants_send_the_same_alerts_to_the_desks_own_api() -> None:
    here, there = read(ALERTMANAGER / "alertmanager.yml"), read(ALERTMANAGER / "one-machine.yml")
    hooks = [config["receivers"][0]["webhook_configs"][0] for config in (here, there)]
    assert {f"/api/v1{route.path}" for route in api.routes()} >= {"/api/v1/alertmanager"}
    assert [hook.pop("url") for hook in hooks] == [
        "http://desk:8000/api/v1/alertmanager", "http://127.0.0.1:8000/api/v1/alertmanager"]
    assert [hook["http_config"]["authorization"].pop("credentials_file") for hook in hooks] == [
        "/run/secrets/alertmanager_token", "/etc/wenxun/secrets/alertmanager_token"]
    assert here == there and here["route"]["receiver"] == here["receivers"][0]["name"]


def test_the_desk_of_compose_answers_to_the_name_that_alertmanager_calls() -> None:
    environ = COMPOSE["desk"]["environment"]
    settings = Settings.from_env({"WENXUN_DESK_HOSTS": environ["WENXUN_DESK_HOSTS"]})
    assert settings.desk_hosts == ("desk",) and environ["WENXUN_DESK_BIND"].endswith(":8000")
    assert "alertmanager_token" in COMPOSE["alertmanager"]["secrets"]


def test_the_desk_of_kubernetes_answers_to_the_name_that_is_told_to_alertmanager() -> None:
    environ = read(ROOT / "deploy/kubernetes/base/settings.yaml")["data"]
    hosts = Hosts(Settings.from_env({name: environ[name] for name in ("WENXUN_DESK_HOSTS", "WENXUN_DESK_BIND")}))
    for page in ("docs/install.md", "docs/zh/install.md"):
        told = re.findall(r"`http://(desk\.[\w.:-]+)/api/v1/alertmanager`", (ROOT / page).read_text("utf-8"))
        assert told and all(hosts.allows(name) for name in told)
    assert not hosts.allows("desk.example.org:8000")


def test_debians_servers_are_told_to_listen_on_this_machine_only() -> None:
    for page in ("docs/install.md", "docs/zh/install.md"):
        text = (ROOT / page).read_text("utf-8")
        told = re.findall(r"""'ARGS="(.*)"\\n' \| sudo tee /etc/default/(\S+)""", text)
        assert {name: re.findall(r"--([\w.]+)-address=(\S*)", words) for words, name in told} == {
            "prometheus": [("web.listen", "127.0.0.1:9090")],
            "prometheus-alertmanager": [("web.listen", "127.0.0.1:9093"), ("cluster.listen", "")]}


def test_grafana_finds_its_sources_and_dashboards_where_compose_mounts_them() -> None:
    mounted = {volume.split(":")[1]: volume.split(":")[0] for volume in COMPOSE["grafana"]["volumes"]}
    sources = read(ROOT / "deploy/grafana/provisioning/datasources/wenxun.yml")["datasources"]
    assert len({each["uid"] for each in sources}) == len(sources) == 2
    assert all(each["url"].split("//")[-1].split(":")[0] in COMPOSE for each in sources)
    folder = read(ROOT / "deploy/grafana/provisioning/dashboards/wenxun.yml")["providers"][0]["options"]["path"]
    assert mounted[folder] == "./deploy/grafana/dashboards"
    password = next(each["secureJsonData"]["password"] for each in sources if each["type"] == "postgres")
    assert password == "$__file{/run/secrets/grafana_ro_password}"
    assert "grafana_ro_password" in COMPOSE["grafana"]["secrets"]


def test_grafana_signs_in_to_postgresql_as_the_role_that_sees_only_the_views() -> None:
    script = (ROOT / "deploy/postgres/grafana.sh").read_text("utf-8")
    sources = read(ROOT / "deploy/grafana/provisioning/datasources/wenxun.yml")["datasources"]
    assert f"CREATE ROLE {views.ROLE} LOGIN" in script and "GRANT" not in script
    assert [each["user"] for each in sources if each["type"] == "postgres"] == [views.ROLE]
    assert any("grafana.sh:/docker-entrypoint-initdb.d/" in volume for volume in COMPOSE["postgres"]["volumes"])
