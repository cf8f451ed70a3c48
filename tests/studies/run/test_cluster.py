"""A study as jobs of a cluster: one per run, in an order that does not change, and each can be run alone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.errors import UserError
from studies.run.cluster import _phase, as_kubernetes, as_slurm, main, next_phase
from studies.run.registration import register


def test_kubernetes_gets_an_indexed_job_that_fits_its_schema() -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    job = yaml.safe_load(as_kubernetes("small", "runs", 12, ["cluster", "study.yaml", "--only"], "image:1"))
    named = {**job, "metadata": {**job["metadata"], "name": "study-runs-x"}}
    validator.validate(named, "1.30", strict=True)
    assert (job["spec"]["completionMode"], job["spec"]["completions"]) == ("Indexed", 12)
    assert "kueue.x-k8s.io/queue-name" in job["metadata"]["labels"]


def test_slurm_gets_an_array_whose_tasks_name_their_number(tmp_path: Path) -> None:
    script = as_slurm("small", "rates", 7, ["cluster", "study.yaml", "--only"], tmp_path)
    assert "#SBATCH --array=0-6" in script
    (tmp_path / "srun").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "srun").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_ARRAY_TASK_ID": "3"}
    done = subprocess.run(["bash"], input=script, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split()[-5:] == ["studies", "cluster", "study.yaml", "--only", "3"]


def test_the_first_phase_chooses_rates_and_its_jobs_are_every_trial(protocol: Any) -> None:
    plan = register(protocol, amend=None)
    phase, jobs = next_phase(plan)
    assert phase == "rates"
    assert [job.name for job in jobs] == [job.name for job in _phase(plan, "rates")]
    assert len({job.name for job in jobs}) == len(jobs) == 10


def test_a_job_beyond_the_last_and_one_before_registration_are_refused(make_study: Any, tmp_path: Path) -> None:
    study = str(tmp_path / "study.yaml")
    make_study()
    with pytest.raises(UserError, match="not registered"):
        main([study, "--only", "0"])
    main([study, "--as", "slurm"])
    with pytest.raises(UserError, match="there is no 99"):
        main([study, "--phase", "rates", "--only", "99"])


def test_one_job_trains_its_run_and_a_second_call_finds_it_done(make_study: Any, tmp_path: Path) -> None:
    study = str(tmp_path / "study.yaml")
    made = make_study(tuning={"grid": [1e-3, 1e-2], "criterion": "validation_loss"})
    assert main([study, "--as", "kubernetes"]) == 0
    for _ in range(2):
        assert main([study, "--phase", "rates", "--only", "1"]) == 0
    adapters = list(Path(made.directory).glob("**/adapter/manifest.json"))
    assert len(adapters) == 1
