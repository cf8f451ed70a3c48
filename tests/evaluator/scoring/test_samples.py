"""lm-eval's logs become samples: the answer read, how it counts, which items belong together."""

from dataclasses import replace
from types import SimpleNamespace

from evaluator.scoring.samples import documents_sha256, prompts_sha256, read_samples
from evaluator.tasks.suites import SUITES

QUICKSTART = SUITES["quickstart"]


def entry(document, prompt="?", read="true", score=1.0, name="leftmost"):
    return {
        "doc_id": document, "filter": name, "arguments": [(prompt, {})], "doc": {"instruction": prompt},
        "resps": [[f"it is {read}"]], "filtered_resps": [read], "target": "true", "exact_match": score,
    }  # fmt: skip


def samples_of(*entries, suite=QUICKSTART):
    task = SimpleNamespace(task_name="boolq", OUTPUT_TYPE="generate_until")
    return read_samples(suite, task, list(entries), "adapter")


def test_an_answer_is_correct_wrong_or_unparsed():
    given = samples_of(entry(0), entry(1, read="false", score=0.0), entry(2, read="[invalid]", score=0.0))
    assert [sample.outcome for sample in given] == ["correct", "wrong", "unparsed"]
    assert [sample.parsed for sample in given] == ["true", "false", None]


def test_samples_stand_in_the_order_of_the_items_and_only_the_suite_s_filter_counts():
    given = samples_of(entry(1), entry(0), entry(0, name="other"))
    assert [sample.document for sample in given] == [0, 1]


def test_items_with_one_prompt_are_a_cluster_and_a_subject_s_are_one():
    given = samples_of(entry(0, "same"), entry(1, "same"), entry(2, "alone"))
    assert given[0].cluster == given[1].cluster is not None
    assert given[2].cluster is None
    by_subject = samples_of(entry(0), entry(1, "other"), suite=replace(QUICKSTART, by_task=True))
    assert {sample.cluster for sample in by_subject} == {"boolq"}


def test_hashes_follow_items_and_prompts_in_order():
    one, two = entry(0, "a"), entry(1, "b")
    assert documents_sha256([one, two]) == documents_sha256([two, one])
    assert prompts_sha256([one]) != prompts_sha256([entry(0, "a ")])
