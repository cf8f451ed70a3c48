"""python -m evaluator agree RUN: the same adapter, the same items, two or more backends."""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from evaluator.commands.score import add_model_arguments, open_backend, positive, settings_of, subject_of
from evaluator.scoring.metrics import wilson_interval
from evaluator.tasks.suites import find_suite
from schemas.errors import OK, UserError
from schemas.evaluation.agreement_report import AgreementReport, BackendName, BackendPace, PairAgreement, Share
from schemas.evaluation.eval_report import Interval, Sample

if TYPE_CHECKING:
    from evaluator.evaluate import Evaluation
    from evaluator.subject import Subject

_DESCRIPTION = """Scores one adapter through several backends on the same items, and says how far they agree.

  python -m evaluator agree runs/quickstart-echo_lora --suite quickstart --limit 50
  python -m evaluator agree runs/mine --suite gsm8k --data DIR --with hf,vllm,endpoint --fresh

Writes runs/<name>/evaluation/<suite>/agreement.json. Greedy answers of two engines may differ where two tokens are equally
likely to within rounding; the report says how often, with an interval.
"""
_RESAMPLES = 10_000


def main(argv: list[str]) -> int:
    """Parses, scores once per backend, compares, writes and prints."""
    arguments = _parse(argv)
    subject = subject_of(arguments.run, arguments, base_only=False)
    with tempfile.TemporaryDirectory(prefix="echo-lora-answers-") as empty:
        if arguments.fresh:
            arguments.answers = Path(empty)
        evaluations = {name: _score(subject, name, arguments) for name in arguments.backends}
    report = agreement(subject, evaluations)
    path = report.write(subject.run.evaluation(report.suite) / "agreement.json")
    Console(width=140).print(_pace_table(report), _pair_table(report))
    print(path)
    return OK


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m evaluator agree", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", metavar="RUN", help="run directory")
    parser.add_argument("--suite", default="quickstart", metavar="NAME", help="suite to score (default: quickstart)")
    parser.add_argument(
        "--tasks", type=lambda text: text.split(","), metavar="A,B", help="only these tasks of the suite"
    )
    parser.add_argument("--limit", type=positive, metavar="N", help="only the first N items of each task")
    parser.add_argument("--fresh", action="store_true", help="generate everything anew, so that samples/s are measured")
    parser.add_argument(
        "--with", dest="backends", type=lambda text: text.split(","), default=["hf", "vllm"], metavar="A,B",
        help="backends, the baseline first (default: hf,vllm)",
    )  # fmt: skip
    add_model_arguments(parser)
    arguments = parser.parse_args(argv)
    if len(set(arguments.backends)) < 2 or not set(arguments.backends) <= {"hf", "vllm", "endpoint"}:
        raise UserError(f"--with {','.join(arguments.backends)} names no two backends", fix="two of hf,vllm,endpoint")
    return arguments


def _score(subject: Subject, backend: BackendName, arguments: argparse.Namespace) -> Evaluation:
    from evaluator.evaluate import evaluate
    from evaluator.tasks.load import load_tasks

    suite = find_suite(arguments.suite, backend)
    arguments.backend = backend
    settings = replace(settings_of(subject, arguments), with_base=False)
    models = open_backend(subject, settings, arguments.api_key_file)
    try:
        data, base = arguments.data, subject.base.directory
        return evaluate(
            subject, load_tasks(suite, data, arguments.tasks, base, subject.trained_prompt), models, settings
        )
    finally:
        models.close()


