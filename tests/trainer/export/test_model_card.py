"""The card goes out into the world: a hub must take it, and its commands must run elsewhere than here."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from schemas.training.adapter_manifest import AdapterManifest
from schemas.training.train_config import TrainConfig
from tests.adapter_runs import AdapterShape, write_adapter_run
from trainer.export.model_card import model_card


@pytest.fixture
def card(tmp_path: Path, tiny_base: Path):
    """Writes the card of an adapter of the given shape, its base as given."""

    def write(*, rank: int = 4, method: str = "lora", name: str | None = None, revision: str | None = None) -> str:
        run = write_adapter_run(tmp_path / "mine", tiny_base, AdapterShape(method=method, rank=rank))
        manifest = AdapterManifest.read(run.manifest)
        base = manifest.base.model_copy(update={"name": name or str(tiny_base), "revision": revision})
        config = TrainConfig.model_validate(
            {
                "name": "mine",
                "runs": str(tmp_path),
                "method": method,
                "base": {"model": base.name},
                "data": {"train": ["rows.json"]},
                "training": {"max_steps": 1},
            }
        )
        return model_card(manifest.model_copy(update={"base": base}), config)

    return write


def front_matter(card: str) -> dict[str, object]:
    return dict(yaml.safe_load(card.split("---")[1]))


def test_a_hub_base_is_named_in_the_metadata(card) -> None:
    fields = front_matter(card(name="org/llama", revision="0" * 40))
    assert fields["base_model"] == "org/llama"
    assert fields["tags"] == ["base_model:adapter:org/llama", "lora", "transformers"]


def test_a_directory_is_no_base_that_a_hub_knows(card, tiny_base: Path) -> None:
    fields = front_matter(card())
    assert "base_model" not in fields
    assert not any("base_model" in tag for tag in fields["tags"])


def test_no_path_of_this_machine_goes_out_with_the_card(card, tmp_path: Path, tiny_base: Path) -> None:
    text = card()
    assert str(tmp_path) not in text
    assert str(tiny_base.parent) not in text
    assert tiny_base.name in text


@pytest.mark.parametrize(("rank", "width"), [(1, 1), (4, 8), (16, 16), (20, 32), (33, 64)])
def test_the_serving_command_names_a_width_that_vllm_offers(card, rank: int, width: int) -> None:
    assert f"--max-lora-rank {width} --generation-config vllm" in card(rank=rank)


@pytest.mark.parametrize("shape", [{"method": "dora"}, {"rank": 513}])
def test_what_vllm_cannot_load_has_no_command_of_its_own(card, shape: dict) -> None:
    assert "vllm serve" not in card(**shape)
