"""Objective: the loss of one micro-batch, for all four methods, as a module that DDP or FSDP can wrap.

    loss = sum over supervised positions of CE_off + r (w CE_on + lambda tau^2 KL(teacher || student)),
           divided by the supervised tokens of the whole optimizer step
           (and where asked for, the gap between the paths' shallow states: trainer/echo/state_distillation.py)

r is the step's routing draw (`echo_on`), the same for all its micro-batches and processes.

For the training loop:
- `objective.model(...)`, called outside this module, runs PEFT's own forward: the training model's plain path, and what
  the exported adapter computes, bit for bit. Inside, LoRA is scaled at rank r and DoRA takes its factored norm: equal
  within rounding.
- Where the echo path does not learn in a step, its parameters' gradients stay None, so that AdamW neither decays nor
  moves them. DDP however wants every parameter in every graph; under torch.distributed they enter with a zero
  gradient, and `release_idle_gradients(echo_on)`, called before the optimizer's step, makes it None again on every rank.
- DoRA's norms are constants between two writes to the adapter: whoever writes to its weights says so, the optimizer's
  step by `end_step`, a restored checkpoint by `restore`.
- Gradient checkpointing is switched on here, without reentrance; the reentrant kind is not supported.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from peft import PeftModel
from torch import Tensor, nn

from schemas.training.echo_config import DistillationConfig, EchoConfig
from schemas.training.train_config import TrainConfig
from trainer.data.batch import Batch
from trainer.echo.chunked_loss import LossWeights, RowLosses, plain_losses
from trainer.echo.injector import EchoPath
from trainer.echo.layer_pass import LayerPass, Norms, Paths, listen_to_passes, whole_pass
from trainer.echo.reading import NO_EDGES, Edges
from trainer.echo.running_statistics import Reduce, RunningStatistics
from trainer.echo.self_distillation import AveragedAdapter, self_distillation
from trainer.echo.shared_prefix import attend_by_ours, shared_prefix
from trainer.echo.two_pass import two_pass
from trainer.model.base_shape import decoder_layers, source_layers, target_layers
from trainer.model.dora_norms import RowNorms
from trainer.model.lora_forward import adapted_modules

log = logging.getLogger(__name__)

BothPaths = Callable[[Paths, Batch, Norms], RowLosses]
"""`two_pass` or `shared_prefix`: the same losses and gradients, at different prices."""

_NO_ECHO = EchoConfig(content="none", loss_weight=0.0, distillation=DistillationConfig(weight=0.0))


@dataclass(frozen=True)
class Losses:
    """The loss of one micro-batch."""

    total: Tensor
    """Scalar with gradient: the micro-batch's share of the step's loss. Call backward on it."""
    plain: Tensor
    """Scalar, detached: sum of the plain path's cross-entropy over the supervised tokens."""
    echo: Tensor | None
    """Scalar, detached: sum of the echo path's cross-entropy, unweighted; None where it was not computed."""
    distillation: Tensor | None
    """Scalar, detached: sum of tau^2 KL, unweighted; None where it was not computed."""


def build_objective(model: PeftModel, config: TrainConfig, edges: Edges = NO_EDGES) -> Objective:
    """The objective of a run, with freshly initialised echo parameters on the model's device.

    Args:
        model: the base with its adapter (trainer/model/peft_adapter.py).
        config: the run's config.
        edges: what the training prompts share at their ends, for `echo.pooling: question`.

    Raises:
        UserError: a source or target layer lies outside the model. `check_fit` has found this, and all else that a
            base can lack, where the model's shape was read.
    """
    base = model.get_base_model()
    layers, device = decoder_layers(base), next(base.parameters()).device
    listen_to_passes(layers)
    if config.training.gradient_checkpointing:
        base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    echo = config.echo_path or _NO_ECHO
    adapted, depth, injector = adapted_modules(model, layers), len(layers), None
    if echo.content != "none":
        targets = [module for module in adapted if module.layer in target_layers(echo, depth)]
        width = base.config.get_text_config().hidden_size
        injector = EchoPath(echo, targets, width, config.seed).to(device)
    compares = bool(echo.distillation.representations)
    reason = attend_by_ours(base, depth)
    if reason is not None:  # it makes masks of its own, with which cuDNN's gradients can be NaN (pytorch#196678)
        torch.backends.cuda.enable_cudnn_sdp(False)
    paths = Paths(
        backbone=base.model,
        head=base.get_output_embeddings(),
        adapted=adapted,
        layers=layers,
        echo=echo,
        injector=injector,
        source_layers=frozenset(source_layers(echo, depth)),
        compared_layers=frozenset(target_layers(echo, depth) if compares else ()),
        weights=_loss_weights(echo),
        attends_by_ours=reason is None,
        edges=edges,
    )
    if echo.second_pass_is_average:
        average = AveragedAdapter(adapted, echo.distillation.average_decay)
        return Objective(model, paths, partial(self_distillation, average=average), average)
    return Objective(model, paths, _implementation(config.echo_path, reason))


