"""python -m trainer push --to DIR, as people call it."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.adapter_reader import read_adapter
from schemas.errors import OK, UserError
from schemas.run_directory import RunDirectory
from trainer.__main__ import main


def test_the_folder_is_written_here_to_look_at(
    scored: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["push", str(scored.root), "me/mine", "--to", str(tmp_path / "out" / "folder")]
    assert main(words) == OK
    assert "four files, 2 scores" in capsys.readouterr().out
    assert read_adapter(tmp_path / "out" / "folder").manifest.name == "mine"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["folder"]
    with pytest.raises(UserError, match="something already"):
        main(words)


def test_a_name_that_no_hub_has_is_refused(scored: RunDirectory) -> None:
    with pytest.raises(UserError, match="owner/name"):
        main(["push", str(scored.root), "mine"])


def test_a_changed_adapter_stays_here(scored: RunDirectory, tmp_path: Path) -> None:
    with (scored.adapter / "adapter_model.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(UserError, match=r"larger|not the file that was exported"):
        main(["push", str(scored.root), "me/mine", "--to", str(tmp_path / "folder")])
    assert not (tmp_path / "folder").exists()
