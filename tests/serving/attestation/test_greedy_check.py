"""transformers reads what a server wrote, and says how far each token is from its own choice."""

import pytest

from schemas.errors import UserError
from schemas.training.adapter_manifest import AdapterManifest
from serving.attestation.greedy_check import PROMPTS, greedy_prompts, read_greedily, token_gaps


@pytest.fixture(scope="module")
def run(served_runs):
    return served_runs[0]


@pytest.fixture(scope="module")
def best_answers(run, tiny_base):
    """Prompts and what transformers itself answers, by the adapter."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, str(run.adapter)).eval()
    prompts = greedy_prompts(AdapterManifest.read(run.manifest))[:3]
    answers = []
    for prompt in prompts:
        ids = torch.tensor([prompt])
        written = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=4, min_new_tokens=4, do_sample=False
        )
        answers.append(written[0, len(prompt) :].tolist())
    return prompts, answers


def test_greedy_prompts_are_fifty_at_least_and_always_the_same(run):
    manifest = AdapterManifest.read(run.manifest)
    prompts = greedy_prompts(manifest)
    assert len(prompts) >= PROMPTS == 50
    assert prompts == greedy_prompts(manifest)
    assert len({tuple(prompt) for prompt in prompts}) == len(prompts)


def test_its_own_answers_have_no_gap(run, tiny_base, best_answers):
    check = read_greedily(run.adapter, tiny_base, *best_answers, tolerance=1e-3)
    assert (check.prompts, check.tokens, check.agreeing + check.ties) == (3, 12, 12)
    assert check.worst_gap <= 1e-3


def test_another_token_falls_short_of_the_best_one(run, tiny_base, best_answers):
    prompts, answers = best_answers
    wrong = [[(answers[0][0] + 1) % 300, *answers[0][1:]]]
    gaps = token_gaps(run.adapter, tiny_base, list(zip(prompts[:1], wrong, strict=True)))
    assert gaps[0][0] > 1e-3


def test_an_adapter_that_transformers_cannot_load_is_an_error_with_its_reason(tmp_path, tiny_base):
    with pytest.raises(UserError, match="transformers could not judge"):
        read_greedily(tmp_path, tiny_base, [[1]], [[2]], tolerance=1e-3)
