"""The arms of the bench: our training loop with each method, and PEFT in transformers.Trainer.

All arms share one frozen base, so that all of them fit in memory at once and take turns.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from peft import PeftModel
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from schemas.training.train_config import TrainConfig
from schemas.training.training_bench import Arm, BenchConfig, ModelShape, Workload
from trainer.bench.workload import bench_examples, right_padded
from trainer.data.dataloader import StepBatches
from trainer.data.tokenization import Example
from trainer.echo.objective import build_objective
from trainer.echo.routing import Route
from trainer.loop.optimizer import make_optimizer, trainable_parameters
from trainer.loop.step import Loop
from trainer.model.peft_adapter import attach_adapter

_MOST_STEPS = 10**5  # more than the bench ever takes
_LEARNING_RATE = 1e-5


class TimedArm(Protocol):
    """Something that can take optimizer steps."""

    def visit(self, steps: int) -> list[float]:
        """Takes one step that is not timed and then `steps` that are; seconds of each."""

    def use(self, workload: Workload) -> None:
        """Goes on with samples of another workload."""


def bench_base(shape: ModelShape, dtype: str, device: torch.device) -> PreTrainedModel:
    """A frozen Llama with random weights."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        max_position_embeddings=1 << 17,
        use_cache=False,
        dtype=dtype,
    )
    with torch.device(device):
        model: PreTrainedModel = LlamaForCausalLM._from_config(config, dtype=getattr(torch, dtype))
    model.name_or_path = "random"
    return model.requires_grad_(False)


def make_arm(arm: Arm, base: PreTrainedModel, bench: BenchConfig, device: torch.device) -> TimedArm:
    """An arm on its own modules, with the base's own weights."""
    modules = copy.deepcopy(base, {id(weight): weight for weight in base.parameters()})
    modules.name_or_path = base.name_or_path
    config = train_config(arm, bench)
    model = attach_adapter(modules, config)
    vocabulary = bench.model.vocabulary
    if arm.startswith("peft_"):
        return TransformersArm(model, bench, vocabulary, bench_examples(bench.workload, vocabulary), device)
    return OurArm(_loop(model, config, bench_examples(bench.workload, vocabulary), device), vocabulary)


def train_config(arm: Arm, bench: BenchConfig) -> TrainConfig:
    """Our config of an arm."""
    method = arm.removeprefix("peft_").removesuffix("_two_pass")
    echo = bench.echo.model_copy(update={"implementation": "two_pass"}) if arm.endswith("_two_pass") else bench.echo
    return TrainConfig.parse(
        {
            "name": arm,
            "method": method,
            "base": {"model": "random", "dtype": bench.dtype},
            "data": {"train": [{"path": "random"}]},
            "adapter": bench.adapter.model_dump(mode="json"),
            "echo": echo.model_dump(mode="json"),
            "training": {
                "batch_size": bench.workload.batch_size,
                "learning_rate": _LEARNING_RATE,
                "schedule": "constant",
                "warmup_steps": 0,
                "autocast": bench.autocast,
                "gradient_checkpointing": bench.gradient_checkpointing,
            },
        },
        where="the bench",
    )


def _loop(model: PeftModel, config: TrainConfig, examples: Sequence[Example], device: torch.device) -> Loop:
    accelerator = Accelerator(cpu=device.type == "cpu")
    objective = build_objective(model, config).to(device).train()
    return Loop(
        objective=objective,
        prepared=accelerator.prepare_model(objective),
        optimizer=make_optimizer(trainable_parameters(objective), config),
        batches=StepBatches(examples, config, pad_token_id=0),
        config=config,
        accelerator=accelerator,
        total=_MOST_STEPS,
        routes=[Route(1.0, echo_on=True)] * _MOST_STEPS if config.echo_path else None,
    )


@dataclass
class OurArm:
    """The project's own training loop, as a run has it."""

    loop: Loop
    vocabulary: int
    step: int = 0

    def visit(self, steps: int) -> list[float]:
        """See TimedArm."""
        return [self._take() for _ in range(1 + steps)][1:]

    def use(self, workload: Workload) -> None:
        """See TimedArm."""
        training = self.loop.config.training.model_copy(update={"batch_size": workload.batch_size})
        config = self.loop.config.model_copy(update={"training": training})
        batches = StepBatches(bench_examples(workload, self.vocabulary), config, pad_token_id=0)
        self.loop = replace(self.loop, config=config, batches=batches)

    def _take(self) -> float:
        started = _now()
        self.loop.take(self.step)
        self.step += 1
        return _now() - started


@dataclass
class TransformersArm:
    """PEFT's adapter trained by transformers.Trainer, with its usual collation and full logits."""

    model: PeftModel
    bench: BenchConfig
    vocabulary: int
    examples: Sequence[Example]
    device: torch.device

    def visit(self, steps: int) -> list[float]:
        """See TimedArm."""
        timer = StepTimer()
        with tempfile.TemporaryDirectory() as directory:
            trainer = Trainer(
                model=self.model,
                args=self._arguments(directory, 1 + steps),
                train_dataset=self.examples,
                data_collator=right_padded,
                callbacks=[timer],
            )
            trainer.remove_callback(PrinterCallback)
            trainer.train()
        return timer.seconds[1:]

    def use(self, workload: Workload) -> None:
        """See TimedArm."""
        self.bench = self.bench.model_copy(update={"workload": workload})
        self.examples = bench_examples(workload, self.vocabulary)

    def _arguments(self, directory: str, steps: int) -> TrainingArguments:
        bench = self.bench
        return TrainingArguments(
            output_dir=directory,
            per_device_train_batch_size=bench.workload.batch_size,
            max_steps=steps,
            learning_rate=_LEARNING_RATE,
            lr_scheduler_type="constant",
            optim="adamw_torch_fused",  # as ours is
            max_grad_norm=1.0,
            bf16=bench.autocast == "bfloat16",
            gradient_checkpointing=bench.gradient_checkpointing,
            gradient_checkpointing_kwargs={"use_reentrant": False} if bench.gradient_checkpointing else None,
            use_cpu=self.device.type == "cpu",
            dataloader_pin_memory=False,
            remove_unused_columns=False,
            label_names=["labels"],
            logging_strategy="no",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )


class StepTimer(TrainerCallback):  # type: ignore[misc]
    """Seconds from the beginning to the end of each optimizer step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._started = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Starts the clock."""
        self._started = _now()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Stops the clock."""
        self.seconds.append(_now() - self._started)


def _now() -> float:
    """The clock, once the device has done what it was told."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
