"""An evaluation stopped at any point goes on where it stopped, and ends as if it had not been."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evaluator.scoring.response_cache import ResponseStore, request_key
from tests.evaluator.conftest import ROOT

RUN = [sys.executable, "-m", "evaluator"]


def command(run, data):
    return [*RUN, str(run), "--suite", "commonsense_170k", "--data", str(data), "--batch-size", "1", "--device", "cpu"]


def start(run, data):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(command(run, data), cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def finish(run, data):
    """Runs the command to its end."""
    with start(run, data) as process:
        message = process.communicate(timeout=400)[1]
    assert process.returncode == 0, message


def answers(run):
    return sum(len(path.read_bytes().splitlines()) for path in (run.parent / ".answers").glob("*.jsonl"))


def stop_after_some_answers(process, run, number):
    while answers(run) < 8:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    process.send_signal(number)
    return process.communicate(timeout=300)[1]


@pytest.fixture
def uninterrupted(tmp_path, tiny_base, small_data):
    from tests.evaluator.conftest import make_run

    run = make_run(tmp_path / "whole" / "lora", tiny_base, "lora")
    finish(run, small_data)
    return (run / "evaluation" / "commonsense_170k" / "samples.jsonl").read_bytes()


def test_a_killed_evaluation_goes_on_and_ends_alike(lora_run, small_data, uninterrupted):
    process = start(lora_run, small_data)
    stop_after_some_answers(process, lora_run, signal.SIGKILL)
    kept = answers(lora_run)
    assert 8 <= kept < 96
    assert not (lora_run / "evaluation").exists()
    finish(lora_run, small_data)
    assert (lora_run / "evaluation" / "commonsense_170k" / "samples.jsonl").read_bytes() == uninterrupted


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_says_what_is_kept(lora_run, small_data, number, code):
    process = start(lora_run, small_data)
    message = stop_after_some_answers(process, lora_run, number)
    assert process.returncode == code
    assert "answers are kept in" in message
    assert "the same command goes on from there" in message
    assert "Traceback" not in message


def test_a_torn_line_costs_one_answer_only(tmp_path):
    store = ResponseStore(tmp_path / "answers.jsonl")
    store.add({"a": "one", "b": (-1.5, True)})
    with store.path.open("ab") as file:
        file.write(b'{"key": "c", "ans')
    again = ResponseStore(store.path)
    again.add({"d": "four"})
    last = ResponseStore(store.path)
    assert [last.get(key) for key in "abcd"] == ["one", (-1.5, True), None, "four"]


def test_a_full_disk_names_the_file():
    with pytest.raises(OSError, match="No space left") as caught:
        ResponseStore(Path("/dev/full")).add({"a": "one"})
    assert caught.value.filename == "/dev/full"


def test_a_requests_key_depends_on_all_that_shapes_its_answer():
    key = request_key("task", "generate_until", ("prompt", {"max_gen_toks": 32}), 0)
    others = [
        request_key("other", "generate_until", ("prompt", {"max_gen_toks": 32}), 0),
        request_key("task", "loglikelihood", ("prompt", {"max_gen_toks": 32}), 0),
        request_key("task", "generate_until", ("prompt ", {"max_gen_toks": 32}), 0),
        request_key("task", "generate_until", ("prompt", {"max_gen_toks": 33}), 0),
        request_key("task", "generate_until", ("prompt", {"max_gen_toks": 32}), 1),
    ]
    assert len({key, *others}) == 6


def test_a_store_that_is_torn_or_polluted_gives_only_whole_answers(tmp_path):
    store = ResponseStore(tmp_path / "answers.jsonl")
    store.add({"a": "yes", "b": (-1.5, True)})
    junk = [b'{"key": "x"}', b'["a"]', b'{"key": [], "answer": "q"}', b"\xff\xfe", b"[" * 50_000]
    junk += [
        b'{"key": "y", "answer": ' + b"9" * 5000 + b"}",
        b'{"key": "z", "answer": [NaN, true]}',
        b'{"key": "t", "ans',
    ]
    with store.path.open("ab") as file:
        file.write(b"\n".join(junk))
    again = ResponseStore(store.path)
    assert (len(again), again.get("a"), again.get("b")) == (2, "yes", (-1.5, True))
    again.add({"c": "no"})
    assert ResponseStore(store.path).get("c") == "no"
