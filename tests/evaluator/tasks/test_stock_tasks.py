"""lm-eval's own tasks under their own names, on the real files."""

import json

from evaluator.tasks.load import load_tasks
from evaluator.tasks.suites import SUITES
from evaluator.tasks.yaml_files import task_configs
from tests.evaluator.commands.test_score import score


def test_mmlu_is_57_subjects_with_five_shots(real_data):
    tasks = load_tasks(SUITES["mmlu"], real_data, None).tasks
    assert len(tasks) == 57
    assert {task.get_config("num_fewshot") for task in tasks.values()} == {5}
    assert sum(len(task.eval_docs) for task in tasks.values()) == 14_042


def test_gsm8k_is_5_shot_with_strict_and_flexible_answers(lora_run, real_data):
    report, samples = score(lora_run, real_data, "--limit", "3", suite="gsm8k")
    (name, record), *_ = report.tasks.items()
    assert (name, record.floor) == ("gsm8k", None)
    assert record.variants["adapter"].metric == "exact_match"
    assert "exact_match,flexible-extract" in record.variants["adapter"].secondary
    assert samples[0].prompt.count("Question: ") == 6
    assert len(load_tasks(SUITES["gsm8k"], real_data, None).tasks["gsm8k"].eval_docs) == 1319


def test_both_variants_are_given_the_same_shots(lora_run, real_data):
    _, samples = score(lora_run, real_data, "--limit", "2", suite="gsm8k")
    prompts = {variant: [s.prompt for s in samples if s.variant == variant] for variant in ("base", "adapter")}
    assert prompts["base"] == prompts["adapter"]


def test_mmlu_samples_stand_alone_within_their_subject_and_name_the_choice(lora_run, real_data):
    report, samples = score(lora_run, real_data, "--limit", "4", "--tasks", "anatomy,virology", suite="mmlu")
    assert {s.task for s in samples} == {"mmlu_anatomy", "mmlu_virology"} == set(report.tasks)
    assert {s.cluster for s in samples} == {None}
    assert all(s.parsed in "ABCD" and s.target in "ABCD" for s in samples)
    assert {s.outcome for s in samples} <= {"correct", "wrong"}


ROWS = {
    "boolq": {"question": "is it", "passage": "It is.", "label": 1, "idx": 0},
    "piqa": {"goal": "To rest,", "sol1": "sit", "sol2": "run", "label": 0},
    "social_iqa": {"context": "A won.", "question": "Why?", "answerA": "a", "answerB": "b", "answerC": "c", "label": "1"},
    "hellaswag": {
        "ind": 1, "activity_label": "Rest", "ctx_a": "He sits", "ctx_b": "and he", "ctx": "He sits and he",
        "endings": ["rests.", "flies.", "sings.", "melts."], "label": "0",
    },
    "winogrande": {"sentence": "A beat B since _ was fast.", "option1": "A", "option2": "B", "answer": "1"},
    "arc_easy": {"id": "1", "question": "Up?", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "B"},
    "openbookqa": {
        "id": "1", "question_stem": "Up is", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "A",
    },
}  # fmt: skip


def test_the_stock_commonsense_tasks_read_local_splits(lora_run, tmp_path):
    rows = {**ROWS, "arc_challenge": ROWS["arc_easy"]}
    for name, config in task_configs(SUITES["commonsense_stock"]).items():
        (tmp_path / name).mkdir()
        split = config.get("test_split") or config["validation_split"]
        (tmp_path / name / f"{split}.jsonl").write_text((json.dumps(rows[name]) + "\n") * 3)
    report, samples = score(lora_run, tmp_path, suite="commonsense_stock")
    assert set(report.tasks) == set(rows)
    assert "acc_norm" in report.tasks["hellaswag"].variants["base"].secondary
    by_task = {sample.task: sample for sample in samples}
    assert [by_task[name].target for name in ("boolq", "winogrande", "arc_easy")] == ["yes", "A beat B since A", "b"]
