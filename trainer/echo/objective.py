"""Objective: the loss of one micro-batch, for all four methods, as a module that DDP or FSDP can wrap.

    loss = sum over supervised positions of CE_off + r (w CE_on + lambda tau^2 KL(teacher || student)),
           divided by the supervised tokens of the whole optimizer step
           (and where asked for, the gap between the paths' shallow states: trainer/echo/state_distillation.py)

r is the step's routing draw (`echo_on`), the same for all its micro-batches and processes.

For the training loop:
- `objective.model(...)`, called outside this module, runs PEFT's own forward: the training model's plain path, and what
  the exported adapter computes, bit for bit. Inside, LoRA is scaled at rank r and DoRA takes its factored norm: equal
  within rounding. `with objective.reference_forward():` runs PEFT's formulas inside as well.
- Where the echo path does not learn in a step, its parameters' gradients stay None, so that AdamW neither decays nor
  moves them. DDP however wants every parameter in every graph; under torch.distributed they enter with a zero
  gradient, and `release_idle_gradients(echo_on)`, called before the optimizer's step, makes it None again on every rank.
- `objective.row_norms.invalidate()` is needed only after writing in place through `.data` to weights whose
  sampled values do not show it (trainer/model/dora_norms.py).
- Gradient checkpointing is switched on here, without reentrance; the reentrant kind is not supported.

Legend: B samples, T columns, d hidden size, R supervised rows.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from peft import PeftModel
from peft.tuners.lora.layer import LoraVariant
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from schemas.errors import UserError
from schemas.training.train_config import EchoConfig, TrainConfig
from trainer.data.batch import Batch
from trainer.echo import shared_prefix
from trainer.echo.chunked_loss import LossWeights, RowLosses, Rows, paired_rows, plain_rows, row_losses
from trainer.echo.injector import EchoPath, source_layers, target_layers
from trainer.echo.layer_pass import LayerPass, listen_to_passes
from trainer.echo.state_distillation import representation_gap
from trainer.echo.two_pass import injections, receivers, receiving_positions, whole_pass
from trainer.model.base_model import decoder_layers
from trainer.model.dora_norms import RowNorms
from trainer.model.lora_forward import AdaptedForward, AdaptedModule, Injection, PeftForward, adapted_modules

log = logging.getLogger(__name__)


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


def build_objective(model: PeftModel, config: TrainConfig) -> Objective:
    """The objective of a run, with freshly initialised echo parameters on the model's device.

    Args:
        model: the base with its adapter (trainer/model/peft_adapter.py).
        config: the run's config.

    Raises:
        UserError: a source or target layer lies outside the model, no target layer has an adapted module, or the
            model's head does more than a linear map.
    """
    base = model.get_base_model()
    layers = decoder_layers(base)
    _check_head(base)
    listen_to_passes(layers)
    if config.training.gradient_checkpointing:
        base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    adapted = adapted_modules(model)
    echo = config.echo_path
    path = None
    if echo is not None and echo.content != "none":
        targets = _targets(adapted, echo, len(layers))
        _check_shuffled(echo, config)
        path = EchoPath(echo, targets, base.config.get_text_config().hidden_size, config.seed)
        path.to(next(base.parameters()).device)
    return Objective(model, path, config, adapted)


class Objective(nn.Module):
    """See the module's text. Build it with `build_objective`."""

    def __init__(
        self, model: PeftModel, echo: EchoPath | None, config: TrainConfig, adapted: list[AdaptedModule]
    ) -> None:
        super().__init__()
        self.model = model
        self.echo = echo
        self.settings = config.echo_path
        self.row_norms = RowNorms([module for module in adapted if module.is_dora])
        self._adapted = adapted
        self._depth = len(decoder_layers(model.get_base_model()))
        self._sources = frozenset(source_layers(self.settings, self._depth) if self.settings else ())
        compares = self.settings is not None and self.settings.distillation.representations
        self._compared = frozenset(target_layers(self.settings, self._depth) if self.settings and compares else ())
        self._loss_on_prompts = config.data.loss_on == "all"
        self._formulas_of_peft = False
        self._shares_prefix = self._prepare_sharing()

    def forward(self, batch: Batch, echo_on: bool, supervised_tokens: int) -> Losses:
        """The losses of a micro-batch.

        Args:
            batch: the micro-batch, on the model's device.
            echo_on: the step's routing draw; without effect for lora and dora.
            supervised_tokens: of the whole optimizer step, over all micro-batches and processes; at least 1.
        """
        norms = {} if self._formulas_of_peft else self.row_norms.current()
        echo = self.settings if echo_on and self._echo_counts else None
        plain_pass = self._pass(norms, {})
        if echo is not None:
            plain_pass.source_layers, plain_pass.boundary = self._sources, batch.boundary
            plain_pass.records_keys = self._shares_prefix
            plain_pass.kept_layers = self._compared
        hidden = whole_pass(self._backbone, plain_pass, batch)
        gap = None
        if echo is None:
            groups = plain_rows(batch, hidden)
        else:
            groups, gap = self._both_paths(batch, hidden, plain_pass, norms, echo)
        return self._sum([row_losses(self._head, rows) for rows in groups], gap, supervised_tokens, echo)

    def release_idle_gradients(self, echo_on: bool) -> None:
        """Makes the echo parameters' gradients None in a step in which the echo path did not learn."""
        if self.echo is not None and not (echo_on and self._echo_learns):
            for parameter in self.echo.parameters():
                parameter.grad = None

    @contextmanager
    def reference_forward(self) -> Iterator[None]:
        """Runs PEFT's own LoRA and DoRA formulas in the passes that begin inside."""
        self._formulas_of_peft = True
        try:
            yield
        finally:
            self._formulas_of_peft = False

    def _both_paths(
        self, batch: Batch, hidden: Tensor, plain_pass: LayerPass, norms: Mapping[str, Tensor], echo: EchoConfig
    ) -> tuple[list[Rows], Tensor | None]:
        """Runs the echo pass, over the suffix where the prefix can be shared, and pairs its rows with the plain ones."""
        vectors = self.echo(plain_pass.boundary_states) if self.echo is not None else {}
        shares = self._shares_prefix and self._recorded(plain_pass, batch)
        received, suffix = receiving_positions(batch, echo.positions), None
        with torch.set_grad_enabled(torch.is_grad_enabled() and self._echo_learns):
            if shares:
                suffix = shared_prefix.suffix_of(batch)
                receiving = receivers(received[:, batch.boundary :]).index_select(0, suffix.rows)
                echo_pass = self._pass(norms, injections(vectors, receiving, echo.place))
                echo_pass.prefix, echo_pass.kept_layers = plain_pass.keys_values, self._compared
                echo_hidden = shared_prefix.suffix_pass(self._backbone, echo_pass, batch, suffix)
                ran_twice = F.pad(suffix.runs, (batch.boundary, 0))
            else:
                echo_pass = self._pass(norms, injections(vectors, receivers(received), echo.place))
                echo_pass.kept_layers = self._compared
                echo_hidden = whole_pass(self._backbone, echo_pass, batch)
                ran_twice = torch.ones_like(received)
        gap = None
        if self._compared:
            gap = representation_gap(plain_pass.states, echo_pass.states, batch.before_answers, suffix)
        weights = _loss_weights(echo)
        rows = paired_rows(batch, hidden, echo_hidden, ran_twice, weights, loss_on_prompts=self._loss_on_prompts)
        return rows, gap

    def _pass(self, norms: Mapping[str, Tensor], echoes: Mapping[str, Injection]) -> LayerPass:
        """A new pass, with the forward of every adapted module."""
        forwards: list[list[tuple[AdaptedModule, LoraVariant]]] = [[] for _ in range(self._depth)]
        for adapted in self._adapted:
            echo = echoes.get(adapted.name)
            if self._formulas_of_peft:
                forward = PeftForward(adapted.variant, echo)
            else:
                forward = AdaptedForward(norms.get(adapted.name), echo)
            forwards[adapted.layer].append((adapted, forward))
        return LayerPass(forwards)

    def _sum(
        self, losses: list[RowLosses], gap: Tensor | None, supervised_tokens: int, echo: EchoConfig | None
    ) -> Losses:
        total = torch.stack([part.total for part in losses]).sum()
        if gap is not None and echo is not None:
            total = total + echo.distillation.representations * gap
        total = total / supervised_tokens
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            total = total + self._every_parameter_times_zero()
        sums = torch.stack([torch.stack([part.plain, part.echo, part.distillation]) for part in losses]).sum(dim=0)
        return Losses(
            total,
            plain=sums[0],
            echo=sums[1] if echo is not None and echo.loss_weight else None,
            distillation=sums[2] if echo is not None and echo.distillation.weight else None,
        )

    def _every_parameter_times_zero(self) -> Tensor:
        """Zero, with every echo parameter in its graph at no cost: the sum over an empty slice of each."""
        parameters = self.echo.parameters() if self.echo is not None else ()
        return sum((parameter.flatten()[:0].sum() for parameter in parameters), start=torch.zeros(()))

    def _prepare_sharing(self) -> bool:
        """Whether echo passes can run over the suffix alone; says in one line why not."""
        echo, base = self.settings, self.model.get_base_model()
        if echo is None or echo.implementation == "two_pass":
            return False
        reason = shared_prefix.obstacle(base, echo)
        if reason is not None:
            log.warning("echo: running the whole batch twice, since %s", reason)
            return False
        shared_prefix.share_prefixes(base)
        return True

    def _recorded(self, plain_pass: LayerPass, batch: Batch) -> bool:
        """Whether the plain pass left what a suffix pass needs; if ever not, the reference runs from then on."""
        if not shared_prefix.has_recorded(plain_pass, batch.input_ids.shape[1] - 1):
            log.warning(
                "echo: running the whole batch twice, since the base model's attention keeps its keys to itself"
            )
            self._shares_prefix = False
        return self._shares_prefix

    @property
    def _echo_counts(self) -> bool:
        """Whether the loss has a term of the echo path."""
        echo = self.settings
        return echo is not None and echo.enters_loss

    @property
    def _echo_learns(self) -> bool:
        """Whether a gradient reaches the echo path: a teacher without a loss of its own gets none."""
        echo = self.settings
        return echo is not None and bool(
            echo.loss_weight or (echo.distillation.weight and echo.distillation.teacher == "plain")
        )

    @property
    def _backbone(self) -> nn.Module:
        backbone: nn.Module = self.model.get_base_model().model
        return backbone

    @property
    def _head(self) -> nn.Module:
        head: nn.Module = self.model.get_base_model().get_output_embeddings()
        return head


