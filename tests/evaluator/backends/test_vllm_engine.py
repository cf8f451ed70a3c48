"""vLLM under lm-eval: what it is asked at once is what it would say one by one."""

import os
import subprocess
import sys

import pytest

from tests.evaluator.conftest import ROOT

PROGRAM = """
import sys
from evaluator.backends.vllm_engine import VllmModel
from lm_eval.models.vllm_causallms import VLLM
model = VllmModel(pretrained=sys.argv[1], dtype="float32", batch_size=8, enforce_eager=True, gpu_memory_utilization=0.3)
prompts = [[5, 9, 40], [5, 9, 41, 17, 30, 2, 6], [5 + n % 90 for n in range(700)]]
requests = [((), prompt, rest) for prompt in prompts for rest in ([7], [8], [9, 7], [9, 8])]
ours, theirs = model._loglikelihood_tokens(requests), VLLM._loglikelihood_tokens(model, requests, disable_tqdm=True)
assert max(abs(a[0] - b[0]) for a, b in zip(ours, theirs)) < 1e-4, (ours, theirs)
assert [a[1] for a in ours] == [b[1] for b in theirs]
from types import SimpleNamespace
texts = [("is the red number", {"max_gen_toks": n, "do_sample": False, "until": ["###"]}) for n in (2, 9, 20)]
whole = model.generate_until([SimpleNamespace(args=args) for args in texts], disable_tqdm=True)
came = list(model.stream_generate_until([SimpleNamespace(args=args) for args in texts]))
assert {place: text for some in came for place, text in some.items()} == dict(enumerate(whole)), (came, whole)
assert next(iter(came[0])) == 0 and len(came) > 1, came
label = whole[2][8:11]
labelled = SimpleNamespace(args=(texts[2][0], {**texts[2][1], "labels": [label]}))
(one,) = model.stream_generate_until([labelled])
assert one[0] == whole[2][: whole[2].index(label) + len(label)], (one, whole)
model.model.llm_engine.engine_core.shutdown()
"""


@pytest.mark.vllm
def test_vllm_gives_what_it_gives_to_a_prompt_per_choice_and_each_text_as_soon_as_it_ends(tiny_base):
    """In a process of its own, since vLLM leaves sockets to its process's end; and without a C++ compiler."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tiny_base)],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "CXX": "/nonexistent"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.vllm
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # vLLM's own, on import
def test_an_adapter_takes_the_smallest_slot_that_holds_it():
    from evaluator.backends.vllm_engine import _slot
    from schemas.errors import UserError

    assert (_slot(4), _slot(8), _slot(9), _slot(64)) == (8, 8, 16, 64)
    with pytest.raises(UserError, match="cannot hold an adapter of rank 100000"):
        _slot(100_000)
