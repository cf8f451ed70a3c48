"""What compose.yaml promises of every service, on any machine: hardening, order, and one switch for GPUs."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    profile = ["seccomp:evaluator/sandbox/seccomp.json"] if name == "sandbox" else []
    assert service["security_opt"] == ["no-new-privileges:true", *profile]
    assert service["pids_limit"] > 0
    assert not {"privileged", "cap_add", "devices", "pid", "userns_mode"} & set(service)
    assert service.get("network_mode") != "host"


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_built_here_and_never_pulled_by_name(name):
    assert SERVICES[name]["pull_policy"] == "never"


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_sees_the_engine_or_writes_configs(name):
    mounts = [str(mount) for mount in SERVICES[name].get("volumes", [])]
    assert not [mount for mount in mounts if "docker.sock" in mount or mount.startswith("/")]
    assert all(mount.endswith(":ro") for mount in mounts if mount.startswith("./configs"))


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_are_files_and_never_in_the_environment(name):
    environment = SERVICES[name].get("environment", {})
    assert not [key for key in environment if any(word in key.upper() for word in ("TOKEN", "KEY", "SECRET"))]


def test_serving_waits_for_the_gates_consent_and_listens_on_this_machine_only():
    order = ["trainer", "baseline", "evaluator", "gate", "serving"]
    for earlier, later in itertools.pairwise(order):
        assert SERVICES[later]["depends_on"][earlier] == {"condition": "service_completed_successfully"}
    assert all(port.startswith("127.0.0.1:") for port in SERVICES["serving"]["ports"])
    assert not [name for name in SERVICES if name != "serving" and "ports" in SERVICES[name]]


def test_the_sandbox_of_compose_and_of_a_host_are_confined_alike():
    docker_cells = pytest.importorskip("evaluator.sandbox.docker_cells")
    service, host = SERVICES["sandbox"], docker_cells.CONFINEMENT
    assert (service["network_mode"], service["ipc"]) == (host["network_mode"], host["ipc_mode"]) == ("none", "none")
    assert (service["pids_limit"], service["mem_limit"], service["memswap_limit"]) == (
        host["pids_limit"], host["mem_limit"], host["memswap_limit"],
    )  # fmt: skip
    assert service["tmpfs"] == [f"{path}:{options}" for path, options in host["tmpfs"].items()]
    assert service["cpus"] * 10**9 == host["nano_cpus"]
    assert service["volumes"] == ["sandbox:/run/sandbox:ro"]
    options = dict(re.split("[:=]", option, maxsplit=1) for option in service["security_opt"])
    assert f"seccomp={(ROOT / options['seccomp']).read_text()}" in host["security_opt"]
    assert options["no-new-privileges"] == "true"


def test_one_file_switches_every_stage_to_gpus():
    gpu = yaml.safe_load((ROOT / "compose.gpu.yaml").read_text())["services"]
    assert set(gpu) == set(SERVICES) - {"sandbox"}
    assert all(service["image"].endswith(":cuda") for service in gpu.values())
    for name in ("trainer", "baseline", "evaluator", "serving", "studies"):
        (device,) = gpu[name]["deploy"]["resources"]["reservations"]["devices"]
        assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
        assert gpu[name].get("build") == ({"args": {"ACCEL": "cuda"}} if "build" in SERVICES[name] else None)
