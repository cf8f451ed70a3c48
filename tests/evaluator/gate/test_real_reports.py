"""The gate reads what the evaluator writes: two real adapters on a real tiny model, from scoring to verdict and page."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluator.__main__ import main
from schemas.errors import UserError
from schemas.evaluation.verdict import Verdict
from tests.evaluator.conftest import make_run

POLICY = """
name: tiny
suites:
  commonsense_170k:
    checks:
      - {kind: non_inferiority, against: baseline, margin: 90}
      - {kind: superiority, against: base, margin: 30}
"""


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, small_data: Path) -> list[str]:
    """Two runs, four items each: enough to see that the documents fit."""
    root = tmp_path_factory.mktemp("scored")
    runs = [make_run(root / "echo", tiny_base, "echo_lora", seed=1), make_run(root / "lora", tiny_base, "lora")]
    arguments = [str(run) for run in runs]
    what = ["--suite", "commonsense_170k", "--data", str(small_data), "--tasks", "boolq", "--limit", "4"]
    assert main([*arguments, *what, "--device", "cpu"]) == 0
    return arguments


def write_policy(directory: Path, text: str) -> str:
    path = directory / "policy.yaml"
    path.write_text(text)
    return str(path)


def test_scored_runs_are_judged_compared_and_shown(
    scored: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = write_policy(tmp_path, POLICY.replace("checks:", "full: false\n    checks:"))
    code = main(["gate", scored[0], "--against", scored[1], "--policy", policy])
    verdict = Verdict.read(Path(scored[0]) / "verdict.json")
    assert code == {"pass": 0, "rejected": 3, "inconclusive": 4}[verdict.decision]
    assert verdict.checks[1].decision != "pass"  # random adapters teach nothing
    assert main(["compare", *scored]) == 0
    assert "Echo-LoRA against LoRA" in capsys.readouterr().out
    assert main(["report", *scored]) == 0
    assert (Path(scored[0]) / "report.html").stat().st_size > 50_000


def test_a_limited_evaluation_is_refused_by_a_policy_that_wants_the_whole_suite(
    scored: list[str], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="the report holds the first 4 items per task"):
        main(["gate", scored[0], "--against", scored[1], "--policy", write_policy(tmp_path, POLICY)])
