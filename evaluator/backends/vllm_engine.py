"""The fast backend: vLLM's offline engine under lm-eval's VLLM class, plain LoRA unmerged as it is served, DoRA merged.

One engine serves both variants of a LoRA run. vLLM refuses DoRA adapters, so theirs is merged in float32, cast once, and the
report's notes say so. LoRA is merged on request: vLLM's CPU build gathers an adapter's weights for each token, and reads
prompts some ten times more slowly with an adapter than without.
"""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from evaluator.subject import Subject
from schemas.errors import UserError
from schemas.evaluation.eval_report import Variant

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB, on the CPU build only

from lm_eval.models.utils import maybe_truncate, postprocess_generated_text
from lm_eval.models.vllm_causallms import VLLM
from vllm import SamplingParams
from vllm.config.lora import MaxLoRARanks
from vllm.inputs import tokens_input
from vllm.platforms import current_platform
from vllm.sampling_params import MAX_LOGPROB_TOKEN_IDS, RequestOutputKind

from evaluator.backends.context_window import Request, left_truncated
from evaluator.backends.prefix_scores import Prediction, Prefix, inner_nodes, score
from evaluator.backends.whole_base import require_whole_base

if current_platform.is_cpu():
    # vLLM's CPU build compiles C++ even run eagerly, and its worker dies where there is no compiler.
    os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")

_FEW_TOKENS = 4
"""Continuations up to this length may be read by prefix; a letter is one token or two, an ending is dozens."""


class VllmBackend:
    """Opens base and adapter in vLLM; the device is the one that vLLM was built for."""

    def __init__(
        self, subject: Subject, device: str, batch_size: int, *, merge: bool = False, tensor_parallel_size: int = 1
    ) -> None:
        self._subject, self._device, self._batch_size = subject, device, batch_size
        self._tensor_parallel_size = tensor_parallel_size
        require_whole_base(subject.base.directory)
        adapter = subject.adapter.manifest.adapter if subject.adapter is not None else None
        self._merges = adapter is not None and (merge or adapter.use_dora)
        self._engine: VllmModel | None = None
        self._serves: str | None = None
        self._scratch: Path | None = None
        self.notes: tuple[str, ...] = ()
        if adapter is not None and self._merges:
            kind = "DoRA" if adapter.use_dora else "LoRA"
            self.notes = (f"{kind} merged into the base in float32 for vLLM",)

    def open(self, variant: Variant) -> VllmModel:
        """The variant's language model; the variants of an unmerged run share an engine."""
        if variant == "adapter" and self._merges:
            return self._start(self._merged())
        engine = self._start(self._subject.base.directory)
        engine.lora_request = engine.adapter_request if variant == "adapter" else None
        return engine

    def close(self) -> None:
        """Stops the engine's process and removes merged weights."""
        if self._engine is not None:
            self._engine.model.llm_engine.engine_core.shutdown()
            self._engine, self._serves = None, None
            gc.collect()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None

    def _start(self, model: Path) -> VllmModel:
        if self._serves == str(model) and self._engine is not None:
            return self._engine
        if self._engine is not None:
            self._engine.model.llm_engine.engine_core.shutdown()
        # A number for the batch size keeps vLLM's own progress bar, which fails where bars are switched off, out.
        self._engine = VllmModel(
            pretrained=str(model), dtype=self._subject.dtype, batch_size=self._batch_size, **self._engine_settings()
        )
        self._serves = str(model)
        return self._engine

    def _engine_settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {"tensor_parallel_size": self._tensor_parallel_size}
        adapter = None if self._merges else self._subject.adapter
        if adapter is not None:
            # Only adapted modules are wrapped: with vLLM 0.32's CPU kernels, a wrapped LM head dies of ranking two
            # sequences at once. Their last slot stays empty, since they compute the base's rows of a mixed batch with it.
            settings |= {
                "lora_local_path": str(adapter.directory.resolve()),
                "lora_target_modules": list(adapter.manifest.adapter.target_modules),
                "max_lora_rank": _slot(adapter.manifest.adapter.rank),
                "max_loras": 2 if self._device == "cpu" else 1,
            }
        if self._device == "cpu":
            settings |= {"enforce_eager": True, "gpu_memory_utilization": 0.4}
        return settings

    def _merged(self) -> Path:
        from evaluator.backends.merging import write_merged

        if self._scratch is None:
            self._scratch = Path(tempfile.mkdtemp(prefix="echo-lora-merged-"))
            write_merged(self._subject, self._scratch)
        return self._scratch


