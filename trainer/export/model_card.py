"""The adapter's README: what a person wants to know before using it."""

from __future__ import annotations

from pathlib import Path

from schemas.method import uses_echo
from schemas.prompt import OWN
from schemas.storage.yaml_files import to_yaml
from schemas.training.adapter_manifest import AdapterManifest
from schemas.training.train_config import TrainConfig
from schemas.vllm_ranks import ALLOWED_MAX_RANKS, max_lora_rank

_METHODS = {
    "lora": "LoRA",
    "dora": "DoRA",
    "echo_lora": "Echo-LoRA",
    "echo_dora": "Echo-DoRA",
}
_ECHO = (
    "During training only, an auxiliary echo path read hidden states of deep layers at the prompt's last token and injected\n"
    "them into shallow adapted modules (arXiv 2605.08177). Its {parameters:,} parameters were thrown away: what is here is a\n"
    "plain {kind} adapter, with no parameter and no operation more.\n\n"
)


def model_card(manifest: AdapterManifest, config: TrainConfig) -> str:
    """The card as Markdown with the hub's YAML front matter; it is published, so it names no place of this machine."""
    return _card(manifest, config.runs, _training(manifest, config))


def adopted_card(manifest: AdapterManifest, runs: str | Path) -> str:
    """The card of an adapter that another tool trained; what is unknown says so."""
    return _card(manifest, runs, _adoption(manifest))


def _card(manifest: AdapterManifest, runs: str | Path, origin: str) -> str:
    run = f"{_public(runs)}/{manifest.name}"
    return "\n".join((_front_matter(manifest), _summary(manifest), _use(manifest, run), origin, _limits(manifest)))


def _front_matter(manifest: AdapterManifest) -> str:
    """A hub takes repositories for `base_model` and refuses the upload of anything else."""
    kind = "dora" if manifest.adapter.use_dora else "lora"
    hub = manifest.base.name if manifest.base.revision else None
    tags = [f"base_model:adapter:{hub}"] if hub else []
    fields = {
        **({"base_model": hub} if hub else {}),
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "tags": list(dict.fromkeys([*tags, kind, manifest.method.replace("_", "-"), "transformers"])),
    }
    return f"---\n{to_yaml(fields)}---\n"


def _public(path: str | Path) -> str:
    """A path without what only this machine has: as written where it is relative, else its last part."""
    place = Path(path)
    return place.name if place.is_absolute() or str(path).startswith("~") else str(path)


def _summary(manifest: AdapterManifest) -> str:
    kind = "DoRA" if manifest.adapter.use_dora else "LoRA"
    method = _METHODS[manifest.method]
    article = "an" if method[0] in "EL" and method != "LoRA" else "a"
    echo = _ECHO.format(parameters=manifest.adapter.echo_parameters, kind=kind) if uses_echo(manifest.method) else ""
    return (
        f"# {manifest.name}\n\n"
        f"{article.capitalize()} {method} adapter for `{_public(manifest.base.name)}`: rank {manifest.adapter.rank}, alpha "
        f"{manifest.adapter.alpha:g}, on {_listing(manifest.adapter.target_modules)};\n"
        f"{manifest.adapter.parameters:,} parameters in {manifest.adapter.tensors} tensors.\n\n{echo}"
    )


