"""HumanEval: generated completions become programs, the sandbox judges them, verdicts become samples and pass@k."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import comb
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.progress import Progress

from evaluator.sandbox import Program, ProgramResult, run_programs
from evaluator.sandbox.runner import default_pool
from evaluator.scoring.reading import Reader
from evaluator.scoring.response_cache import ResponseStore
from schemas.evaluation.eval_report import Outcome, Sample, Variant

Logged = Sequence[Mapping[str, Any]]
PASS_AT = (10,)


def require_an_isolating_runtime() -> None:
    """Asks before anything is generated.

    Raises:
        UserError: generated programs cannot be isolated here; says how to get that.
    """
    with default_pool():
        pass


def judge_completions(
    task: Any, logged: Mapping[Variant, Logged], answers: Path, progress: Progress, read: Reader | None = None
) -> dict[Variant, list[Sample]]:
    """Runs every distinct program once and returns the samples of each variant, in the order of the items.

    Args:
        task: the lm-eval task.
        logged: lm-eval's samples by variant.
        answers: directory of stored answers; verdicts are kept there, so an interrupted judging goes on.
        progress: shows how many programs are judged.
        read: takes the program out of the text; None takes the text as it is.
    """
    read = read or str
    pending = [
        (variant, entry, attempt, completion, read(completion) or "")
        for variant, entries in logged.items()
        for entry in sorted(entries, key=lambda entry: int(entry["doc_id"]))
        for attempt, completion in enumerate(entry["resps"][0])
    ]
    programs = {
        _key(entry["doc"], code): _program(entry["doc"], code) for _, entry, _, _, code in pending if code.strip()
    }
    verdicts = _verdicts(programs, ResponseStore(answers / "humaneval-verdicts.jsonl"), progress)
    samples: dict[Variant, list[Sample]] = defaultdict(list)
    for variant, entry, attempt, text, code in pending:
        outcome = verdicts[_key(entry["doc"], code)] if code.strip() else "unparsed"
        samples[variant].append(
            _sample(task.task_name, variant, entry, attempt, text, outcome, alone=task.config.repeats == 1)
        )
    return dict(samples)


def _verdicts(programs: Mapping[str, Program], store: ResponseStore, progress: Progress) -> dict[str, Outcome]:
    missing = {key: program for key, program in programs.items() if store.get(key) is None}
    bar = progress.add_task("sandbox", total=len(programs), completed=len(programs) - len(missing))

    def keep(result: ProgramResult) -> None:
        if result.outcome != "timed_out":  # a busy machine may have been the cause; judged again next time
            store.add({result.name: result.outcome})
        progress.advance(bar)

    judged = run_programs(list(missing.values()), on_result=keep)
    late = {result.name for result in judged if result.outcome == "timed_out"}
    return {key: "correct" if key not in late and store.get(key) == "passed" else "wrong" for key in programs}


def _program(doc: Mapping[str, str], completion: str) -> Program:
    return Program(_key(doc, completion), doc["prompt"], completion, doc["test"], doc["entry_point"])


def _key(doc: Mapping[str, str], completion: str) -> str:
    parts = (doc["task_id"], doc["prompt"], completion, doc["test"])
    return f"{doc['task_id']}-{hashlib.sha256(chr(0).join(parts).encode(errors='surrogatepass')).hexdigest()}"


def _sample(
    task: str, variant: Variant, entry: Mapping[str, Any], attempt: int, text: str, outcome: Outcome, *, alone: bool
) -> Sample:
    return Sample(
        task=task,
        document=entry["doc_id"],
        attempt=attempt,
        variant=variant,
        prompt=entry["arguments"][0][0],
        target=f"passes the tests of {entry['doc']['task_id']}",
        output=text,
        parsed=None if outcome == "unparsed" else text,
        outcome=outcome,
        cluster=None if alone else entry["doc"]["task_id"],
    )


def pass_at_k(samples: Sequence[Sample]) -> dict[str, float]:
    """Mean over the items of the unbiased estimate 1 - C(n-c, k) / C(n, k) (Chen et al. 2021), where n reaches k."""
    outcomes: dict[int, list[bool]] = defaultdict(list)
    for sample in samples:
        outcomes[sample.document].append(sample.outcome == "correct")
    attempts = min(len(given) for given in outcomes.values())
    return {
        f"pass@{k}": fmean(1 - comb(len(given) - sum(given), k) / comb(len(given), k) for given in outcomes.values())
        for k in PASS_AT
        if k <= attempts
    }