class VllmModel(VLLM):  # type: ignore[misc]
    """VLLM whose texts leave special tokens out, as transformers' do, and that reads a prompt's choices together."""

    one_seed_per_batch = False

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.adapter_request = self.lora_request

    @staticmethod
    def modify_gen_kwargs(*arguments: Any, **keywords: Any) -> tuple[dict[str, Any], list[str], int]:
        """lm-eval's settings for vLLM, with special tokens skipped and without the labels, which are no setting of vLLM's."""
        settings, until, new_tokens = VLLM.modify_gen_kwargs(*arguments, **keywords)
        settings.pop("labels", None)
        return {**settings, "skip_special_tokens": True}, until, new_tokens

    def stream_generate_until(self, requests: Sequence[Any]) -> Iterator[dict[int, str]]:
        """Texts by the requests' places, as they are finished; all requests are given at once.

        Batch by batch, as lm-eval asks, the engine would run empty at the end of each. A text ends with its first label.
        """
        engine = self.model.llm_engine
        until = [self._add(engine, str(place), *request.args) for place, request in enumerate(requests)]
        try:
            while engine.has_unfinished_requests():
                done = [output for output in engine.step() if output.finished]
                texts = {int(output.request_id): output.outputs[0].text for output in done}
                if texts:
                    yield {place: postprocess_generated_text(text, until[place], None) for place, text in texts.items()}
        finally:
            if engine.has_unfinished_requests():  # the other variant's requests follow on the same engine
                engine.abort_request([str(place) for place in range(len(requests))])

    def _add(self, engine: Any, name: str, prompt: str, given: dict[str, Any]) -> list[str]:
        """Puts one request to the engine; returns the texts before which its answer ends."""
        end = self.tokenizer.decode(self.eot_token_id)
        settings, until, new_tokens = self.modify_gen_kwargs(given, eos=end, default_max_gen_toks=self.max_gen_toks)
        tokens, new_tokens = maybe_truncate(
            self.tok_encode(prompt), max_gen_toks=new_tokens, max_model_len=self.max_length, side=self.truncation_side
        )
        labels = given.get("labels", [])
        parameters = SamplingParams(
            max_tokens=new_tokens,
            stop=[*until, *labels],
            include_stop_str_in_output=bool(labels),
            output_kind=RequestOutputKind.FINAL_ONLY,
            **settings,
        )
        engine.add_request(name, tokens_input(tokens), parameters, lora_request=self.lora_request)
        return until

    def _loglikelihood_tokens(self, requests: list[Request], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """By distinct prefixes where that asks for less than lm-eval's one prompt per choice, as with letters."""
        requests = left_truncated(requests, self.max_length)
        if all(len(continuation) <= _FEW_TOKENS for _, _, continuation in requests):
            nodes = inner_nodes(requests)
            if len(nodes) < len(requests) and max(map(len, nodes.values())) <= MAX_LOGPROB_TOKEN_IDS:
                return score(requests, self._predict(nodes))
        scores: list[tuple[float, bool]] = super()._loglikelihood_tokens(requests, disable_tqdm=disable_tqdm)
        return scores

    def _predict(self, nodes: dict[Prefix, list[int]]) -> dict[Prefix, Prediction]:
        settings = [
            SamplingParams(temperature=0, max_tokens=1, logprob_token_ids=tokens, detokenize=False)
            for tokens in nodes.values()
        ]
        given = self._model_generate([list(prefix) for prefix in nodes], generate=True, sampling_params=settings)
        completions = [answer.outputs[0] for answer in given]
        return {
            prefix: (completion.token_ids[0], {token: entry.logprob for token, entry in completion.logprobs[0].items()})
            for prefix, completion in zip(nodes, completions, strict=True)
        }


def _slot(rank: int) -> int:
    """The smallest adapter slot that vLLM offers for a rank."""
    sizes: list[int] = [size for size in get_args(MaxLoRARanks) if size >= rank]
    if not sizes:
        raise UserError(f"vLLM cannot hold an adapter of rank {rank}", fix="score it with --backend hf")
    return min(sizes)
