"""A key comes out of its file as it is meant, or with one clear error."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import UserError
from schemas.storage.key_file import read_key


def test_the_key_is_read_without_the_line_s_end(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("a secret\n")
    assert read_key(tmp_path / "key") == "a secret"


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe"])
def test_a_file_without_a_key_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="API key file") as caught:
        read_key(path)
    assert str(path) in str(caught.value.where)
