"""Who generates while a probe is read, and that nothing is read without them."""

import time
from pathlib import Path

import pytest

from schemas.errors import UserError
from serving.attestation.concurrent_requests import ATTEMPTS, concurrent_models_of, read_with_concurrent_requests
from serving.engine.vllm_process import ServedWeights
from serving.options import ServeOptions

ADAPTERS = {"a": Path("a"), "b": Path("b")}


class Generator:
    """A server whose generations give a piece every millisecond, so many of them."""

    address = "here"

    def __init__(self, pieces, fault=None):
        self.pieces, self.fault = pieces, fault
        self.running, self.seen = set(), 0

    def context_length(self):
        return 9

    def stream_greedily(self, model, prompt, tokens):
        assert (prompt, tokens) == ([1], 8)
        self.running.add(model)
        try:
            if model == self.fault:
                raise UserError("refused")
            for _ in range(self.pieces):
                time.sleep(0.001)
                yield "piece"
        finally:
            self.running.remove(model)

    def read(self):
        self.seen += 1
        time.sleep(0.02)
        return set(self.running)


def test_all_generate_while_the_probe_is_read_and_are_cancelled_after_it():
    server = Generator(10**6)
    assert read_with_concurrent_requests(server, ["a", "b", "base"], [1], server.read) == {"a", "b", "base"}
    assert server.running == set()


def test_a_reading_that_outlasts_the_generations_does_not_count():
    server = Generator(3)
    with pytest.raises(UserError, match="ended before one probe was read"):
        read_with_concurrent_requests(server, ["a", "b"], [1], server.read)
    assert server.seen == ATTEMPTS


def test_a_model_that_cannot_generate_is_an_error_and_ends_the_others():
    server = Generator(10**6, fault="b")
    with pytest.raises(UserError, match="refused"):
        read_with_concurrent_requests(server, ["a", "b"], [1], server.read)
    assert server.running == set()


@pytest.mark.parametrize(
    ("adapters", "arguments", "concurrent"),
    [
        (ADAPTERS, (), ("a", "b", "base")),
        (ADAPTERS, ("--max-num-seqs=3",), ("a", "b")),
        (ADAPTERS, ("--max-num-seqs=1",), ()),
        ({}, (), ()),
    ],
)
def test_concurrent_are_all_models_that_fit_into_a_batch_with_the_probe(adapters, arguments, concurrent):
    weights = ServedWeights(Path("base"), "base", "float32", adapters, 8, 3)
    assert concurrent_models_of(weights, ServeOptions(runs=(), vllm_arguments=arguments)) == concurrent
