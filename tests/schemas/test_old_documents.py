"""Files that earlier releases wrote: each is read in today's words, and a registered hash stays what it was."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from schemas.catalog import DOCUMENTS
from schemas.document import Document
from schemas.errors import UserError
from schemas.evaluation.eval_report import EvalReport, Sample
from schemas.evaluation.gate_policy import GatePolicy
from schemas.evaluation.verdict import Verdict
from schemas.serving.overhead_report import OverheadReport
from schemas.serving.serving_attestation import ServingAttestation
from schemas.studies.study_config import StudyConfig
from schemas.studies.study_plan import StudyPlan
from schemas.studies.study_report import StudyReport
from schemas.training.train_config import TrainConfig
from schemas.training.training_bench import BenchConfig, BenchReport

OLD = Path(__file__).parent / "old_documents"
FILES = sorted(path for path in OLD.iterdir() if path.suffix in (".json", ".yaml"))
BENCHES = sorted(Path("configs/bench/results").rglob("bench.json"))
RESULTS = sorted(Path("configs/studies/results").glob("*/study_plan.json"))
BY_NAME = {re.sub(r"(?<!^)(?=[A-Z])", "_", one.__name__).lower(): one for one in DOCUMENTS}


def plain(path: Path) -> dict[str, object]:
    loaded: dict[str, object] = yaml.safe_load(path.read_bytes())  # JSON is YAML too
    return loaded


def read(path: Path) -> Document:
    return BY_NAME[path.stem.rpartition("-")[0]].parse(plain(path), where=path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_old_document_is_read_and_written_in_todays_version(path: Path) -> None:
    document, version = read(path), path.stem.rpartition("-")[2]
    assert plain(path).get("schema_version", "1") == version
    assert int(json.loads(document.to_json())["schema_version"]) > int(version)
    assert type(document).parse(json.loads(document.to_json()), where=path) == document


def test_every_document_whose_version_rose_has_an_old_one_here() -> None:
    rose = {f"{name}-{version}" for name, one in BY_NAME.items() for version in one.upgrades}
    elsewhere = {"study_config-1", "bench_report-1"}  # inside every study plan; among the bench's results
    assert rose - {path.stem for path in FILES} <= elsewhere


def test_an_old_config_has_the_hash_that_its_adapter_recorded() -> None:
    config, manifest = read(OLD / "train_config-1.yaml"), plain(OLD / "adapter_manifest-1.json")
    assert isinstance(config, TrainConfig)
    assert config.sha256() == manifest["config_sha256"]
    assert config.echo is not None
    assert config.echo.sigmoid_bias == plain(OLD / "train_config-1.yaml")["echo"]["gate_bias"]  # type: ignore[index]


def test_old_benches_are_read_with_their_echo() -> None:
    bench = BenchConfig.parse({"echo": {"gate_bias": -1.5}}, where="bench config")
    assert bench.echo.sigmoid_bias == -1.5
    for path in BENCHES:
        assert BenchReport.read(path).config.echo.sigmoid_bias == plain(path)["config"]["echo"]["gate_bias"]  # type: ignore[index]


def test_an_old_policy_s_reference_is_the_baseline() -> None:
    policy = read(OLD / "gate_policy-1.yaml")
    assert isinstance(policy, GatePolicy)
    assert [getattr(check, "against", None) for check in policy.suites["quickstart"].checks][:2] == ["base", "baseline"]


def test_an_old_overhead_report_s_opponent_is_the_baseline() -> None:
    old, report = plain(OLD / "overhead_report-1.json"), read(OLD / "overhead_report-1.json")
    assert isinstance(report, OverheadReport)
    assert report.baseline.model_dump() == old["opponent"]
    assert {speed.variant for speed in report.speeds} >= {"candidate", "baseline", "control"}


def test_an_old_attestation_s_company_are_the_concurrent_models() -> None:
    old, attestation = plain(OLD / "serving_attestation-1.json"), read(OLD / "serving_attestation-1.json")
    assert isinstance(attestation, ServingAttestation)
    assert list(attestation.concurrent_models) == old["company"]
    assert all(probe.concurrent_difference is not None for probe in attestation.probes)


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.parent.name)
def test_a_registered_plan_keeps_its_hash_and_its_report_cites_it(path: Path) -> None:
    plan = StudyPlan.read(path)
    assert plan.protocol_sha256 == plain(path)["protocol_sha256"] == plan.protocol.sha256()
    report = StudyReport.read(path.with_name("study_report.json"))
    assert report.protocol_sha256 == plan.protocol_sha256
    assert next(one.baseline for one in report.contrasts) in report.study.arms


def test_a_plan_that_was_edited_is_still_found_out() -> None:
    data = plain(OLD / "study_plan-1.json")
    data["protocol"]["study"]["analysis"]["level"] = 0.2  # type: ignore[index]
    with pytest.raises(UserError, match="edited by hand"):
        StudyPlan.parse(data, where="plan")


def test_a_contrast_that_names_its_baseline_in_both_words_is_refused() -> None:
    study = plain(OLD / "study_plan-1.json")["protocol"]["study"]  # type: ignore[index]
    contrast = next(iter(study["analysis"]["contrasts"].values()))
    contrast["baseline"] = contrast["opponent"]
    with pytest.raises(UserError, match="opponent: unknown key"):
        StudyConfig.parse(study, where="study")


def test_an_old_report_and_its_samples_name_who_answered() -> None:
    report = read(OLD / "eval_report-1.json")
    assert isinstance(report, EvalReport)
    assert all(set(record.variants) == {"base", "adapter"} for record in report.tasks.values())
    lines = (OLD / "samples-1.jsonl").read_bytes().splitlines()
    samples = [Sample.model_validate_json(line) for line in lines]
    assert [sample.variant for sample in samples] == [json.loads(line)["arm"] for line in lines]
    assert [sample.value for sample in samples] == [float(sample.outcome == "correct") for sample in samples]


def test_an_old_verdict_s_opponents_are_its_baselines() -> None:
    verdict = read(OLD / "verdict-1.json")
    assert isinstance(verdict, Verdict)
    assert [(one.baselines, one.baseline_variant) for one in verdict.comparisons] == [
        (("base",), "base"),
        (("quickstart-lora",), "adapter"),
    ]