def _listing(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _use(manifest: AdapterManifest, run: str) -> str:
    template = manifest.trained_template
    prompt = {
        "chat": "Prompts go through the tokenizer's chat template.",
        None: "How its prompts were written in training is unknown.",
    }.get(template, f"Prompts follow the template `{template}`; one in full:")
    example = "" if template in ("chat", None) else f"\n```text\n{manifest.probes[0].prompt}\n```\n"
    if template == OWN and manifest.data is not None:
        prompt = "Prompts are made by this Jinja text over a record's fields, and look like the one below it:"
        example = f"\n```jinja\n{manifest.data.prompt}\n```\n{example}"
    serve = (
        "vLLM does not apply DoRA magnitudes on the fly, so the server merges them into a copy of the base first:"
        if manifest.adapter.use_dora
        else "vLLM serves it beside its base, without merging:"
    )
    return f"""## How to use it

With PEFT:

```python
{_load(manifest, run)}
```

{serve}

```sh
python -m serving {run}
```
{_with_vllm_alone(manifest, run)}
{prompt}
{example}"""


def _load(manifest: AdapterManifest, run: str) -> str:
    base = _public(manifest.base.name)
    return f"""from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = AutoModelForCausalLM.from_pretrained("{base}")
model = PeftModel.from_pretrained(base, "{run}/adapter")
tokenizer = AutoTokenizer.from_pretrained("{base}")"""


def _with_vllm_alone(manifest: AdapterManifest, run: str) -> str:
    """vLLM's own command, where it can load the adapter: no DoRA, and no rank above its widest buffers."""
    if manifest.adapter.use_dora or manifest.adapter.rank > ALLOWED_MAX_RANKS[-1]:
        return ""
    # Without --generation-config vllm, settings that lie beside the base (a repetition penalty) change greedy answers.
    return f"""
or, with vLLM alone:

```sh
vllm serve {_public(manifest.base.name)} --enable-lora --max-lora-rank {max_lora_rank([manifest.adapter.rank])} --generation-config vllm --lora-modules {manifest.name}={run}/adapter
```
"""


def _training(manifest: AdapterManifest, config: TrainConfig) -> str:
    training, data = manifest.own_training, manifest.data
    assert data is not None, "a run of this trainer knows its data"
    sources = "\n".join(f"| `{_public(s.path)}` | {s.rows:,} | `{s.sha256[:16]}` |" for s in data.sources)
    epochs = f"{config.training.epochs:g}" if config.training.max_steps is None else "by steps"
    dropped = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in data.dropped.items()) or "none"
    return f"""## How it was trained

| | |
|---|---|
| method | {manifest.method} (config.yaml beside this directory has every setting) |
| optimizer steps | {training.steps:,}, of them {training.echo_steps:,} with the echo path |
| batch, epochs | {config.training.batch_size}, {epochs} |
| learning rate | {config.training.rate_of(config.method):g}, {config.training.schedule}, {config.training.warmup_steps} warm-up steps |
| loss on | {config.data.loss_on}: {data.supervised_tokens:,} tokens per epoch |
| seed | {manifest.seed} |
| base weights | {manifest.base.dtype}{"" if manifest.base.quantization == "none" else ", stored as " + manifest.base.quantization} |
| training loss | {_loss(training.train_loss)} |
| validation loss | {_loss(training.validation_loss)} on {data.validation_rows:,} rows |
| time, device | {training.seconds:,.0f} s on {training.device}, {training.processes} process(es) |

| data | rows | sha256 |
|---|---|---|
{sources}

Trained on {data.train_rows:,} examples per epoch; left out: {dropped}.
"""


def _adoption(manifest: AdapterManifest) -> str:
    adopted = manifest.adopted
    assert adopted is not None, "an adopted adapter's manifest says how it was adopted"
    named = f"`{_public(adopted.base_as_named)}`" if adopted.base_as_named else "not said"
    return f"""## Where it comes from

| | |
|---|---|
| trained by | another tool{f", with PEFT {adopted.peft_version}" if adopted.peft_version else ""} |
| data, seed, steps and losses | unknown |
| its own name for the base | {named} |
| adapter_model.safetensors as it came | `{adopted.weights_sha256[:16]}` |
| rewritten | {"; ".join(adopted.rewritten) or "nothing: the tensors are as they came"} |
| largest difference of a logit by that | {adopted.distance:.2g} |
"""


def _loss(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.4f} nats per supervised token"


def _limits(manifest: AdapterManifest) -> str:
    return f"""## Limits

- {"Nothing is known of its training" if manifest.adopted else "The losses above are all that training measured"}. Scores on tasks are in the run's evaluation reports, not here.
- It {"was taken over for" if manifest.adopted else "belongs to"} the base weights whose fingerprint `manifest.json` records, and inherits that base's licence, biases and limits.
- `manifest.json` holds the hash of every file and reference log-probabilities of {len(manifest.probes)} texts; a server that does not
  reproduce them is not serving this adapter.
"""
