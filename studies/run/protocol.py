"""The study's protocol: every arm on every base as it will be trained, what it costs, and the hashes of its inputs."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.base.find_base import find_base
from schemas.document import sha256_of
from schemas.errors import UserError
from schemas.studies.study_config import StudyConfig
from schemas.studies.study_plan import PlannedArm, StudyProtocol
from schemas.training.train_config import TrainConfig
from studies.run.compute import Samples, matched_steps, measure_samples, training_cost
from studies.run.study_file import arm_settings
from trainer.config_file import merge, parse_config
from trainer.model.base_shape import check_fit, read_shape
from trainer.plan.memory_estimate import Footprint, footprint
from trainer.plan.plan import base_architecture

_DATA_SUFFIXES = {".json", ".jsonl", ".parquet", ".csv", ".gz"}


@dataclass(frozen=True)
class Draft:
    """A protocol, with what was found while drafting it."""

    protocol: StudyProtocol
    """The protocol."""
    footprints: tuple[Footprint, ...]
    """Memory and disk of each planned arm, in the protocol's order."""
    missing: tuple[str, ...]
    """Inputs that are not here; a study cannot start without them, its plan can be read."""


def draft_protocol(study: StudyConfig) -> Draft:
    """Resolves every arm on every base, and counts what it costs.

    Raises:
        UserError: an arm is no valid training config, does not fit its base, or its compute cannot be counted.
    """
    arms: list[PlannedArm] = []
    footprints: list[Footprint] = []
    samples: dict[str, Samples] = {}
    for base in study.bases:
        planned: dict[str, tuple[PlannedArm, Footprint]] = {}
        for arm in _matched_last(study):
            config = _config(arm_settings(study, base, arm))
            key = f"{config.base.model_dump_json()}{config.data.model_dump_json(exclude={'loss_on'})}"
            if key not in samples:
                samples[key] = measure_samples(config, study.expense)
            target = study.arms[arm].compute_matched_to
            flops = _target_flops(*planned[target], samples[key], study.arms[arm].matched_as) if target else None
            planned[arm] = _plan(base, arm, config, samples[key], flops)
        arms += [planned[arm][0] for arm in study.arms]
        footprints += [planned[arm][1] for arm in study.arms]
    files, missing = _hashes(study, [_config(one.config) for one in arms])
    unmeasured = [] if all(one.measured for one in samples.values()) else ["training data: lengths are the study's"]
    protocol = StudyProtocol(study=study, arms=tuple(arms), files=files)
    return Draft(protocol, tuple(footprints), (*missing, *unmeasured))


def require_inputs(draft: Draft) -> StudyProtocol:
    """The protocol, once everything it needs is here.

    Raises:
        UserError: an input is missing.
    """
    if draft.missing:
        raise UserError(
            "the study cannot be registered: inputs are not here\n" + "\n".join(f"  - {one}" for one in draft.missing),
            fix="put them where the config says; `--plan` estimates the study without them",
        )
    return draft.protocol


def _matched_last(study: StudyConfig) -> list[str]:
    return sorted(study.arms, key=lambda arm: study.arms[arm].compute_matched_to is not None)


def _config(settings: dict[str, Any]) -> TrainConfig:
    return parse_config(merge(settings, {"name": "planned"}), where="study plan")


def _plan(
    base: str, arm: str, config: TrainConfig, samples: Samples, target_flops: float | None
) -> tuple[PlannedArm, Footprint]:
    architecture, _ = base_architecture(config)
    shape = read_shape(architecture)
    check_fit(shape, config)
    micro_batch = config.training.micro_batch_size or config.training.batch_size
    needs = footprint(shape, config, micro_batch=micro_batch, tokens=samples.longest)
    cost = training_cost(config, samples, shape.parameters, needs)
    if target_flops is not None:
        steps = matched_steps(cost, target_flops)
        config = config.model_copy(update={"training": config.training.model_copy(update={"max_steps": steps})})
        cost = training_cost(config, samples, shape.parameters, needs)
    settings = config.model_dump(mode="json", exclude={"name", "runs", "seed"})
    return PlannedArm(base=base, arm=arm, config=settings, cost=cost), needs


def _target_flops(target: PlannedArm, needs: Footprint, samples: Samples, matched_as: str) -> float:
    """The compute to match: the target's own, or that of the same arm with two whole passes."""
    config = _config(target.config)
    if matched_as == "as_trained" or config.echo is None:
        return target.cost.flops
    twice = config.model_copy(update={"echo": config.echo.model_copy(update={"implementation": "two_pass"})})
    return training_cost(twice, samples, target.cost.base_parameters, needs).flops


def _hashes(study: StudyConfig, configs: list[TrainConfig]) -> tuple[dict[str, str], list[str]]:
    """Hashes of the inputs that lie here, and what should and does not; hub names are taken at their word."""
    files, missing = {}, []
    for path in dict.fromkeys(_input_files(study, configs)):
        if path.is_file():
            files[str(path)] = sha256_of(path)
        else:
            missing.append(str(path))
    for base in {config.base.model: config.base for config in configs}.values():
        try:
            found = find_base(base.model, base.revision).identity()
        except UserError as error:
            missing.append(f"base model {base.model}: {error.what}")
        else:
            files[f"{base.model} (config)"] = found.config_sha256
            files[f"{base.model} (weights)"] = found.weights_sha256
    return dict(sorted(files.items())), missing


def _input_files(study: StudyConfig, configs: list[TrainConfig]) -> Iterator[Path]:
    """Training sources that are local files, then the test and validation items."""
    for config in configs:
        paths = [source.path for source in config.data.train]
        yield from (Path(path) for path in paths if Path(path).suffix in _DATA_SUFFIXES and "://" not in path)
    yield from study.evaluation.suite_inputs()
    for directory in (study.evaluation.data, study.tuning.data):
        if directory is not None:
            every = map(Path, glob.iglob(f"{glob.escape(directory)}/**/*", recursive=True))  # into linked folders too
            found = sorted(path for path in every if path.suffix in _DATA_SUFFIXES)
            yield from found or [Path(directory)]
