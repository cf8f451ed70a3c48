"""The hub's client takes the folder to a hub on this machine, in one commit, after the card was accepted."""

from __future__ import annotations

from collections.abc import Iterator

import huggingface_hub.constants as hub_constants
import pytest

from schemas.errors import OK, UserError
from schemas.run_directory import ADAPTER_FILES, RunDirectory
from tests.trainer.push.fake_hub import FakeHub, fake_hub
from trainer.__main__ import main


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with fake_hub() as (address, memory):
        monkeypatch.setattr(hub_constants, "ENDPOINT", address)
        monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", "hf_test")
        yield memory


@pytest.mark.parametrize("public", [False, True])
def test_four_files_go_up_in_one_commit(
    scored: RunDirectory, hub: FakeHub, capsys: pytest.CaptureFixture[str], public: bool
) -> None:
    assert main(["push", str(scored.root), "me/mine", *(["--public"] if public else [])]) == OK
    assert sorted(hub.files) == sorted(ADAPTER_FILES)
    assert hub.files["adapter_model.safetensors"] == (scored.adapter / "adapter_model.safetensors").read_bytes()
    assert hub.created["name"] == "mine"
    assert hub.created.get("private", hub.created.get("visibility")) in (
        (False, "public") if public else (True, "private")
    )
    assert "model-index" in hub.cards[0]
    assert "2 scores in the card" in capsys.readouterr().out


def test_a_card_that_the_hub_refuses_goes_nowhere(scored: RunDirectory, hub: FakeHub) -> None:
    hub.faults = "model-index[0].results[0] is wrong"
    with pytest.raises(UserError, match=r"the hub refuses: .*is wrong"):
        main(["push", str(scored.root), "me/mine"])
    assert hub.files == {}
    assert hub.created == {}


def test_without_a_hub_the_folder_can_be_written(scored: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="cannot be reached") as raised:
        main(["push", str(scored.root), "me/mine"])
    assert "--to DIR" in str(raised.value)
