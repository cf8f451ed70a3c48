"""TrainConfig: everything one training run depends on."""

from __future__ import annotations

import hashlib
import os
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import to_json

from schemas.document import Count, Document, Positive, PositiveFloat, Section
from schemas.method import Method, uses_dora, uses_echo
from schemas.prompt import TemplateName
from schemas.training.echo_config import RENAMED_ECHO_KEYS, EchoConfig, echo_in_first_words
from schemas.upgrade import change_at

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Place = Annotated[str, AfterValidator(os.path.expanduser)]
"""Where something lies. A leading `~` is spelled out at once: what is recorded of it is found again by every stage."""


class BaseModelConfig(Section):
    """The frozen base model."""

    model: Place
    """A local directory or a hub repository, as `transformers` takes it."""
    revision: str | None = None
    """Hub commit, tag or branch; None is the hub's default branch. The manifest records the commit that was loaded."""
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    """Type of the frozen weights. Adapter and echo weights are always float32."""
    quantization: Literal["none", "nf4"] = "none"
    """nf4 stores the frozen weights in 4 bits through bitsandbytes (QLoRA); the adapter is proven and served on the
    unquantised base."""
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    """Attention implementation of transformers."""
    trust_remote_code: bool = False
    """Runs Python code that the model repository ships. Leave it off unless you have read that code."""


class DataSource(Section):
    """One origin of training records: a local file, a URL, or a hub dataset. Plain text stands for its `path`."""

    path: Place
    """A .json, .jsonl or .parquet file (local path or http(s) URL), or a hub dataset's name."""
    split: str = "train"
    """Split to take, for hub datasets."""
    subset: str | None = None
    """Configuration of a hub dataset, such as `main` for gsm8k."""
    revision: str | None = None
    """Commit, tag or branch of a hub dataset."""
    limit: Positive | None = None
    """Takes only the first rows; None takes all."""

    @model_validator(mode="before")
    @classmethod
    def _text_is_a_path(cls, data: object) -> object:
        return {"path": data} if isinstance(data, str) else data


