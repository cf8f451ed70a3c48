"""Every parser of bytes that somebody else may have written, each with whole inputs to begin from, and a mutator.

Shared by the property tests (test_untrusted.py) and the long run (fuzz.py).
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from evaluator.tasks.yaml_files import plain_config
from schemas.adapter_config import parse_adapter_config
from schemas.base.base_weights import read_shapes
from schemas.document import Document
from schemas.evaluation.eval_report import EvalReport
from schemas.evaluation.gate_policy import GatePolicy
from schemas.evaluation.suite_file import SuiteFile
from schemas.evaluation.verdict import Verdict
from schemas.serving.overhead_report import OverheadReport
from schemas.serving.serving_attestation import ServingAttestation
from schemas.storage.json_rows import read_rows
from schemas.studies.study_plan import StudyPlan
from schemas.training.adapter_manifest import AdapterManifest
from trainer.config_file import load_config
from trainer.data.messages import read_chat

_OLD = Path(__file__).parent / "old_documents"
_SCRATCH = Path(tempfile.mkdtemp(prefix="untrusted-"))
_MANIFEST = AdapterManifest.read(_OLD / "adapter_manifest-1.json")


@dataclass(frozen=True)
class Parser:
    """What reads, and whole inputs."""

    read: Callable[[bytes], object]
    """Returns something or raises UserError, and nothing else."""
    seeds: tuple[bytes, ...]
    """Inputs that it accepts."""


def _document(kind: type[Document]) -> Callable[[bytes], object]:
    return lambda raw: kind.from_bytes(raw, where="document.json")


def _from_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """Hands the bytes over as a file of that name."""
    path = _SCRATCH / name
    path.parent.mkdir(parents=True, exist_ok=True)

    def read_bytes(raw: bytes) -> object:
        path.write_bytes(raw)
        return read(path)

    return read_bytes


def _old(name: str) -> tuple[bytes, ...]:
    return ((_OLD / name).read_bytes(),)


def _chats(path: Path) -> object:
    return [read_chat(row, "chat") for row in read_rows(path)]


def _safetensors() -> bytes:
    names = ("model.embed_tokens.weight", "model.norm.weight")
    header = {n: {"dtype": "F32", "shape": [2, 2], "data_offsets": [16 * i, 16 * i + 16]} for i, n in enumerate(names)}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(32)


_ADAPTER_CONFIG = {
    "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": _MANIFEST.base.name,
    "inference_mode": True, "r": _MANIFEST.adapter.rank, "lora_alpha": _MANIFEST.adapter.alpha, "lora_dropout": 0.0,
    "use_dora": _MANIFEST.adapter.use_dora, "target_modules": list(_MANIFEST.adapter.target_modules),
}  # fmt: skip
_CALL = {"type": "function", "function": {"name": "weather", "arguments": '{"city": "Bern"}'}}
_CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "hi"}]},
    {"role": "assistant", "content": None, "tool_calls": [_CALL]},
    {"role": "tool", "content": "rain"},
    {"role": "assistant", "content": "yo", "weight": 0, "tool_calls": None},
]
_SUITE = b"""\
schema_version: "1"
name: support
tasks:
  words:
    data: support.csv
    prompt: "Question: {{ question }}\\nAnswer:"
    target: "{{ answer }}"
    counts: {kind: f1}
    group_by: customer
    stop: ["\\n"]
    max_new_tokens: 32
  theirs: {lm_eval: their_task.yaml, metric: exact_match, filter: strict-match}
"""
_TASK = b"task: own\ntag: [one, two]\ndoc_to_text: !function prompts.text\nmetric_list:\n  - {metric: acc, higher_is_better: true}\n"

PARSERS: Mapping[str, Parser] = {
    "manifest": Parser(_document(AdapterManifest), _old("adapter_manifest-1.json")),
    "adapter_config": Parser(
        lambda raw: parse_adapter_config(raw, _MANIFEST, where=Path("adapter_config.json")),
        (json.dumps(_ADAPTER_CONFIG).encode(),),
    ),
    "safetensors": Parser(
        _from_file("base/model.safetensors", lambda path: read_shapes(path.parent)), (_safetensors(),)
    ),
    "eval_report": Parser(_document(EvalReport), _old("eval_report-1.json")),
    "verdict": Parser(_document(Verdict), _old("verdict-1.json")),
    "attestation": Parser(_document(ServingAttestation), _old("serving_attestation-1.json")),
    "overhead_report": Parser(_document(OverheadReport), _old("overhead_report-1.json")),
    "study_plan": Parser(_document(StudyPlan), _old("study_plan-1.json")),
    "policy": Parser(_from_file("policy.yaml", GatePolicy.from_yaml), _old("gate_policy-1.yaml")),
    "suite": Parser(_from_file("suite.yaml", SuiteFile.from_yaml), (_SUITE,)),
    "train_config": Parser(_from_file("config.yaml", load_config), _old("train_config-1.yaml")),
    "task": Parser(_from_file("task/task.yaml", plain_config), (_TASK,)),
    "chats": Parser(_from_file("chats.jsonl", _chats), (json.dumps({"messages": _CHAT, "tools": []}).encode(),)),
}

_PIECES = (
    b"null", b"NaN", b"1e999", b"-1", b"0", b"9" * 5000, b"[" * 3000, b"{" * 3000, b'{"a":' * 500, b'"\\ud800"', b"\xff\xfe",
    b'"x"', b"[]", b"{}", b"true", b"\x00", b"&a [*a]", b"<<: *a\n", b"!!python/name:os.system", b"- " * 300, b"\n\n---\n", b"\t",
    b"9223372036854775808", b'"../../x"', b"<script>", b"\r\n", b",", b":", b'"',
)  # fmt: skip


def mutated(seed: bytes, draw: random.Random) -> bytes:
    """The seed with one to six changes: bytes flipped, cut, doubled, or something awkward put in or in place of a value."""
    data = bytearray(seed)
    for _ in range(draw.randint(1, 6)):
        at = draw.randrange(len(data) + 1)
        end = min(len(data), at + draw.choice((0, 1, 4, 20, 200)))
        change = draw.randrange(5)
        if change == 0 and at < len(data):
            data[at] ^= 1 << draw.randrange(8)
        elif change == 1:
            del data[at:end]
        elif change == 2:
            data[at:at] = data[at:end]
        elif change == 3:
            data[at:end] = draw.choice(_PIECES)
        else:
            data = _value_replaced(data, draw)
    return bytes(data)


def _value_replaced(data: bytearray, draw: random.Random) -> bytearray:
    """Puts a piece where a value begins, up to its end on the line: what a schema must judge, not only a syntax."""
    colons = [index for index, byte in enumerate(data) if byte == ord(":")]
    if not colons:
        return data
    at = draw.choice(colons) + 1
    stops = [index for index in (data.find(mark, at) for mark in (b",", b"\n", b"}", b"]")) if index >= 0]
    return data[:at] + b" " + draw.choice(_PIECES) + data[min(stops, default=len(data)) :]
