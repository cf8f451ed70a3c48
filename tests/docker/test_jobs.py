"""The training jobs fit their schedulers' schemas and call the trainer as it is."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from schemas.run_directory import RunDirectory

ROOT = Path(__file__).parents[2]
JOBS = ROOT / "docker" / "jobs"
JOBSET = yaml.safe_load((JOBS / "jobset.yaml").read_text())
POD = JOBSET["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]
CONTAINER = POD["spec"]["containers"][0]
SKY = yaml.safe_load((JOBS / "skypilot.yaml").read_text())
SBATCH = (JOBS / "train.sbatch").read_text()
# man sbatch, the options used
SBATCH_OPTIONS = {
    "job-name": r"[\w-]+", "nodes": r"\d+(-\d+)?", "ntasks-per-node": r"\d+", "gpus-per-node": r"\d+", "gpus": r"\d+",
    "cpus-per-task": r"\d+", "mem": r"\d+[KMGT]", "time": r"(\d+-)?\d\d:\d\d:\d\d", "requeue": "", "array": r"\d+-\d+",
    "signal": r"(R|B)?:?[A-Z0-9]+@\d+", "open-mode": "append|truncate", "output": r"\S+",
}  # fmt: skip


def test_the_jobset_fits_its_schema_with_no_key_that_the_api_does_not_know():
    models = pytest.importorskip("kubeflow_trainer_api.models", reason="pip install kubeflow-trainer-api")
    read = models.JobsetV1alpha2JobSet.from_dict(JOBSET)
    assert yaml.safe_load(yaml.safe_dump(read.to_dict())) == JOBSET
    assert JOBSET["metadata"]["labels"]["kueue.x-k8s.io/queue-name"]


def test_its_pods_fit_kubernetes_schema():
    validator = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    spec = JOBSET["spec"]["replicatedJobs"][0]["template"]["spec"]
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "node"}, "spec": spec}
    validator.validate(job, "1.30", strict=True)
    assert POD["spec"]["securityContext"]["runAsNonRoot"]
    assert CONTAINER["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_all_pods_meet_at_the_first_ones_name():
    name, job = JOBSET["metadata"]["name"], JOBSET["spec"]["replicatedJobs"][0]["name"]
    meeting = next(word for word in CONTAINER["command"] if word.startswith("--rdzv-endpoint="))
    assert meeting == f"--rdzv-endpoint={name}-{job}-0-0.{name}:{CONTAINER['ports'][0]['containerPort']}"


def test_configs_and_launchers_are_there():
    assert (ROOT / CONTAINER["args"][0]).is_file()
    assert (ROOT / SKY["envs"]["CONFIG"]).is_file()
    assert all(words in SBATCH for words in ("torch.distributed.run", "-m trainer"))


def test_the_sky_task_has_known_keys_only():
    """Those of SkyPilot's YAML specification, whose package would bring a hundred others here."""
    known = {"name", "workdir", "num_nodes", "resources", "envs", "secrets", "file_mounts", "setup", "run"}
    resources = {"accelerators", "use_spot", "disk_size", "job_recovery"}
    assert set(SKY) <= known
    assert set(SKY["resources"]) <= resources
    assert set(SKY["resources"]["job_recovery"]) <= {"strategy", "max_restarts_on_errors"}
    assert {mount["mode"] for mount in SKY["file_mounts"].values()} <= {"MOUNT", "COPY", "MOUNT_CACHED"}
    subprocess.run(["bash", "-n"], input=SKY["run"], text=True, check=True)


def test_the_batch_script_has_known_options_and_starts_the_trainer_on_every_machine(tmp_path):
    options = re.findall(r"^#SBATCH --([\w-]+)(?:=(\S+))?$", SBATCH, re.M)
    assert len(options) == SBATCH.count("#SBATCH")
    assert all(re.fullmatch(SBATCH_OPTIONS[name], value) for name, value in options)
    for name, does in (("scontrol", "printf 'one\\ntwo\\n'"), ("srun", 'echo "$@"')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    slurm = {"SLURM_JOB_NODELIST": "x", "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_ID": "7"}
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", **slurm}
    command = ["bash", JOBS / "train.sbatch", "configs/x.yaml", "--method", "lora"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    assert "--nnodes=1:2" in said
    assert "--rdzv-endpoint=one:29400 -m trainer configs/x.yaml --method lora" in said


def test_two_gpus_in_compose_are_two_processes(tmp_path, tiny_base, records):
    """The entry point itself, with GPUS=2, on this machine's processors."""
    from tests.trainer.training_runs import write_config

    compose = yaml.safe_load((ROOT / "compose.gpu.yaml").read_text())["services"]
    assert compose["trainer"]["entrypoint"] == compose["baseline"]["entrypoint"]
    entry = [word.replace("${GPUS:-1}", "2") for word in compose["trainer"]["entrypoint"]]
    config = write_config(tmp_path, tiny_base, records, training__max_steps=2)
    environment = {**os.environ, "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"}
    subprocess.run([*entry, str(config)], check=True, cwd=ROOT, env=environment, capture_output=True)
    manifest = yaml.safe_load(RunDirectory(tmp_path / "runs" / "run").manifest.read_text())
    assert manifest["training"]["processes"] == 2
