"""The manipulation check: does the echo reach the model, does it differ between samples, and does the echo path use it?

Runs whole passes over validation rows, without gradients or dropout: the plain path, the echo path, and the echo path with
every sample given another one's echo.

Legend: B samples, T columns of a pass, d hidden size, f features of an adapted module, R answer rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from accelerate import Accelerator
from peft.tuners.lora.layer import Linear as LoraLinear
from torch import Tensor
from torch.nn import functional as F

from schemas.training.echo_check import EchoCheck
from trainer.data.batch import Batch
from trainer.data.dataloader import StepBatches
from trainer.echo.injector import another_samples
from trainer.echo.layer_pass import LayerPass, Norms, Paths, receivers_of, receiving_positions, whole_pass
from trainer.echo.objective import Objective
from trainer.loop.step import autocast
from trainer.model.lora_forward import AdaptedForward, Injection

_SUMS = (
    "samples", "tokens", "z_square", "injected", "output", "update",
    "plain_loss", "echo_loss", "another_echo_loss", "plain_right", "echo_right", "divergence",
)  # fmt: skip


@dataclass
class _Sums:
    """Running sums over batches, float64, one tensor each so that processes can add theirs."""

    device: torch.device
    totals: dict[str, Tensor] = field(init=False)
    z_d: Tensor | float = 0.0

    def __post_init__(self) -> None:
        self.totals = {name: torch.zeros((), dtype=torch.float64, device=self.device) for name in _SUMS}

    def add(self, name: str, value: Tensor | float) -> None:
        self.totals[name] += value


@dataclass
class _MeasuredForward(AdaptedForward):
    """The forward of a module that also adds up the squares of what is injected, of its update and of its output."""

    receiving_BT: Tensor | None = None
    """[B, T] bool: where the echo is added."""
    sums: _Sums | None = None
    """Where to."""

    def forward(self, module: LoraLinear, active_adapter: str, x: Tensor, result: Tensor, **rest: Any) -> Tensor:
        """As AdaptedForward's."""
        full_BTf = super().forward(module, active_adapter, x, result, **rest)
        assert self.sums is not None
        plain_BTf = AdaptedForward(self.row_norm).forward(module, active_adapter, x, result)
        for name, value_BTf in (
            ("injected", full_BTf - plain_BTf),
            ("output", plain_BTf),
            ("update", plain_BTf - result),
        ):
            self.sums.add(name, value_BTf[self.receiving_BT].double().square().sum())
        return full_BTf


def manipulation_check(objective: Objective, validation: StepBatches, accelerator: Accelerator) -> EchoCheck | None:
    """The check on all validation rows, over all processes; None where nothing is injected.

    Args:
        objective: the module that is trained. Not sharded: FSDP gathers its parameters for its own forward only.
        validation: the validation rows.
        accelerator: device and processes.
    """
    if objective.paths.injector is None:
        return None
    sums = _Sums(accelerator.device)
    with _evaluating(objective), torch.no_grad(), autocast(validation.config.training.autocast, accelerator.device):
        norms = objective.row_norms.current()
        for batch in validation.batches(range(len(validation.examples))):
            _add_batch(objective.paths, batch.to(accelerator.device), norms, sums)
    return _check(sums, accelerator)


def echo_line(check: EchoCheck) -> str:
    """The check in one line, for people."""
    return (
        f"echo: injection {check.injection_to_output:.1%} of the outputs it is added to; {check.distinct_share:.1%} of it "
        f"differs between samples; lowers its own path's loss by {check.gain:+.4f} nats a token, of which "
        f"{check.content_gain:+.4f} are the sample's own ({check.samples:,} validation rows)"
    )


@contextmanager
def _evaluating(objective: Objective) -> Iterator[None]:
    was_training = objective.training
    objective.eval()
    try:
        yield
    finally:
        objective.train(was_training)


