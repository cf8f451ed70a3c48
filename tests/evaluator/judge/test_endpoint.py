"""The judge's API: asked once, kept, and each trouble one message."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluator.judge.endpoint import JudgeEndpoint
from schemas.errors import UserError
from schemas.evaluation.suite_file import Judge
from tests.evaluator.judge_server import judge_server


def conversation(text: str) -> tuple[tuple[str, str], ...]:
    return (("user", text),)


def endpoint(url: str, answers: Path, key_file: Path | None = None) -> JudgeEndpoint:
    return JudgeEndpoint(Judge(url=url, model="judge"), answers, key_file)


def nothing() -> None:
    pass


def test_what_was_judged_once_is_not_asked_again_even_where_the_judge_is_gone(tmp_path: Path) -> None:
    two = [conversation("a"), conversation("b"), conversation("a")]
    with judge_server(lambda asked: f"{asked}: [[5]]") as server:
        first = endpoint(server.url, tmp_path).ask(two, nothing)
        assert len(server.asked) == 2
    again = endpoint(server.url, tmp_path)
    again.require_an_answer()
    assert again.ask(two, nothing) == first
    assert {(said.text, said.model) for said in first.values()} == {("a: [[5]]", "judge-1"), ("b: [[5]]", "judge-1")}


def test_a_judge_that_is_not_there_is_named_before_any_model_is_opened(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the judge does not answer"):
        endpoint("http://127.0.0.1:9/v1", tmp_path).require_an_answer()


def test_the_key_comes_from_its_file(tmp_path: Path) -> None:
    key = tmp_path / "key"
    with judge_server(lambda _: "[[5]]", key="a secret") as server:
        with pytest.raises(UserError, match="no API key file"):
            endpoint(server.url, tmp_path, key)
        key.write_text("wrong\n")
        with pytest.raises(UserError, match="refuses the API key"):
            endpoint(server.url, tmp_path, key).require_an_answer()
        key.write_text("a secret\n")
        endpoint(server.url, tmp_path, key).ask([conversation("a")], nothing)


def test_what_was_said_before_the_judge_went_away_is_kept(tmp_path: Path) -> None:
    with judge_server(lambda _: "[[5]]") as server:
        asking = endpoint(server.url, tmp_path)
        asking.ask([conversation("a")], nothing)
    with pytest.raises(UserError, match="the judge does not answer"):
        asking.ask([conversation("a"), conversation("b")], nothing)
    assert len((tmp_path / "judgements.jsonl").read_text().split()) > 0


@pytest.mark.parametrize(
    ("path", "message"), [("/gone", "the judge answers 404"), ("/page", "no OpenAI-compatible API")]
)
def test_a_server_of_another_kind_is_no_judge(tmp_path: Path, path: str, message: str) -> None:
    with judge_server(lambda _: "[[5]]") as server, pytest.raises(UserError, match=message):
        endpoint(server.url.removesuffix("/v1") + path, tmp_path).ask([conversation("a")], nothing)
