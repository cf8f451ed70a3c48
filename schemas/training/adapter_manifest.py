"""AdapterManifest: what an exported adapter is, where it came from, and the proof a server needs."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from schemas.base.base_model import BaseIdentity
from schemas.document import Count, Document, Positive, Section, Sha256
from schemas.method import Method
from schemas.prompt import OWN, TEMPLATES, TemplateName
from schemas.training.echo_check import EchoCheck
from schemas.training.train_config import Name

LogProbability = Annotated[float, Field(le=0)]


class FileRecord(Section):
    """Identity of one file."""

    sha256: Sha256
    """Hash of the bytes."""
    size: Count
    """Bytes."""


class BaseModelRecord(BaseIdentity):
    """The base model the adapter was trained on: what it is, and what it was called."""

    name: str
    """As written in the training config: a hub repository or a directory."""
    revision: str | None
    """Hub commit that was loaded; None for a local directory."""
    architecture: str
    """Class name from the base's config.json, such as LlamaForCausalLM."""
    dtype: Literal["float32", "bfloat16", "float16"]
    """Type the weights had in training; of an adopted adapter, the type it was proven in."""
    quantization: Literal["none", "nf4"]
    """Storage of the frozen weights in training, `none` for an adopted adapter. The probes are of the unquantised base all
    the same."""


class AdapterRecord(Section):
    """Shape of the adapter."""

    use_dora: bool
    """Whether magnitudes are among the tensors."""
    rank: Positive
    """r."""
    alpha: float
    """alpha."""
    target_modules: Annotated[tuple[str, ...], Field(min_length=1)]
    """Adapted modules, by the last part of their name."""
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Dropout before A in training; None: recorded by a release that did not."""
    layers: Positive | None = None
    """Decoder layers of the base; None: recorded by a release that did not."""
    tensors: Positive
    """Number of tensors in adapter_model.safetensors."""
    parameters: Positive
    """Number of values in them: what the served model has more than its base."""
    echo_parameters: Count
    """Values trained beside the adapter and thrown away."""


class SourceRecord(Section):
    """Identity of one data source."""

    path: str
    """As written in the training config."""
    rows: Count
    """Rows read."""
    sha256: Sha256
    """Hash over the rows' canonical JSON, in order."""


class DataRecord(Section):
    """What the adapter was trained on."""

    sources: tuple[SourceRecord, ...]
    """Every source, in order."""
    template: TemplateName | Literal["own"]
    """Prompt template; `own` where the config gave a `data.prompt`."""
    template_sha256: Sha256
    """Hash of the template's text, or of the tokenizer's chat template."""
    prompt: str | None = None
    """The Jinja text of `data.prompt`; None where a template made the prompts."""
    train_rows: Count
    """Examples trained on, per epoch."""
    validation_rows: Count
    """Examples to validate on."""
    dropped: dict[str, Count]
    """Examples left out, by reason: prompt_empty, prompt_too_long, answer_empty, answer_cut, nothing_learned."""
    supervised_tokens: Count
    """Tokens under the loss, per epoch."""


class TrainingRecord(Section):
    """How the training went."""

    steps: Count
    """Optimizer steps taken."""
    echo_steps: Count
    """Steps whose routing drew the echo path."""
    train_loss: float | None
    """Mean plain-path cross-entropy of the last logged interval, nats per supervised token."""
    validation_loss: float | None
    """Plain-path cross-entropy on the validation rows, nats per supervised token; None without such rows."""
    seconds: float
    """Wall time of the optimisation, over all sessions."""
    device: str
    """Device name."""
    processes: Positive
    """Training processes."""
    echo: EchoCheck | None = None
    """Whether the echo path had anything to say, at the end of training; None for methods without an injected echo, without
    validation rows, under FSDP, and for adapters of releases that did not look."""
    study_control: bool = False
    """Whether it was trained as a control that belongs in a study alone (`echo.content: oracle`): it is never served."""


class AdoptionRecord(Section):
    """How an adapter that another tool trained was taken over (`python -m trainer adopt`)."""

    base_as_named: str | None
    """What its own adapter_config.json calls its base; None where it names none."""
    config_sha256: Sha256
    """Hash of adapter_config.json as it came."""
    weights_sha256: Sha256
    """Hash of adapter_model.safetensors as it came."""
    peft_version: str | None
    """Version of PEFT that wrote it, by its own account; None where it does not say."""
    template: TemplateName | None
    """Prompt template of its training, as the user told; None: unknown."""
    rewritten: tuple[str, ...]
    """What was rewritten so that it has one rank and one alpha, such as rsLoRA's scale; empty where nothing was."""
    distance: Annotated[float, Field(ge=0)]
    """Largest difference of a logit on the probes between the adapter as PEFT reads it and as it is kept here."""


