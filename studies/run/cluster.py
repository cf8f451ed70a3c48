"""python -m studies cluster CONFIG: a study as jobs of a cluster, one per run, where all machines see its directory."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from schemas.errors import OK, UserError
from schemas.studies.study_plan import ChosenRates, StudyPlan
from studies.run.driver import RATES, base_jobs, compared_jobs, logs_of, tuning_jobs
from studies.run.jobs import Job
from studies.run.rates import choose_rates
from studies.run.registration import PLAN, register
from studies.run.workers import Tally, Worker, run_jobs

_DESCRIPTION = """\
Runs a study on a cluster: prints one job per run, which trains and scores it. All machines must see the study's directory.

  python -m studies cluster CONFIG --as kubernetes --image REGISTRY/echo-lora/studies:cuda | kubectl create -f -
  python -m studies cluster CONFIG --as slurm | sbatch
  python -m studies cluster CONFIG --only 3                what a job calls: the fourth run of the phase

The first call prints the runs that choose learning rates, the next one (once they have ended) the compared runs. Then
`python -m studies CONFIG` finds them finished and analyses.
"""


def main(argv: list[str]) -> int:
    """Prints the next phase's jobs, or runs one of them."""
    parser = argparse.ArgumentParser(
        prog="python -m studies cluster", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, help="a study in YAML")
    parser.add_argument("--directory", metavar="DIR", help="where plan, runs and report go, in place of the config's")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--as", dest="form", choices=("kubernetes", "slurm"), help="print the jobs of the next phase")
    what.add_argument("--only", type=int, metavar="N", help="run one of them, counted from 0")
    parser.add_argument("--phase", choices=("rates", "runs"), help="with --only: which phase the number counts in")
    parser.add_argument("--image", default="echo-lora/studies:cuda", metavar="IMAGE", help="for Kubernetes")
    given = parser.parse_args(argv)

    from studies.run.study_file import load_study

    study = load_study(given.config, given.directory)
    if given.only is not None:
        path = Path(study.directory) / PLAN
        if not path.is_file():
            raise UserError("the study is not registered", where=path, fix="print its jobs first: --as kubernetes")
        run_one(StudyPlan.read(path), given.phase or "runs", given.only)
        return OK
    from studies.run.protocol import draft_protocol, require_inputs

    plan = register(require_inputs(draft_protocol(study)), amend=None)
    phase, jobs = next_phase(plan)
    command = ["cluster", str(given.config), *(["--directory", given.directory] if given.directory else [])]
    command += ["--phase", phase, "--only"]
    print(as_kubernetes(study.name, phase, len(jobs), command, given.image) if given.form == "kubernetes"
          else as_slurm(study.name, phase, len(jobs), command, logs_of(study)), end="")  # fmt: skip
    print(f"{len(jobs)} jobs of the phase {phase!r}", file=sys.stderr)
    return OK


def next_phase(plan: StudyPlan) -> tuple[str, list[Job]]:
    """The runs that choose rates until all of them have ended; then, with the rates chosen, the compared ones."""
    trials = tuning_jobs(plan)
    rates = Path(plan.protocol.study.directory) / RATES
    if not rates.is_file():
        if any(job.next_work() is not None for _, _, job in trials):
            return "rates", _phase(plan, "rates")
        choose_rates(plan, [(arm, rate, job.config.seed, job.score()) for arm, rate, job in trials]).write(rates)
    return "runs", _phase(plan, "runs")


def _phase(plan: StudyPlan, phase: str) -> list[Job]:
    """A phase's jobs in an order that finished ones do not change."""
    if phase == "rates":
        return [job for _, _, job in tuning_jobs(plan)]
    chosen = ChosenRates.read(Path(plan.protocol.study.directory) / RATES)
    return [*base_jobs(plan), *(job for _, _, job in compared_jobs(plan, chosen))]


def run_one(plan: StudyPlan, phase: str, number: int) -> None:
    """Trains and scores one run, or goes on with it; does nothing where it is finished.

    Raises:
        UserError: there is no such job, or it failed.
    """
    jobs = _phase(plan, phase)
    if not 0 <= number < len(jobs):
        raise UserError(f"the phase {phase!r} has {len(jobs)} jobs, numbered from 0; there is no {number}")
    failures = run_jobs([jobs[number]], [Worker({}, "here")], logs_of(plan.protocol.study), Tally(), lambda: None)
    if failures and not (phase == "rates" and failures[0].diverged):  # a rate that is too high is an answer
        raise UserError(f"{failures[0].name} failed\n{failures[0].reason}", where=failures[0].log)


def as_kubernetes(name: str, phase: str, jobs: int, command: list[str], image: str) -> str:
    """An indexed Job with a completion per run, to be admitted by Kueue."""
    container: dict[str, Any] = {
        "name": "studies",
        "image": image,
        # Kubernetes puts the index in where $(...) stands.
        "args": [*command, "$(JOB_COMPLETION_INDEX)"],
        "resources": {"requests": {"cpu": "4", "memory": "32Gi"}, "limits": {"memory": "64Gi", "nvidia.com/gpu": "1"}},
        "env": [{"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": {
            "fieldPath": "metadata.annotations['batch.kubernetes.io/job-completion-index']"}}}],
        "securityContext": {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "runs", "mountPath": "/app/runs"},
            {"name": "cache", "mountPath": "/cache"},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 the container's own
        ],
    }  # fmt: skip
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 120,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001},
        "containers": [container],
        "volumes": [
            {"name": "runs", "persistentVolumeClaim": {"claimName": "echo-lora-runs"}},
            {"name": "cache", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "generateName": f"{_dns_label(name)}-{phase}-",
            "labels": {"kueue.x-k8s.io/queue-name": "echo-lora"},
        },
        "spec": {
            "completionMode": "Indexed",
            "completions": jobs,
            "parallelism": jobs,
            "backoffLimitPerIndex": 3,
            "template": {"spec": pod},
        },
    }
    return json.dumps(job, indent=1) + "\n"


def _dns_label(name: str) -> str:
    """A study's name as Kubernetes allows names to begin."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "study"


def as_slurm(name: str, phase: str, jobs: int, command: list[str], logs: Path) -> str:
    """A job array with a task per run."""
    return f"""#!/usr/bin/env bash
#SBATCH --job-name={name}-{phase}
#SBATCH --array=0-{jobs - 1}
#SBATCH --gpus=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=64G
#SBATCH --time=08:00:00
#SBATCH --requeue
#SBATCH --signal=TERM@180
#SBATCH --output={logs}/slurm-%A_%a.log
exec srun .venv/bin/python -m studies {" ".join(command)} "$SLURM_ARRAY_TASK_ID"
"""
