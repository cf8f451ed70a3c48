"""What goes up verifies for whoever downloads it, and its scores are read by the hub's own library."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import ModelCard

from schemas.adapter_reader import read_adapter
from schemas.run_directory import ADAPTER_FILES, RunDirectory
from trainer.push.folder import prepare


def test_the_folder_is_an_adapter_that_verifies(scored: RunDirectory, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    assert prepare(scored, folder) == 2
    assert sorted(path.name for path in folder.iterdir()) == sorted(ADAPTER_FILES)
    published, own = read_adapter(folder).manifest, read_adapter(scored.adapter).manifest
    assert published.files["adapter_model.safetensors"] == own.files["adapter_model.safetensors"]
    assert published.probes == own.probes


def test_the_scores_are_metadata_and_a_table(scored: RunDirectory, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    prepare(scored, folder)
    card = ModelCard.load(folder / "README.md")
    assert card.data.model_name == "mine"
    assert card.data.library_name == "peft"
    assert [result.dataset_name for result in card.data.eval_results] == ["a (quickstart)", "b (quickstart)"]
    assert "| quickstart | a | accuracy |" in card.text
    assert card.text.index("## Scores") < card.text.index("## Limits")


def test_without_a_report_the_card_stays_as_it_is(scored: RunDirectory, tmp_path: Path) -> None:
    (scored.evaluation("quickstart") / "report.json").unlink()
    folder = tmp_path / "folder"
    folder.mkdir()
    assert prepare(scored, folder) == 0
    assert (folder / "README.md").read_text().strip() == (scored.adapter / "README.md").read_text().strip()
