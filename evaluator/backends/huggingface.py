"""The reference backend: transformers and PEFT under lm-eval's HFLM.

Four things of HFLM are done otherwise here, because they change scores: it resizes embeddings when an adapter is loaded,
it lets the model's own generation_config add settings to the task's, its stop criterion ends all beams at once, and it cuts
long prompts one token later than servers can.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils_hf import stop_sequences_criteria
from peft import PeftModel
from transformers import AutoModelForCausalLM, GenerationConfig, PretrainedConfig, PreTrainedModel

from evaluator.backends import grouped_attention
from evaluator.backends.choice_scores import ChoiceScorer
from evaluator.backends.context_window import Request, left_truncated
from evaluator.backends.greedy import GreedyDecoder
from evaluator.backends.prefix_cache import PrefixCache
from evaluator.backends.shared_prefix import groups_of, rows_of
from evaluator.backends.whole_base import require_whole_base
from evaluator.subject import Subject
from schemas.errors import UserError
from schemas.evaluation.eval_report import Variant

_WHOLE_PROMPTS = 4
_TOKENS = 1024
_TOKENS_ON_GPU = 8192
"""Columns per pass: as many as make the products efficient, and no more, since rows of like width go together."""


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
        kind = TransformersModel
        if shares_prefixes(self._base.config):
            self._base.set_attn_implementation(grouped_attention.NAME)
            kind = SharingModel
        opened = kind(pretrained=model, tokenizer=str(directory), batch_size=self._batch_size)
        self._base.generation_config = _only_the_stop_tokens(self._base, opened.eot_token_id)
        return opened

    def close(self) -> None:
        """Frees the weights."""
        self._base = None


class TransformersModel(HFLM):  # type: ignore[misc]
    """HFLM with stop criteria that hold for beams and the end-of-sequence token as a token, not as text."""

    one_seed_per_batch = True

    def _loglikelihood_tokens(self, requests: list[Request], *arguments: Any, **keywords: Any) -> list[Any]:
        """HFLM's, with long prompts cut as in every backend; it holds the logits of whole prompts, so few go together."""
        given = self.batch_size
        self.batch_size_per_gpu: int = min(given, _WHOLE_PROMPTS)
        cut = left_truncated(requests, self.max_length)
        scores: list[Any] = super()._loglikelihood_tokens(cut, *arguments, **keywords)
        self.batch_size_per_gpu = given
        return scores

    def _model_generate(self, context: torch.Tensor, max_length: int, stop: list[str], **settings: Any) -> torch.Tensor:
        """Generates token ids [B, prompt + new]; `stop` texts end a greedy row, and cut any row afterwards (HFLM)."""
        if (seed := settings.pop("seed", None)) is not None:
            torch.manual_seed(seed)
        left_out = {"labels"} if settings["do_sample"] else {"labels", "temperature"}
        settings = {key: value for key, value in settings.items() if key not in left_out}
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


class SharingModel(TransformersModel):
    """The same answers sooner: what prompts begin with is computed once; `TransformersModel` is its reference."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._prefix = PrefixCache(self.model)
        tokens = _TOKENS_ON_GPU if self.device.type == "cuda" else _TOKENS
        self._scorer = ChoiceScorer(self.model, self._prefix, tokens)
        self._encoded: dict[str, list[int]] = {}

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """HFLM's, with all texts encoded together: on a GPU, one by one takes longer than scoring them."""
        pairs = [request.args for request in requests]
        texts = {text for prompt, choice in pairs for text in (prompt.rstrip(), prompt + choice)} - {""}
        plain = [text for text in texts if not text.startswith(self.tokenizer.decode(self.prefix_token_id))]
        self._encoded = (
            dict(zip(plain, self.tokenizer(plain, verbose=False)["input_ids"], strict=True)) if plain else {}
        )
        scores: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm=disable_tqdm)
        return scores

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **settings: Any) -> list[int]:
        """HFLM's token ids."""
        if add_special_tokens is None and not settings and string in self._encoded:
            return self._encoded[string]
        ids: list[int] = super().tok_encode(string, add_special_tokens, **settings)
        return ids

    def _loglikelihood_tokens(self, requests: list[Request], *_: Any, **__: Any) -> list[tuple[float, bool]]:
        scores: dict[int, tuple[float, bool]] = {}
        for group in groups_of(rows_of(left_truncated(requests, self.max_length))):
            scores |= self._scorer.score(group)
        return [scores[place] for place in range(len(requests))]

    def _model_generate(self, context: torch.Tensor, max_length: int, stop: list[str], **settings: Any) -> torch.Tensor:
        if settings["do_sample"] or settings.get("num_beams", 1) > 1:
            return super()._model_generate(context, max_length, stop, **settings)
        ends, labels = set(self.model.generation_config.eos_token_id), settings.get("labels", ())
        window = max(len(text.encode()) for text in (*stop, *labels)) + 4  # tokens that a text just written may span
        decoder = GreedyDecoder(
            self.model,
            self._prefix,
            lambda new: new[-1] in ends or self._holds(new[-window:], stop) or self._holds(new[-window:], labels, True),
        )
        new = decoder.generate(context, settings["attention_mask"], max_length - context.shape[1])
        width = max(map(len, new))
        padded = [tokens + [self.tokenizer.pad_token_id] * (width - len(tokens)) for tokens in new]
        return torch.cat([context, torch.tensor(padded, device=context.device)], dim=1)

    def _holds(self, tokens: list[int], texts: Sequence[str], plain: bool = False) -> bool:
        """Whether tokens hold one of the texts; `plain` reads them without special tokens, as answers are read."""
        return bool(texts) and any(text in self.tokenizer.decode(tokens, skip_special_tokens=plain) for text in texts)


def shares_prefixes(given: PretrainedConfig) -> bool:
    """Whether a model takes rows like these: a decoder of full attention whose positions and masks can be given."""
    config: Any = given.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    windowed = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    rope = getattr(config, "rope_parameters", None) or {}
    fixed = rope.get("rope_type", "default") in ("default", "linear", "llama3", "yarn")
    plain = kinds == {"full_attention"} and not windowed and not getattr(config, "alibi", False) and fixed
    return bool(
        plain
        and hasattr(config, "num_key_value_heads")
        and config._attn_implementation in ("sdpa", grouped_attention.NAME)
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
