"""Items a second of two checkouts of this repository with transformers, in turns, and whether they give the same scores.

  python -m tests.evaluator.version_bench OLD_CHECKOUT BASE DATA [--items 32]

Each checkout answers in a process of its own, on the same threads; a round is one task, asked of the old and then the new
or the other way round. `OLD_CHECKOUT` is a worktree (`git worktree add DIR COMMIT`).
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROUNDS = {
    "mmlu": ("anatomy", "high_school_statistics", "management"),
    "commonsense_170k": ("commonsense_170k_boolq", "commonsense_170k_social_i_qa", "commonsense_170k_openbookqa"),
}
SETTINGS = {
    "mmlu": ("loglikelihood", "multiple choice, 5 shots"),
    "commonsense_170k": ("generate_until", "greedy, 32 tokens"),
}

WORKER = """
import json, os, sys, time
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
answers = sys.stdout
sys.stdout = sys.stderr
from rich.progress import Progress
from evaluator.backends.huggingface import TransformersBackend
from evaluator.subject import base_subject
def either(new, old):
    try: return import_module(new)
    except ModuleNotFoundError: return import_module(old)
recording = either("evaluator.scoring.caching_model", "evaluator.recording_model").RecordingModel
store = either("evaluator.scoring.response_cache", "evaluator.response_store").ResponseStore
try: from evaluator.scoring.readable import labels_of
except ModuleNotFoundError: labels_of = lambda task: ()
suites, load = either("evaluator.tasks.suites", "evaluator.suites"), either("evaluator.tasks.load", "evaluator.loaded_tasks")
base, scratch = sys.argv[1], Path(sys.argv[2])
subject = base_subject(base, scratch, "float32")
opened = {}
def model(size):
    if size not in opened: opened[size] = TransformersBackend(subject, "cpu", size).open("base")
    return opened[size]
for line in sys.stdin:
    asked = json.loads(line)
    suite = suites.SUITES[asked["suite"]]
    tasks = load.load_tasks(suite, Path(asked["data"]), [asked["task"]]).tasks
    (task,) = tasks.values()
    task.set_fewshot_seed(seed=1234)
    task.build_all_requests(limit=asked["items"])
    size = getattr(suite, "batch_size", 32)
    model(size)
    with Progress(disable=True) as progress:
        extra = [{name: labels_of(task) for name, task in tasks.items()}] if "labels" in recording.__init__.__code__.co_varnames else []
        asking = recording(lambda: model(size), store(scratch / f"{asked['task']}.jsonl"), size, progress, "", *extra)
        wall, cpu = time.monotonic(), time.process_time()
        given = getattr(asking, asked["kind"])(task.instances)
        print(json.dumps([time.monotonic() - wall, time.process_time() - cpu, given]), file=answers, flush=True)
"""


def main() -> None:
    """Asks, measures, compares, prints one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("base", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--items", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3, help="tasks of each suite, at most 3")
    parser.add_argument("--scratch", type=Path, required=True, help="an empty directory")
    parser.add_argument("--suites", type=lambda text: text.split(","), default=list(ROUNDS))
    given = parser.parse_args()
    new = Path(__file__).parents[2]
    workers = {
        name: start(checkout, given.base, given.scratch / name) for name, checkout in (("old", given.old), ("new", new))
    }
    print(json.dumps({suite: of_suite(suite, workers, given) for suite in given.suites}, indent=1))
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()


def start(checkout: Path, base: Path, scratch: Path) -> Any:
    scratch.mkdir(parents=True)
    command = [sys.executable, "-c", WORKER, str(base.resolve()), str(scratch.resolve())]
    return subprocess.Popen(command, cwd=checkout, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def of_suite(suite: str, workers: dict[str, Any], given: argparse.Namespace) -> dict[str, Any]:
    """Seconds of wall and of processor per round and side, the ratios, and the largest difference of a score."""
    kind, what = SETTINGS[suite]
    rounds = []
    for number, task in enumerate(ROUNDS[suite][: given.rounds]):
        data = given.data if suite == "mmlu" else given.data / "llm_adapters"
        asked = {"suite": suite, "task": task, "items": given.items, "data": str(data.resolve()), "kind": kind}
        order = ("old", "new") if number % 2 == 0 else ("new", "old")
        took = {name: ask(workers[name], asked) for name in order}
        rounds.append({"task": task, **{name: took[name][:2] for name in took}, **differences(suite, task, took)})
    totals = {name: [sum(one[name][clock] for one in rounds) for clock in (0, 1)] for name in ("old", "new")}
    ratios = [totals["old"][clock] / totals["new"][clock] for clock in (0, 1)]
    return {"what": what, "items": given.items, "rounds": rounds, "old / new, wall and processor": ratios}


def ask(worker: Any, asked: dict[str, Any]) -> list[Any]:
    worker.stdin.write(json.dumps(asked) + "\n")
    worker.stdin.flush()
    return json.loads(worker.stdout.readline())


def differences(suite: str, task: str, took: dict[str, list[Any]]) -> dict[str, Any]:
    """Of log-likelihoods the largest difference in nats; of texts, how many have another label first."""
    old, new = took["old"][2], took["new"][2]
    if suite == "mmlu":
        return {"largest difference": max(abs(a[0] - b[0]) for a, b in zip(old, new, strict=True))}
    label = re.compile("true|false|solution[12]|answer[1-5]|ending[1-4]|option[12]")
    pairs = [(label.search(a), label.search(b)) for a, b in zip(old, new, strict=True)]
    return {
        "other answers": sum((a and a[0]) != (b and b[0]) for a, b in pairs),
        "parsed": sum(b is not None for _, b in pairs),
    }


if __name__ == "__main__":
    main()
