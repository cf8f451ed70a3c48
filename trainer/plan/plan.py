"""python -m trainer plan CONFIG: what a run will train, take and need, before it costs anything."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import transformers
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from rich.console import Console
from rich.table import Table
from transformers import AutoTokenizer, PretrainedConfig, PreTrainedTokenizerBase

from schemas.base.context_window import context_window
from schemas.base.find_base import BaseModelFiles, home_expanded
from schemas.base.hub import go_offline_if_unreachable
from schemas.errors import UserError
from schemas.method import Method
from schemas.training.echo_config import EchoConfig
from schemas.training.train_config import TrainConfig
from trainer.data.dataloader import total_steps
from trainer.data.dataset import load_training_data
from trainer.model.base_model import load_tokenizer, read_base
from trainer.model.base_shape import BaseShape, check_fit, read_architecture, read_shape
from trainer.plan.hardware import free_disk, memory_of, shortages, size, training_device
from trainer.plan.memory_estimate import Footprint, footprint
from trainer.plan.notes import config_notes, refuse_idle

_SHAPES = Path(__file__).parents[2] / "configs" / "architectures"


@dataclass(frozen=True)
class Work:
    """How much there is to train on; None where the data cannot be had."""

    samples: int | None
    """Training examples per epoch."""
    longest: int
    """Tokens of the longest example."""
    tokens: int | None
    """Real tokens per epoch."""
    supervised_tokens: int | None
    """Of them, under the loss."""
    note: str
    """What was left out, or why a figure is missing."""


def plan(config: TrainConfig, console: Console) -> dict[Method, Footprint]:
    """Prints the plan, and returns the footprint of each method.

    Raises:
        UserError: the base model's shape cannot be had, or whatever training would refuse of the base, the config or the
            data that are here.
    """
    transformers.utils.logging.disable_progress_bar()
    shape, origin = _base_shape(config)
    window = context_window(shape.skeleton.config.to_dict())
    work = measure_work(config, window=window, vocabulary=shape.vocabulary)
    footprints = {method: _footprint(shape, config, method, work.longest) for method in get_args(Method)}
    console.print(
        f"[bold]{config.name}[/]: {config.method} on {config.base.model} ({origin})", highlight=False, soft_wrap=True
    )
    console.print(_methods_table(footprints, config))
    _print_work(console, config, work)
    if work.samples is not None:
        total = total_steps(work.samples, config.training)
        refuse_idle(config, total=total)
        for note in config_notes(config, total=total, window=window):
            console.print(f"[bold]note:[/] {note}", highlight=False, soft_wrap=True)
    _print_needs(console, config, footprints[config.method])
    return footprints


def _base_shape(config: TrainConfig) -> tuple[BaseShape, str]:
    """The base's shape, and where it is from. Of a base that is here, all that training would refuse is refused."""
    if home_expanded(config.base.model).is_dir():
        return read_base(config).shape, "from its directory"
    architecture, origin = base_architecture(config)
    shape = read_shape(architecture)
    check_fit(shape, config)
    return shape, origin


def base_architecture(config: TrainConfig) -> tuple[PretrainedConfig, str]:
    """The base's transformers config, and where it is from: its directory, the hub, or our copy of its shape."""
    base = config.base
    directory = home_expanded(base.model)
    if directory.is_dir():
        return read_architecture(directory), "from its directory"
    go_offline_if_unreachable()
    try:
        path = hf_hub_download(base.model, "config.json", revision=base.revision)
        return read_architecture(Path(path).parent), "from the hub"
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError):
        known = _SHAPES / f"{base.model.replace('/', '--')}.json"
    if not known.is_file():
        raise UserError(
            "the base model is neither a directory here nor to be had from the hub, and its shape is not among ours",
            where=f"base.model: {base.model}",
            fix="check the spelling and the network, or name a local directory",
        )
    return read_architecture(known), f"the hub cannot be reached: shape from configs/architectures/{known.name}"


def measure_work(config: TrainConfig, *, window: int | None = None, vocabulary: int | None = None) -> Work:
    """Reads and tokenises the data; where the hub has them and cannot be reached, takes what is known of them.

    Args:
        config: the run.
        window: tokens that the base can take; None where its config does not say.
        vocabulary: rows of the base's embedding; None does not ask.

    Raises:
        UserError: data that are here, or could be had, cannot be trained on.
    """
    try:
        data = load_training_data(config, tokenizer_of(config), window=window, vocabulary=vocabulary)
    except UserError as error:
        if not _out_of_reach(config):
            raise
        rows = known_rows(config)
        samples = None if rows is None else rows - config.data.validation_rows
        return Work(samples, config.data.max_length, None, None, f"not measured: {error.what} ({error.where})")
    tokens = [len(example) for example in data.train]
    dropped = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in data.dropped.items())
    supervised = sum(example.supervised_tokens(config.data.loss_on) for example in data.train)
    return Work(len(data.train), max(tokens), sum(tokens), supervised, f"left out: {dropped or 'none'}")


