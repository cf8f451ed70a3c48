"""What the model receives, byte for byte and token for token."""

import pytest

from evaluator.tasks.load import load_tasks
from evaluator.tasks.suites import SUITES

S16 = " " * 16
EXPECTED = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request. \n\n"
    f"{S16}### Instruction:\n{S16}{{}}\n\n{S16}### Response:\n{S16}"
)


@pytest.fixture
def spied(tiny_base, small_data, monkeypatch, lora_run):
    """Runs the boolq items through the real backend; returns (requests' prompts, token ids the model was given)."""
    from lm_eval.evaluator import evaluate

    from evaluator.backends.greedy import GreedyDecoder
    from evaluator.backends.huggingface import TransformersBackend
    from evaluator.subject import adapter_subject

    prompts, tokens = [], []
    model = TransformersBackend(adapter_subject(lora_run, None, None), "cpu", batch_size=1).open("adapter")
    generate_until, generate = model.generate_until, GreedyDecoder.generate

    def asked(requests, **rest):
        prompts.extend(request.args[0] for request in requests)
        return generate_until(requests, **rest)

    def given(self, ids, real, new_tokens):
        tokens.extend(row[-length:] for row, length in zip(ids.tolist(), real.sum(1).tolist(), strict=True))
        return generate(self, ids, real, new_tokens)

    monkeypatch.setattr(model, "generate_until", asked)
    monkeypatch.setattr(GreedyDecoder, "generate", given)
    tasks = load_tasks(SUITES["commonsense_170k"], small_data, ["boolq"]).tasks
    evaluate(lm=model, task_dict={"tasks": dict(tasks), "groups": {}}, limit=4, bootstrap_iters=0)
    return prompts, tokens


def test_the_prompt_is_the_published_one_and_ends_in_sixteen_spaces(spied, records):
    prompts, _ = spied
    assert prompts == [EXPECTED.format(record["instruction"]) for record in records[:4]]
    assert all(prompt.endswith(":\n" + S16) for prompt in prompts)


def test_the_model_is_given_exactly_the_prompts_tokens_after_one_bos(spied, tiny_base):
    from transformers import AutoTokenizer

    prompts, tokens = spied
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    assert sorted(tokens) == sorted(
        [tokenizer.bos_token_id, *tokenizer(prompt, add_special_tokens=False)["input_ids"]] for prompt in prompts
    )
    assert sorted(tokenizer.decode(ids[1:]) for ids in tokens) == sorted(prompts)
