"""The suites: which lm-eval tasks a name stands for, where their items come from, and how their answers count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from evaluator.scoring.counting import Scorer
from evaluator.scoring.reading import Reader
from schemas.errors import UserError
from schemas.evaluation.suite_file import ChoiceAnswer, Judge, Judged, SuiteFile

Backend = Literal["hf", "vllm", "endpoint"]
Layout = Literal["records", "splits", "mmlu", "humaneval"]

_OURS = Path(__file__).parent
_COMMONSENSE = ("boolq", "piqa", "social_i_qa", "hellaswag", "winogrande", "arc_easy", "arc_challenge", "openbookqa")
_STOCK = ("boolq", "piqa", "social_iqa", "hellaswag", "winogrande", "arc_easy", "arc_challenge", "openbookqa")


@dataclass(frozen=True)
class Judging:
    """How a judge's words become scores."""

    judge: Judge
    """Who judges."""
    counts: Judged
    """The scale, or pairs."""


@dataclass(frozen=True)
class Counting:
    """How the answers of a task become scores."""

    metric: str
    """Name of the primary metric, per item 0 to 1: lm-eval's, or our own where there is a `scorer`."""
    filter: str
    """lm-eval's name of the filter that reads the primary answer."""
    majority: bool = False
    """Whether always giving the most frequent answer is a floor: the targets are labels."""
    floor: float | None = None
    """A floor that is known beforehand."""
    programs: bool = False
    """Whether answers are programs, which the sandbox judges."""
    reader: Reader | None = None
    """Reads the answer out of the text, where lm-eval's filter does not."""
    scorer: Scorer | None = None
    """Scores a read answer, where lm-eval's metric does not."""
    judged: Judging | None = None
    """Who judges the answers and on what scale, where a judge does."""
    definition: Mapping[str, Any] | None = None
    """What of a task of one's own shapes its scores, for the report's hash; None takes lm-eval's config."""


@dataclass(frozen=True)
class Suite:
    """One suite, as data: what sets it apart from others stands here and nowhere else."""

    name: str
    """The key on the command line and in reports."""
    tasks: tuple[str, ...]
    """lm-eval task names; `*` stands for any part of one."""
    folders: tuple[Path | str, ...]
    """Directories of task YAML files, ours or lm-eval's (named relative to lm_eval/tasks)."""
    counting: Counting | None
    """How answers count; None where each task of one's own says so itself."""
    layout: Layout | None
    """How local files of this suite are laid out (`evaluator.tasks.local_data`); None for a suite of one's own."""
    protocol: str
    """What a reader must know to compare the scores."""
    own: SuiteFile | None = None
    """The file's content, of a suite of one's own."""
    place: Path | None = None
    """That file."""
    data: str | None = None
    """Default directory of local files; None takes the hub's data sets."""
    needs_files: str | None = None
    """Where to get the files of a suite that no hub data set holds; None where one does."""
    published: Mapping[str, str] = field(default_factory=dict)
    """sha256 of the published items by folder: a report says which of its items are others. Empty: nothing to hold against."""
    partial: bool = False
    """Whether a report without some of the tasks goes without saying so."""
    shots: int = 0
    """Examples in the prompt, where the task's YAML names no number."""
    labels: bool = False
    """Whether generated answers are labels, so that always giving the most frequent one is a floor."""
    programs: bool = False
    """Whether answers are programs, which the sandbox judges."""
    template: str | None = None
    """The trainer's prompt template that asks as this suite does; None where none does."""
    backends: tuple[Backend, ...] = ("hf", "vllm", "endpoint")
    """What can run it."""

    @property
    def generates(self) -> bool:
        """Whether answers are generated, not ranked by log-likelihood."""
        if self.own is not None:
            return not any(isinstance(getattr(task, "answer", None), ChoiceAnswer) for task in self.own.tasks.values())
        return self.counting is not None and self.counting.metric != "acc"

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
        counting=Counting("exact_match", "leftmost", majority=True),
        layout="records",
        template="commonsense_170k",
        protocol=protocol,
        **more,  # type: ignore[arg-type]
    )


