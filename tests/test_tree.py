"""The tree stays light and findable: no bytes twice, no data that a recipe makes, no folder that is a heap."""

from __future__ import annotations

import hashlib
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("schemas", "trainer", "evaluator", "serving", "studies")
MOST_FILES = 15  # of source in a folder, its __init__ left out
MOST_BYTES = 6_000_000  # of everything but the quickstart's base and tasks
# A folder with more files than a reader holds in mind, and why it stays one.
LARGE: dict[str, str] = {}


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_two_files_hold_the_same_bytes():
    by_hash = defaultdict(list)
    for path in tracked():
        if path.stat().st_size:
            by_hash[hashlib.sha256(path.read_bytes()).hexdigest()].append(str(path.relative_to(ROOT)))
    assert [names for names in by_hash.values() if len(names) > 1] == []


def test_the_tree_is_light_beside_the_quickstart():
    own = {"configs/quickstart/base", "configs/quickstart/tasks"}
    light = [path for path in tracked() if not any(path.is_relative_to(ROOT / place) for place in own)]
    assert sum(path.stat().st_size for path in light) < MOST_BYTES


@pytest.mark.parametrize("package", PACKAGES)
def test_no_folder_of_source_is_a_heap(package):
    folders = {path.parent for path in (ROOT / package).rglob("*.py")}
    counts = {str(f.relative_to(ROOT)): len([p for p in f.glob("*.py") if p.name != "__init__.py"]) for f in folders}
    assert {folder: count for folder, count in counts.items() if count > MOST_FILES and folder not in LARGE} == {}


def test_results_keep_plan_report_and_summary_and_nothing_that_is_made_from_them():
    kept = {path.name for path in (ROOT / "configs/studies/results").rglob("*") if path in set(tracked())}
    assert kept == {"study_plan.json", "study_report.json", "summary.md"}
