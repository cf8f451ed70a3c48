"""Agreement of backends: item by item, token by token, with intervals."""

import subprocess
import sys

import pytest

from evaluator.__main__ import main
from evaluator.commands.agree import compare
from schemas.errors import UserError
from schemas.evaluation.agreement_report import AgreementReport
from schemas.evaluation.eval_report import Sample
from tests.evaluator.conftest import ROOT, make_run


class Characters:
    """A tokenizer whose tokens are characters."""

    def encode(self, text, add_special_tokens):
        assert add_special_tokens is False
        return [ord(character) for character in text]


def sample(document, output, parsed, outcome):
    return Sample(
        task="t", document=document, variant="adapter", prompt="?", target="true", output=output, parsed=parsed, outcome=outcome
    )  # fmt: skip


def test_items_are_compared_one_by_one():
    ours = (
        sample(0, "true", "true", "correct"),
        sample(1, "no", None, "unparsed"),
        sample(2, "false", "false", "wrong"),
    )
    theirs = (
        sample(0, "true!", "true", "correct"),
        sample(1, "nope", None, "unparsed"),
        sample(2, "true", "true", "correct"),
    )
    pair = compare("hf", ours, "vllm", theirs, Characters())
    assert (pair.equal_outputs.count, pair.equal_answers.count, pair.equal_outcomes.count) == (0, 2, 2)
    assert pair.token_agreement == pytest.approx((4 / 5 + 2 / 4 + 0) / 3)
    assert pair.token_interval.low <= pair.token_agreement <= pair.token_interval.high
    assert pair.score_difference == pytest.approx(1 / 3)
    assert 0.2 < pair.equal_outcomes.interval.low < 2 / 3 < pair.equal_outcomes.interval.high < 1


def test_a_character_left_unfinished_by_the_last_token_is_no_difference():
    pair = compare(
        "hf", (sample(0, "a\ufffd\ufffd", None, "unparsed"),), "vllm", (sample(0, "a", None, "unparsed"),), Characters()
    )
    assert (pair.equal_outputs.count, pair.token_agreement) == (1, 1.0)


def test_different_items_are_never_compared():
    with pytest.raises(AssertionError, match="same items"):
        compare("hf", (sample(0, "a", "a", "wrong"),), "vllm", (sample(1, "a", "a", "wrong"),), Characters())


def test_one_backend_agrees_with_nobody(lora_run):
    with pytest.raises(UserError, match="names no two backends"):
        main(["agree", str(lora_run), "--with", "hf"])


def agree(run, *arguments):
    """In a process of its own: vLLM leaves sockets to its process's end."""
    command = [sys.executable, "-m", "evaluator", "agree", str(run), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.vllm
@pytest.mark.parametrize(
    ("method", "more", "note"),
    [
        ("lora", [], None),
        ("lora", ["--merge"], "LoRA merged into the base in float32"),
        ("dora", [], "DoRA merged into the base in float32"),
    ],
)
def test_vllm_and_transformers_agree_on_the_tiny_base(tmp_path, tiny_base, small_data, method, more, note):
    run = make_run(tmp_path / "runs" / method, tiny_base, method)
    arguments = ["--suite", "commonsense_170k", "--data", str(small_data), "--device", "cpu", "--fresh", *more]
    agree(run, *arguments)
    report = AgreementReport.read(run / "evaluation" / "commonsense_170k" / "agreement.json")
    (pair,) = report.pairs
    assert pair.equal_outputs.share >= 0.8
    assert pair.equal_outcomes.share == 1.0
    assert {name: pace.asked for name, pace in report.backends.items()} == {"hf": 24, "vllm": 24}
    protocol = report.backends["vllm"].protocol
    assert "merged" not in protocol if note is None else note in protocol
    assert not (run.parent / ".answers").exists()


@pytest.mark.vllm
def test_vllm_and_transformers_rank_alike(lora_run, real_data):
    arguments = ["--suite", "mmlu", "--tasks", "anatomy", "--limit", "12", "--data", str(real_data), "--device", "cpu"]
    agree(lora_run, *arguments)
    (pair,) = AgreementReport.read(lora_run / "evaluation" / "mmlu" / "agreement.json").pairs
    assert pair.equal_answers.count == 12
