"""The reference backend: transformers and PEFT under lm-eval's HFLM.

Four things of HFLM are done otherwise here, because they change scores: it resizes embeddings when an adapter is loaded,
it lets the model's own generation_config add settings to the task's, its stop criterion ends all beams at once, and it cuts
long prompts one token later than servers can.
"""

from __future__ import annotations

from typing import Any

import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils_hf import stop_sequences_criteria
from peft import PeftModel
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from evaluator.backends.context_window import Request, left_truncated
from evaluator.backends.whole_base import require_whole_base
from evaluator.subject import Subject
from schemas.errors import UserError
from schemas.evaluation.eval_report import Variant


class TransformersBackend:
    """Opens base and adapter on one device; the base first, since PEFT adapts the loaded model in place."""

    notes: tuple[str, ...] = ()

    def __init__(self, subject: Subject, device: str, batch_size: int) -> None:
        self._subject, self._device, self._batch_size = subject, device, batch_size
        self._base: PreTrainedModel | None = None

    def open(self, variant: Variant) -> HFLM:
        """The variant's language model, in eval mode."""
        directory = self._subject.base.directory
        if self._base is None:
            self._base = _load(self._subject, self._device)
        model: Any = self._base
        if variant == "adapter":
            assert self._subject.adapter is not None
            model = PeftModel.from_pretrained(model, str(self._subject.adapter.directory)).eval()
        _require_finite_logits(model)
        opened = TransformersModel(pretrained=model, tokenizer=str(directory), batch_size=self._batch_size)
        self._base.generation_config = _only_the_stop_tokens(self._base, opened.eot_token_id)
        return opened

    def close(self) -> None:
        """Frees the weights."""
        self._base = None


class TransformersModel(HFLM):  # type: ignore[misc]
    """HFLM with stop criteria that hold for beams and the end-of-sequence token as a token, not as text."""

    one_seed_per_batch = True

    def _loglikelihood_tokens(self, requests: list[Request], *arguments: Any, **keywords: Any) -> list[Any]:
        """HFLM's, with long prompts cut as in every backend."""
        scores: list[Any] = super()._loglikelihood_tokens(
            left_truncated(requests, self.max_length), *arguments, **keywords
        )
        return scores

    def _model_generate(self, context: torch.Tensor, max_length: int, stop: list[str], **settings: Any) -> torch.Tensor:
        """Generates token ids [B, prompt + new]; `stop` texts end a greedy row, and cut any row afterwards (HFLM)."""
        if (seed := settings.pop("seed", None)) is not None:
            torch.manual_seed(seed)
        settings = {key: value for key, value in settings.items() if key != "temperature" or settings["do_sample"]}
        texts = [text for text in stop if text != self.tokenizer.decode(self.eot_token_id)]
        if settings.get("num_beams", 1) == 1 and texts:
            # A stop text only saves time (HFLM cuts there anyway); for beams it would change which beam wins.
            settings["stopping_criteria"] = stop_sequences_criteria(
                self.tokenizer, texts, context.shape[1], len(context)
            )
        with torch.inference_mode():
            return self.model.generate(  # type: ignore[no-any-return]
                input_ids=context,
                max_new_tokens=max_length - context.shape[1],
                pad_token_id=self.tokenizer.pad_token_id,
                **settings,
            )


def _load(subject: Subject, device: str) -> PreTrainedModel:
    require_whole_base(subject.base.directory)
    model = AutoModelForCausalLM.from_pretrained(
        subject.base.directory, dtype=getattr(torch, subject.dtype), use_safetensors=True
    )
    moved: PreTrainedModel = model.to(device).eval()
    return moved


def _only_the_stop_tokens(model: PreTrainedModel, end_of_text: int) -> GenerationConfig:
    """The model's own end tokens and the tokenizer's; a repetition penalty or a temperature of the model's is left out."""
    own = model.generation_config.eos_token_id
    return GenerationConfig(eos_token_id=sorted({end_of_text, *(own if isinstance(own, list) else [own])} - {None}))


@torch.inference_mode()
def _require_finite_logits(model: Any) -> None:
    ids = torch.arange(8, device=model.device)[None]
    if not torch.isfinite(model(input_ids=ids).logits).all():
        raise UserError(
            "the model's logits are not finite numbers; an evaluation of it means nothing",
            fix="check the weights, or score in another type: --dtype float32",
        )
