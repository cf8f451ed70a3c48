"""The small tokenizer: a prompt has the same tokens alone and before its answer."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from studies.synthetic.tasks import TASK_SETS
from tests.studies.synthetic.records import records

QUICKSTART = Path(__file__).parents[3] / "configs" / "quickstart"
BASE = QUICKSTART / "base"
S16 = " " * 16
SENTENCE = "Below is an instruction that describes a task. Write a response that appropriately completes the request."


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(BASE)


@pytest.mark.parametrize("name", TASK_SETS)
def test_a_prompt_has_the_same_tokens_alone_and_before_its_answer(
    name: str, tokenizer: PreTrainedTokenizerBase
) -> None:
    for task in TASK_SETS[name].tasks:
        for record in records(task, "test", name)[:20]:
            prompt = (
                f"{SENTENCE}  \n\n{S16}### Instruction:\n{S16}{record['instruction']}\n{S16}\n{S16}### Response:\n{S16}"
            )
            alone, answer = tokenizer.encode(prompt), tokenizer.encode(record["output"], add_special_tokens=False)
            assert tokenizer.encode(prompt + record["output"]) == alone + answer
            assert tokenizer.decode(alone, skip_special_tokens=True) == prompt
            assert len(alone) <= 128


def test_a_user_turn_becomes_the_published_evaluation_prompt(tokenizer: PreTrainedTokenizerBase) -> None:
    messages = [{"role": "user", "content": "say it"}]
    prompt = f"<s>{SENTENCE} \n\n{S16}### Instruction:\n{S16}say it\n\n{S16}### Response:\n{S16}"
    assert tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True) == prompt
    messages.append({"role": "assistant", "content": "it"})
    assert tokenizer.apply_chat_template(messages, tokenize=False) == prompt + "it</s>"


def test_padding_is_on_the_left_with_a_token_of_its_own(tokenizer: PreTrainedTokenizerBase) -> None:
    batch = tokenizer(["one", "one two three"], padding=True)
    assert batch["input_ids"][0][0] == tokenizer.pad_token_id
    assert len({tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id}) == 3
