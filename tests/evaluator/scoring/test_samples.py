"""lm-eval's logs become samples: the answer read, how it counts."""

from types import SimpleNamespace

import pytest

from evaluator.scoring.counting import token_f1
from evaluator.scoring.samples import documents_sha256, prompts_sha256, read_samples
from evaluator.tasks.suites import SUITES, Counting
from schemas.errors import UserError

QUICKSTART = SUITES["quickstart"].counting


def token_f1_of_any(given, right):
    return max(token_f1(given, one) for one in right)


def entry(document, prompt="?", read="true", score=1.0, name="leftmost"):
    return {
        "doc_id": document, "filter": name, "arguments": [(prompt, {})], "doc": {"instruction": prompt},
        "resps": [[f"it is {read}"]], "filtered_resps": [read], "target": "true", "exact_match": score,
    }  # fmt: skip


def samples_of(*entries, counting=QUICKSTART):
    task = SimpleNamespace(task_name="boolq", OUTPUT_TYPE="generate_until")
    return read_samples(counting, task, list(entries), "adapter")


def test_an_answer_is_correct_wrong_or_unparsed():
    given = samples_of(entry(0), entry(1, read="false", score=0.0), entry(2, read="[invalid]", score=0.0))
    assert [sample.outcome for sample in given] == ["correct", "wrong", "unparsed"]
    assert [sample.parsed for sample in given] == ["true", "false", None]


def test_samples_stand_in_the_order_of_the_items_and_only_the_suite_s_filter_counts():
    given = samples_of(entry(1), entry(0), entry(0, name="other"))
    assert [sample.document for sample in given] == [0, 1]


def test_a_partial_score_is_kept_and_one_out_of_range_is_refused():
    (given,) = samples_of(entry(0, score=0.25))
    assert (given.outcome, given.score, given.value) == ("partial", 0.25, 0.25)
    for score in (37.2, -1, float("nan"), ("gold", "given")):
        with pytest.raises(UserError, match="expected a number from 0 to 1"):
            samples_of(entry(0, score=score))


def test_a_suite_file_s_reader_and_scorer_take_the_place_of_lm_eval_s():
    counting = Counting("f1", "leftmost", reader=lambda text: text.removeprefix("it is "), scorer=token_f1_of_any)
    rows = [entry(0, read="true"), entry(1, read="true or false")]
    for row in rows:
        row["doc"] = {"accepted": ["true"], "right": "true", "cluster": "passage"}
    given = samples_of(*rows, counting=counting)
    assert [(one.outcome, one.value) for one in given] == [("correct", 1.0), ("partial", 0.5)]
    assert {one.cluster for one in given} == {"passage"}


def test_hashes_follow_items_and_prompts_in_order():
    one, two = entry(0, "a"), entry(1, "b")
    assert documents_sha256([one, two]) == documents_sha256([two, one])
    assert prompts_sha256([one]) != prompts_sha256([entry(0, "a ")])