def agreement(subject: Subject, evaluations: dict[BackendName, Evaluation]) -> AgreementReport:
    """Compares the first evaluation with each of the others.

    Raises:
        UserError: the adapter is missing.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(subject.base.directory)
    baseline, *others = evaluations
    report, adapter = evaluations[baseline].report, subject.adapter_reference()
    assert adapter is not None, "agreement is about an adapter"
    return AgreementReport(
        suite=report.suite,
        created=datetime.now(UTC),
        adapter=adapter,
        base=report.base,
        dtype=report.dtype,
        limit=report.limit,
        backends={name: _pace(evaluation) for name, evaluation in evaluations.items()},
        pairs=tuple(
            compare(baseline, evaluations[baseline].samples, other, evaluations[other].samples, tokenizer)
            for other in others
        ),
    )


def _pace(evaluation: Evaluation) -> BackendPace:
    asked, seconds = evaluation.asked, evaluation.seconds
    return BackendPace(
        macro=evaluation.report.macro["adapter"],
        asked=asked,
        seconds=seconds,
        samples_per_second=asked / seconds if asked else None,
        protocol="; ".join((evaluation.report.protocol, *evaluation.report.notes)),
    )


def compare(
    first: BackendName, ours: tuple[Sample, ...], second: BackendName, theirs: tuple[Sample, ...], tokenizer: Any
) -> PairAgreement:
    """Compares two backends' samples of one adapter, item by item.

    Args:
        first: the backend that the other is compared with.
        ours: its samples.
        second: the other backend.
        theirs: its samples, of the same items in the same order.
        tokenizer: the base's, to compare texts token by token.
    """
    assert [(s.task, s.document, s.attempt, s.prompt) for s in ours] == [
        (s.task, s.document, s.attempt, s.prompt) for s in theirs
    ], "both backends were given the same items"
    pairs = list(zip(ours, theirs, strict=True))
    shares = np.array([_common_share(tokenizer, a.output, b.output) for a, b in pairs])
    return PairAgreement(
        first=first,
        second=second,
        equal_outputs=_share([_whole(a.output) == _whole(b.output) for a, b in pairs]),
        equal_answers=_share([a.parsed == b.parsed for a, b in pairs]),
        equal_outcomes=_share([a.outcome == b.outcome for a, b in pairs]),
        token_agreement=float(shares.mean()),
        token_interval=_bootstrap_interval(shares),
        score_difference=float(np.mean([b.value - a.value for a, b in pairs])),
    )


def _common_share(tokenizer: Any, first: str, second: str) -> float:
    a, b = (tokenizer.encode(_whole(text), add_special_tokens=False) for text in (first, second))
    common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))
    return common / max(len(a), len(b)) if a or b else 1.0


def _whole(text: str) -> str:
    """The text without a character that the last token left unfinished: transformers shows it, vLLM holds it back."""
    return text.rstrip("\ufffd")


def _share(true: list[bool]) -> Share:
    count, total = sum(true), len(true)
    return Share(count=count, total=total, share=count / total, interval=wilson_interval(count, total))


def _bootstrap_interval(values: Any, level: float = 0.95) -> Interval:
    rng = np.random.default_rng(0)
    means = [float(values[rng.integers(0, len(values), len(values))].mean()) for _ in range(_RESAMPLES)]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(low=float(low), high=float(high), level=level)


def _pace_table(report: AgreementReport) -> Table:
    table = Table(title=f"{report.adapter.name} on {report.suite}, by backend ({report.dtype})")
    for heading in ("backend", "macro average", "generated", "seconds", "samples/s"):
        table.add_column(heading, justify="left" if heading == "backend" else "right")
    for name, pace in report.backends.items():
        speed = "-" if pace.samples_per_second is None else f"{pace.samples_per_second:.1f}"
        table.add_row(name, f"{100 * pace.macro:.1f}", str(pace.asked), f"{pace.seconds:.1f}", speed)
    return table


def _pair_table(report: AgreementReport) -> Table:
    table = Table(title="agreement with 95 % intervals")
    for heading in ("backends", "same text", "same answer", "same outcome", "tokens", "score difference"):
        table.add_column(heading, justify="left" if heading == "backends" else "right")
    for pair in report.pairs:
        shares = [_shown(s.share, s.interval) for s in (pair.equal_outputs, pair.equal_answers, pair.equal_outcomes)]
        tokens = _shown(pair.token_agreement, pair.token_interval)
        table.add_row(f"{pair.first}, {pair.second}", *shares, tokens, f"{100 * pair.score_difference:+z.1f}")
    return table


def _shown(share: float, interval: Interval) -> str:
    return f"{100 * share:.1f} ({100 * interval.low:.1f} - {100 * interval.high:.1f})"
