"""Choices behind their prompts in one row, prefixes computed once: the scores are those of every prompt and choice alone."""

import pytest

from evaluator.backends.huggingface import TransformersBackend, TransformersModel
from evaluator.subject import adapter_subject
from tests.evaluator.backends.test_huggingface import requests_of


@pytest.fixture
def models(lora_run):
    """The sharing model, and the reference on the same weights."""
    sharing = TransformersBackend(adapter_subject(lora_run, None, None), "cpu", 32).open("adapter")
    return sharing, TransformersModel(pretrained=sharing.model, tokenizer=sharing.tokenizer, batch_size=4)


def require_equal(models, requests):
    ours, theirs = (model.loglikelihood(requests, disable_tqdm=True) for model in models)
    assert len({value for value, _ in theirs}) > len(theirs) // 2
    assert [value for value, _ in ours] == pytest.approx([value for value, _ in theirs], rel=1e-5, abs=1e-5)
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in theirs]


def test_letters_after_five_shots_of_two_subjects(models, real_data):
    require_equal(models, requests_of("mmlu", real_data, "anatomy", "virology"))


def test_choices_of_many_tokens_beginnings_of_other_choices_and_empty_prompts(models):
    from types import SimpleNamespace

    prompts = ["Please answer the following question with true or false, question: is the red number even?", "is", ""]
    choices = ["true", "true or false", " false number even even", "x"]
    requests = [SimpleNamespace(args=(prompt, choice)) for prompt in prompts for choice in choices]
    require_equal(models, requests)


def test_prompts_longer_than_the_window_lose_their_beginning_in_both(models):
    from types import SimpleNamespace

    long = "is the red number even? " * 200
    require_equal(
        models, [SimpleNamespace(args=(long + end, choice)) for end in ("so", "no") for choice in ("a", "b c")]
    )
