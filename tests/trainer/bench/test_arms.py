"""The arms do the same work on the same frozen weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from trainer.bench.abba import read_config
from trainer.bench.arms import OurArm, StepTimer, TransformersArm, bench_base, make_arm
from trainer.bench.workload import right_padded


def test_both_sides_run_the_fused_adamw(tiny_config: Path, tmp_path: Path) -> None:
    bench, cpu = read_config(tiny_config), torch.device("cpu")
    base = bench_base(bench.model, bench.dtype, cpu)
    ours, theirs = (make_arm(arm, base, bench, cpu) for arm in ("lora", "peft_lora"))
    assert isinstance(ours, OurArm)
    assert isinstance(theirs, TransformersArm)
    assert ours.loop.optimizer.defaults["fused"]
    assert theirs._arguments(str(tmp_path), 1).optim == "adamw_torch_fused"


def test_all_arms_share_the_frozen_weights_and_train_their_own(tiny_config: Path) -> None:
    bench, cpu = read_config(tiny_config), torch.device("cpu")
    base = bench_base(bench.model, bench.dtype, cpu)
    ours, theirs = (make_arm(arm, base, bench, cpu) for arm in ("lora", "peft_lora"))
    assert isinstance(ours, OurArm)
    assert isinstance(theirs, TransformersArm)
    pointers = [
        {p.data_ptr() for p in model.parameters() if p.requires_grad == trained}
        for model in (ours.loop.objective.model, theirs.model)
        for trained in (False, True)
    ]
    assert pointers[0] == pointers[2] == {p.data_ptr() for p in base.parameters()}
    assert not pointers[1] & pointers[3]


def test_pefts_arm_takes_real_steps_on_the_same_loss(tiny_config: Path) -> None:
    bench, cpu = read_config(tiny_config), torch.device("cpu")
    base = bench_base(bench.model, bench.dtype, cpu)
    ours, theirs = (make_arm(arm, base, bench, cpu) for arm in ("lora", "peft_lora"))
    assert isinstance(ours, OurArm)
    assert isinstance(theirs, TransformersArm)
    examples = theirs.examples[:2]
    batch = next(ours.loop.batches.batches([0, 1]))
    expected = theirs.model(**right_padded(examples)).loss
    torch.testing.assert_close(ours.loop.objective.eval()(batch, False, batch.supervised_tokens).total, expected)
    before = {name: p.clone() for name, p in theirs.model.named_parameters() if p.requires_grad}
    assert len(theirs.visit(2)) == 2
    assert any(not torch.equal(p, before[name]) for name, p in theirs.model.named_parameters() if name in before)


def test_the_timer_times_each_step() -> None:
    timer = StepTimer()
    for _ in range(2):
        timer.on_step_begin()
        timer.on_step_end()
    assert len(timer.seconds) == 2


@pytest.mark.parametrize("config", sorted(Path("configs/bench").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_bench_configs_are_llama_3_8b(config: Path) -> None:
    bench = read_config(config)
    shape = bench_base(bench.model, bench.dtype, torch.device("meta"))
    assert sum(parameter.numel() for parameter in shape.parameters()) == 8_030_261_248
    assert bench.device == "cuda"
