"""Where the plain pass is read: the boundary, the prompt's last tokens, its question, or for the oracle the answer."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from schemas.training.echo_config import EchoConfig
from trainer.echo.reading import NO_EDGES, Edges, common_edges, reading_of

OUTPUT = torch.arange(15.0).view(1, 15, 1).expand(4, 15, 1)  # each position's state is its column


def read(objectives: ModuleType, edges: Edges = NO_EDGES, **echo: Any) -> list[float]:
    """What is read of `OUTPUT` for the batch's prompts of 11, 9, 7 and 5 tokens and answers of 5, 4, 3 and 2."""
    states: Tensor = reading_of(objectives.ragged_batch(), EchoConfig(**echo), edges).of(OUTPUT)
    return [round(state, 4) for state in states[:, 0].tolist()]


def test_the_boundary_is_the_last_prompt_token(objectives: ModuleType) -> None:
    assert read(objectives) == [10, 8, 6, 4]


def test_the_last_tokens_end_at_the_boundary(objectives: ModuleType) -> None:
    assert read(objectives, pooling="last", pooled_tokens=3) == [9, 7, 5, 3]
    assert read(objectives, pooling="last", pooled_tokens=1) == read(objectives)
    assert read(objectives, pooling="last", pooled_tokens=99) == [5, 4, 3, 2]  # whole prompts


def test_the_question_lies_between_the_template_s_ends(objectives: ModuleType) -> None:
    assert read(objectives, Edges(first=2, last=2), pooling="question") == [5, 4, 3, 2]
    assert read(objectives, Edges(first=3, last=0), pooling="question") == [6.5, 5.5, 4.5, 3.5]


def test_a_prompt_without_a_question_is_read_at_its_boundary(objectives: ModuleType) -> None:
    assert read(objectives, Edges(first=4, last=3), pooling="question") == [5.5, 4.5, 6, 4]


def test_the_oracle_reads_the_answer_s_own_tokens(objectives: ModuleType) -> None:
    assert read(objectives, content="oracle") == [12.5, 10.5, 8.0, 5.5]  # a batch's last column runs in no pass


def test_what_is_read_stays_in_the_graph_where_that_is_asked_for(objectives: ModuleType) -> None:
    output = torch.randn(4, 15, 8, requires_grad=True)
    for pooling in ("boundary", "question"):
        readings = [
            reading_of(objectives.ragged_batch(), EchoConfig(pooling=pooling, gradient_to_echo=flows), NO_EDGES)
            for flows in (False, True)
        ]
        assert [reading.of(output).requires_grad for reading in readings] == [False, True]


def test_edges_are_what_all_prompts_share() -> None:
    assert common_edges([(1, 2, 7, 8, 9), (1, 2, 5, 9), (1, 2, 6, 6, 8, 9)]) == Edges(first=2, last=1)
    assert common_edges([(1, 2, 3), (4, 5, 6)]) == NO_EDGES
    assert common_edges([(1, 2, 3), (1, 2, 3, 3)]) == Edges(first=2, last=0)  # a token of the shortest is left over
    assert common_edges([(1, 2, 3), (1, 2, 3)]) == NO_EDGES  # the same question twice
    assert common_edges([(1,), (1,)]) == NO_EDGES