_PUBLISHED_ITEMS = {
    "boolq": "89df2397cbca81dc31adcc6f7f5b635821aa0565aafde46725b2b4bd39b4dfa9",
    "piqa": "3860d11b9b42e590b6b4bbc1643214d373ed0b0d4ac62fcc7bdceb8e044ad141",
    "social_i_qa": "71543f41127451945379d106ffedaef502f1c8770dff6d2f543aca85e3080b1d",
    "winogrande": "6946f5209e7114c65c6d04f8f644c5a061af20d730b1cfe158fff3dc44076fb9",
    "ARC-Easy": "3f32a84716ca6d57d38728bf80cc8117aecd17445c2cf29a68b571b810eb82dc",
    "ARC-Challenge": "4a89ce368ae01a71d268d9851686738b2a0a1d84271116bab49a1dd2b48ecad7",
    "openbookqa": "8479930f7b8a26052c78250280b5465a4016ca7fc806af440d0f37e243f3099e",
}
"""Of LLM-Adapters' test.json by folder; its HellaSwag file's hash is not known to us."""
_LLM_ADAPTERS = "git clone https://github.com/AGI-Edgerunners/LLM-Adapters, then --data LLM-Adapters/dataset"
_PUBLISHED = "commonsense_170k prompts to the byte, leftmost case-sensitive label, always in eval mode"
_GREEDY = f"greedy, 32 new tokens, {_PUBLISHED}; differs from the published protocol: no beams"
_BEAM4 = (
    f"beam4: 4 beams, 32 new tokens, beam score divided by the generated length, {_PUBLISHED}; differs from LLM-Adapters: "
    "its dropout stayed on while scoring; from DoRA's evaluator: it merged the adapter into float16 weights first"
)

SUITES: dict[str, Suite] = {
    suite.name: suite
    for suite in (
        _commonsense("quickstart", "commonsense_170k", _GREEDY, data="configs/quickstart/tasks", partial=True),
        _commonsense(
            "commonsense_170k", "commonsense_170k", _GREEDY, needs_files=_LLM_ADAPTERS, published=_PUBLISHED_ITEMS
        ),
        _commonsense(
            "commonsense_170k_beam4",
            "commonsense_170k_beam4",
            _BEAM4,
            needs_files=_LLM_ADAPTERS,
            published=_PUBLISHED_ITEMS,
            backends=("hf",),
        ),
        Suite(
            name="commonsense_stock",
            tasks=_STOCK,
            folders=("super_glue/boolq", "piqa", "siqa", "hellaswag", "winogrande", "arc", "openbookqa"),
            counting=Counting("acc", "none", majority=True),
            layout="splits",
            protocol="lm-eval's own tasks, zero-shot, ranked by log-likelihood; not comparable with commonsense_170k",
        ),
        Suite(
            name="gsm8k",
            tasks=("gsm8k",),
            folders=("gsm8k",),
            counting=Counting("exact_match", "strict-match"),
            template="question_answer",
            layout="splits",
            protocol="lm-eval gsm8k, 5-shot, greedy; primary score strict-match, secondary flexible-extract",
        ),
        Suite(
            name="mmlu",
            tasks=("mmlu_*",),
            folders=("mmlu/default",),
            counting=Counting("acc", "none", majority=True),
            layout="mmlu",
            shots=5,
            protocol="lm-eval mmlu, 57 subjects, 5-shot, ranked by log-likelihood; lm-eval's own total weighs subjects by size",
        ),
        Suite(
            name="humaneval",
            tasks=("humaneval",),
            folders=(_OURS / "humaneval",),
            counting=Counting("pass@1", "none", programs=True),
            layout="humaneval",
            protocol="HumanEval, greedy, lm-eval's prompt and stop sequences; programs run in the isolating sandbox",
        ),
        Suite(
            name="humaneval_sampled",
            tasks=("humaneval_sampled",),
            folders=(_OURS / "humaneval",),
            counting=Counting("pass@1", "none", programs=True),
            layout="humaneval",
            protocol="HumanEval, 20 samples per task at temperature 0.8 and top-p 0.95; pass@1 over all samples, pass@10 unbiased",
        ),
    )
}


def find_suite(name: str, backend: Backend) -> Suite:
    """The suite of that name, or the one that a suite file describes.

    Raises:
        UserError: there is none, the file does not fit, or this backend cannot run it.
    """
    if name.endswith((".yaml", ".yml")):
        return _own_suite(Path(name))
    if name not in SUITES:
        raise UserError(f"unknown suite {name!r}", fix=f"a suite file (.yaml), or one of: {', '.join(SUITES)}")
    suite = SUITES[name]
    if backend not in suite.backends:
        raise UserError(
            f"suite {name} does not run on the {backend} backend", fix=f"use --backend {' or '.join(suite.backends)}"
        )
    return suite


def _own_suite(place: Path) -> Suite:
    own = SuiteFile.from_yaml(place)
    if own.name in SUITES:
        raise UserError(f"a suite called {own.name} is built in", where=place, fix="give yours another `name`")
    about = f"{own.name}: {own.description}" if own.description else own.name
    return Suite(
        name=own.name,
        tasks=tuple(own.tasks),
        folders=(),
        counting=None,
        layout=None,
        protocol=f"{about}; a suite of one's own, greedy",
        own=own,
        place=place,
    )
