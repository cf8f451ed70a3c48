"""The published commonsense files themselves, a few items of each."""

import pytest

from evaluator.tasks.load import load_tasks
from evaluator.tasks.suites import SUITES
from tests.evaluator.commands.test_score import score

ITEMS = {
    "boolq": (3270, 62.2), "piqa": (1838, 50.5), "social_i_qa": (1954, 33.6), "winogrande": (1267, 50.4),
    "arc_easy": (2376, 26.6), "arc_challenge": (1172, 26.5), "openbookqa": (500, 27.6),
}  # fmt: skip


@pytest.fixture(scope="module")
def loaded(real_data):
    return load_tasks(SUITES["commonsense_170k"], real_data, None)


@pytest.mark.parametrize("task", ITEMS)
def test_item_counts_and_floors_are_the_published_ones(loaded, task):
    targets = [doc["answer"] for doc in loaded.tasks[f"commonsense_170k_{task}"].eval_docs]
    floor = 100 * max(targets.count(label) for label in set(targets)) / len(targets)
    assert (len(targets), round(floor, 1)) == ITEMS[task]


def test_the_files_are_recognised_as_published(loaded):
    assert loaded.notes == ("no local files for commonsense_170k_hellaswag: the macro average leaves them out",)


def test_the_seven_tasks_run_and_count_every_item(lora_run, real_data):
    report, samples = score(lora_run, real_data, "--limit", "4")
    assert len(report.tasks) == 7
    assert len(samples) == 7 * 2 * 4
    for record in report.tasks.values():
        for given in record.variants.values():
            assert given.correct + given.wrong + given.unparsed + given.unscored == given.total == 4


def test_prompts_longer_than_the_window_are_counted(lora_run, real_data):
    report, _ = score(lora_run, real_data, "--limit", "20", "--no-base")
    assert "longer than the model's window of 512 tokens" in report.protocol
