"""The options of `python -m serving bench`."""

from pathlib import Path

from serving.bench.command_line import bench_parser, options_of
from serving.bench.overhead import BenchOptions, default_output

RUNS = ["runs/echo", "--against", "runs/plain"]


def options(*more):
    return options_of(bench_parser().parse_args([*RUNS, *more]))


def test_the_defaults_are_those_of_the_options():
    given = options("--port", "1")
    assert given == BenchOptions(server=given.server)
    assert given.server.runs == (Path("runs/echo"), Path("runs/plain"))


def test_options_reach_the_server_and_vllm():
    given = options("--concurrency", "2", "8", "--no-merged", "--max-num-seqs", "16", "--dtype", "bfloat16")
    assert given.concurrency == (2, 8)
    assert not given.merged
    assert given.server.dtype == "bfloat16"
    assert given.server.passed_on("--max-num-seqs") == "16"


def test_without_a_port_a_free_one_is_taken():
    assert options().server.port > 1023


def test_the_report_lies_in_the_candidates_run():
    assert default_output(Path("runs/echo")) == Path("runs/echo/overhead/report.json")
