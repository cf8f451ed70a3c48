"""From answers to judged samples: every answer that could be read is put to the judge, and its words become a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.progress import Progress

from evaluator.judge.endpoint import JudgeEndpoint, Judgement, Messages
from evaluator.judge.words import form, questions, score, total
from evaluator.scoring.reading import Reader
from evaluator.scoring.samples import made_sample
from evaluator.tasks.suites import Judging
from schemas.errors import UserError
from schemas.evaluation.eval_report import Sample, Variant

Logged = Mapping[str, Any]


@dataclass(frozen=True)
class JudgedTask:
    """The judged samples of one task."""

    samples: Mapping[Variant, Sequence[Sample]]
    """By variant, in the order of the items."""
    judges: tuple[str, ...]
    """Names of the models that judged, as the API gave them."""


@dataclass(frozen=True)
class _Pending:
    """One answer, and what is asked about it."""

    variant: Variant
    entry: Logged
    answer: str | None
    asked: list[Messages] = field(default_factory=list)


def judge_answers(
    task: Any,
    logged: Mapping[Variant, Sequence[Logged]],
    judging: Judging,
    read: Reader,
    endpoint: JudgeEndpoint,
    progress: Progress,
) -> JudgedTask:
    """Puts every answer that can be read to the judge; equal answers to one item are put once.

    Args:
        task: the lm-eval task.
        logged: lm-eval's samples by variant.
        judging: who judges and on what scale.
        read: takes the answer out of the text.
        endpoint: the judge.
        progress: shows how many questions are answered.

    Raises:
        UserError: the judge does not answer, or gives no grade even when it is reminded; the item is named.
    """
    pending = [
        _pending(variant, entry, judging, read)
        for variant, entries in logged.items()
        for entry in sorted(entries, key=lambda entry: int(entry["doc_id"]))
    ]
    places = {messages: str(one.entry["doc"]["task_id"]) for one in pending for messages in one.asked}
    judgements = _judgements(places, judging, endpoint, progress)
    samples: dict[Variant, list[Sample]] = {variant: [] for variant in logged}
    for one in pending:
        samples[one.variant].append(_sample(task, one, judging, judgements))
    return JudgedTask(samples, tuple(sorted({given.model for given in judgements.values()})))


def _pending(variant: Variant, entry: Logged, judging: Judging, read: Reader) -> _Pending:
    answer, doc = read(str(entry["resps"][0][0])), entry["doc"]
    if answer is None:
        return _Pending(variant, entry, None)
    asked = questions(judging.counts, doc["rubric"], doc["asked"], doc["right"], answer)
    return _Pending(variant, entry, answer, [(("user", text),) for text in asked])


def _judgements(
    places: Mapping[Messages, str], judging: Judging, endpoint: JudgeEndpoint, progress: Progress
) -> dict[Messages, Judgement]:
    """What the judge said; where it forgot the form it is reminded once, in the same conversation."""
    bar = progress.add_task(f"judge {judging.judge.model}", total=len(places))
    given = endpoint.ask(places, lambda: progress.advance(bar))
    reminded = {
        messages: (*messages, ("assistant", said.text), ("user", f"That has no valid verdict. {form(judging.counts)}"))
        for messages, said in given.items()
        if score(judging.counts, said.text) is None
    }
    again = endpoint.ask(reminded.values(), lambda: None)
    given |= {messages: again[reminder] for messages, reminder in reminded.items()}
    for messages, said in given.items():
        if score(judging.counts, said.text) is None:
            task, _, row = places[messages].rpartition("/")
            raise UserError(
                f"the judge {said.model} gives no verdict, even reminded: it says {said.text!r:.200}",
                where=f"{judging.judge.url}, on task {task}, row {row}",
                fix=f"it has to end as it is asked: {form(judging.counts)!r:.300}; take a stronger judge, a clearer rubric, "
                "or more judge.max_new_tokens",
            )
    return given


def _sample(task: Any, one: _Pending, judging: Judging, judgements: Mapping[Messages, Judgement]) -> Sample:
    said = [judgements[messages].text for messages in one.asked]
    scores = [score(judging.counts, text) for text in said]
    value = total([given for given in scores if given is not None]) if said else 0.0
    text = str(one.entry["resps"][0][0])
    sample = made_sample(task, one.entry, one.variant, one.entry["doc"]["right"], text, one.answer, value)
    return sample.model_copy(update={"judgement": "\n\n".join(said) or None})
