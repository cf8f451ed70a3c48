"""From a suite file to lm-eval task objects, each with the way in which its answers count."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from evaluator.scoring.counting import metric_name, scorer_of
from evaluator.scoring.reading import reader_of
from evaluator.tasks.own.items import ChatTemplate, as_dataset, items_of
from evaluator.tasks.suites import Counting, Judging
from evaluator.tasks.yaml_files import plain_config
from schemas.errors import UserError
from schemas.evaluation.suite_file import ChoiceAnswer, Judge, Judged, LmEvalTask, OwnTask, SuiteFile, Task, UnitTest


def load_own(
    suite: SuiteFile,
    place: Path,
    folder: Path,
    wanted: list[str] | None,
    base: Path | None,
    trained_prompt: str | None = None,
) -> tuple[Mapping[str, Any], Mapping[str, Counting]]:
    """The tasks by name, and how each counts.

    Args:
        suite: the file's content.
        place: the file.
        folder: where data files and lm-eval's YAML files are looked for.
        wanted: names of tasks; None takes all.
        base: directory of the base model, whose chat template renders `messages`.
        trained_prompt: the Jinja text of the adapter's training, for tasks that ask `as_trained`.

    Raises:
        UserError: a file, a row or a text does not fit, or no task is called so.
    """
    unknown = [name for name in wanted or () if name not in suite.tasks]
    if unknown:
        raise UserError(f"--tasks {unknown[0]} is no task of suite {suite.name}", fix=f"of: {', '.join(suite.tasks)}")
    chosen = {
        name: _with_prompt(name, task, place, trained_prompt)
        for name, task in suite.tasks.items()
        if wanted is None or name in wanted
    }
    chat = _chat_template(base) if any(isinstance(t, OwnTask) and t.messages for t in chosen.values()) else None
    built = {
        name: _own(name, task, place, folder, chat, suite.judge)
        if isinstance(task, OwnTask)
        else _lm_eval(name, task, place, folder)
        for name, task in chosen.items()
    }
    return {name: task for name, (task, _) in built.items()}, {name: how for name, (_, how) in built.items()}


def _with_prompt(name: str, task: Task, place: Path, trained_prompt: str | None) -> Task:
    """A task that asks `as_trained` with the prompt of the training in its place."""
    if not isinstance(task, OwnTask) or not task.as_trained:
        return task
    if trained_prompt is None:
        raise UserError(
            f"tasks.{name} asks `as_trained`, and no prompt of a training is known here: a base alone has none, and chats "
            "are asked with `messages`",
            where=place,
            fix="give the task a `prompt` or `messages`",
        )
    return task.model_copy(update={"prompt": trained_prompt})


def _own(
    name: str, task: OwnTask, place: Path, folder: Path, chat: ChatTemplate | None, judge: Judge | None
) -> tuple[Any, Counting]:
    from lm_eval.api.task import ConfigurableTask

    items = items_of(name, task, place, folder, chat)
    task = task.model_copy(update={"prompt": None}) if task.as_trained else task
    config: dict[str, Any] = {
        "task": name,
        "custom_dataset": lambda **_: as_dataset(items),
        "test_split": "test",
        "doc_to_text": lambda doc: doc["question"],
        "target_delimiter": "",
        "num_fewshot": 0,
        "repeats": 1,
        "metadata": {"version": 1},
    }
    config |= _ranked(task.answer) if isinstance(task.answer, ChoiceAnswer) else _generated(task)
    judging = Judging(judge, task.counts) if judge is not None and isinstance(task.counts, Judged) else None
    counting = Counting(
        metric=metric_name(task.answer, task.counts),
        filter="none",
        majority=task.floor == "majority",
        floor=task.floor if isinstance(task.floor, float) else None,
        programs=isinstance(task.counts, UnitTest),
        reader=reader_of(task.answer),
        scorer=scorer_of(task.answer, task.counts),
        judged=judging,
        definition=_definition(task, judging),
    )
    return ConfigurableTask(config=config), counting


def _definition(task: OwnTask, judging: Judging | None) -> dict[str, Any]:
    """What shapes the scores: neither where the data lie nor where the judge is."""
    definition = task.model_dump(mode="json", exclude={"data"})
    return definition | ({"judge": judging.judge.model_dump(exclude={"url"})} if judging else {})


def _generated(task: OwnTask) -> dict[str, Any]:
    return {
        "output_type": "generate_until",
        "doc_to_target": lambda doc: doc["right"],
        "metric_list": [{"metric": "bypass", "aggregation": "bypass", "higher_is_better": True}],
        "generation_kwargs": {"until": list(task.stop), "max_gen_toks": task.max_new_tokens, "do_sample": False},
    }


def _ranked(answer: ChoiceAnswer) -> dict[str, Any]:
    return {
        "output_type": "multiple_choice",
        "doc_to_choice": partial(_prefixed, answer.prefix),
        "doc_to_target": lambda doc: doc["options"].index(doc["right"]),
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }


def _prefixed(prefix: str, doc: Mapping[str, Any]) -> list[str]:
    return [f"{prefix}{option}" for option in doc["options"]]


def _lm_eval(name: str, task: LmEvalTask, place: Path, folder: Path) -> tuple[Any, Counting]:
    """A task of lm-eval's form, under the name that the suite file gives it."""
    from lm_eval.tasks import TaskManager

    path = folder / task.lm_eval
    config = plain_config(path)
    if not isinstance(config.get("task"), str):
        raise UserError("the file is no lm-eval task: it names none", where=path, fix="name one of its tasks' files")
    try:
        manager = TaskManager(include_path=str(path.parent), include_defaults=False)
        (loaded,) = manager.load([config["task"]])["tasks"].values()
    except Exception as error:  # its `!function` entries are anybody's code, and its data may be anywhere
        raise UserError(
            f"tasks.{name}: lm-eval cannot load the task: {type(error).__name__}: {' '.join(str(error).split())[:300]}",
            where=path,
            fix="it must also load with lm-eval alone: lm_eval --tasks NAME --include_path DIR",
        ) from None
    metrics = [str(one["metric"]) for one in loaded.config.metric_list or [{"metric": "acc"}]]
    filters = [one["name"] for one in loaded.config.filter_list or [{"name": "none"}]]
    metric, kept = task.metric or metrics[0], task.filter or filters[0]
    for wanted, known, what in ((metric, metrics, "metric"), (kept, filters, "filter")):
        if wanted not in known:
            raise UserError(
                f"tasks.{name}.{what}: {path.name} has no {what} {wanted!r}", where=place, fix=f"one of {known}"
            )
    loaded.config.task = name
    return loaded, Counting(metric=metric, filter=kept, majority=loaded.OUTPUT_TYPE == "multiple_choice")


def _chat_template(base: Path | None) -> ChatTemplate | None:
    """The base's own template; the tokenizer puts the beginning-of-text token, so it is taken off the text."""
    if base is None:
        return None
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    if not tokenizer.chat_template:
        return None
    adds_bos = tokenizer("x")["input_ids"][:1] == [tokenizer.bos_token_id]

    def render(turns: list[dict[str, str]]) -> str:
        text = str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
        return text.removeprefix(tokenizer.bos_token) if adds_bos else text

    return render
