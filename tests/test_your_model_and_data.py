"""docs/your-model-and-data.md does what it says, command by command, on a tiny base."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from schemas.evaluation.verdict import Verdict
from schemas.training.adapter_manifest import AdapterManifest

ROOT = Path(__file__).parent.parent


def blocks(page: str, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", (ROOT / "docs" / page).read_text(), flags=re.DOTALL)


def test_the_page_leads_from_chats_to_a_verdict(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    config, suite, policy = blocks("your-model-and-data.md", "yaml")
    files = {
        "chats.jsonl": blocks("your-model-and-data.md", "json")[0],
        "mine.yaml": config.replace("BASE", str(tiny_base)),
        "policy.yaml": policy,
        "support.csv": blocks("own-tasks.md", "csv")[0],
        "support.yaml": suite,
    }
    for name, text in files.items():
        Path(name).write_text(text)
    page = (ROOT / "docs" / "your-model-and-data.md").read_text()
    commands = [line.split()[2:] for line in re.findall(r"^    (python -m .+)$", page, re.MULTILINE)]
    assert commands.pop() == ["serving", "runs/mine"]
    shown = ""
    for package, *words in commands:
        assert import_module(f"{package}.__main__").main(words) == 0, words
        shown = shown or capsys.readouterr().out
    assert shown.count("⟦") == 2
    assert AdapterManifest.read(Path("runs/mine/adapter/manifest.json")).method == "echo_lora"
    assert Verdict.read(Path("runs/mine/verdict.json")).decision == "pass"