class Probe(Section):
    """Reference log-probabilities of one text under base and adapter: what a server must reproduce.

    Entry i of `base` and `adapter` belongs to token i + 1, given the tokens before it (natural logarithm).
    """

    prompt: str
    """The prompt's text, for people."""
    token_ids: Annotated[tuple[Count, ...], Field(min_length=2)]
    """Prompt and answer as token ids, special tokens included."""
    prompt_tokens: Positive
    """How many of them are the prompt."""
    base: tuple[LogProbability, ...]
    """Log-probabilities under the base model."""
    adapter: tuple[LogProbability, ...]
    """Log-probabilities under base and adapter."""

    @model_validator(mode="after")
    def _one_value_per_predicted_token(self) -> Self:
        if not len(self.base) == len(self.adapter) == len(self.token_ids) - 1:
            raise ValueError("base and adapter need one log-probability per token after the first")
        if self.prompt_tokens >= len(self.token_ids):
            raise ValueError("prompt_tokens leaves no answer token")
        return self


def _from_version_1(data: dict[str, Any]) -> dict[str, Any]:
    """Version 1 did not look at the base's tokenizer, chat template and generation config, which stay unknown; of the
    template, an adapter trained on chats recorded the hash beside its data."""
    base, trained_on = data.get("base"), data.get("data")
    if not isinstance(base, dict) or not isinstance(trained_on, dict) or trained_on.get("template") != "chat":
        return data
    return data | {"base": base | {"chat_template_sha256": trained_on.get("template_sha256")}}


class AdapterManifest(Document):
    """The last file written into an adapter directory: without it, there is no adapter."""

    title: ClassVar[str] = "adapter manifest"
    upgrades: ClassVar = {"1": _from_version_1, "2": dict}

    schema_version: Literal["3"] = "3"
    """Version of this schema."""
    name: Name
    """The run's name, and the model name a server lists."""
    created: AwareDatetime
    """When the adapter was exported."""
    method: Method
    """Training method. Deployed, echo_lora is a plain LoRA and echo_dora a plain DoRA; an adopted adapter is one of the two."""
    seed: Count | None
    """The run's seed; None where the adapter was adopted: unknown."""
    config_sha256: Sha256 | None
    """Hash of the resolved TrainConfig (`TrainConfig.sha256`); None where the adapter was adopted: there is none."""
    base: BaseModelRecord
    """The base model."""
    adapter: AdapterRecord
    """The adapter's shape."""
    files: dict[str, FileRecord]
    """Every other file of the adapter directory, by name."""
    data: DataRecord | None
    """The training data; None where the adapter was adopted: unknown."""
    training: TrainingRecord | None
    """The training; None where the adapter was adopted: unknown."""
    adopted: AdoptionRecord | None = None
    """How it was taken over from another tool; None where this trainer trained it."""
    probe_dtype: Literal["float32", "bfloat16", "float16"]
    """Type the probes were computed in."""
    probes: Annotated[tuple[Probe, ...], Field(min_length=1)]
    """Reference log-probabilities."""
    versions: dict[str, str]
    """Versions of Python and of the packages that shaped the result."""

    @model_validator(mode="after")
    def _says_how_it_was_made(self) -> Self:
        known = {name for name in ("seed", "config_sha256", "data", "training") if getattr(self, name) is not None}
        if self.adopted is None and len(known) < 4:
            raise ValueError("only an adopted adapter has no seed, config_sha256, data or training")
        if self.adopted is not None and known:
            raise ValueError(f"an adopted adapter has no {', '.join(sorted(known))}: that is unknown")
        return self

    @property
    def trained_template(self) -> TemplateName | Literal["own"] | None:
        """Prompt template of its training; None: unknown."""
        if self.data is not None:
            return self.data.template
        return self.adopted.template if self.adopted else None

    @property
    def trained_prompt(self) -> str | None:
        """The prompt of its training as a Jinja text over a record's fields; None: unknown, or a chat template's."""
        template = self.trained_template
        if template in (None, "chat", OWN):
            return self.data.prompt if self.data is not None else None
        return TEMPLATES[str(template)].jinja

    @property
    def own_training(self) -> TrainingRecord:
        """The training of an adapter that this trainer trained."""
        assert self.training is not None, "an adopted adapter's training is unknown"
        return self.training
