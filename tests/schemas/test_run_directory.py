"""A run's files have one place each."""

from pathlib import Path

from schemas.run_directory import ADAPTER_FILES, RunDirectory


def test_every_document_of_a_run_lies_in_its_directory():
    run = RunDirectory(Path("runs/mine"))
    places = [run.config, run.metrics, run.checkpoints, run.verdict, run.attestation, run.evaluation("gsm8k")]
    assert len(set(places)) == len(places)
    assert all(place.is_relative_to("runs/mine") for place in places)


def test_the_manifest_is_one_of_the_adapter_s_four_files():
    run = RunDirectory(Path("runs/mine"))
    assert run.manifest.parent == run.adapter
    assert len(ADAPTER_FILES) == 4
    assert run.manifest.name in ADAPTER_FILES
