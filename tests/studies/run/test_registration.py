"""What a study costs, and the plan that comes before it."""

from __future__ import annotations

import io
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from rich.console import Console

from schemas.errors import UserError
from schemas.studies.study_config import StudyConfig
from schemas.studies.study_plan import ChosenRates, StudyPlan, StudyProtocol, TuningRun
from studies.run.estimate import estimate
from studies.run.jobs import RunJob
from studies.run.protocol import draft_protocol, require_inputs
from studies.run.rates import best_rate
from studies.run.registration import register
from studies.run.study_file import load_study, run_config
from trainer.config_file import write_config

ARMS = {
    "lora": {"asks": "plain", "overrides": {"method": "lora"}},
    "echo": {"asks": "full", "overrides": {"method": "echo_lora"}},
    "alone": {"asks": "auxiliaries", "overrides": {"method": "echo_lora", "echo": {"content": "none"}}},
    "matched": {"asks": "compute", "overrides": {"method": "lora"}, "compute_matched_to": "echo"},
    "matched_twice": {
        "asks": "compute", "overrides": {"method": "lora"}, "compute_matched_to": "echo", "matched_as": "two_passes",
    },
}  # fmt: skip


@pytest.fixture
def make_study(tmp_path: Path, tiny_base: Path, records: list[dict[str, Any]], training_runs: ModuleType) -> Any:
    def make(**changes: Any) -> StudyConfig:
        base = training_runs.write_config(tmp_path, tiny_base, records)
        data: dict[str, Any] = {
            "name": "small",
            "directory": str(tmp_path / "study"),
            "config": str(base),
            "bases": {"tiny": {}},
            "arms": ARMS,
            "seeds": [0, 1],
            "tuning": {"grid": [1e-3, 1e-2]},
            "evaluation": {"suite": "quickstart"},
            "analysis": {"contrasts": {"gain": {"candidate": "echo", "baseline": "lora", "asks": "better?"}}},
        }
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(data | changes))
        return load_study(path)

    return make


@pytest.fixture
def protocol(make_study: Any) -> StudyProtocol:
    return require_inputs(draft_protocol(make_study()))


def test_compute_is_four_operations_per_base_value_and_six_per_trained_one(protocol: StudyProtocol) -> None:
    cost = protocol.planned("tiny", "lora").cost
    assert cost.echo_tokens == cost.echo_parameters == 0
    assert cost.flops == pytest.approx((4 * cost.base_parameters + 6 * cost.adapter_parameters) * cost.tokens)
    assert (cost.steps, cost.samples) == (6, 48)


def test_an_echo_pass_costs_its_suffix_in_the_expected_share_of_steps(protocol: StudyProtocol) -> None:
    lora, echo = protocol.planned("tiny", "lora").cost, protocol.planned("tiny", "echo").cost
    assert echo.adapter_parameters == lora.adapter_parameters
    assert echo.echo_parameters > 0
    assert 0 < echo.echo_tokens < 0.6 * echo.tokens / 2
    assert protocol.planned("tiny", "alone").cost.echo_parameters == 0


def test_a_matched_arm_computes_as_much_as_its_target_to_within_a_step(protocol: StudyProtocol) -> None:
    matched, echo = protocol.planned("tiny", "matched").cost, protocol.planned("tiny", "echo").cost
    assert echo.flops <= matched.flops < echo.flops + 1.5 * matched.flops / matched.steps
    twice = protocol.planned("tiny", "matched_twice")
    assert twice.cost.steps == twice.config["training"]["max_steps"] == 10  # 6 steps and 0.6 of them again


def test_all_arms_of_a_seed_see_the_same_data_in_the_same_order(protocol: StudyProtocol) -> None:
    study = protocol.study
    configs = [run_config(study, one, seed=1, rate=0.01) for one in protocol.arms]
    assert {config.seed for config in configs} == {1}
    assert len({config.data for config in configs}) == 1
    assert len({config.training.batch_size for config in configs}) == 1


def test_the_plan_is_registered_once_and_found_again(protocol: StudyProtocol) -> None:
    first = register(protocol, amend=None)
    again = register(protocol, amend=None)
    assert (again.registered, again.protocol_sha256) == (first.registered, first.protocol_sha256)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seeds": [0, 1, 2]}, "study.seeds"),
        ({"tuning": {"grid": [1e-3, 2e-2]}}, "study.tuning.grid"),
        ({"analysis": {"contrasts": {"gain": {"candidate": "alone", "baseline": "lora", "asks": "better?"}}}},
         "study.analysis.contrasts.gain.candidate"),
    ],
)  # fmt: skip
def test_a_changed_plan_is_refused_with_its_differences_unless_owned_up_to(
    make_study: Any, protocol: StudyProtocol, changes: dict[str, Any], named: str
) -> None:
    before = register(protocol, amend=None)
    other = require_inputs(draft_protocol(make_study(**changes)))
    with pytest.raises(UserError, match="registered with another protocol") as caught:
        register(other, amend=None)
    assert f"- {named}: " in caught.value.what
    amended = register(other, amend="a reason")
    assert [one.reason for one in amended.amendments] == ["a reason"]
    assert amended.amendments[0].protocol_sha256 == before.protocol_sha256 != amended.protocol_sha256


