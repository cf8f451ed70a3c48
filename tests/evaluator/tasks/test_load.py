"""From a suite to lm-eval's tasks: what is missing is named with where to get it."""

import pytest

from evaluator.__main__ import main
from evaluator.tasks.load import load_tasks
from evaluator.tasks.suites import SUITES
from schemas.errors import UserError
from tests.evaluator.commands.test_score import score


def test_missing_data_says_where_to_get_them(lora_run, tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        score(lora_run, tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no task of suite") as caught:
        score(lora_run, tmp_path)
    assert "boolq/test.json" in caught.value.fix
    with pytest.raises(UserError, match="needs local files") as caught:
        main([str(lora_run), "--suite", "commonsense_170k"])
    assert "LLM-Adapters" in caught.value.fix


def test_without_local_files_and_hub_the_error_says_what_to_do(lora_run, monkeypatch, tmp_path):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    with pytest.raises(UserError, match="the data of suite gsm8k cannot be loaded") as caught:
        main([str(lora_run), "--suite", "gsm8k"])
    assert "--data DIR" in caught.value.fix


def test_only_a_suite_with_published_items_says_what_is_not_of_them(small_data):
    assert load_tasks(SUITES["quickstart"], small_data, None).notes == ()
    absent, other = load_tasks(SUITES["commonsense_170k"], small_data, None).notes
    assert "the macro average leaves them out" in absent
    assert other == "not the published items (or not checked): boolq, piqa"
