"""python -m trainer adopt, as people call it."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import OK, UserError
from tests.trainer.adopt.foreign_adapters import change_config, write
from trainer.__main__ import main


def test_the_command_says_what_it_kept_rewrote_and_left_behind(
    tiny_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    came = change_config(
        write(tmp_path / "checkpoint-500", tiny_base, "llama-factory, rslora"), base_model_name_or_path="x/y"
    )
    assert (
        main(["adopt", str(came), "--base", str(tiny_base), "--runs", str(tmp_path / "runs"), "--device", "cpu"]) == OK
    )
    told = capsys.readouterr().out
    assert "lora: rank 8, alpha 45.2548" in told
    assert "rewritten: rsLoRA's scale" in told
    assert "names x/y as its base; nothing in it can prove" in told
    assert "left behind, never opened: README.md, all_results.json" in told
    assert (tmp_path / "runs" / "checkpoint-500" / "adapter" / "manifest.json").is_file()


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["nowhere", "--base", "{base}"], "no such adapter directory"),
        (["{adapter}", "--base", "{base}", "--name", "a/b"], "is no name for a run"),
        (["{adapter}", "--base", "{base}/nowhere"], "does not exist"),
    ],
)
def test_what_is_wrong_with_the_words_is_said_at_once(
    tiny_base: Path, tmp_path: Path, words: list[str], fault: str
) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    with pytest.raises(UserError, match=fault):
        main(
            [
                "adopt",
                *(word.format(base=tiny_base, adapter=adapter) for word in words),
                "--runs",
                str(tmp_path / "runs"),
            ]
        )
    assert not (tmp_path / "runs").exists()
