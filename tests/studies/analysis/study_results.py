"""A small study that is finished: a registered plan, answers drawn by numpy, a real manifest for every run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from evaluator.comparison.scored_run import ScoredRun, read_evaluation
from schemas.studies.study_plan import ChosenRate, ChosenRates, StudyPlan, run_name
from schemas.training.adapter_manifest import AdapterManifest
from studies.analysis.results import Results, Run
from tests.evaluator.scored_runs import improve, write_evaluation

OLD = Path(__file__).parents[2] / "schemas" / "old_documents"
TASKS = ("boolq", "piqa")
SEEDS = (1, 2, 3)


def finished_study(root: Path, gain: float) -> Results:
    """Two arms with three seeds each on two tasks; `gain` is the share of wrong items that the second arm fixes."""
    plan = _plan(root)
    base = {task: np.random.default_rng(n).binomial(1, 0.5, 300) for n, task in enumerate(TASKS)}
    rates = [ChosenRate(base="small", arm=one.arm, rate=0.01, runs=(), at_edge=False) for one in plan.protocol.arms]
    runs = {
        ("small", arm): {seed: _run(root, arm, seed, base, fixed) for seed in SEEDS}
        for arm, fixed in (("lora", 0.4), ("echo_lora", 0.4 + gain))
    }
    control = ScoredRun(next(iter(runs["small", "lora"].values())).scored_run.evaluation, "base")
    chosen = ChosenRates(protocol_sha256=plan.protocol_sha256, rates=tuple(rates))
    return Results(plan, chosen, runs, {"small": control}, notes=("different backend: hf, vllm",))


def _plan(root: Path) -> StudyPlan:
    plan = StudyPlan.read(OLD / "study_plan-1.json")
    study = plan.protocol.study.model_copy(update={"seeds": SEEDS, "directory": str(root)})
    protocol = plan.protocol.model_copy(update={"study": study})
    return plan.model_copy(update={"protocol": protocol, "protocol_sha256": protocol.sha256()})


def _run(root: Path, arm: str, seed: int, base: dict[str, np.ndarray], fixed: float) -> Run:
    name = run_name("small", arm, seed)
    answers = {
        task: {"base": wrong, "adapter": improve(wrong, fixed, 0.02, 100 * seed + n)}
        for n, (task, wrong) in enumerate(base.items())
    }
    written = write_evaluation(root / "runs" / name, answers, method=arm)
    manifest = AdapterManifest.read(OLD / "adapter_manifest-1.json").model_copy(update={"name": name, "seed": seed})
    return Run(manifest, ScoredRun(read_evaluation(written, "quickstart"), "adapter"))
