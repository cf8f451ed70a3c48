"""python -m trainer import-base, as people call it."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from transformers import PreTrainedTokenizerBase

from schemas.errors import OK, UserError, run_command
from trainer.import_base import command
from trainer.import_base.command import main


def test_a_file_becomes_a_base_and_a_second_call_has_nothing_to_do(
    gguf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(gguf), str(tmp_path / "base")]
    assert main(arguments) == OK
    assert "parameters in 2 layers, float32 (tiny.gguf)" in capsys.readouterr().out
    written = (tmp_path / "base" / "model.safetensors").stat()
    assert main(arguments) == OK
    assert "nothing to do" in capsys.readouterr().out
    assert (tmp_path / "base" / "model.safetensors").stat() == written


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither a GGUF file nor a known base") as fault:
        main(["smollm3", str(tmp_path / "base")])
    assert "smollm2-135m" in str(fault.value)


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"GGUF" + bytes(40)])
def test_a_file_that_is_no_whole_gguf_exits_2_with_one_message_and_leaves_nothing(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.gguf").write_bytes(content)
    with pytest.raises(SystemExit) as ended:
        run_command(main, [str(tmp_path / "model.gguf"), str(tmp_path / "base")])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith("error: ")
    assert "fix:" in said
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]


def test_ctrl_c_while_it_converts_exits_130_and_the_same_command_goes_on(
    gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    arguments = [str(gguf), str(tmp_path / "base")]
    with monkeypatch.context() as patch:
        patch.setattr(PreTrainedTokenizerBase, "save_pretrained", stopped)
        with pytest.raises(SystemExit) as ended:
            run_command(main, arguments)
    assert ended.value.code == 130
    assert list(tmp_path.iterdir()) == []
    assert main(arguments) == OK


def test_a_directory_of_something_else_is_left_alone(gguf: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="holds no base"):
        main([str(gguf), str(tmp_path)])
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_the_hub_s_copy_is_taken_where_it_answers_and_left_whole(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "find_base", lambda name: SimpleNamespace(directory=tiny_base))
    assert main(["smollm2-135m", str(tmp_path / "base")]) == OK
    assert {path.name for path in (tmp_path / "base").iterdir()} == {path.name for path in tiny_base.iterdir()}
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


def test_a_snapshot_whose_weights_are_another_model_s_leaves_nothing(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_base, other)
    config = other / "config.json"
    config.write_text(config.read_text().replace('"num_hidden_layers": 4', '"num_hidden_layers": 5'))
    monkeypatch.setattr(command, "find_base", lambda name: SimpleNamespace(directory=other))
    with pytest.raises(UserError, match="not those of the model's architecture"):
        main(["smollm2-135m", str(tmp_path / "base")])
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