class DataConfig(Section):
    """Training data and how it becomes supervised tokens."""

    train: Annotated[tuple[DataSource, ...], Field(min_length=1)]
    """Sources, concatenated in this order."""
    format: Literal["records", "messages"] = "records"
    """`records`: instruction/input/output (LLM-Adapters). `messages`: a list of chat turns, each assistant turn an answer."""
    instruction_field: str = "instruction"
    """Key of the instruction in a record."""
    input_field: str | None = "input"
    """Key of optional extra input, appended to the instruction after a newline; None ignores it."""
    answer_field: str = "output"
    """Key of the text to learn."""
    template: TemplateName = "commonsense_170k"
    """Prompt template for records; `messages` always use the tokenizer's chat template."""
    prompt: Annotated[str, StringConstraints(min_length=1)] | None = None
    """A prompt of your own in place of `template`: a Jinja text over a record's fields, or a .jinja file that holds one."""
    answer_prefix: str = ""
    """Stands between `prompt` and answer and is learned with it, such as a space."""
    max_length: Annotated[int, Field(ge=8)] = 256
    """Longest example in tokens, end-of-sequence included. Longer prompts are dropped and counted, never cut."""
    loss_on: Literal["answers", "all"] = "answers"
    """Tokens under the loss: the answer only (the method's masking), or the prompt too (LLM-Adapters' default)."""
    validation_rows: Count = 120
    """Rows taken out of training at random for the validation loss; 0 switches it off."""

    @field_validator("template")
    @classmethod
    def _chat_is_not_for_records(cls, template: TemplateName) -> TemplateName:
        if template == "chat":
            raise ValueError("chat prompts come with `format: messages`; records take another template")
        return template

    @model_validator(mode="after")
    def _a_prompt_is_for_records(self) -> Self:
        if self.prompt is not None and self.format == "messages":
            raise ValueError("`prompt` is for records; `format: messages` takes the tokenizer's chat template")
        if self.answer_prefix and self.prompt is None:
            raise ValueError("`answer_prefix` belongs to `prompt`; a template has its own")
        return self

    @model_serializer(mode="wrap")
    def _as_before_where_unset(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Configs without a prompt of their own are written, and hashed, as before there could be one."""
        data: dict[str, Any] = write(self)
        unset = {"prompt": None, "answer_prefix": ""}
        return {key: value for key, value in data.items() if key not in unset or value != unset[key]}


class AdapterConfig(Section):
    """Shape of the adapter that ships."""

    rank: Positive = 32
    """r of LoRA."""
    alpha: PositiveFloat = 64
    """LoRA's alpha; the update is scaled by alpha / rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Dropout on the adapter's input during training."""
    target_modules: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "q_proj",
        "k_proj",
        "v_proj",
        "up_proj",
        "down_proj",
    )
    """Linear modules to adapt, by the last part of their name."""

    @field_validator("target_modules")
    @classmethod
    def _modules_named_once(cls, modules: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(modules)) != len(modules):
            raise ValueError("name each module once")
        return modules


class TrainingConfig(Section):
    """The optimisation."""

    epochs: PositiveFloat = 3.0
    """Passes over the training rows; ignored where max_steps is given."""
    max_steps: Positive | None = None
    """Optimizer steps; None follows epochs."""
    batch_size: Positive = 16
    """Samples per optimizer step, over all processes and micro-batches."""
    micro_batch_size: Positive | None = None
    """Most samples per forward pass and process; None allows batch_size divided by the processes. With group_by_length
    fewer share a pass where that saves more padding than another pass costs. Changes time and memory, not the loss."""
    learning_rate: PositiveFloat | dict[Method, PositiveFloat] = 3e-4
    """Peak learning rate of AdamW; a mapping gives each method its own, so that one file serves all four."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """Learning-rate schedule after the warm-up."""
    warmup_steps: Count = 100
    """Steps of linear warm-up."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """AdamW's decoupled weight decay."""
    max_grad_norm: PositiveFloat = 1.0
    """Gradients are clipped to this global norm."""
    gradient_checkpointing: bool = False
    """Recomputes activations in the backward pass: less memory, more time."""
    autocast: Literal["none", "bfloat16"] = "none"
    """Mixed precision of the forward pass; bfloat16 is the choice on GPUs with a bfloat16 base."""
    group_by_length: bool = True
    """Puts samples of similar length into one micro-batch; the samples of each optimizer step stay the same."""
    log_every: Positive = 10
    """Steps between lines in metrics.jsonl and in the trackers."""
    eval_every: Positive | None = None
    """Steps between evaluations of the validation loss; None evaluates at the end only."""
    save_every: Positive | None = None
    """Steps between checkpoints; None keeps only the last state."""
    keep_checkpoints: Positive = 2
    """Newest checkpoints that stay on the disk."""
    report_to: tuple[str, ...] = ("tensorboard",)
    """Trackers of accelerate: tensorboard, wandb, mlflow, comet_ml, aim, clearml, dvclive; an empty list for none."""
    sharding: Literal["none", "fsdp"] = "none"
    """With several processes: each holds the whole model (none, DDP), or a share of its weights, gradients and moments (fsdp)."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes a GPU where there is one."""

    def rate_of(self, method: Method) -> float:
        """The learning rate of one method."""
        return self.learning_rate[method] if isinstance(self.learning_rate, dict) else self.learning_rate


def in_first_words(config: dict[str, Any]) -> dict[str, Any]:
    """A config's plain data in the words of version 1: what it is hashed in, so that a hash outlives changes of words.

    A key that came later is left out where it has its default, which is what was done before there was a key.
    """
    renamed = change_at(config, "echo", echo_in_first_words)
    first: dict[str, Any] = change_at(renamed, "schema_version", lambda _: "1")
    return first


class TrainConfig(Document):
    """One training run."""

    title: ClassVar[str] = "training config"
    upgrades: ClassVar = {"1": lambda data: change_at(data, "echo", RENAMED_ECHO_KEYS)}

    schema_version: Literal["2"] = "2"
    """Version of this schema."""
    name: Name
    """Names the run directory `<runs>/<name>`. `{method}` in a config file is replaced by the method before validation."""
    runs: Place = "runs"
    """Directory that holds the run directories."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Fixes the initial weights, the data order, dropout and routing."""
    method: Method
    """lora, dora, echo_lora or echo_dora."""
    base: BaseModelConfig
    """The base model."""
    data: DataConfig
    """The training data."""
    adapter: AdapterConfig = AdapterConfig()
    """The adapter's shape."""
    echo: EchoConfig | None = None
    """The echo path; required by echo_lora and echo_dora, left alone by lora and dora, so that one file serves all four."""
    training: TrainingConfig = TrainingConfig()
    """Steps, batches and rates, and how often to log, evaluate and save."""

    @model_validator(mode="after")
    def _sections_fit_the_method(self) -> Self:
        if uses_echo(self.method) and self.echo is None:
            raise ValueError(f"method {self.method} needs an `echo:` section; `echo: {{}}` takes every default")
        rates = self.training.learning_rate
        if isinstance(rates, dict) and self.method not in rates:
            raise ValueError(f"training.learning_rate has no entry for method {self.method}")
        if self.echo_path is not None and self.echo_path.second_pass_is_average:
            self._require_a_plain_average()
        micro = self.training.micro_batch_size
        if micro is not None and self.training.batch_size % micro:
            raise ValueError(
                f"training.batch_size ({self.training.batch_size}) is not a multiple of training.micro_batch_size ({micro})"
            )
        return self

    def _require_a_plain_average(self) -> None:
        if self.use_dora or self.training.sharding == "fsdp":
            raise ValueError("echo.distillation.teacher average is for method echo_lora without training.sharding fsdp")

    def sha256(self) -> str:
        """Hash of the config's JSON text in the words of version 1, which every adapter's manifest records."""
        text = to_json(in_first_words(self.model_dump(mode="json")), indent=2)
        return hashlib.sha256(text + b"\n").hexdigest()

    @property
    def use_dora(self) -> bool:
        """Whether the deployed adapter has DoRA magnitudes."""
        return uses_dora(self.method)

    @property
    def echo_path(self) -> EchoConfig | None:
        """The echo section where the method uses it, else None."""
        return self.echo if uses_echo(self.method) else None
