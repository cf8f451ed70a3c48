"""Suites of one's own, scored on the tiny base: every way of reading and counting reaches the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluator.__main__ import main
from evaluator.tasks.load import load_tasks
from evaluator.tasks.suites import find_suite
from schemas.errors import UserError
from schemas.evaluation.eval_report import EvalReport, Sample
from tests.evaluator.tasks.own.suite_files import write_rows, write_suite


def score(run: Path, suite: Path, *more: str) -> tuple[EvalReport, list[Sample]]:
    assert main([str(run), "--suite", str(suite), "--device", "cpu", *more]) == 0
    folder = run / "evaluation" / "mine"
    lines = (folder / "samples.jsonl").read_bytes().splitlines()
    return EvalReport.read(folder / "report.json"), [Sample.model_validate_json(line) for line in lines]


def questions(suite: Path, base: Path | None = None) -> list[str]:
    (task,) = load_tasks(find_suite(str(suite), "hf"), None, None, base).tasks.values()
    return [doc["question"] for doc in task.eval_docs]


def test_each_task_is_read_and_counted_in_its_own_way(lora_run: Path, tmp_path: Path) -> None:
    suite = write_suite(
        tmp_path,
        whole=None,
        words={"counts": {"kind": "f1"}, "max_new_tokens": 8},
        letters={"counts": {"kind": "chrf"}, "max_new_tokens": 8},
        number={"target": "{{ people }}", "answer": {"kind": "number", "tolerance": 1}},
        choice={"answer": {"kind": "choice", "options": ["Paris", "Rome", "Oslo"]}, "floor": "majority"},
        likely={"answer": {"kind": "choice", "options": ["Paris", "Rome", "Oslo"]}, "counts": {"kind": "probability"}},
        accepted={"counts": {"kind": "any_of", "accepted": "also", "ignore_case": True}, "group_by": "topic"},
    )
    report, samples = score(lora_run, suite)
    metrics = {name: record.variants["adapter"].metric for name, record in report.tasks.items()}
    assert metrics == {
        "whole": "exact_match", "words": "f1", "letters": "chrf", "number": "number", "choice": "acc", "accepted": "any_of",
        "likely": "probability",
    }  # fmt: skip
    assert report.tasks["choice"].floor == pytest.approx(1 / 3)
    assert {s.cluster for s in samples if s.task == "accepted"} == {"west", "south"}
    assert {s.parsed for s in samples if s.task == "choice"} <= {"Paris", "Rome", "Oslo"}
    likely, choice = (report.tasks[name].variants["adapter"] for name in ("likely", "choice"))
    assert likely.secondary["acc"] == choice.score  # accuracy beside the probability
    assert likely.partial == 3
    letters = report.tasks["letters"].variants["adapter"]
    assert letters.score == pytest.approx(
        sum(s.value for s in samples if (s.task, s.variant) == ("letters", "adapter")) / 3
    )


def test_examples_stand_before_the_question(tmp_path: Path) -> None:
    write_rows(tmp_path, [{"city": "Bern", "country": "Switzerland"}], "shots.jsonl")
    suite = write_suite(tmp_path, few={"shots": {"data": "shots.jsonl", "count": 1}})
    assert questions(suite)[0] == "Capital of Switzerland? Bern\n\nCapital of France?"


def test_messages_go_through_the_base_s_chat_template_with_one_beginning(tmp_path: Path, tiny_base: Path) -> None:
    write_rows(tmp_path, [{"city": "Bern", "country": "Switzerland"}], "shots.jsonl")
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Capital of {{ country }}?"}]
    chat = {"prompt": None, "messages": turns, "shots": {"data": "shots.jsonl", "count": 1}}
    first = questions(write_suite(tmp_path, chat=chat), tiny_base)[0]
    assert first == (
        "<|system|>\nBe brief.\n<|user|>\nCapital of Switzerland?\n<|assistant|>\nBern</s>\n"
        "<|user|>\nCapital of France?\n<|assistant|>\n"
    )


def test_an_lm_eval_task_is_taken_by_its_path_under_our_name(lora_run: Path, tmp_path: Path) -> None:
    rows = write_rows(tmp_path, [{"q": f"{n}?", "a": "yes"} for n in range(3)], "theirs.jsonl")
    (tmp_path / "theirs.yaml").write_text(
        f"task: theirs\ndataset_path: json\ndataset_kwargs:\n  data_files:\n    test: {rows}\ntest_split: test\n"
        'output_type: generate_until\ndoc_to_text: "{{q}}"\ndoc_to_target: "{{a}}"\n'
        "generation_kwargs: {until: ['.'], max_gen_toks: 4}\n"
        "metric_list:\n  - {metric: exact_match, aggregation: mean, higher_is_better: true}\nmetadata: {version: 2.0}\n"
    )
    report, _ = score(lora_run, write_suite(tmp_path, ours={"lm_eval": "theirs.yaml"}, whole=None))
    assert list(report.tasks) == ["ours", "whole"]
    assert (report.tasks["ours"].version, report.tasks["ours"].variants["base"].total) == ("2.0", 3)
    with pytest.raises(UserError, match="has no metric 'bleu'"):
        score(lora_run, write_suite(tmp_path, ours={"lm_eval": "theirs.yaml", "metric": "bleu"}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no task found"),
        ("group: all\ntask: [a]\n", "no lm-eval task: it names none"),
        ("task: t\ndataset_path: json\ndataset_kwargs: {data_files: {test: absent.jsonl}}\ntest_split: test\n"
         "output_type: generate_until\ndoc_to_text: x\ndoc_to_target: y\n", "lm-eval cannot load the task: FileNotFoundError"),
        ("task: t\ncustom_dataset: !function nowhere.load\n", "lm-eval cannot load the task"),
    ],
)  # fmt: skip
def test_an_lm_eval_task_that_does_not_load_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "theirs.yaml").write_text(text)
    with pytest.raises(UserError) as fault:
        load_tasks(find_suite(str(write_suite(tmp_path, one={"lm_eval": "theirs.yaml"})), "hf"), None, None)
    assert message in str(fault.value)
    assert "theirs.yaml" in str(fault.value)


def test_another_way_of_counting_gives_another_hash_and_another_place_does_not(lora_run: Path, tmp_path: Path) -> None:
    def hashes(directory: Path, **task: object) -> tuple[str, str]:
        directory.mkdir()
        report, _ = score(lora_run, write_suite(directory, one=dict(task)), "--no-base")
        return report.tasks["one"].generation_sha256, report.tasks["one"].documents_sha256

    first = hashes(tmp_path / "a")
    assert hashes(tmp_path / "b") == first
    assert hashes(tmp_path / "c", counts={"kind": "f1"})[0] != first[0]


def test_tasks_are_chosen_by_name_and_an_unknown_one_is_refused(lora_run: Path, tmp_path: Path) -> None:
    suite = write_suite(tmp_path, one=None, two=None)
    assert list(score(lora_run, suite, "--tasks", "two", "--limit", "1")[0].tasks) == ["two"]
    with pytest.raises(UserError, match="--tasks three is no task of suite mine"):
        score(lora_run, suite, "--tasks", "three")


def test_a_built_in_suite_s_name_is_taken(lora_run: Path, tmp_path: Path) -> None:
    suite = write_suite(tmp_path, one=None)
    suite.write_text(suite.read_text().replace("name: mine", "name: gsm8k"))
    with pytest.raises(UserError, match="a suite called gsm8k is built in"):
        score(lora_run, suite)


def test_bad_input_stops_before_anything_is_written(lora_run: Path, tmp_path: Path) -> None:
    suite = write_suite(tmp_path, one={"prompt": "{{ contry }}"})
    with pytest.raises(UserError, match="uses 'contry', which this row does not have"):
        score(lora_run, suite)
    assert not (lora_run / "evaluation").exists()
    assert not (lora_run.parent / ".answers").exists()


@pytest.mark.containers
def test_programs_are_judged_in_the_sandbox(lora_run: Path, tmp_path: Path, engine: object) -> None:
    rows = [{"name": "one", "test": "def check(candidate):\n    assert candidate() == 1\n"}]
    write_rows(tmp_path, rows)
    counts = {
        "kind": "unit_test",
        "before": "def one():\n    return 1\n#",
        "test": "{{ test }}",
        "entry_point": "{{ name }}",
    }
    right = {"prompt": "Write {{ name }}.", "target": "a program", "counts": counts, "stop": ["\n"]}
    wrong = {**right, "counts": {**counts, "before": "def one():\n    return 2\n#"}}
    report, _ = score(lora_run, write_suite(tmp_path, right=right, wrong=wrong), "--no-base")
    scores = {name: record.variants["adapter"].score for name, record in report.tasks.items()}
    assert scores == {"right": 1.0, "wrong": 0.0}
