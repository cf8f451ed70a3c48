"""From a suite to lm-eval task objects whose items are loaded and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluator.tasks.answerable import require_answerable
from evaluator.tasks.commonsense import unpublished_files
from evaluator.tasks.local_data import local_overrides
from evaluator.tasks.own.load import load_own
from evaluator.tasks.suites import Counting, Suite
from evaluator.tasks.yaml_files import TaskConfig, chosen
from schemas.errors import UserError

FEWSHOT_SEED = 1234  # lm-eval's default


@dataclass(frozen=True)
class LoadedTasks:
    """The tasks of one evaluation."""

    suite: Suite
    """Their suite."""
    tasks: Mapping[str, Any]
    """lm-eval tasks by name."""
    notes: tuple[str, ...]
    """What sets these items apart from the suite's published ones."""
    counting: Mapping[str, Counting]
    """How the answers count, by task."""


def load_tasks(
    suite: Suite,
    data: Path | None,
    wanted: list[str] | None,
    base: Path | None = None,
    trained_prompt: str | None = None,
) -> LoadedTasks:
    """Loads the suite's tasks, from local files where a data directory is given, else from the hub.

    Args:
        suite: the suite.
        data: directory of local files; None takes the suite's own place or the hub.
        wanted: names of tasks; None takes all.
        base: directory of the base model, whose chat template the prompts of a suite of one's own may need.
        trained_prompt: the Jinja text that the adapter was trained with, which such a suite may ask for.

    Raises:
        UserError: no data, an item that does not fit, or the hub cannot be reached.
    """
    if suite.own is not None and suite.place is not None:
        own, counting = load_own(suite.own, suite.place, data or suite.place.parent, wanted, base, trained_prompt)
        return LoadedTasks(suite, own, (), counting)
    configs = chosen(suite, wanted)
    directory = data or (Path(suite.data) if suite.data else None)
    if directory is None and suite.needs_files:
        raise UserError(
            f"suite {suite.name} needs local files; no hub data set holds exactly its items", fix=suite.needs_files
        )
    if directory is None:
        return _counted(suite, _build(suite, list(configs)), ())
    overrides = local_overrides(suite, configs, directory)
    members = [{"task": name, **keys} for name, keys in overrides.items()]
    tasks = _build(suite, [{"group": f"{suite.name} from local files", "task": members}])
    how = suite.counting
    if how is not None and suite.generates and not how.programs:
        for name, task in tasks.items():
            require_answerable(task, how.metric, how.filter, where=_scored_file(task, overrides[name]))
    return _counted(suite, tasks, _notes(suite, configs, overrides))


def _counted(suite: Suite, tasks: Mapping[str, Any], notes: tuple[str, ...]) -> LoadedTasks:
    assert suite.counting is not None, "the tasks of a built-in suite count alike"
    return LoadedTasks(suite, tasks, notes, dict.fromkeys(tasks, suite.counting))


def _scored_file(task: Any, override: Mapping[str, Any]) -> str:
    keywords = override["dataset_kwargs"]
    if "files" in keywords:
        return str(keywords["files"][task.config.test_split or task.config.validation_split])
    return str(Path(keywords["data"], keywords["folder"], "test.json"))


def _build(suite: Suite, specifications: list[Any]) -> Mapping[str, Any]:
    from datasets.exceptions import DatasetsError
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=suite.task_folders(), include_defaults=False)
    try:
        tasks: dict[str, Any] = manager.load(specifications)["tasks"]
    except (DatasetsError, HfHubHTTPError, OfflineModeIsEnabled, ConnectionError) as error:
        unreachable = isinstance(error, OfflineModeIsEnabled | ConnectionError)
        raise UserError(
            f"the data of suite {suite.name} cannot be loaded: {(str(error).splitlines() or [type(error).__name__])[0]}",
            fix=("connect to the hub once (the data are cached), or " if unreachable else "")
            + "give local files with --data DIR",
        ) from None
    for task in tasks.values():
        if task.get_config("num_fewshot") is None:
            task.set_config(key="num_fewshot", value=suite.shots)
    return tasks


def _notes(suite: Suite, configs: Mapping[str, TaskConfig], overrides: Mapping[str, Any]) -> tuple[str, ...]:
    notes = []
    absent = [name for name in configs if name not in overrides]
    if absent and not suite.partial:
        notes.append(f"no local files for {', '.join(absent)}: the macro average leaves them out")
    if suite.published:
        files = [Path(keys["dataset_kwargs"]["data"], keys["dataset_kwargs"]["folder"]) for keys in overrides.values()]
        other = unpublished_files(files, suite.published)
        if other:
            notes.append(f"not the published items (or not checked): {', '.join(other)}")
    return tuple(notes)
