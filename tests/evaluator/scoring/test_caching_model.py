"""The model that lm-eval sees: asks what is missing, in chunks, and keeps nothing that is no number."""

from types import SimpleNamespace

import pytest
from rich.progress import Progress

from evaluator.scoring.caching_model import RecordingModel
from evaluator.scoring.response_cache import ResponseStore
from schemas.errors import UserError


class Echoes:
    """A model that gives each prompt back, and counts what it is asked."""

    one_seed_per_batch = False

    def __init__(self):
        self.chunks = []

    def generate_until(self, requests, disable_tqdm):
        self.chunks.append([request.args[0] for request in requests])
        return [f"{request.args[0]} {request.args[1].get('seed', '')}" for request in requests]


def ask(store, model, *requests, chunk=2):
    with Progress(disable=True) as progress:
        recording = RecordingModel(lambda: model, store, chunk, progress, "test")
        asked = [SimpleNamespace(task_name="t", args=request) for request in requests]
        return recording.generate_until(asked), recording.asked


def test_what_is_stored_is_not_asked_again_and_equal_prompts_are_asked_once(tmp_path):
    store, model = ResponseStore(tmp_path / "answers.jsonl"), Echoes()
    assert ask(store, model, ("a", {}), ("bb", {}), ("a", {})) == (["a ", "bb ", "a "], 2)
    assert ask(ResponseStore(store.path), model, ("a", {}), ("ccc", {})) == (["a ", "ccc "], 1)
    assert model.chunks == [["bb", "a"], ["ccc"]]


def test_two_tasks_that_ask_the_same_share_the_answer(tmp_path):
    model = Echoes()
    with Progress(disable=True) as progress:
        recording = RecordingModel(lambda: model, ResponseStore(tmp_path / "answers.jsonl"), 2, progress, "test")
        asked = [SimpleNamespace(task_name=task, args=("a", {"max_gen_toks": 4})) for task in ("exact", "fields")]
        assert recording.generate_until(asked) == ["a ", "a "]
    assert model.chunks == [["a"]]


def test_chunks_hold_so_many_prompts_longest_first(tmp_path):
    model = Echoes()
    ask(ResponseStore(tmp_path / "answers.jsonl"), model, *(("x" * n, {}) for n in range(1, 6)))
    assert [[len(prompt) for prompt in chunk] for chunk in model.chunks] == [[5, 4], [3, 2], [1]]


def test_sampled_repetitions_are_asked_apart_each_with_a_seed_of_its_own(tmp_path):
    sampled = ("a", {"do_sample": True})
    first, _ = ask(ResponseStore(tmp_path / "one.jsonl"), Echoes(), sampled, sampled)
    again, _ = ask(ResponseStore(tmp_path / "two.jsonl"), Echoes(), sampled, sampled)
    assert len(set(first)) == 2
    assert first == again


def test_the_model_is_opened_only_where_something_is_missing(tmp_path):
    store = ResponseStore(tmp_path / "answers.jsonl")
    ask(store, Echoes(), ("a", {}))
    assert ask(store, None, ("a", {})) == (["a "], 0)


def test_a_model_that_schedules_itself_is_given_all_at_once_and_each_answer_is_kept_as_it_comes(tmp_path):
    store = ResponseStore(tmp_path / "answers.jsonl")

    def stream(requests):
        for place in (2, 0, 1):
            kept.append(len(store))
            yield {place: requests[place].args[0]}

    kept = []
    model = SimpleNamespace(stream_generate_until=stream, one_seed_per_batch=False)
    assert ask(store, model, ("a", {}), ("b", {}), ("c", {})) == (["a", "b", "c"], 3)
    assert kept == [0, 1, 2]


def test_a_label_ends_an_answer_whenever_it_was_given(tmp_path):
    store = ResponseStore(tmp_path / "answers.jsonl")
    asked = [SimpleNamespace(task_name="t", args=("is it true or not", {}))]
    for labels, expected in (({}, "is it true or not "), ({"t": ("true", "false")}, "is it true")):
        with Progress(disable=True) as progress:
            assert RecordingModel(Echoes, store, 4, progress, "test", labels).generate_until(asked) == [expected]


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_a_likelihood_that_is_no_number_is_refused_and_not_kept(tmp_path, value):
    model = SimpleNamespace(loglikelihood=lambda requests, disable_tqdm: [(value, False)])
    store = ResponseStore(tmp_path / "answers.jsonl")
    with Progress(disable=True) as progress:
        recording = RecordingModel(lambda: model, store, 4, progress, "test")
        with pytest.raises(UserError, match="not a finite number"):
            recording.loglikelihood([SimpleNamespace(task_name="t", args=("question", " A"))])
    assert len(store) == 0
    assert not store.path.exists()
