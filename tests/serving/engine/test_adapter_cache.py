"""Adapters are served from a path that is the hash of their manifest."""

import pytest

from schemas.adapter_reader import read_adapter
from schemas.errors import UserError
from serving.engine.adapter_cache import changed_files, place, store_adapter


@pytest.fixture
def adapter(served_runs):
    return read_adapter(served_runs[0].adapter)


def test_the_copy_lies_under_its_hash_and_is_whole(adapter, tmp_path):
    stored = store_adapter(adapter, tmp_path)
    assert stored == tmp_path / "adapters" / adapter.manifest_sha256
    assert changed_files(adapter, stored) == []
    assert read_adapter(stored).manifest_sha256 == adapter.manifest_sha256


def test_storing_twice_copies_once(adapter, tmp_path):
    first = store_adapter(adapter, tmp_path)
    stamp = (first / "manifest.json").stat().st_mtime_ns
    assert store_adapter(adapter, tmp_path) == first
    assert (first / "manifest.json").stat().st_mtime_ns == stamp


def test_a_stored_copy_that_was_changed_is_never_served(adapter, tmp_path):
    weights = store_adapter(adapter, tmp_path) / "adapter_model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert changed_files(adapter, weights.parent) == ["adapter_model.safetensors"]
    with pytest.raises(UserError, match="not the verified adapter"):
        store_adapter(adapter, tmp_path)


def test_an_interrupted_fill_leaves_nothing(tmp_path):
    def fail(staged):
        (staged / "half").write_text("written")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        place(tmp_path / "store" / "key", fail)
    assert list((tmp_path / "store").iterdir()) == []
