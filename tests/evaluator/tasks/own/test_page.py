"""The story that docs/own-tasks.md tells is one that runs: its files, its commands in their order, a judge on a local server."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest

from schemas.evaluation.eval_report import EvalReport
from schemas.evaluation.verdict import Verdict
from schemas.training.adapter_manifest import AdapterManifest
from tests.evaluator.conftest import ROOT
from tests.evaluator.judge_server import judge_server

FILES = ("support.csv", "support.yaml", "support.jsonl", "train.yaml", "policy.yaml")
INCONCLUSIVE = 4
CARD = "README.md"


def write_files(directory: Path, base: Path, judge: str) -> list[str]:
    """The page's files, in the order in which it shows them, and its commands."""
    page = (ROOT / "docs" / "own-tasks.md").read_text()
    blocks = re.findall(r"```(?:csv|yaml|json)\n(.*?)```", page, flags=re.DOTALL)
    for name, text in zip(FILES, blocks, strict=False):
        text = text.replace("path/to/base", str(base)).replace("http://127.0.0.1:8001/v1", judge)
        (directory / name).write_text(text)
    (script,) = re.findall(r"```sh\n(.*?)```", page, flags=re.DOTALL)
    return str(script).splitlines()


def run(command: str) -> int:
    _, _, module, *words = shlex.split(command)
    return int(importlib.import_module(f"{module}.__main__").main(words))


def test_the_story_of_the_page_runs(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with judge_server(lambda _: "Polite, and wrong. [[2]]", model="judge-2026") as server:
        codes = [run(command) for command in write_files(tmp_path, tiny_base, server.url)]
    verdict = Verdict.read(tmp_path / "runs/support-echo_lora/verdict.json")
    assert codes == [0, 0, 0, {"pass": 0, "rejected": 3, "inconclusive": INCONCLUSIVE}[verdict.decision], 0]
    assert [(check.kind, check.subject) for check in verdict.checks] == [
        ("trained_as_scored", "macro"), ("non_inferiority", "macro"), ("non_inferiority", "free"),
    ]  # fmt: skip
    assert verdict.checks[0].decision == "pass"
    report = EvalReport.read(tmp_path / "runs/support-lora/evaluation/support/report.json")
    assert [record.variants["adapter"].metric for record in report.tasks.values()] == ["f1", "acc", "judge"]
    assert report.tasks["choice"].floor == report.tasks["tone"].variants["adapter"].score == 0.25
    assert report.tasks["tone"].judges == ("judge-2026",)
    assert report.protocol.startswith("support: answers of the support desk; ")


def test_the_card_and_the_manifest_say_how_the_prompts_are_made(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (train, *_) = write_files(tmp_path, tiny_base, "http://127.0.0.1:9/v1")
    (tmp_path / "mine.jinja").write_text("Q: {{ question }}\nA:")
    assert run(f"{train} --data.prompt mine.jinja --training.max_steps 1") == 0
    manifest = AdapterManifest.read(tmp_path / "runs/support-lora/adapter/manifest.json")
    assert manifest.data is not None
    assert (manifest.trained_template, manifest.trained_prompt) == ("own", "Q: {{ question }}\nA:")
    assert manifest.probes[0].prompt.endswith("\nA:")
    assert "```jinja\nQ: {{ question }}\nA:\n```" in (tmp_path / "runs/support-lora/adapter" / CARD).read_text()