class Objective(nn.Module):
    """See the module's text. Build it with `build_objective`."""

    def __init__(
        self, model: PeftModel, paths: Paths, both_paths: BothPaths, average: AveragedAdapter | None = None
    ) -> None:
        super().__init__()
        self.model = model
        self.echo = paths.injector
        self.paths = paths
        self.row_norms = RowNorms([module for module in paths.adapted if module.is_dora])
        self._both_paths = both_paths
        self._enters_loss = paths.echo.enters_loss
        self._average = average

    def forward(self, batch: Batch, echo_on: bool, supervised_tokens: int) -> Losses:
        """The losses of a micro-batch.

        Args:
            batch: the micro-batch, on the model's device.
            echo_on: the step's routing draw; without effect for lora and dora.
            supervised_tokens: of the whole optimizer step, over all micro-batches and processes; at least 1.
        """
        norms = self.row_norms.current()
        if not (echo_on and self._enters_loss):
            losses = _plain_path(self.paths, batch, norms)
            return Losses(self._share(losses, supervised_tokens), losses.plain, None, None)
        losses, echo = self._both_paths(self.paths, batch, norms), self.paths.echo
        return Losses(
            self._share(losses, supervised_tokens),
            plain=losses.plain,
            echo=losses.echo if echo.loss_weight else None,
            distillation=losses.distillation if echo.distillation.weight else None,
        )

    def release_idle_gradients(self, echo_on: bool) -> None:
        """Makes the echo parameters' gradients None in a step in which the echo path did not learn."""
        if self.echo is not None and not (echo_on and self.paths.echo_learns):
            for parameter in self.echo.parameters():
                parameter.grad = None

    def end_step(self, *, echo_on: bool, reduce: Reduce) -> None:
        """To be called after the optimizer's step, on every process: what is kept beside the parameters follows it.

        Args:
            echo_on: the step's routing draw.
            reduce: sums a tensor over the processes.
        """
        self.row_norms.invalidate()  # the weights they were of have just changed
        if self.statistics is not None and echo_on:
            self.statistics.end_step(reduce)
        if self._average is not None:
            self._average.end_step()

    @property
    def statistics(self) -> RunningStatistics | None:
        """The echo's running statistics, where it has any."""
        return self.echo.statistics if self.echo is not None else None

    def running_tensors(self) -> dict[str, Tensor]:
        """What a checkpoint keeps beside the parameters: running statistics, or averaged weights."""
        kept = self.statistics or self._average
        return kept.tensors() if kept is not None else {}

    def restore(self, running: Mapping[str, Tensor]) -> None:
        """To be called when a checkpoint's parameters are back: puts back what `running_tensors` gave."""
        self.row_norms.invalidate()  # the weights they were of have just changed
        if self.statistics is not None:
            self.statistics.restore(running, next(self.model.parameters()).device)
        if self._average is not None:
            self._average.restore(running)

    def _share(self, losses: RowLosses, supervised_tokens: int) -> Tensor:
        """The micro-batch's share of the step's loss."""
        total = losses.total / supervised_tokens
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            total = total + self._every_parameter_times_zero()
        return total

    def _every_parameter_times_zero(self) -> Tensor:
        """Zero, with every echo parameter in its graph at no cost: the sum over an empty slice of each."""
        parameters = self.echo.parameters() if self.echo is not None else ()
        return sum((parameter.flatten()[:0].sum() for parameter in parameters), start=torch.zeros(()))


def _plain_path(paths: Paths, batch: Batch, norms: Norms) -> RowLosses:
    """A step without the echo: one pass, one cross-entropy."""
    plain_BTd = whole_pass(paths, LayerPass(paths.forwards(norms)), batch)
    return plain_losses(paths.head, batch, plain_BTd)


def _implementation(echo: EchoConfig | None, obstacle: str | None) -> BothPaths:
    """The function that runs both paths; says in one line why not the fast one where the config asks for it."""
    if echo is None or echo.implementation == "two_pass":
        return two_pass
    if echo.positions == "all":
        obstacle = "echo.positions is all, so the prompts of the two passes differ"
    if obstacle is not None:
        log.warning("echo: running the whole batch twice, since %s", obstacle)
        return two_pass
    return shared_prefix


def _loss_weights(echo: EchoConfig) -> LossWeights:
    kd = echo.distillation
    teacher = "echo" if kd.teacher == "average" else kd.teacher  # the second pass's
    return LossWeights(1.0, echo.loss_weight, kd.weight, kd.temperature, teacher)
