"""Items that say the same thing are one observation."""

from __future__ import annotations

from evaluator.comparison.clusters import clusters_of
from schemas.evaluation.eval_report import Sample


def sample(document: int, prompt: str, cluster: str | None = None, attempt: int = 0) -> Sample:
    return Sample(
        task="boolq",
        document=document,
        attempt=attempt,
        variant="adapter",
        prompt=prompt,
        target="true",
        output="true",
        parsed="true",
        outcome="correct",
        cluster=cluster,
    )


def test_different_questions_stand_alone() -> None:
    assert clusters_of([sample(0, "a"), sample(1, "b"), sample(2, "c")]) == (0, 1, 2)


def test_the_same_words_are_one_item_whatever_the_white_space() -> None:
    assert clusters_of([sample(0, "is it so?"), sample(1, "other"), sample(2, "is  it\nso?\n")]) == (0, 1, 0)


def test_attempts_at_one_item_belong_together() -> None:
    assert clusters_of([sample(0, "a"), sample(0, "a", attempt=1), sample(1, "b")]) == (0, 0, 1)


def test_a_passage_and_a_repeated_question_join_over_a_third_item() -> None:
    chain = [sample(0, "a", "x"), sample(1, "b", "x"), sample(2, "b", "y"), sample(3, "c", "y"), sample(4, "d", "z")]
    assert clusters_of(chain) == (0, 0, 0, 0, 1)


def test_many_items_in_one_chain_are_joined_in_no_time() -> None:
    chain = [sample(index, f"{index // 2}", f"{(index + 1) // 2}") for index in range(50_000)]
    assert set(clusters_of(chain)) == {0}
