"""Every stage finds the same base: a directory as it is, `~` spelled out, and a hub repository's recorded commit."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from schemas.base.find_base import find_base, find_trained_base, is_repository
from schemas.errors import UserError
from schemas.training.adapter_manifest import BaseModelRecord
from schemas.training.train_config import TrainConfig

COMMIT = "c" * 40


@pytest.fixture
def home(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory with a base in it."""
    shutil.copytree(tiny_base, tmp_path / "base")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def cached(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The snapshot of local/tiny at COMMIT in a hub cache, as the hub's library lays it out."""
    import huggingface_hub

    repository = tmp_path / "hub/models--local--tiny"
    snapshot = Path(shutil.copytree(tiny_base, repository / "snapshots" / COMMIT))
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text(COMMIT)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return snapshot


def record(name: str, revision: str | None = None) -> BaseModelRecord:
    return BaseModelRecord(
        name=name,
        revision=revision,
        architecture="LlamaForCausalLM",
        config_sha256="0" * 64,
        weights_sha256="0" * 64,
        dtype="float32",
        quantization="none",
    )


def test_a_directory_is_taken_as_it_is(tiny_base: Path) -> None:
    found = find_base(str(tiny_base))
    assert (found.directory, found.revision) == (tiny_base, None)


@pytest.mark.parametrize("name", ["~/base", Path("~/base")])
def test_a_tilde_is_the_home_directory(home: Path, name: str | Path) -> None:
    assert find_base(name).directory == home / "base"


def test_a_manifest_with_a_tilde_is_found_too(home: Path) -> None:
    assert find_trained_base(record("~/base")).directory == home / "base"


def test_what_a_config_names_under_a_tilde_is_recorded_in_full(home: Path) -> None:
    plain = {
        "name": "x",
        "method": "lora",
        "base": {"model": "~/base"},
        "runs": "~/runs",
        "data": {"train": ["~/a.json"]},
    }
    config = TrainConfig.parse(plain, where="test")
    assert config.base.model == str(home / "base")
    assert (config.runs, config.data.train[0].path) == (str(home / "runs"), str(home / "a.json"))


def test_a_hub_snapshot_has_its_commit(cached: Path) -> None:
    found = find_base("local/tiny")
    assert (found.directory, found.revision) == (cached, COMMIT)
    assert find_trained_base(record("local/tiny", COMMIT)).directory == cached


def test_the_base_that_the_user_names_comes_before_the_recorded_one(tiny_base: Path) -> None:
    assert find_trained_base(record("/gone"), tiny_base).directory == tiny_base


@pytest.mark.parametrize("name", ["/gone", "local/tiny"])
def test_a_recorded_directory_that_moved_is_not_looked_for_on_the_hub(cached: Path, name: str) -> None:
    with pytest.raises(UserError, match="not where it was trained from") as raised:
        find_trained_base(record(name))
    assert "--base" in str(raised.value.fix)


@pytest.mark.parametrize(
    "name", ["/nowhere/base", "./nowhere", "../nowhere", "~nobody/base", "~/nowhere", "no-slash", "a/b/c", "a\0b"]
)
def test_what_is_neither_a_directory_nor_a_repository_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="does not exist"):
        find_base(name)


def test_a_repository_that_cannot_be_had_is_refused(cached: Path) -> None:
    with pytest.raises(UserError, match="nor to be had from the hub") as raised:
        find_base("nobody/nothing", "v1")
    assert raised.value.where == "nobody/nothing at v1"


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_directory_without_a_model_is_refused(tiny_base: Path, tmp_path: Path, missing: str) -> None:
    copy = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    (copy / missing).unlink()
    with pytest.raises(UserError, match=r"config.json is missing|no safetensors"):
        find_base(copy)


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("owner/name", True), ("o.w-n_er/na.me", True), ("-x/y", False), ("a/b\n", False), ("a", False), ("/a/b", False)],
)
def test_a_repository_has_the_hubs_form(name: str, is_one: bool) -> None:
    assert is_repository(name) is is_one
