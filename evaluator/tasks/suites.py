"""The suites: which lm-eval tasks a name stands for, where their items come from, and how their answers count."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from schemas.errors import UserError

Backend = Literal["hf", "vllm", "endpoint"]
Layout = Literal["records", "splits", "mmlu", "humaneval"]

_OURS = Path(__file__).parent
_COMMONSENSE = ("boolq", "piqa", "social_i_qa", "hellaswag", "winogrande", "arc_easy", "arc_challenge", "openbookqa")
_STOCK = ("boolq", "piqa", "social_iqa", "hellaswag", "winogrande", "arc_easy", "arc_challenge", "openbookqa")


@dataclass(frozen=True)
class Suite:
    """One suite.

    Attributes:
        name: the key on the command line and in reports.
        tasks: lm-eval task names; an lm-eval group stands for its members.
        folders: directories of task YAML files, ours or lm-eval's (named relative to lm_eval/tasks).
        metric: lm-eval's name of the primary metric, per item 0 or 1.
        filter: lm-eval's name of the filter that reads the primary answer.
        layout: how local files of this suite are laid out (`evaluator.tasks.local_data`).
        protocol: what a reader must know to compare the scores.
        data: default directory of local files; None takes the hub's data sets.
        backends: what can run it.
    """

    name: str
    tasks: tuple[str, ...]
    folders: tuple[Path | str, ...]
    metric: str
    filter: str
    layout: Layout
    protocol: str
    data: str | None = None
    backends: tuple[Backend, ...] = ("hf", "vllm", "endpoint")

    @property
    def generates(self) -> bool:
        """Whether answers are generated, not ranked by log-likelihood."""
        return self.metric != "acc"

    @property
    def batch_size(self) -> int:
        """Prompts at a time with transformers; ranking holds the logits of whole few-shot prompts in memory."""
        return 32 if self.generates else 4

    def task_folders(self) -> list[str]:
        """The folders as absolute paths, without importing lm-eval."""
        return [str(folder if isinstance(folder, Path) else lm_eval_tasks() / folder) for folder in self.folders]


def lm_eval_tasks() -> Path:
    """lm-eval's own task directory."""
    spec = find_spec("lm_eval")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("lm-eval is not installed", fix="pip install -e '.[evaluator]'")
    return Path(spec.submodule_search_locations[0]) / "tasks"


def _commonsense(name: str, prefix: str, protocol: str, **more: object) -> Suite:
    return Suite(
        name=name,
        tasks=tuple(f"{prefix}_{task}" for task in _COMMONSENSE),
        folders=(_OURS / "commonsense_170k",),
        metric="exact_match",
        filter="leftmost",
        layout="records",
        protocol=protocol,
        **more,  # type: ignore[arg-type]
    )


_PUBLISHED = "commonsense_170k prompts to the byte, leftmost case-sensitive label, always in eval mode"
_GREEDY = f"greedy, 32 new tokens, {_PUBLISHED}; differs from the published protocol: no beams"
_BEAM4 = (
    f"beam4: 4 beams, 32 new tokens, beam score divided by the generated length, {_PUBLISHED}; differs from LLM-Adapters: "
    "its dropout stayed on while scoring; from DoRA's evaluator: it merged the adapter into float16 weights first"
)

SUITES: dict[str, Suite] = {
    suite.name: suite
    for suite in (
        _commonsense("quickstart", "commonsense_170k", _GREEDY, data="configs/quickstart/tasks"),
        _commonsense("commonsense_170k", "commonsense_170k", _GREEDY),
        _commonsense("commonsense_170k_beam4", "commonsense_170k_beam4", _BEAM4, backends=("hf",)),
        Suite(
            name="commonsense_stock",
            tasks=_STOCK,
            folders=("super_glue/boolq", "piqa", "siqa", "hellaswag", "winogrande", "arc", "openbookqa"),
            metric="acc",
            filter="none",
            layout="splits",
            protocol="lm-eval's own tasks, zero-shot, ranked by log-likelihood; not comparable with commonsense_170k",
        ),
        Suite(
            name="gsm8k",
            tasks=("gsm8k",),
            folders=("gsm8k",),
            metric="exact_match",
            filter="strict-match",
            layout="splits",
            protocol="lm-eval gsm8k, 5-shot, greedy; primary score strict-match, secondary flexible-extract",
        ),
        Suite(
            name="mmlu",
            tasks=("mmlu",),
            folders=("mmlu/default",),
            metric="acc",
            filter="none",
            layout="mmlu",
            protocol="lm-eval mmlu, 57 subjects, 5-shot, ranked by log-likelihood; lm-eval's own total weighs subjects by size",
        ),
        Suite(
            name="humaneval",
            tasks=("humaneval",),
            folders=(_OURS / "humaneval",),
            metric="pass@1",
            filter="none",
            layout="humaneval",
            protocol="HumanEval, greedy, lm-eval's prompt and stop sequences; programs run in the isolating sandbox",
        ),
        Suite(
            name="humaneval_sampled",
            tasks=("humaneval_sampled",),
            folders=(_OURS / "humaneval",),
            metric="pass@1",
            filter="none",
            layout="humaneval",
            protocol="HumanEval, 20 samples per task at temperature 0.8 and top-p 0.95; pass@1 over all samples, pass@10 unbiased",
        ),
    )
}


def find_suite(name: str, backend: Backend) -> Suite:
    """The suite of that name.

    Raises:
        UserError: there is none, or this backend cannot run it.
    """
    if name not in SUITES:
        raise UserError(f"unknown suite {name!r}", fix=f"one of: {', '.join(SUITES)}")
    suite = SUITES[name]
    if backend not in suite.backends:
        raise UserError(
            f"suite {name} does not run on the {backend} backend", fix=f"use --backend {' or '.join(suite.backends)}"
        )
    return suite
