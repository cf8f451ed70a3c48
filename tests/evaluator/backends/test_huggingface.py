"""Batches, padding and beams: none of them may change an answer."""

import shutil

import pytest
from safetensors.torch import load_file, save_file

from evaluator.__main__ import main
from evaluator.tasks.load import load_tasks
from evaluator.tasks.suites import SUITES
from schemas.errors import UserError


@pytest.fixture
def model_of(lora_run):
    from evaluator.backends.huggingface import TransformersBackend
    from evaluator.subject import adapter_subject

    subject = adapter_subject(lora_run, None, None)
    return lambda batch_size: TransformersBackend(subject, "cpu", batch_size).open("adapter")


def requests_of(suite, data, *tasks):
    loaded = load_tasks(SUITES[suite], data, list(tasks) or None).tasks
    for task in loaded.values():
        task.set_fewshot_seed(seed=1234)
        task.build_all_requests(limit=12)
    return [request for task in loaded.values() for request in task.instances]


@pytest.mark.parametrize("suite", ["commonsense_170k", "commonsense_170k_beam4"])
def test_batch_size_changes_no_generated_answer(model_of, small_data, suite):
    requests = requests_of(suite, small_data)
    alone = model_of(1).generate_until(requests)
    assert len(alone) == 24
    assert len(set(alone)) > 4
    for size in (3, 24):
        assert model_of(size).generate_until(requests) == alone


def test_batch_size_changes_no_ranking(model_of, real_data):
    requests = requests_of("mmlu", real_data, "anatomy")
    alone = model_of(1).loglikelihood(requests)
    for size in (5, 12):
        together = model_of(size).loglikelihood(requests)
        assert [value for value, _ in together] == pytest.approx([value for value, _ in alone], abs=1e-4)


def test_four_beams_give_what_transformers_alone_gives(model_of, small_data):
    model = model_of(6)
    requests = requests_of("commonsense_170k_beam4", small_data, "piqa")
    expected = []
    for request in requests:
        ids = model.tokenizer(request.args[0], return_tensors="pt")["input_ids"]
        out = model.model.generate(
            input_ids=ids, num_beams=4, max_new_tokens=32, do_sample=False, pad_token_id=model.tokenizer.pad_token_id
        )
        expected.append(model.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True))
    assert model.generate_until(requests) == [text.split("### Response:")[0] for text in expected]


def test_beams_find_other_answers_than_greedy_decoding(model_of, small_data):
    model = model_of(12)
    greedy = model.generate_until(requests_of("commonsense_170k", small_data, "piqa"))
    beams = model.generate_until(requests_of("commonsense_170k_beam4", small_data, "piqa"))
    assert greedy != beams


def test_dropout_is_off_while_scoring(model_of, small_data):
    model = model_of(12)
    assert not any(module.training for module in model.model.modules())


def test_a_model_that_gives_no_numbers_is_refused(tmp_path, tiny_base, small_data):
    broken = shutil.copytree(tiny_base, tmp_path / "broken")
    tensors = load_file(broken / "model.safetensors")
    tensors["model.norm.weight"][0] = float("nan")
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    runs = str(tmp_path / "runs")
    with pytest.raises(UserError, match="logits are not finite"):
        main(
            [str(broken), "--base-only", "--suite", "commonsense_170k", "--data", str(small_data), "--directory", runs]
        )
