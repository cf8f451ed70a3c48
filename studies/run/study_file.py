"""From a study's YAML file to a StudyConfig, and from there to the training config of any of its runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from schemas.errors import UserError
from schemas.storage.yaml_files import read_yaml
from schemas.studies.study_config import StudyConfig
from schemas.studies.study_plan import PlannedArm, run_name
from schemas.training.train_config import TrainConfig
from trainer.config_file import merge, parse_config

_OF_THE_RUN = {"name", "runs", "seed"}


def load_study(path: Path, directory: str | None = None) -> StudyConfig:
    """Reads a study.

    Three conveniences of the file are gone once it is read: `include: FILE` takes another file's keys first; an arm, base
    or contrast set to null is left out; and `select: [ARM, ...]` keeps only these arms and the contrasts among them.

    Args:
        path: the study's YAML file.
        directory: replaces the file's `directory`.

    Raises:
        UserError: a file cannot be read, or fields are faulty (all of them named at once).
    """
    data = _with_included(path)
    for parent, key in ((data, "arms"), (data, "bases"), (data.get("analysis"), "contrasts")):
        if isinstance(parent, dict) and isinstance(parent.get(key), Mapping):
            parent[key] = {name: part for name, part in parent[key].items() if part is not None}
    _select(data, data.pop("select", None))
    if directory is not None:
        data["directory"] = directory
    return StudyConfig.parse(data, where=path)


def _with_included(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The file's keys over those of the file that it includes, and so on."""
    if path in above:
        raise UserError(f"{path} includes itself", where=above[-1], fix="take the include out of one of the two")
    data: dict[str, Any] = StudyConfig.upgraded(read_yaml(path, "study config"))  # before two files' words meet
    included = data.pop("include", None)
    return merge(_with_included(Path(included), (*above, path)), data) if isinstance(included, str) else data


def _select(data: dict[str, Any], chosen: object) -> None:
    arms, analysis = data.get("arms"), data.get("analysis")
    if not isinstance(chosen, list) or not isinstance(arms, dict) or not isinstance(analysis, dict):
        return
    unknown = [name for name in chosen if name not in arms]
    if unknown:
        raise UserError(f"select names arm {unknown[0]}, which is not there", fix=f"choose from: {', '.join(arms)}")
    data["arms"] = {name: arms[name] for name in chosen}
    contrasts = analysis.get("contrasts") or {}
    kept = {name: one for name, one in contrasts.items() if {one["candidate"], one["baseline"]} <= set(chosen)}
    data["analysis"] = {**analysis, "contrasts": kept}


def arm_settings(study: StudyConfig, base: str, arm: str) -> dict[str, Any]:
    """One arm's training config on one base, as plain data: the base config with the overrides of study, base and arm.

    Raises:
        UserError: the base config cannot be read, or the result is no valid config.
    """
    data = TrainConfig.upgraded(read_yaml(Path(study.config), "training config"))
    for overrides in (study.overrides, study.bases[base].overrides, study.arms[arm].overrides):
        data = merge(data, TrainConfig.upgraded(dict(overrides)))
    data = merge(data, {"name": study.name, "seed": study.seeds[0]})
    config = parse_config(data, where=f"arm {arm} on base {base}: {study.config} with the study's overrides")
    if config.data.validation_rows == 0 and study.tuning.criterion == "validation_loss" and len(study.tuning.grid) > 1:
        raise UserError(
            "learning rates are chosen on the validation loss, and there are no validation rows",
            where=f"arm {arm}: data.validation_rows",
            fix="set data.validation_rows, or choose `tuning.criterion: validation_accuracy`",
        )
    return config.model_dump(mode="json", exclude=_OF_THE_RUN)


def run_config(study: StudyConfig, planned: PlannedArm, *, seed: int, rate: float, tuning: bool = False) -> TrainConfig:
    """The training config of one run, with its name, place, seed and learning rate.

    Args:
        study: the study.
        planned: the arm on its base.
        seed: of the run.
        rate: learning rate.
        tuning: whether the run only helps to choose the rate; it then takes `tuning.steps_share` of the steps.
    """
    name = run_name(planned.base, planned.arm, seed, rate if tuning else None)
    place = Path(study.directory) / ("tuning" if tuning else "runs")
    training: dict[str, Any] = {"learning_rate": rate}
    if tuning and study.tuning.steps_share < 1:
        training["max_steps"] = max(1, round(planned.cost.steps * study.tuning.steps_share))
    changes = {"name": name, "runs": str(place), "seed": seed, "training": training}
    return parse_config(merge(planned.config, changes), where=f"run {name}")
