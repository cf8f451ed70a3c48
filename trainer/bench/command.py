"""python -m trainer bench: what our four methods cost, against each other, the two-pass echo, and PEFT in transformers.

One run times all arms in turns and compares them round by round; each arm's peak memory is taken in a process of its
own. Writes bench.json and bench.png, and prints a table.
"""

from __future__ import annotations

import argparse
import logging
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import transformers
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from schemas.errors import OK
from schemas.training.training_bench import Arm, ArmResult, BenchConfig, BenchReport, SweepPoint
from trainer.bench.abba import Bar, Rounds, memory_ratios, peak_memory, ratio, ratios, read_config, take_turns
from trainer.bench.arms import TimedArm, bench_base, make_arm
from trainer.bench.hardware import bench_device, machine_facts
from trainer.bench.plot import plot_report
from trainer.bench.roofline import decoder_parameters
from trainer.bench.roofline import table as roofline_table
from trainer.bench.table import report_tables
from trainer.bench.workload import bench_examples, supervised_share, with_length, with_share
from trainer.loop.malloc import keep_freed_memory

_DESCRIPTION = """\
Times optimizer steps of lora, dora, echo_lora and echo_dora, of the two-pass echo reference, and of PEFT's LoRA and
DoRA in transformers.Trainer: same model, data and optimizer, in turns (ABBA). Without CONFIG: a Llama of 86 million
parameters with random weights, 16 samples of up to 128 tokens, at most 8 % supervised.
Leave the machine alone while it runs."""


@dataclass(frozen=True)
class BenchOptions:
    """What the command line changes."""

    rounds: int | None = None
    """ABBA rounds of the main measurement; None takes the config's."""
    sweep: bool = True
    """Whether to run the config's sweeps."""
    memory: bool = True
    """Whether to measure peak memory."""


def main(argv: list[str]) -> int:
    """Parses and measures."""
    parser = argparse.ArgumentParser(
        prog="python -m trainer bench", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, nargs="?", help="a bench config in YAML (schema: BenchConfig)")
    parser.add_argument("--out", type=Path, default=Path("runs/bench"), help="directory to write (default: runs/bench)")
    parser.add_argument("--rounds", type=int, help="ABBA rounds of the main measurement")
    parser.add_argument("--no-sweep", action="store_true", help="leave out the sweeps over supervised share and length")
    parser.add_argument("--no-memory", action="store_true", help="leave out peak memory")
    parser.add_argument(
        "--roofline", action="store_true", help="measure nothing: model a LoRA step of CONFIG on an H100"
    )
    chosen = parser.parse_args(argv)
    if chosen.roofline:
        print(roofline_table(read_config(chosen.config) if chosen.config else BenchConfig()))
        return OK
    options = BenchOptions(chosen.rounds, sweep=not chosen.no_sweep, memory=not chosen.no_memory)
    return run_bench(chosen.config, chosen.out, options)


def run_bench(config_path: Path | None, out: Path, options: BenchOptions) -> int:
    """Measures, writes `out`/bench.json and `out`/bench.png, prints the tables.

    Raises:
        UserError: the config does not fit its schema, or the device is not there.
    """
    bench = read_config(config_path) if config_path else BenchConfig()
    if options.rounds is not None:
        bench = bench.model_copy(update={"rounds": options.rounds})
    if not options.sweep:
        bench = bench.model_copy(update={"sweep": None})
    console = Console()
    transformers.utils.logging.set_verbosity_error()
    logging.getLogger("trainer.echo.objective").setLevel(logging.ERROR)  # an arm that falls back is named for it
    report = None
    for report in measure(bench, out, memory=options.memory, console=console):
        written = report.write(out / "bench.json")  # after every part: a run that is stopped has lost only the next one
    assert report is not None
    plot_report(report, out / "bench.png")
    for table in report_tables(report):
        console.print(table)
    console.print(f"{written}\n{out / 'bench.png'}", highlight=False, soft_wrap=True)
    return OK


