"""The Kubernetes manifests say what the server does; a schema validator checks their form where it is installed."""

from pathlib import Path

import pytest
import yaml

from serving.command_line import parse_serve_options

FOLDER = Path(__file__).parents[2] / "docker" / "kubernetes"
MANIFESTS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(FOLDER.glob("*.yaml"))}
CONTAINER = MANIFESTS["deployment"]["spec"]["template"]["spec"]["containers"][0]
POD = MANIFESTS["deployment"]["spec"]["template"]["spec"]


def test_the_set_is_complete_and_kustomized():
    kinds = {manifest["kind"] for manifest in MANIFESTS.values()}
    assert kinds >= {"Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler", "NetworkPolicy"}
    assert set(MANIFESTS["kustomization"]["resources"]) == {
        f"{name}.yaml" for name in MANIFESTS if name != "kustomization"
    }


def test_the_arguments_are_the_servers_own_and_drain_within_the_grace_period():
    options = parse_serve_options(CONTAINER["args"])
    assert options.port == CONTAINER["ports"][0]["containerPort"]
    assert options.drain_seconds + 15 < POD["terminationGracePeriodSeconds"]


@pytest.mark.parametrize(
    ("probe", "path"), [("startupProbe", "/ready"), ("readinessProbe", "/ready"), ("livenessProbe", "/health")]
)
def test_probes_ask_the_gateways_routes(probe, path):
    assert CONTAINER[probe]["httpGet"]["path"] == path


def test_the_pod_runs_without_privileges_on_read_only_adapters():
    assert POD["securityContext"]["runAsNonRoot"]
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    mounts = {mount["name"]: mount for mount in CONTAINER["volumeMounts"]}
    assert mounts["runs"]["readOnly"]
    assert mounts["api-key"]["readOnly"]


def test_every_selector_finds_the_pods():
    labels = MANIFESTS["deployment"]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        MANIFESTS["deployment"]["spec"]["selector"]["matchLabels"],
        MANIFESTS["service"]["spec"]["selector"],
        MANIFESTS["disruption"]["spec"]["selector"]["matchLabels"],
        MANIFESTS["network"]["spec"]["podSelector"]["matchLabels"],
    ]
    assert all(selector.items() <= labels.items() for selector in selectors)


@pytest.mark.parametrize("name", [name for name in MANIFESTS if name != "kustomization"])
def test_each_manifest_fits_the_kubernetes_schema(name):
    validator = pytest.importorskip(
        "kubernetes_validate", reason="pip install kubernetes-validate checks the schema too"
    )
    validator.validate(MANIFESTS[name], "1.30", strict=True)