def test_an_amended_study_sets_aside_runs_of_another_config_and_keeps_the_others(
    protocol: StudyProtocol, tmp_path: Path
) -> None:
    kept, changed = (run_config(protocol.study, protocol.arms[0], seed=seed, rate=0.01) for seed in (0, 1))
    for config, written in ((kept, kept), (changed, changed.model_copy(update={"method": "dora"}))):
        job = RunJob(tmp_path, config, None, tmp_path / "superseded")
        write_config(written, job.run.config)
        work = job.next_work()
        assert work is not None
        assert work.phase == "training"
    assert (Path(kept.runs) / kept.name / "config.yaml").is_file()
    assert (tmp_path / "superseded" / changed.name / "config.yaml").is_file()
    assert not (Path(changed.runs) / changed.name).exists()


def test_a_changed_data_file_changes_the_plan(protocol: StudyProtocol, tmp_path: Path) -> None:
    register(protocol, amend=None)
    data = tmp_path / "train.json"
    data.write_text(data.read_text().replace("golden", "silver"))
    with pytest.raises(UserError, match=r"train\.json"):
        register(require_inputs(draft_protocol(protocol.study)), amend=None)


def test_items_behind_a_linked_folder_are_hashed_too(make_study: Any, tmp_path: Path) -> None:
    elsewhere, data = tmp_path / "elsewhere", tmp_path / "data"
    elsewhere.mkdir()
    (elsewhere / "test.json").write_text("[]")
    data.mkdir()
    (data / "boolq").symlink_to(elsewhere)
    draft = draft_protocol(make_study(evaluation={"suite": "quickstart", "data": str(data)}))
    assert str(data / "boolq" / "test.json") in require_inputs(draft).files


def test_the_plan_s_hash_does_not_depend_on_where_the_study_lies(make_study: Any, tmp_path: Path) -> None:
    elsewhere = make_study(directory=str(tmp_path / "elsewhere"))
    assert draft_protocol(make_study()).protocol.sha256() == draft_protocol(elsewhere).protocol.sha256()


def test_runs_without_a_plan_are_refused(protocol: StudyProtocol) -> None:
    (Path(protocol.study.directory) / "runs" / "something").mkdir(parents=True)
    with pytest.raises(UserError, match="would be written after them"):
        register(protocol, amend=None)


def test_a_plan_edited_by_hand_is_not_read(protocol: StudyProtocol) -> None:
    register(protocol, amend=None)
    path = Path(protocol.study.directory) / "study_plan.json"
    path.write_text(path.read_text().replace('"level": 0.05', '"level": 0.2'))
    with pytest.raises(UserError, match="edited by hand"):
        StudyPlan.read(path)


def test_a_study_whose_inputs_are_not_here_can_be_estimated_and_not_registered(make_study: Any) -> None:
    draft = draft_protocol(make_study(evaluation={"suite": "quickstart", "data": "nowhere"}))
    with pytest.raises(UserError, match="nowhere"):
        require_inputs(draft)


def test_the_best_rate_is_that_of_the_mean_and_one_divergence_rules_a_rate_out(make_study: Any) -> None:
    tuning = make_study(tuning={"grid": [0.1, 0.2, 0.4], "seeds": [8, 9]}).tuning
    scores = {(0.1, 8): 1.0, (0.1, 9): 0.6, (0.2, 8): 0.9, (0.2, 9): 0.5, (0.4, 8): 0.1, (0.4, 9): None}
    runs = [TuningRun(rate=rate, seed=seed, score=score) for (rate, seed), score in scores.items()]
    assert best_rate(runs, tuning) == 0.2
    accuracy = tuning.model_copy(update={"criterion": "validation_accuracy"})
    assert best_rate(runs, accuracy) == 0.1


def test_the_estimate_counts_every_run(make_study: Any) -> None:
    study = make_study()
    console = Console(record=True, width=200, file=io.StringIO())
    total = estimate(study, console)
    runs = sum(one.cost.flops for one in draft_protocol(study).protocol.arms) * (2 + 2)
    assert total == pytest.approx(runs)
    assert "runs       20:" in console.export_text()


def test_rates_are_looked_up_by_base_and_arm() -> None:
    rates = ChosenRates.model_validate_json(
        '{"protocol_sha256": "'
        + "0" * 64
        + '", "rates": [{"base": "a", "arm": "b", "rate": 0.1, "runs": [], "at_edge": false}]}'
    )
    assert rates.rate_of("a", "b") == 0.1
