"""Reads task YAML files as plain data, so that names and folders are known before lm-eval is imported."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluator.tasks.suites import Suite
from schemas.errors import UserError
from schemas.storage.yaml_files import read_yaml

TaskConfig = Mapping[str, Any]


def task_configs(suite: Suite) -> dict[str, TaskConfig]:
    """The suite's tasks in order, each with its YAML keys."""
    found: dict[str, TaskConfig] = {}
    for folder in suite.task_folders():
        for path in sorted(Path(folder).glob("*.yaml")):
            config = plain_config(path)
            if "group" not in config and isinstance(config.get("task"), str):
                found.setdefault(config["task"], config)
    return {name: found[name] for pattern in suite.tasks for name in fnmatch.filter(found, pattern)}


def chosen(suite: Suite, wanted: list[str] | None) -> dict[str, TaskConfig]:
    """The tasks that --tasks names, by full name or by the part after the suite's prefix; all without it.

    Raises:
        UserError: a name fits no task of the suite.
    """
    configs = task_configs(suite)
    if wanted is None:
        return configs
    names = []
    for word in wanted:
        fits = [name for name in configs if name == word] or [name for name in configs if name.endswith(f"_{word}")]
        if len(fits) != 1:
            raise UserError(
                f"--tasks {word} fits {len(fits)} tasks of suite {suite.name}", fix=f"choose from: {', '.join(configs)}"
            )
        names += fits
    return {name: config for name, config in configs.items() if name in names}


def plain_config(path: Path) -> dict[str, Any]:
    """A task file's keys with its includes merged; functions stay text."""
    config = read_yaml(path, "task", text_tags=("!function",))
    include = config.pop("include", None)
    return {**plain_config(path.parent / include), **config} if include else config
