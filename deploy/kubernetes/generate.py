#!/usr/bin/env python3
"""Writes what is made of other files: topics.py as KafkaTopics, a rule directory as a ConfigMap, alert rules and
dashboards as what Prometheus' operator and Grafana's sidecar read.

    python deploy/kubernetes/generate.py                     # base/topics.yaml; rules/ of the shipped ones; monitoring/
    python deploy/kubernetes/generate.py --rules my-rules    # the same, of your own rules

rules/ and monitoring/ are Kustomize components; they are made, not kept in version control. Overlays take in rules/;
monitoring/ needs a cluster with Prometheus' operator. Rules reload without a restart: make it again, apply it, and the
files change under the running role `rules`. A file that is new or gone changes the list of files, and with it the pod,
which starts anew.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT))

from agents.commands.serve import _changelogs  # noqa: E402
from agents.rule_files import read_dir  # noqa: E402
from agents.settings import Settings  # noqa: E402
from agents.topics_admin import wanted  # noqa: E402

MADE = "# Made by deploy/kubernetes/generate.py.\n"
LIMIT = 1_000_000
"""Bytes of a ConfigMap, a little under what Kubernetes takes."""
LABELS = {"app.kubernetes.io/part-of": "wenxun"}


class Dumper(yaml.SafeDumper):
    """Texts of several lines as they are written."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


Dumper.add_representer(str, _text)


def dumped(*documents: dict[str, Any]) -> str:
    return MADE + yaml.dump_all(documents, Dumper=Dumper, allow_unicode=True, sort_keys=False, width=120)


def topics(settings: Settings) -> str:
    """Every topic and changelog with its partitions and configuration."""
    return dumped(*({
        "apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaTopic",
        "metadata": {"name": each.name, "labels": {"strimzi.io/cluster": "wenxun"}},
        "spec": {"partitions": each.partitions, "replicas": settings.replication, "config": dict(each.config)},
    } for each in wanted(settings, _changelogs(settings))))


def key_of(name: str) -> str:
    """A file's key in the ConfigMap, which takes no `/` and only ASCII."""
    key = name.replace("/", ".")
    if re.fullmatch(r"[-._a-zA-Z0-9]{1,200}", key):
        return key
    return hashlib.blake2b(name.encode(), digest_size=12).hexdigest() + ".yml"


def rules(folder: Path) -> dict[str, str]:
    """Files of a component: file name -> text. SystemExit names what is wrong with the folder."""
    files = read_dir(folder)
    if files.problems:
        raise SystemExit("\n".join(str(problem) for problem in files.problems))
    keys = {key_of(name): name for name in sorted(files.texts)}
    if len(keys) != len(files.texts):
        raise SystemExit(f"{folder}: two files would have one key; rename one")
    size = sum(len(text.encode()) for text in files.texts.values())
    if size > LIMIT:
        raise SystemExit(f"{folder}: {size} bytes of rules; a ConfigMap takes {LIMIT}. Put them on a volume instead")
    items = [{"key": key, "path": name} for key, name in keys.items()]
    return {
        "kustomization.yaml": dumped({
            "apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component", "resources": ["rules.yaml"],
            "patches": [{"path": "volume.yaml"}]}),
        "rules.yaml": dumped({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "wenxun-rules", "labels": LABELS},
            "data": {key: files.texts[name] for key, name in keys.items()}}),
        "volume.yaml": dumped({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "desk"},
            "spec": {"template": {"spec": {
                "containers": [{"name": "wenxun", "volumeMounts": [
                    {"name": "rules", "mountPath": "/rules", "readOnly": True}]}],
                "volumes": [{"name": "rules", "configMap": {"name": "wenxun-rules", "items": items}}]}}}})}


def monitoring(folder: Path) -> dict[str, str]:
    """Files of a component, of deploy/prometheus and deploy/grafana in `folder`: a PodMonitor that names jobs and roles
    as prometheus.yml does, one PrometheusRule of every rule file, a ConfigMap for each dashboard."""
    groups = [group for path in sorted((folder / "prometheus/rules").glob("*.yml"))
              for group in yaml.safe_load(path.read_text("utf-8"))["groups"]]
    boards = sorted((folder / "grafana/dashboards").glob("*.json"))
    meta = {"labels": LABELS}
    return {
        "kustomization.yaml": dumped({
            "apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component",
            "resources": ["pods.yaml", "alerts.yaml", "dashboards.yaml"]}),
        "pods.yaml": dumped({
            "apiVersion": "monitoring.coreos.com/v1", "kind": "PodMonitor", "metadata": {"name": "wenxun", **meta},
            "spec": {"selector": {"matchLabels": LABELS}, "sampleLimit": 20000, "podMetricsEndpoints": [{
                "port": "metrics", "interval": "15s", "scrapeTimeout": "5s", "honorLabels": True, "relabelings": [
                    {"targetLabel": "job", "replacement": "wenxun"},
                    {"sourceLabels": ["__meta_kubernetes_pod_label_app_kubernetes_io_component"],
                     "targetLabel": "role"}]}]}}),
        "alerts.yaml": dumped({
            "apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule", "metadata": {"name": "wenxun", **meta},
            "spec": {"groups": groups}}),
        "dashboards.yaml": dumped(*({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": f"{path.stem}-dashboard", "labels": {**LABELS, "grafana_dashboard": "1"},
                         "annotations": {"grafana_folder": "闻讯"}},
            "data": {path.name: path.read_text("utf-8")}} for path in boards))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rules", type=Path, default=ROOT / "rules", metavar="DIR")
    parser.add_argument("--out", type=Path, default=HERE / "rules", metavar="DIR")
    args = parser.parse_args()
    for target, files in ((args.out, rules(args.rules)), (args.out.parent / "monitoring", monitoring(HERE.parent))):
        target.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (target / name).write_text(text, "utf-8")
    (HERE / "base" / "topics.yaml").write_text(topics(Settings()), "utf-8")


if __name__ == "__main__":
    main()
