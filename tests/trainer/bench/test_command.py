"""The bench: equal work for all arms, fair turns, honest ratios, a report that can be read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from schemas.errors import UserError
from schemas.training.training_bench import Arm, BenchConfig, BenchReport, Workload
from trainer.bench.abba import Bar, memory_ratios, ratio, read_config, take_turns
from trainer.bench.arms import OurArm, StepTimer, TransformersArm, bench_base, make_arm
from trainer.bench.command import BenchOptions, run_bench
from trainer.bench.workload import bench_examples, right_padded, supervised_share, with_length, with_share

TINY = """
device: cpu
model: {hidden_size: 32, intermediate_size: 64, layers: 2, heads: 2, key_value_heads: 1, vocabulary: 200}
workload: {batch_size: 2, prompt_tokens: [10, 14], answer_tokens: [2, 3]}
adapter: {rank: 4, alpha: 8, dropout: 0}
rounds: 1
steps_per_visit: 1
sweep: {supervised_shares: [0.3], lengths: [32], rounds: 1, arms: [lora, echo_lora]}
"""


@pytest.fixture
def tiny_config(tmp_path: Path) -> Path:
    path = tmp_path / "bench.yaml"
    path.write_text(TINY)
    return path


def test_a_run_leaves_a_report_and_a_picture(tiny_config: Path, tmp_path: Path, capsys: Any) -> None:
    assert run_bench(tiny_config, tmp_path / "out", BenchOptions(memory=False)) == 0
    report = BenchReport.read(tmp_path / "out" / "bench.json")
    assert [arm.arm for arm in report.arms] == list(BenchConfig().arms)
    assert {(point.axis, point.arm) for point in report.sweep} == {
        (axis, arm) for axis in ("supervised_share", "length") for arm in ("lora", "echo_lora")
    }
    assert (tmp_path / "out" / "bench.png").read_bytes().startswith(b"\x89PNG")
    assert "seconds echo_lora / lora" in capsys.readouterr().out


def test_peak_memory_is_taken_in_a_process_of_its_own(tiny_config: Path, tmp_path: Path) -> None:
    from trainer.bench.abba import peak_memory

    config = read_config(tiny_config).write(tmp_path / "bench.json")
    assert 1 << 20 < peak_memory("lora", config) < 1 << 31


class _Recorder:
    """An arm that notes its turns; each step takes as long as the machine then is slow."""

    def __init__(self, name: str, turns: list[str], cost: float) -> None:
        self.name, self.turns, self.cost = name, turns, cost

    def visit(self, steps: int) -> list[float]:
        self.turns.append(self.name)
        return [self.cost * len(self.turns)] * steps

    def use(self, workload: Workload) -> None: ...


def test_turns_are_abba_and_cancel_a_machine_that_slows_down() -> None:
    turns: list[str] = []
    arms: dict[Arm, Any] = {"lora": _Recorder("lora", turns, 1.0), "echo_lora": _Recorder("echo_lora", turns, 1.1)}
    seconds = take_turns(arms, rounds=2, steps=3)
    assert turns == ["lora", "echo_lora", "echo_lora", "lora"] * 2
    found = ratio(seconds, Bar("echo_lora", "lora", at_most=1.12))
    assert found.rounds == pytest.approx((1.1, 1.1))
    assert found.met
    assert not ratio(seconds, Bar("echo_lora", "lora", at_most=1.05)).met
    assert ratio(seconds, Bar("echo_lora", "lora")).met is None


def test_memory_is_compared_where_it_was_measured() -> None:
    assert [(r.arm, r.over, r.median, r.met) for r in memory_ratios({"lora": 100, "echo_lora": 114})] == [
        ("echo_lora", "lora", 1.14, True)
    ]


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


def test_the_default_workload_is_what_issue_3_asks_for() -> None:
    bench = BenchConfig()
    with torch.device("meta"):
        parameters = sum(p.numel() for p in bench_base(bench.model, "float32", torch.device("meta")).parameters())
    examples = bench_examples(bench.workload, bench.model.vocabulary)
    assert 50e6 <= parameters <= 100e6
    assert bench.model.vocabulary == 32000
    assert max(map(len, examples)) == 128
    assert supervised_share(examples) <= 0.08
    assert bench.echo.routing.start == bench.echo.routing.end == 1.0


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.6])
def test_a_workload_takes_the_share_it_is_given(share: float) -> None:
    workload = with_share(Workload(), share)
    examples = bench_examples(workload, 100)
    assert max(map(len, examples)) <= 128
    assert supervised_share(examples) == pytest.approx(share, rel=0.25)


@pytest.mark.parametrize("length", [64, 256, 512])
def test_a_longer_workload_has_as_many_tokens_per_step(length: int) -> None:
    workload = with_length(Workload(), length)
    assert workload.prompt_tokens[1] + workload.answer_tokens[1] == length
    assert workload.batch_size * length == 16 * 128


def test_a_bench_config_with_a_mistyped_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bench.yaml"
    path.write_text("workload: {batchsize: 4}")
    with pytest.raises(UserError, match=r"workload\.batchsize: unknown key"):
        read_config(path)
    with pytest.raises(UserError, match="no bench config found"):
        read_config(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("config", sorted(Path("configs/bench").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_bench_configs_are_llama_3_8b(config: Path) -> None:
    bench = read_config(config)
    shape = bench_base(bench.model, bench.dtype, torch.device("meta"))
    assert sum(parameter.numel() for parameter in shape.parameters()) == 8_030_261_248
    assert bench.device == "cuda"