def _out_of_reach(config: TrainConfig) -> bool:
    """Whether the run waits for what is elsewhere: data whose size we know, or a base or data that no hub answers for.

    A file that is missing here and that we know nothing of is a mistake in the config.
    """
    if not home_expanded(config.base.model).is_dir() and known_rows(config) is not None:
        return go_offline_if_unreachable()
    paths = [source.path for source in config.data.train]
    files = [path for path in paths if "://" not in path and Path(path).suffix in (".json", ".jsonl", ".parquet")]
    if not all(Path(path).is_file() for path in files):
        return False
    remote = len(files) < len(paths) or not home_expanded(config.base.model).is_dir()
    return remote and go_offline_if_unreachable()


def tokenizer_of(config: TrainConfig) -> PreTrainedTokenizerBase:
    """The base's tokenizer.

    Raises:
        UserError: it cannot be had.
    """
    directory = home_expanded(config.base.model)
    if directory.is_dir():
        return load_tokenizer(BaseModelFiles(directory, None))
    try:
        return AutoTokenizer.from_pretrained(config.base.model, revision=config.base.revision)
    except (OSError, ValueError):
        raise UserError("the tokenizer cannot be had", where=config.base.model) from None


def known_rows(config: TrainConfig) -> int | None:
    """Rows of the data sets that the ready configs name."""
    known = json.loads((_SHAPES / "rows.json").read_text()) if (_SHAPES / "rows.json").is_file() else {}
    paths = [source.path for source in config.data.train]
    return sum(int(known[path]) for path in paths) if all(path in known for path in paths) else None


def _footprint(shape: BaseShape, config: TrainConfig, method: Method, longest: int) -> Footprint:
    changed = config.model_copy(update={"method": method, "echo": config.echo or EchoConfig()})
    micro_batch = config.training.micro_batch_size or config.training.batch_size
    return footprint(shape, changed, micro_batch=micro_batch, tokens=longest)


def _methods_table(footprints: dict[Method, Footprint], config: TrainConfig) -> Table:
    table = Table(title="Trainable parameters")
    table.add_column("method")
    for name in ("adapter (ships)", "echo (training only)", "memory while training"):
        table.add_column(name, justify="right")
    for method, needs in footprints.items():
        table.add_row(
            method,
            f"{needs.adapter_parameters:,}",
            f"{needs.echo_parameters:,}",
            size(sum(needs.memory.values())),
            style="bold" if method == config.method else None,
        )
    return table


def _print_work(console: Console, config: TrainConfig, work: Work) -> None:
    training = config.training
    samples = "?" if work.samples is None else f"{work.samples:,}"
    known = training.max_steps or work.samples
    steps = f"{total_steps(work.samples or 0, training):,}" if known else "?"
    console.print(f"examples per epoch  {samples}   ({work.note})", highlight=False, soft_wrap=True)
    console.print(
        f"optimizer steps     {steps}   (batch {training.batch_size}, {training.epochs:g} epochs)",
        highlight=False,
        soft_wrap=True,
    )
    if work.tokens is not None and work.supervised_tokens is not None:
        share = work.supervised_tokens / work.tokens
        text = f"{work.tokens:,}, of them {work.supervised_tokens:,} supervised ({share:.1%}); longest {work.longest}"
        console.print(f"tokens per epoch    {text}", highlight=False, soft_wrap=True)


def _print_needs(console: Console, config: TrainConfig, needs: Footprint) -> None:
    device = training_device(config.training.device)
    table = Table(title=f"What {config.method} needs here (estimates)")
    table.add_column("")
    table.add_column("size", justify="right")
    for item, amount in needs.memory.items():
        table.add_row(item, size(amount))
    table.add_row("[bold]memory", f"[bold]{size(sum(needs.memory.values()))}")
    table.add_row(
        f"this machine's {'GPU' if device.type == 'cuda' else 'memory'}", size(memory_of(device)), end_section=True
    )
    for item, amount in needs.disk.items():
        table.add_row(item, size(amount))
    table.add_row("[bold]disk", f"[bold]{size(sum(needs.disk.values()))}")
    table.add_row(f"free in {config.runs}", size(free_disk(Path(config.runs))))
    console.print(table)
    for shortage in shortages(config, needs):
        console.print(f"[bold red]not enough here:[/] {shortage}", highlight=False, soft_wrap=True)
