"""Synthetic evaluations: reports and samples as the evaluator writes them, from right and wrong drawn by numpy."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluator.scoring.metrics import score_task
from schemas.document import sha256_of
from schemas.evaluation.eval_report import (
    AdapterReference,
    BaseReference,
    EvalReport,
    Sample,
    TaskRecord,
    TaskScore,
)

OUTCOMES = {0: "wrong", 1: "correct", 2: "unparsed", 3: "unscored"}
"""By code; a code between 0 and 1 is the score of a partial answer."""
Outcomes = Sequence[int] | np.ndarray
WriteRun = Callable[..., Path]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _samples(task: str, variant: str, outcomes: Outcomes, clusters: Sequence[str] | None) -> list[Sample]:
    return [
        Sample(
            task=task,
            document=item,
            variant=variant,  # type: ignore[arg-type]
            prompt=f"Question {item} of {task}: is <b>{item}</b> even & round?\n\nAnswer format: true/false",
            target="true" if item % 2 else "false",
            output={0: "the correct answer is maybe", 1: "the correct answer is right"}.get(
                int(outcome), "</script> ..."
            ),
            parsed=None if outcome >= 2 else "maybe",
            outcome="partial" if 0 < outcome < 1 else OUTCOMES[int(outcome)],  # type: ignore[arg-type]
            score=float(outcome) if 0 < outcome < 1 else None,
            cluster=clusters[item] if clusters else None,
        )
        for item, outcome in enumerate(outcomes)
    ]


def _score(samples: Sequence[Sample], metric: str) -> TaskScore:
    return score_task(metric, samples, {})


def write_evaluation(
    run: Path,
    tasks: Mapping[str, Mapping[str, Outcomes]],
    *,
    suite: str = "quickstart",
    method: str = "echo_lora",
    clusters: Mapping[str, Sequence[str]] | None = None,
    floor: float | None = 0.5,
    metric: str = "exact_match",
    **changed: Any,
) -> Path:
    """Writes report.json and samples.jsonl of a run; `tasks` maps task and variant to outcome codes (see OUTCOMES)."""
    folder = run / "evaluation" / suite
    folder.mkdir(parents=True)
    samples = [
        sample
        for task, variants in tasks.items()
        for variant, outcomes in variants.items()
        for sample in _samples(task, variant, outcomes, (clusters or {}).get(task))
    ]
    (folder / "samples.jsonl").write_text("".join(sample.model_dump_json() + "\n" for sample in samples))
    records = {
        task: TaskRecord(
            version="1",
            floor=floor,
            documents_sha256=digest(task + "documents"),
            prompts_sha256=digest(task + "prompts"),
            generation_sha256=digest(task + "generation"),
            variants={
                variant: _score([s for s in samples if (s.task, s.variant) == (task, variant)], metric)
                for variant in variants
            },  # type: ignore[misc]
        )
        for task, variants in tasks.items()
    }
    variants = list(next(iter(tasks.values())))
    report = EvalReport(
        suite=suite,
        protocol="greedy",
        created=datetime(2026, 1, 2, tzinfo=UTC),
        backend="hf",
        dtype="float32",
        base=BaseReference(
            name="tiny", revision=None, config_sha256=digest("config"), weights_sha256=digest("weights")
        ),
        adapter=AdapterReference(name=run.name, method=method, manifest_sha256=digest(run.name)),
        limit=None,
        seed=0,
        tasks=records,
        macro={
            variant: float(np.mean([record.variants[variant].score for record in records.values()]))
            for variant in variants
        },  # type: ignore[misc,index]
        samples_sha256=sha256_of(folder / "samples.jsonl"),
        seconds=1.5,
        versions={"python": "3.11"},
    ).model_copy(update=changed)
    (folder / "report.json").write_text(report.to_json())
    return run


def edit_report(run: Path, edit: Callable[[dict[str, Any]], None], suite: str = "quickstart") -> None:
    """Changes report.json in place, and keeps its hash of samples.jsonl true."""
    path = run / "evaluation" / suite / "report.json"
    data = json.loads(path.read_text())
    data["samples_sha256"] = sha256_of(path.with_name("samples.jsonl"))
    edit(data)
    path.write_text(json.dumps(data))


def draw(accuracy: float, items: int, seed: int) -> np.ndarray:
    """Independent outcomes: 1 right, 0 wrong."""
    return np.random.default_rng(seed).binomial(1, accuracy, items)


def improve(outcomes: np.ndarray, fixed: float, broken: float, seed: int) -> np.ndarray:
    """A correlated second adapter: fixes a share of the wrong items, breaks a share of the right ones."""
    chance = np.random.default_rng(seed).random(len(outcomes))
    return np.where(outcomes == 1, chance >= broken, chance < fixed).astype(int)


@pytest.fixture
def runs(tmp_path: Path) -> dict[str, Path]:
    """Three runs on two tasks of 200 items: `echo` clearly above its base and level with `lora`, and `worse`."""
    tasks = ("boolq", "piqa")
    base = {task: draw(0.5, 200, seed) for seed, task in enumerate(tasks)}
    lora = {task: improve(base[task], 0.85, 0.04, 10 + seed) for seed, task in enumerate(tasks)}
    echo = {task: improve(lora[task], 0.3, 0.01, 20 + seed) for seed, task in enumerate(tasks)}
    worse = {task: improve(lora[task], 0.0, 0.25, 30 + seed) for seed, task in enumerate(tasks)}
    written = {"echo": (echo, "echo_lora"), "lora": (lora, "lora"), "worse": (worse, "echo_lora")}
    return {
        name: write_evaluation(
            tmp_path / "runs" / name,
            {task: {"base": base[task], "adapter": adapter[task]} for task in tasks},
            method=method,
        )
        for name, (adapter, method) in written.items()
    }


@pytest.fixture
def evaluation() -> WriteRun:
    """`write_evaluation`, for tests that need particular outcomes."""
    return write_evaluation


@pytest.fixture
def edit() -> Callable[..., None]:
    """`edit_report`, for tests of reports that somebody changed."""
    return edit_report


@pytest.fixture
def policy(tmp_path: Path) -> Callable[..., Path]:
    """Writes a policy for the suite `quickstart` with the given checks (YAML flow mappings) and settings."""

    def write(*checks: str, **settings: object) -> Path:
        lines = ["name: test", "suites:", "  quickstart:"]
        lines += [f"    {key}: {value}" for key, value in settings.items()]
        lines += ["    checks:", *(f"      - {{{check}}}" for check in checks)]
        path = tmp_path / "policy.yaml"
        path.write_text("\n".join(lines) + "\n")
        return path

    return write
