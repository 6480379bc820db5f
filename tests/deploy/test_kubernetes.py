"""The Kubernetes files, built with kustomize, against the API's schemas and our own policies; no cluster is asked."""

from __future__ import annotations

import functools
import importlib.util
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from agents.addresses import Allow, is_public
from agents.commands.serve import _changelogs
from agents.rule_files import Reader, read_dir
from agents.runtime import parse_roles
from agents.settings import TABLE, Settings
from agents.topics_admin import wanted
from tests import servers

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "deploy" / "kubernetes"
SCHEMA = json.loads((ROOT / "tests/data/schemas/kubernetes-1.34.json").read_text("utf-8"))
OVERLAYS = ("demo", "production")
ROLE_KINDS = ("StatefulSet", "Deployment")
Resource = dict[str, Any]

spec = importlib.util.spec_from_file_location("generate", FOLDER / "generate.py")
assert spec is not None and spec.loader is not None
generate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(generate)


HELD: list[tempfile.TemporaryDirectory[str]] = []


@functools.cache
def tree() -> Path:
    """The files with the component that generate.py makes of the shipped rules, as an installation has them."""
    HELD.append(tempfile.TemporaryDirectory())
    folder = Path(HELD[0].name) / "kubernetes"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("rules", "monitoring"))
    made = {"rules": generate.rules(ROOT / "rules"), "monitoring": generate.monitoring(ROOT / "deploy")}
    for part, files in made.items():
        (folder / part).mkdir()
        for name, text in files.items():
            (folder / part / name).write_text(text, "utf-8")
    return folder


@functools.cache
def built(folder: Path) -> list[Resource]:
    for name, words in (("kubectl", ["kustomize"]), ("kustomize", ["build"])):
        if program := shutil.which(name):
            done = subprocess.run([program, *words, folder], capture_output=True, text=True, timeout=120)
            assert done.returncode == 0 and not done.stderr, done.stderr
            return [each for each in yaml.safe_load_all(done.stdout) if each]
    servers.missing("kubernetes", "neither kubectl nor kustomize is installed")


def overlay(name: str) -> list[Resource]:
    return built(tree() / "overlays" / name)


def of(resources: list[Resource], *kinds: str) -> list[Resource]:
    return [each for each in resources if each["kind"] in kinds]


def named(resources: list[Resource], kind: str, name: str) -> Resource:
    return next(each for each in of(resources, kind) if each["metadata"]["name"] == name)


def pods(resources: list[Resource]) -> Iterator[tuple[str, Resource, Resource]]:
    """Name of the workload, its pod's spec, and its one container."""
    for each in of(resources, *ROLE_KINDS):
        pod = each["spec"]["template"]["spec"]
        assert len(pod["containers"]) == 1 and "initContainers" not in pod
        yield each["metadata"]["name"], pod, pod["containers"][0]


def ours(resources: list[Resource]) -> Iterator[tuple[str, Resource, Resource]]:
    return (each for each in pods(resources) if each[2]["name"] == "wenxun")


def settings_of(resources: list[Resource]) -> dict[str, str]:
    return dict(named(resources, "ConfigMap", "wenxun-settings")["data"])


# ---------------------------------------------------------------- schemas


def problems(resource: Resource) -> list[str]:
    definition = SCHEMA["kinds"][f"{resource['apiVersion']}/{resource['kind']}"]
    validator = Draft202012Validator({"$ref": f"#/$defs/{definition}", "$defs": SCHEMA["$defs"]})
    return [f"{resource['metadata']['name']} {list(error.path)}: {error.message}"
            for error in validator.iter_errors(resource)]


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_resource_fits_the_schema_of_the_api(name: str) -> None:
    plain = [each for each in overlay(name) if not each["apiVersion"].startswith("kafka.strimzi.io/")]
    assert len(plain) > 20 and [problem for each in plain for problem in problems(each)] == []
    wrong = json.loads(json.dumps(named(plain, "StatefulSet", "track")))
    wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    wrong["spec"]["replicas"] = "two"
    assert len(problems(wrong)) == 2


