"""Who generates while a probe is read, and that nothing is read without them."""

import time
from pathlib import Path

import pytest

from schemas.errors import UserError
from serving.attestation.concurrent_requests import ATTEMPTS, company_of, read_in_company
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
    assert read_in_company(server, ["a", "b", "base"], [1], server.read) == {"a", "b", "base"}
    assert server.running == set()


def test_a_reading_that_outlasts_the_generations_does_not_count():
    server = Generator(3)
    with pytest.raises(UserError, match="ended before one probe was read"):
        read_in_company(server, ["a", "b"], [1], server.read)
    assert server.seen == ATTEMPTS


def test_a_model_that_cannot_generate_is_an_error_and_ends_the_others():
    server = Generator(10**6, fault="b")
    with pytest.raises(UserError, match="refused"):
        read_in_company(server, ["a", "b"], [1], server.read)
    assert server.running == set()


@pytest.mark.parametrize(
    ("adapters", "arguments", "company"),
    [
        (ADAPTERS, (), ("a", "b", "base")),
        (ADAPTERS, ("--max-num-seqs=3",), ("a", "b")),
        (ADAPTERS, ("--max-num-seqs=1",), ()),
        ({}, (), ()),
    ],
)
def test_the_company_is_every_model_that_fits_into_a_batch_with_the_probe(adapters, arguments, company):
    weights = ServedWeights(Path("base"), "base", "float32", adapters, 8, 3)
    assert company_of(weights, ServeOptions(runs=(), vllm_arguments=arguments)) == company
