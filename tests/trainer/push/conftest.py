"""A run with an adapter and a report of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.document import sha256_of
from schemas.evaluation.eval_report import AdapterReference
from schemas.run_directory import RunDirectory
from tests.adapter_runs import seal, write_adapter_run
from tests.evaluator.scored_runs import draw, write_evaluation


@pytest.fixture
def scored(tmp_path: Path, tiny_base: Path) -> RunDirectory:
    run = write_adapter_run(tmp_path / "mine", tiny_base)
    card = "---\nlibrary_name: peft\n---\n# mine\n\n## Limits\n\n- few\n"
    (run.adapter / "README.md").write_text(card)
    seal(run)
    reference = AdapterReference(name="mine", method="lora", manifest_sha256=sha256_of(run.manifest))
    tasks = {name: {"base": draw(0.5, 40, seed), "adapter": draw(0.8, 40, seed + 9)} for seed, name in enumerate("ab")}
    write_evaluation(run.root, tasks, adapter=reference, metric="accuracy")
    return run