@pytest.mark.parametrize("name", OVERLAYS)
def test_names_are_unique_and_everything_lies_in_one_namespace(name: str) -> None:
    resources = overlay(name)
    names = [(each["kind"], each["metadata"]["name"]) for each in resources]
    assert len(names) == len(set(names))
    space = of(resources, "Namespace")[0]
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {each["metadata"].get("namespace") for each in resources if each["kind"] != "Namespace"} == {
        space["metadata"]["name"]}


# ---------------------------------------------------------------- policies of every pod


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_pod_is_confined_as_the_restricted_standard_asks(name: str) -> None:
    found = list(pods(overlay(name)))
    assert found
    for _, pod, container in found:
        context, own = pod["securityContext"], container["securityContext"]
        assert context["runAsNonRoot"] is True and context["runAsUser"] > 0 and context["runAsGroup"] > 0
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert own == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                       "capabilities": {"drop": ["ALL"]}}
        assert pod["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & set(pod)
        assert all("hostPort" not in port for port in container["ports"])
        allowed = {"emptyDir", "secret", "configMap", "persistentVolumeClaim"}
        assert all(set(volume) - {"name"} <= allowed for volume in pod["volumes"])


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_container_is_pinned_limited_and_probed(name: str) -> None:
    for who, _, container in pods(overlay(name)):
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+[\w.-]*", container["image"]), who
        assert {"cpu", "memory"} <= set(container["resources"]["limits"]) & set(container["resources"]["requests"])
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container)


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_mount_has_its_volume_and_every_reference_its_target(name: str) -> None:
    resources = overlay(name)
    maps = {each["metadata"]["name"] for each in of(resources, "ConfigMap")}
    claims = {each["metadata"]["name"] for each in of(resources, "PersistentVolumeClaim")}
    for each in of(resources, *ROLE_KINDS):
        pod = each["spec"]["template"]["spec"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        templates = {claim["metadata"]["name"] for claim in each["spec"].get("volumeClaimTemplates", [])}
        mounts = [mount["name"] for mount in pod["containers"][0]["volumeMounts"]]
        assert sorted(mounts) == sorted({*volumes, *templates})
        for volume in volumes.values():
            assert volume.get("configMap", {"name": "wenxun-rules"})["name"] in maps
            assert volume.get("persistentVolumeClaim", {"claimName": "desk-data"})["claimName"] in claims
            if "secret" in volume:                      # others must not read a key, and root does not run here
                assert volume["secret"]["defaultMode"] == 0o440
        labels = each["spec"]["template"]["metadata"]["labels"].items()
        assert each["spec"]["selector"]["matchLabels"].items() <= labels


def test_no_secret_is_in_the_files() -> None:
    for name in OVERLAYS:
        assert not of(overlay(name), "Secret")
        for _, _, container in pods(overlay(name)):
            for each in container.get("env", []):
                assert "secretKeyRef" not in each.get("valueFrom", {})
                assert not re.search("PASSWORD|TOKEN|KEY", each["name"]) or each["name"].endswith("_FILE")


# ---------------------------------------------------------------- the roles


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_role_runs_once_in_its_workload_with_settings_that_it_takes(name: str) -> None:
    resources = overlay(name)
    environ = settings_of(resources)
    assert set(environ) <= {each.name for each in TABLE}
    settings = Settings.from_env(environ)
    roles: list[str] = []
    for who, pod, container in ours(resources):
        assert container["args"][:2] == ["run", "--roles"]
        roles += parse_roles(container["args"][2])
        assert container["envFrom"] == [{"configMapRef": {"name": "wenxun-settings"}}]
        assert settings.grace_seconds < pod["terminationGracePeriodSeconds"], who
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports["metrics"] == settings.metrics_bind[1] and ports.get("http", 8000) == settings.desk_bind[1]
        probed = {probe: container[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe")}
        assert probed == {"livenessProbe": "/livez", "readinessProbe": "/readyz"}
    assert sorted(roles) == sorted(parse_roles("all"))


@pytest.mark.parametrize("name", OVERLAYS)
def test_members_of_a_consumer_group_have_stable_names_or_none(name: str) -> None:
    for each in of(overlay(name), *ROLE_KINDS):
        env = each["spec"]["template"]["spec"]["containers"][0].get("env", [])
        field = [one["valueFrom"]["fieldRef"]["fieldPath"] for one in env if one["name"] == "POD_NAME"]
        stays = each["kind"] == "StatefulSet" and each["metadata"]["name"] != "postgres"
        assert field == (["metadata.name"] if stays else [])
        if each["kind"] == "Deployment":                # one archive per database, one `rules`
            assert each["spec"]["replicas"] == 1 and each["spec"]["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize("name", OVERLAYS)
def test_whoever_needs_a_secret_file_has_it_where_the_settings_say(name: str) -> None:
    environ = settings_of(overlay(name))
    needed = {"archive": ("WENXUN_DATABASE_PASSWORD_FILE", "WENXUN_ADMIN_PASSWORD_FILE"),
              "desk": ("WENXUN_DATABASE_PASSWORD_FILE", "WENXUN_LINK_KEY_FILE"),
              "deliver": ("WENXUN_DATABASE_PASSWORD_FILE", "WENXUN_LINK_KEY_FILE")}
    for who, _, container in ours(overlay(name)):
        mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert {str(Path(environ[key]).parent) for key in needed.get(who, ())} <= mounted
        assert (f"{environ['WENXUN_RULES_DIR']}/secrets" in mounted) is (who == "deliver")
        assert {"/tmp", environ["WENXUN_DATA_DIR"]} <= mounted


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_drain_takes_one_worker_of_a_role_at_a_time(name: str) -> None:
    resources = overlay(name)
    budgets = {each["metadata"]["name"]: each["spec"] for each in of(resources, "PodDisruptionBudget")}
    workers = {each["metadata"]["name"] for each in of(resources, "StatefulSet")} - {"postgres"}
    assert set(budgets) == workers
    for who, budget in budgets.items():
        assert budget["maxUnavailable"] == 1
        assert budget["selector"]["matchLabels"] == {"app.kubernetes.io/component": who}


def test_production_has_two_of_each_worker_and_three_brokers() -> None:
    resources = overlay("production")
    assert {each["spec"]["replicas"] for each in of(resources, "StatefulSet")} == {2}
    assert named(resources, "KafkaNodePool", "brokers")["spec"]["replicas"] == 3


# ---------------------------------------------------------------- the network


def selected(policy: Resource, labels: dict[str, str]) -> bool:
    selector = policy["spec"]["podSelector"]
    return (selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", [])))


def may_reach(resources: list[Resource], who: str, address: str, port: int) -> bool:
    """Whether the policies let this workload's pods connect to an address outside the cluster."""
    labels = {"app.kubernetes.io/part-of": "wenxun", "app.kubernetes.io/component": who}
    for policy in of(resources, "NetworkPolicy"):
        for rule in policy["spec"].get("egress", []) if selected(policy, labels) else []:
            for peer in rule.get("to", [{"ipBlock": {"cidr": "0.0.0.0/0"}}]):
                block = peer.get("ipBlock")
                if (block and any(one["port"] == port for one in rule["ports"])
                        and ip_address(address) in ip_network(block["cidr"])
                        and not any(ip_address(address) in ip_network(out) for out in block.get("except", []))):
                    return True
    return False


PRIVATE = ("10.0.0.1", "172.16.5.4", "192.168.1.1", "127.0.0.1", "169.254.169.254", "100.64.0.1", "100.100.100.200",
           "168.63.129.16", "198.18.0.1", "224.0.0.1", "255.255.255.255", "0.0.0.0", "192.0.0.8", "192.88.99.1",
           "::1", "fc00::1", "fd12::1", "fe80::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::1", "2001:db8::1",
           "2001:0:1::1", "3fff::1", "ff02::1")
PUBLIC = ("1.1.1.1", "114.114.114.114", "8.8.8.8", "172.15.0.1", "172.32.0.1", "100.128.0.1", "2400:3200::1")


@pytest.mark.parametrize("name", OVERLAYS)
def test_collectors_reach_the_public_web_and_no_private_range(name: str) -> None:
    resources = overlay(name)
    for who in ("collect", "deliver", "desk"):
        assert [each for each in PUBLIC if not may_reach(resources, who, each, 443)] == []
        assert [each for each in PRIVATE if may_reach(resources, who, each, 80)] == []
        assert not may_reach(resources, who, "1.1.1.1", 22)
    for who in ("score", "track", "escalate", "archive"):
        assert [each for each in (*PUBLIC, *PRIVATE) if may_reach(resources, who, each, 443)] == []
    assert [each for each in PRIVATE if is_public(ip_address(each))] == []      # as Wenxun's own check sees them


@pytest.mark.parametrize("name", OVERLAYS)
def test_nothing_is_open_that_no_policy_names(name: str) -> None:
    resources = overlay(name)
    denied = named(resources, "NetworkPolicy", "default-deny")["spec"]
    assert denied["policyTypes"] == ["Ingress", "Egress"] and not {"ingress", "egress"} & set(denied)
    for each in of(resources, *ROLE_KINDS):
        labels = each["spec"]["template"]["metadata"]["labels"]
        covering = [policy for policy in of(resources, "NetworkPolicy") if selected(policy, labels)]
        assert {kind for policy in covering for kind in policy["spec"]["policyTypes"]} == {"Ingress", "Egress"}
    for policy in of(resources, "NetworkPolicy"):
        for rule in [*policy["spec"].get("ingress", []), *policy["spec"].get("egress", [])]:
            assert rule["ports"] and (rule.get("from") or rule.get("to"))


def test_grafana_gets_to_the_demos_database_and_nobody_else_from_outside() -> None:
    (rule,) = named(overlay("demo"), "NetworkPolicy", "postgres")["spec"]["ingress"]
    pods, outside = rule["from"]
    assert pods["podSelector"]["matchExpressions"][0]["values"] == ["archive", "deliver", "desk"]
    assert outside == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}


def test_the_exception_for_a_private_feed_is_one_address_and_said_twice() -> None:
    text = (FOLDER / "overlays/production/private-feeds.yaml").read_text("utf-8")
    policy = yaml.safe_load(text)
    assert problems(policy) == []
    both = [*overlay("production"), policy]
    assert may_reach(both, "collect", "10.20.30.40", 8080) and not may_reach(both, "collect", "10.20.30.41", 8080)
    assert not may_reach(both, "score", "10.20.30.40", 8080) and "10.20.30.40:8080" in text
    assert Allow.parse(["10.20.30.40:8080"]).endpoint("10.20.30.40", 8080)
    assert "private-feeds" not in {each["metadata"]["name"] for each in overlay("production")}


# ---------------------------------------------------------------- Kafka


def test_the_topics_are_those_of_the_code() -> None:
    assert (FOLDER / "base/topics.yaml").read_text("utf-8") == generate.topics(Settings()), generate.__doc__


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_topic_has_the_partitions_and_replicas_that_the_roles_will_check(name: str) -> None:
    settings = Settings.from_env(settings_of(overlay(name)))
    assert not settings.create_topics
    found = {each["metadata"]["name"]: each["spec"] for each in of(overlay(name), "KafkaTopic")}
    want = {each.name: each for each in wanted(settings, _changelogs(settings))}
    assert {topic: spec["partitions"] for topic, spec in found.items()} == {
        topic: each.partitions for topic, each in want.items()}
    brokers = named(overlay(name), "KafkaNodePool", "brokers")["spec"]["replicas"]
    for topic, spec in found.items():
        assert dict(want[topic].config).items() <= spec["config"].items()
        assert spec["replicas"] == settings.replication <= brokers
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", topic)


@pytest.mark.parametrize("name", OVERLAYS)
def test_strimzis_resources_have_the_shape_that_its_operator_reads(name: str) -> None:
    resources = overlay(name)
    pool, kafka = named(resources, "KafkaNodePool", "brokers"), named(resources, "Kafka", "wenxun")
    strimzi = [each for each in resources if "strimzi" in each["apiVersion"]]
    assert {each["apiVersion"] for each in strimzi} == {"kafka.strimzi.io/v1"}      # the only one since Strimzi 1.0
    assert set(kafka["spec"]) == {"kafka", "entityOperator"} and "topicOperator" in kafka["spec"]["entityOperator"]
    assert set(kafka["spec"]["kafka"]) == {"listeners", "config", "template"}      # the operator knows its Kafka
    assert set(pool["spec"]) == {"replicas", "roles", "storage", "resources", "jvmOptions"}
    assert sorted(pool["spec"]["roles"]) == ["broker", "controller"]
    volumes = pool["spec"]["storage"]["volumes"]
    assert [(each["type"], each["kraftMetadata"], each["deleteClaim"]) for each in volumes] == [
        ("persistent-claim", "shared", False)]
    for each in (pool, *of(resources, "KafkaTopic")):
        assert each["metadata"]["labels"]["strimzi.io/cluster"] == kafka["metadata"]["name"]
    assert all(set(each["spec"]) == {"partitions", "replicas", "config"} for each in of(resources, "KafkaTopic"))
    listener = kafka["spec"]["kafka"]["listeners"][0]
    bootstrap = f"{kafka['metadata']['name']}-kafka-bootstrap:{listener['port']}"
    assert settings_of(resources)["KAFKA_BOOTSTRAP_SERVERS"] == bootstrap
    config, brokers = kafka["spec"]["kafka"]["config"], pool["spec"]["replicas"]
    assert config["auto.create.topics.enable"] is False
    assert all(config[key] == brokers for key in config if key.endswith("replication.factor"))
    least = 2 if brokers == 3 else 1
    assert all(config[key] == least for key in config if key.endswith("min.isr") or key == "min.insync.replicas")


# ---------------------------------------------------------------- monitoring


@functools.cache
def monitored() -> list[Resource]:
    """The demo's overlay with the monitoring component in it."""
    folder = tree() / "overlays" / "monitored"
    shutil.copytree(tree() / "overlays" / "demo", folder)
    file = folder / "kustomization.yaml"
    text, plain = file.read_text("utf-8"), "components: [../../rules]\n"
    assert text.endswith(plain)
    file.write_text(text.removesuffix(plain) + "components: [../../rules, ../../monitoring]\n", "utf-8")
    return built(folder)


def test_the_operators_pod_monitor_finds_every_role_under_the_names_that_the_alert_rules_use() -> None:
    monitor = named(monitored(), "PodMonitor", "wenxun")
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1" and set(monitor["spec"]) == {
        "selector", "sampleLimit", "podMetricsEndpoints"}
    wanted_labels = monitor["spec"]["selector"]["matchLabels"].items()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    for each in of(monitored(), *ROLE_KINDS):
        template, name = each["spec"]["template"], each["metadata"]["name"]
        ports = {port["name"] for port in template["spec"]["containers"][0].get("ports", [])}
        chosen = wanted_labels <= template["metadata"]["labels"].items() and endpoint["port"] in ports
        assert chosen == (template["spec"]["containers"][0]["name"] == "wenxun"), name
        if chosen:
            assert template["metadata"]["labels"]["app.kubernetes.io/component"] == name
    job, role = endpoint["relabelings"]
    scrape = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text("utf-8"))["scrape_configs"][0]
    assert job == {"targetLabel": "job", "replacement": scrape["job_name"]}
    assert role["sourceLabels"] == ["__meta_kubernetes_pod_label_app_kubernetes_io_component"]
    assert endpoint["honorLabels"] is scrape["honor_labels"]
    assert monitor["spec"]["sampleLimit"] == scrape["sample_limit"]


def test_alert_rules_and_dashboards_are_those_of_the_other_installations() -> None:
    rule = named(monitored(), "PrometheusRule", "wenxun")
    shipped = [group for path in sorted((ROOT / "deploy/prometheus/rules").glob("*.yml"))
               for group in yaml.safe_load(path.read_text("utf-8"))["groups"]]
    assert rule["spec"]["groups"] == shipped and len({group["name"] for group in shipped}) == len(shipped)
    boards = [each for each in of(monitored(), "ConfigMap") if "grafana_dashboard" in each["metadata"]["labels"]]
    found = {name: text for each in boards for name, text in each["data"].items()}
    assert found == {path.name: path.read_text("utf-8") for path in (ROOT / "deploy/grafana/dashboards").glob("*.json")}
    assert len(boards) >= 5 and [problem for each in boards for problem in problems(each)] == []
    assert all(len(text.encode()) < generate.LIMIT for text in found.values())


# ---------------------------------------------------------------- rules that reload


def mounted(root: Path, resources: list[Resource], version: str) -> Path:
    """A ConfigMap volume as the kubelet writes it: a dated folder, `..data` to it, links to what is in that."""
    volume = next(each for each in named(resources, "Deployment", "desk")["spec"]["template"]["spec"]["volumes"]
                  if each["name"] == "rules")
    data = named(resources, "ConfigMap", volume["configMap"]["name"])["data"]
    dated = root / f"..{version}"
    for item in volume["configMap"]["items"]:
        path = dated / item["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(data[item["key"]], "utf-8")
    (root / "..data_tmp").symlink_to(dated.name)
    (root / "..data_tmp").replace(root / "..data")
    for entry in dated.iterdir():
        if not (root / entry.name).exists():
            (root / entry.name).symlink_to(f"..data/{entry.name}")
    return dated


def test_the_configmap_is_the_rule_directory_and_a_change_is_seen_where_it_is_mounted(tmp_path: Path) -> None:
    resources = json.loads(json.dumps(overlay("demo")))
    old = mounted(tmp_path, resources, "2026_11_01")
    reader = Reader(tmp_path)
    files, _ = reader.read()
    assert files.problems == []
    assert files.parse("Asia/Shanghai").hash == read_dir(ROOT / "rules").parse("Asia/Shanghai").hash
    rules = named(resources, "ConfigMap", "wenxun-rules")["data"]
    rules["subjects.polling-place.yml"] = rules["subjects.polling-place.yml"].replace("polling-place", "polling-site")
    mounted(tmp_path, resources, "2026_11_02")
    shutil.rmtree(old)
    again, _ = reader.read()
    assert again.digest != files.digest and "polling-site" in again.texts["subjects/polling-place.yml"]


def test_a_bad_file_of_a_configmap_is_a_problem_with_its_place(tmp_path: Path) -> None:
    resources = json.loads(json.dumps(overlay("demo")))
    named(resources, "ConfigMap", "wenxun-rules")["data"]["levels.yml"] = "levels: [\n"
    mounted(tmp_path, resources, "2026_11_01")
    with pytest.raises(Exception, match="levels.yml"):
        read_dir(tmp_path).parse("Asia/Shanghai")


def test_a_rule_directory_of_ones_own_becomes_a_component(tmp_path: Path) -> None:
    (tmp_path / "rules/subjects").mkdir(parents=True)
    (tmp_path / "rules/sources.yml").write_text("sources: []\n", "utf-8")
    (tmp_path / "rules/subjects/供水.yml").write_text("id: water\n", "utf-8")
    made = generate.rules(tmp_path / "rules")
    data = yaml.safe_load(made["rules.yaml"])["data"]
    assert all(re.fullmatch(r"[-._a-zA-Z0-9]+", key) for key in data) and len(data) == 2
    items = yaml.safe_load(made["volume.yaml"])["spec"]["template"]["spec"]["volumes"][0]["configMap"]["items"]
    assert {item["path"]: data[item["key"]] for item in items} == {
        "sources.yml": "sources: []\n", "subjects/供水.yml": "id: water\n"}
    (tmp_path / "rules/large.yml").write_text("x" * 500_000, "utf-8")
    (tmp_path / "rules/larger.yml").write_text("x" * 600_000, "utf-8")
    with pytest.raises(SystemExit, match="a ConfigMap takes"):
        generate.rules(tmp_path / "rules")
