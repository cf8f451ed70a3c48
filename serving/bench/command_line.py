"""The command line of `python -m serving bench`."""

from __future__ import annotations

import argparse
import socket
from pathlib import Path

from schemas.errors import INCONCLUSIVE, OK, REJECTED
from serving.bench.chart import plot_report, print_report
from serving.bench.overhead import MARGIN, BenchOptions, default_output, measure_overhead
from serving.command_line import add_server_arguments, passed_on
from serving.options import ServeOptions
from serving.progress import complain, console
from serving.server import EngineDied
from serving.supervise import ENGINE_DIED

EXIT_CODES = {"equivalent": OK, "not_equivalent": REJECTED, "inconclusive": INCONCLUSIVE}


def bench(argv: list[str]) -> int:
    """Measures, writes report and plot, prints; the exit code is the verdict."""
    arguments = bench_parser().parse_args(argv)
    try:
        report = measure_overhead(options_of(arguments))
    except EngineDied as error:
        complain(str(error))
        return ENGINE_DIED
    output = arguments.output or default_output(arguments.run)
    report.write(output)
    plot_report(report, output.with_suffix(".png"))
    print_report(report, console)
    print(f"{output}\n{output.with_suffix('.png')}")
    return EXIT_CODES[report.verdict]


def options_of(arguments: argparse.Namespace) -> BenchOptions:
    """The options of one call."""
    server = ServeOptions(
        runs=(arguments.run, arguments.against),
        port=arguments.port or _free_port(),
        base=arguments.base,
        dtype=arguments.dtype,
        start_seconds=arguments.start_timeout,
        verbose=arguments.verbose,
        vllm_arguments=passed_on(arguments),
    )
    return BenchOptions(
        server=server,
        margin=arguments.margin,
        concurrency=tuple(arguments.concurrency),
        waves=arguments.waves,
        prompt_tokens=arguments.prompt_tokens,
        output_tokens=arguments.output_tokens,
        max_seconds=arguments.max_seconds,
        max_rounds=arguments.max_rounds,
        merged=not arguments.no_merged,
        seed=arguments.seed,
    )


def bench_parser() -> argparse.ArgumentParser:
    """Its help is the manual."""
    parser = argparse.ArgumentParser(
        prog="python -m serving bench",
        description="Does an adapter cost anything at inference that a plain one of its shape does not? Serves both from "
        "one vLLM process, with the baseline a second time as a control, and tests for equivalence (TOST).",
        epilog="Exit codes: 0 equivalent, 3 not equivalent, 4 inconclusive.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the candidate's run directory")
    parser.add_argument(
        "--against", type=Path, required=True, metavar="RUN2", help="run of a plain adapter of the same shape"
    )
    parser.add_argument(
        "--margin", type=float, default=MARGIN, help="relative difference that counts as equal (default 0.02)"
    )
    parser.add_argument(
        "--concurrency",
        type=int,
        nargs="+",
        default=[1, 4],
        help="requests of a wave, which start together; each number is measured",
    )
    parser.add_argument(
        "--waves", type=int, default=2, help="waves per block; the variants take turns after each (default: 2)"
    )
    parser.add_argument("--prompt-tokens", type=int, default=64, help="tokens of each prompt (default: 64)")
    parser.add_argument("--output-tokens", type=int, default=32, help="tokens of each answer (default: 32)")
    parser.add_argument("--max-seconds", type=float, default=1800.0, help="longest time of measuring (default: 1800)")
    parser.add_argument("--max-rounds", type=int, default=400, help="most rounds (default: 400)")
    parser.add_argument("--no-merged", action="store_true", help="leave out the merged model's figures")
    parser.add_argument("--seed", type=int, default=0, help="of the prompts and of the variants' order (default: 0)")
    parser.add_argument("--port", type=int, help="port of the server under test (default: a free one)")
    parser.add_argument(
        "--output", type=Path, help="report (default: RUN/overhead/report.json); the plot lies beside it"
    )
    add_server_arguments(parser)
    return parser


def _free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])
