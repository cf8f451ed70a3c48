"""Every family of the table in docs/adapters.md is trained, exported and loaded by PEFT, or refused by name, as it says."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest
import torch
from peft import AutoPeftModelForCausalLM

from schemas.adapter_reader import read_adapter
from schemas.errors import UserError
from tests.trainer.families import FAMILIES, targets, write_base

PAGE = Path(__file__).parents[2] / "docs" / "adapters.md"
ROW = re.compile(
    r"^\| (?P<family>[^|]+?) \| `(?P<kind>\w+)` \| (?P<trained>[^|]+?) \| (?P<adapted>[^|]+?) \|", re.MULTILINE
)
TABLE = {row["family"]: row for row in ROW.finditer(PAGE.read_text())}


def test_the_table_names_every_family_and_no_other() -> None:
    assert {family: row["kind"] for family, row in TABLE.items()} == {f: kind for f, (kind, _) in FAMILIES.items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_trained_as_the_table_says(
    family: str, tmp_path: Path, tiny_base: Path, records: list[dict[str, str]], training_runs: ModuleType
) -> None:
    base = write_base(tmp_path / "base", family, tiny_base)
    config = training_runs.make_config(
        tmp_path, base, records[:16], method="echo_lora", adapter__target_modules=list(targets(family)),
        training__max_steps=2, training__warmup_steps=0, training__batch_size=2,
    )  # fmt: skip
    if (refused := TABLE[family]["trained"]) != "yes":
        with pytest.raises(UserError, match=re.escape(refused.removeprefix("refused: "))):
            training_runs.run(config)
        return
    run = training_runs.run(config)
    manifest = read_adapter(run.adapter).manifest
    assert sorted(manifest.adapter.target_modules) == sorted(targets(family))
    model = AutoPeftModelForCausalLM.from_pretrained(run.adapter, dtype=torch.float32).eval()
    ids = torch.tensor([manifest.probes[0].token_ids])
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, :-1].log_softmax(-1)
    found = logits.gather(1, ids[0, 1:, None])[:, 0]
    torch.testing.assert_close(found, torch.tensor(manifest.probes[0].adapter), atol=1e-4, rtol=1e-4)
