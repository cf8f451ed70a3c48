"""Every method and switch on the pretend CUDA: two steps, a resume, a step and a validation loss. Prints counts as JSON."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1]), str(Path(__file__).parents[3])]

from device import COUNTS, CUDA, Pretend, move  # first: see its text

import objectives
import torch

from trainer.data.dataloader import StepBatches
from trainer.data.tokenization import Example
from trainer.echo.routing import Route
from trainer.loop.loop import validation_loss
from trainer.loop.optimizer import make_optimizer, restore_tensors, trainable_parameters, training_tensors
from trainer.loop.step import Loop

CASES: dict[str, dict[str, Any]] = {
    "lora": {"method": "lora"},
    "dora": {"method": "dora"},
    "echo_lora": {},
    "echo_dora": {"method": "echo_dora"},
    "dropout": {"adapter": {"dropout": 0.1}},
    "autocast": {"training": {"autocast": "bfloat16"}},
    "echo_dora autocast dropout": {
        "method": "echo_dora", "training": {"autocast": "bfloat16"}, "adapter": {"dropout": 0.1},
    },
    "checkpointing": {"training": {"gradient_checkpointing": True}},
    "two passes": {"echo": {"implementation": "two_pass"}},
    "all positions": {"echo": {"positions": "all"}},
    "place rank": {"echo": {"place": "rank"}},
    "teacher plain": {"echo": {"distillation": {"teacher": "plain"}}},
    "representations": {"echo": {"distillation": {"representations": 0.5}}},
    "no echo loss": {"echo": {"loss_weight": 0.0}},
    "content constant": {"echo": {"content": "constant"}},
    "content shuffled": {"echo": {"content": "shuffled"}},
    "content none": {"echo": {"content": "none"}},
    "loss on all": {"data": {"loss_on": "all"}},
}  # fmt: skip


class OneProcess:
    """What the loop asks of accelerate's Accelerator."""

    device, num_processes, process_index, is_main_process = CUDA, 1, 0, True

    def backward(self, loss: torch.Tensor) -> None:
        loss.backward()

    def reduce(self, tensor: torch.Tensor, reduction: str = "sum") -> torch.Tensor:
        return tensor

    @contextlib.contextmanager
    def no_sync(self, module: torch.nn.Module) -> Iterator[None]:
        yield


def examples() -> list[Example]:
    """Prompts of 5 to 40 tokens; answers of 2 to 7, the third a chat of two."""
    found = []
    for index in range(8):
        prompt, answer = 5 * (index + 1), 2 + index % 6
        mask = (False,) * prompt + (True,) * answer + ((False, False, True) if index == 2 else ())
        found.append(Example(tuple((7 * index + i) % 97 for i in range(len(mask))), mask, boundary=prompt - 1))
    return found


def make_loop(config: Any) -> tuple[Loop, Any]:
    """The loop of a run on the pretended device; its steps run with the echo and without in turn."""
    objective = objectives.objective_of(config, objectives.base_model(num_hidden_layers=2))
    move(objective)
    parts = trainable_parameters(objective)
    batches = StepBatches(examples(), config, pad_token_id=0, pass_tokens=256)
    loop = Loop(
        objective=objective, prepared=objective, optimizer=make_optimizer(parts, config), batches=batches,
        config=config, accelerator=OneProcess(), total=100,  # type: ignore[arg-type]
        routes=[Route(1.0, True), Route(0.5, False)] * 50 if config.echo_path else None,
    )  # fmt: skip
    return loop, parts


def counted(loop: Loop, step: int) -> dict[str, Any]:
    """What one step launches and waits for."""
    COUNTS.reset()
    loop.take(step)
    return {"launches": sum(COUNTS.launches.values()), "waits": dict(COUNTS.waits), "kinds": dict(COUNTS.launches)}


def run_case(changes: dict[str, Any]) -> dict[str, Any]:
    """Steps with the echo and without, a resume, a step, a validation loss; the counts of the second step of each kind."""
    sections = {"adapter": {"dropout": 0.0}} | {key: value for key, value in changes.items() if key != "method"}
    config = objectives.train_config(changes.get("method", "echo_lora"), **sections)
    loop, parts = make_loop(config)
    counted(loop, 0)
    plain, echo = counted(loop, 1), counted(loop, 2)
    again, others = make_loop(config)
    restore_tensors(others, again.optimizer, training_tensors(parts, loop.optimizer))
    again.objective.restore({name: value.cpu() for name, value in loop.objective.running_tensors().items()})
    counted(again, 3)
    validation_loss(again.objective, again.batches, again.accelerator)
    return {"plain step": plain, "echo step": echo} if config.echo_path else {"step": echo}


if __name__ == "__main__":
    with Pretend():
        print(
            json.dumps({name: run_case(changes) for name, changes in CASES.items() if name in (sys.argv[1:] or CASES)})
        )
