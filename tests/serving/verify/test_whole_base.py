"""A base whose weights are not its architecture's is refused before vLLM starts, by a process that holds torch for us."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from schemas.errors import UserError
from serving.verify.whole_base import require_whole_base


def test_a_whole_base_passes(tiny_base: Path) -> None:
    require_whole_base(tiny_base)


def test_a_missing_tensor_is_named(tiny_base: Path, tmp_path: Path) -> None:
    base = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    tensors = load_file(base / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"missing: model\.norm\.weight"):
        require_whole_base(base)


def test_an_architecture_that_is_not_understood_is_one_line(tiny_base: Path, tmp_path: Path) -> None:
    base = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    (base / "config.json").write_text('{"model_type": "nonsense"}')
    with pytest.raises(UserError) as raised:
        require_whole_base(base)
    assert "nonsense" in raised.value.what
    assert "Traceback" not in raised.value.what


def test_the_servers_own_process_holds_no_torch(tiny_base: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from serving.verify.whole_base import require_whole_base\n"
        "require_whole_base(Path(sys.argv[1])); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program, str(tiny_base)]).returncode == 0
