"""Makes run directories as the trainer leaves them, for the tests of the stages that read them.

The adapter is PEFT's own, with random non-zero B, and the probes are transformers' own log-probabilities.
"""

from __future__ import annotations

import dataclasses
import hashlib
from datetime import UTC, datetime
from pathlib import Path

import peft
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from schemas.base.base_model import identity_of_base
from schemas.document import sha256_of
from schemas.method import uses_dora
from schemas.prompt import PLAIN
from schemas.run_directory import RunDirectory
from schemas.training.adapter_manifest import (
    AdapterManifest,
    AdapterRecord,
    BaseModelRecord,
    DataRecord,
    FileRecord,
    Probe,
    SourceRecord,
    TrainingRecord,
)

PROMPTS = ("Is the sky blue on a clear day?", "Name the colour of grass.", "Two and two make")
TARGETS = ("q_proj", "k_proj", "v_proj", "up_proj", "down_proj")


@dataclasses.dataclass(frozen=True)
class AdapterShape:
    """What the adapter of a test run looks like."""

    method: str = "lora"
    rank: int = 4
    alpha: float = 8.0
    targets: tuple[str, ...] = TARGETS
    seed: int = 0
    spread: float = 0.2  # standard deviation of B: how far the adapter is from the base


def write_adapter_run(root: Path, base: Path, shape: AdapterShape = AdapterShape()) -> RunDirectory:
    """Writes `root/adapter` for an adapter on `base` and returns the run directory; the run's name is root's."""
    run = RunDirectory(root)
    run.adapter.mkdir(parents=True)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    adapted = _adapted(model, shape)
    adapted.save_pretrained(str(run.adapter))
    (run.adapter / "README.md").write_text(f"# {root.name}\n")
    manifest = _manifest(run, base, adapted, shape)
    manifest.write(run.manifest)
    return run


def seal(run: RunDirectory) -> None:
    """Writes the manifest again with the hashes of the files as they are now: a forger who knows the format."""
    manifest = AdapterManifest.read(run.manifest)
    manifest.model_copy(update={"files": _files(run)}).write(run.manifest)


def _adapted(model: PreTrainedModel, shape: AdapterShape) -> PeftModel:
    torch.manual_seed(shape.seed)
    config = LoraConfig(
        r=shape.rank,
        lora_alpha=shape.alpha,
        target_modules=list(shape.targets),
        use_dora=uses_dora(shape.method),
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(model, config)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=shape.spread)
        if "magnitude" in name:
            parameter.data.mul_(1.0 + 0.1 * torch.randn_like(parameter))
    return adapted.eval()


def _manifest(run: RunDirectory, base: Path, adapted: PeftModel, shape: AdapterShape) -> AdapterManifest:
    trained = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    return AdapterManifest(
        name=run.root.name,
        created=datetime.now(UTC),
        method=shape.method,
        seed=shape.seed,
        config_sha256=hashlib.sha256(b"no config: made by a test").hexdigest(),
        base=BaseModelRecord(
            name=str(base),
            revision=None,
            architecture="LlamaForCausalLM",
            **identity_of_base(base).model_dump(),
            dtype="float32",
            quantization="none",
        ),
        adapter=AdapterRecord(
            use_dora=uses_dora(shape.method),
            rank=shape.rank,
            alpha=shape.alpha,
            target_modules=tuple(sorted(shape.targets)),
            tensors=len(trained),
            parameters=sum(parameter.numel() for parameter in trained),
            echo_parameters=0,
        ),
        files=_files(run),
        data=DataRecord(
            sources=(SourceRecord(path="none", rows=0, sha256=PLAIN.sha256),),
            template="plain",
            template_sha256=PLAIN.sha256,
            train_rows=0,
            validation_rows=0,
            dropped={},
            supervised_tokens=0,
        ),
        training=TrainingRecord(
            steps=0, echo_steps=0, train_loss=None, validation_loss=None, seconds=0.0, device="cpu", processes=1
        ),
        probe_dtype="float32",
        probes=_probes(base, adapted),
        versions={"torch": torch.__version__, "peft": peft.__version__},
    )


def _files(run: RunDirectory) -> dict[str, FileRecord]:
    files = (path for path in sorted(run.adapter.iterdir()) if path != run.manifest)
    return {path.name: FileRecord(sha256=sha256_of(path), size=path.stat().st_size) for path in files}


def _probes(base: Path, adapted: PeftModel) -> tuple[Probe, ...]:
    tokenizer = AutoTokenizer.from_pretrained(base)
    probes = []
    for prompt in PROMPTS:
        prompt_ids = tokenizer(prompt)["input_ids"]
        token_ids = torch.tensor([prompt_ids + tokenizer(" yes", add_special_tokens=False)["input_ids"]])
        with adapted.disable_adapter():
            base_values = _log_probabilities(adapted, token_ids)
        probes.append(
            Probe(
                prompt=prompt,
                token_ids=tuple(token_ids[0].tolist()),
                prompt_tokens=len(prompt_ids),
                base=base_values,
                adapter=_log_probabilities(adapted, token_ids),
            )
        )
    return tuple(probes)


@torch.no_grad()
def _log_probabilities(model: torch.nn.Module, token_ids: torch.Tensor) -> tuple[float, ...]:
    log_softmax = torch.log_softmax(model(input_ids=token_ids).logits[0, :-1].float(), dim=-1)
    return tuple(log_softmax.gather(-1, token_ids[0, 1:, None])[:, 0].tolist())
