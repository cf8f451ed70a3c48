"""Who may import whom: every stage the schemas, no stage another, studies every stage but serving, no document torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STAGES = ("trainer", "evaluator", "serving")
STUDIES_MAY_IMPORT = {"schemas", "trainer", "evaluator"}
HEAVY = ("torch", "transformers", "peft", "vllm", "lm_eval", "datasets")


def imports_of(path: Path) -> set[str]:
    """Top-level packages that a file imports, at any depth of its code."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_imports_another(stage):
    others = {*STAGES, "studies"} - {stage}
    guilty = {str(p.relative_to(ROOT)): imports_of(p) & others for p in (ROOT / stage).rglob("*.py")}
    assert {path: found for path, found in guilty.items() if found} == {}


def test_studies_import_the_trainer_and_the_evaluator_only():
    forbidden = {*STAGES} - STUDIES_MAY_IMPORT
    guilty = {str(p.relative_to(ROOT)): imports_of(p) & forbidden for p in (ROOT / "studies").rglob("*.py")}
    assert {path: found for path, found in guilty.items() if found} == {}


def test_the_schemas_import_no_stage_and_nothing_heavy():
    forbidden = {*STAGES, "studies", *HEAVY}
    guilty = {str(p.relative_to(ROOT)): imports_of(p) & forbidden for p in (ROOT / "schemas").rglob("*.py")}
    assert {path: found for path, found in guilty.items() if found} == {}


def test_every_package_of_the_product_is_under_the_rule():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages == {"schemas", "studies", *STAGES}


@pytest.mark.parametrize("stage", [*STAGES, "studies"])
def test_a_stage_shows_its_help_without_loading_torch(stage):
    program = (
        f"import sys, runpy; sys.argv = ['{stage}', '--help']\n"
        "try: runpy.run_module(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "assert 'torch' not in sys.modules"
    )
    shown = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert shown.returncode == 0, shown.stderr
    assert "usage" in shown.stdout.lower()


@pytest.mark.parametrize(("library", "reader"), [("yaml", "schemas/storage/yaml_files.py")])
def test_one_module_reads_and_writes_each_format(library, reader):
    packages = ("schemas", "studies", *STAGES)
    users = {str(p.relative_to(ROOT)) for k in packages for p in (ROOT / k).rglob("*.py") if library in imports_of(p)}
    assert users == {reader}