def _add_batch(paths: Paths, batch: Batch, norms: Norms, sums: _Sums) -> None:
    answers_BT = batch.before_completion
    if not bool(answers_BT.any()):  # fills up a process that has no samples left
        return
    plain_pass = LayerPass(paths.forwards(norms), reading=paths.reading(batch), source_layers=paths.source_layers)
    plain_RV = _log_probabilities(paths, whole_pass(paths, plain_pass, batch), answers_BT)
    assert paths.injector is not None
    z_Bd = paths.injector.z(plain_pass.read_states).double()
    sums.z_d = sums.z_d + z_Bd.sum(dim=0)
    sums.add("z_square", z_Bd.square().sum())
    sums.add("samples", len(z_Bd))
    sums.add("tokens", answers_BT.sum())

    receiving_BT = receiving_positions(batch, paths.echo.positions)
    injections = paths.injections(plain_pass, batch, receivers_of(receiving_BT))
    others = {name: replace(one, vector=another_samples(one.vector)) for name, one in injections.items()}
    echo_RV = _echo_path(paths, batch, norms, injections, receiving_BT, sums)
    another_RV = _echo_path(paths, batch, norms, others, receiving_BT, None)

    targets_R = batch.input_ids[:, 1:][answers_BT]
    for name, logprobs_RV in (("plain", plain_RV), ("echo", echo_RV), ("another_echo", another_RV)):
        sums.add(f"{name}_loss", F.nll_loss(logprobs_RV, targets_R, reduction="sum"))
    for name, logprobs_RV in (("plain", plain_RV), ("echo", echo_RV)):
        sums.add(f"{name}_right", (logprobs_RV.argmax(dim=-1) == targets_R).sum())
    sums.add("divergence", F.kl_div(plain_RV, echo_RV, reduction="sum", log_target=True))


def _echo_path(
    paths: Paths,
    batch: Batch,
    norms: Norms,
    injections: Mapping[str, Injection],
    receiving_BT: Tensor,
    sums: _Sums | None,
) -> Tensor:
    """[R, V]: the echo path's log-probabilities; with `sums`, what is injected is measured on the way."""
    forwards = [list(layer) for layer in paths.forwards(norms, injections)]
    if sums is not None:
        for layer in forwards:
            for index, (adapted, _) in enumerate(layer):
                if (injection := injections.get(adapted.name)) is not None:
                    measured = _MeasuredForward(norms.get(adapted.name), injection, receiving_BT, sums)
                    layer[index] = (adapted, measured)
    return _log_probabilities(paths, whole_pass(paths, LayerPass(forwards), batch), batch.before_completion)


def _log_probabilities(paths: Paths, hidden_BTd: Tensor, rows_BT: Tensor) -> Tensor:
    logits_RV: Tensor = paths.head(hidden_BTd[rows_BT])  # [B, T, d] -> [R, d] -> [R, V]
    return logits_RV.float().log_softmax(dim=-1).double()


def _check(sums: _Sums, accelerator: Accelerator) -> EchoCheck:
    reduced = {name: float(accelerator.reduce(value, reduction="sum")) for name, value in sums.totals.items()}
    z_d = accelerator.reduce(sums.z_d, reduction="sum")
    samples, tokens = reduced["samples"], reduced["tokens"]
    common = float((z_d / samples).square().sum()) * samples
    return EchoCheck(
        samples=int(samples),
        tokens=int(tokens),
        injection_to_output=_ratio(reduced["injected"], reduced["output"]) or 0.0,
        injection_to_update=_ratio(reduced["injected"], reduced["update"]),
        distinct_share=min(1.0, max(0.0, 1.0 - common / reduced["z_square"])),
        plain_loss=reduced["plain_loss"] / tokens,
        echo_loss=reduced["echo_loss"] / tokens,
        another_echo_loss=reduced["another_echo_loss"] / tokens,
        plain_accuracy=reduced["plain_right"] / tokens,
        echo_accuracy=reduced["echo_right"] / tokens,
        divergence=reduced["divergence"] / tokens,
    )


def _ratio(of: float, to: float) -> float | None:
    """Of two sums of squares over the same elements, the ratio of root mean squares."""
    return (of / to) ** 0.5 if to > 0 else None