def measure(bench: BenchConfig, out: Path, *, memory: bool, console: Console) -> Iterator[BenchReport]:
    """The report of the main measurement, and again with every further point of the sweeps."""
    device = bench_device(bench)
    facts = machine_facts(bench, device)
    peaks = _peaks(bench, out, console) if memory else {}
    if device.type == "cpu":
        keep_freed_memory()  # as a training run does; the arms of transformers gain by it too
    base = bench_base(bench.model, bench.dtype, device)
    parameters = sum(parameter.numel() for parameter in base.parameters())
    with console.status("Building the arms"):
        arms = {arm: make_arm(arm, base, bench, device) for arm in _all_arms(bench)}
    main_arms = {arm: arms[arm] for arm in bench.arms}
    seconds = _timed(main_arms, bench.rounds, bench.steps_per_visit, "Timing", console)
    results = [_result(bench, arm, seconds[arm], facts.peak_flops, peaks.get(arm)) for arm in bench.arms]
    report = BenchReport(
        config=bench,
        machine=facts,
        parameters=parameters,
        supervised_share=supervised_share(bench_examples(bench.workload, bench.model.vocabulary)),
        arms=tuple(results),
        ratios=(*ratios(seconds), *memory_ratios(peaks)),
        sweep=(),
    )
    yield report
    for points in _sweep(bench, arms, console):
        report = report.model_copy(update={"sweep": (*report.sweep, *points)})
        yield report


def _all_arms(bench: BenchConfig) -> list[Arm]:
    swept = bench.sweep.arms if bench.sweep else ()
    return list(dict.fromkeys((*bench.arms, *swept)))


def _peaks(bench: BenchConfig, out: Path, console: Console) -> dict[Arm, int]:
    """Peak bytes of every arm; before this process holds a model of its own."""
    config = bench.write(out / "bench_config.json")
    peaks: dict[Arm, int] = {}
    for arm in bench.arms:
        with console.status(f"Peak memory of {arm}"):
            peaks[arm] = peak_memory(arm, config)
    return peaks


def _timed(arms: dict[Arm, TimedArm], rounds: int, steps: int, what: str, console: Console) -> Rounds:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        task = progress.add_task(what, total=2 * rounds * len(arms))
        visits = iter(range(2 * rounds * len(arms)))
        return take_turns(
            arms,
            rounds,
            steps,
            lambda arm: progress.update(task, completed=next(visits), description=f"{what} {arm}"),
        )


def _result(
    bench: BenchConfig, arm: Arm, rounds: list[list[float]], peak_flops: float, memory: int | None
) -> ArmResult:
    seconds = tuple(second for times in rounds for second in times)
    median = statistics.median(seconds)
    examples = bench_examples(bench.workload, bench.model.vocabulary)
    tokens = sum(map(len, examples)) / len(examples) * bench.workload.batch_size / median
    return ArmResult(
        arm=arm,
        seconds=seconds,
        median_seconds=median,
        tokens_per_second=tokens,
        supervised_tokens_per_second=tokens * supervised_share(examples),
        mfu=4 * decoder_parameters(bench) * tokens / peak_flops,
        peak_memory_bytes=memory,
    )


def _sweep(bench: BenchConfig, arms: dict[Arm, TimedArm], console: Console) -> Iterator[list[SweepPoint]]:
    """The ratios over plain LoRA along both axes, place by place."""
    sweep = bench.sweep
    if sweep is None:
        return
    shares = [("supervised_share", share, with_share(bench.workload, share)) for share in sweep.supervised_shares]
    lengths = [("length", float(length), with_length(bench.workload, length)) for length in sweep.lengths]
    for axis, value, workload in (*shares, *lengths):
        share = supervised_share(bench_examples(workload, bench.model.vocabulary))
        swept = {arm: arms[arm] for arm in sweep.arms}
        for arm in swept.values():
            arm.use(workload)
        seconds = _timed(swept, sweep.rounds, 1, f"{axis.replace('_', ' ')} {value:g}:", console)
        points: list[SweepPoint] = []
        for name in sweep.arms:
            found = ratio(seconds, Bar(name, "lora"))
            realised = share if axis == "supervised_share" else value
            points.append(
                SweepPoint.model_validate(
                    {"axis": axis, "value": realised, "supervised_share": share, "arm": name}
                    | found.model_dump(include={"median", "low", "high"})
                )
            )
        yield points