def _loss_weights(echo: EchoConfig) -> LossWeights:
    kd = echo.distillation
    return LossWeights(1.0, echo.loss_weight, kd.weight, kd.temperature, kd.teacher)


def _targets(adapted: list[AdaptedModule], echo: EchoConfig, depth: int) -> list[AdaptedModule]:
    layers = target_layers(echo, depth)
    targets = [module for module in adapted if module.layer in layers]
    if not targets:
        raise UserError(
            f"no adapted module lies in the echo's target layers {', '.join(map(str, layers))}",
            where="echo.target_layers",
            fix="name layers that adapter.target_modules adapts",
        )
    return targets


def _check_shuffled(echo: EchoConfig, config: TrainConfig) -> None:
    training = config.training
    if echo.content == "shuffled" and 1 in (training.batch_size, training.micro_batch_size):
        raise UserError(
            "echo.content: shuffled gives a sample the echo of another, and micro-batches of one have no other",
            where="training.micro_batch_size",
            fix="use micro-batches of two or more",
        )


def _check_head(base: PreTrainedModel) -> None:
    config = base.config.get_text_config()
    for key in ("final_logit_softcapping", "logit_scale", "logits_scaling"):
        if getattr(config, key, None) not in (None, 1, 1.0):
            raise UserError(
                f"the base model's logits are more than a linear map of its hidden states ({key})",
                where="base.model",
                fix="Llama, Mistral and Qwen models have a linear head",
            )
