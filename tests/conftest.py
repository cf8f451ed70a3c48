"""What the tests of every stage share: a tiny random Llama with a tokenizer, and a few training records."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Models this small are slower on more threads, and much slower on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A background job of a shell ignores Ctrl-C, and so would every program that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """A worker keeps to its share of the processors: programs that spin at barriers, as vLLM's do, starve nobody then."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    processors = sorted(os.sched_getaffinity(0))
    if 1 < workers <= len(processors):
        number = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
        os.sched_setaffinity(0, processors[number::workers])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What two workers cannot share comes first, since it takes longest."""
    items.sort(key=lambda item: shared_by(item.nodeid) == "")  # stable: a file's tests stay together


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Gives a worker whole files, and to one worker all that share something. xdist's own groups are lost in pytest 9.2."""
    from xdist.scheduler import LoadScopeScheduling

    class SharedScheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return shared_by(nodeid) or nodeid.partition("::")[0]

    return SharedScheduling(config, log)


def shared_by(nodeid: str) -> str:
    """Name of what the tests of a file share with other files: the engine's containers, or the server of a session."""
    return _shared_by(nodeid.partition("::")[0])


@cache
def _shared_by(file: str) -> str:
    text = (ROOT / file).read_text()
    if "mark.containers" in text:
        return "engine"
    if "mark.vllm" in text:
        return "served" if file.startswith("tests/serving/") else "evaluated"
    return ""


ROOT = Path(__file__).parents[1]
LOCAL_BASE = "local/python:3.11-bookworm"
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}"
    "{{ eos_token if message['role'] == 'assistant' else '' }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


@pytest.fixture(scope="session")
def records() -> list[dict[str, str]]:
    """64 records in the LLM-Adapters format, of unequal length, each answer a function of its question."""
    colours = ("red", "green", "blue", "golden")
    return [
        {
            "instruction": f"Please answer the following question with true or false, question: is the {colours[i % 4]} "
            f"number {i} {'really and truly ' * (i % 5)}even?\n\nAnswer format: true/false",
            "input": "",
            "output": f"the correct answer is {'true' if i % 2 == 0 else 'false'}",
            "answer": "true" if i % 2 == 0 else "false",
        }
        for i in range(64)
    ]


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, str]]) -> Path:
    """A directory with a random float32 Llama (4 layers, width 32, grouped-query attention) and its tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    directory = tmp_path_factory.mktemp("tiny_base")
    tokenizer = _tokenizer(records)
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=32,  # the smallest that vLLM's CPU attention takes
            max_position_embeddings=512,
            initializer_range=0.2,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def adapter_runs() -> ModuleType:
    """The module tests/adapter_runs.py: writes run directories with a real PEFT adapter, manifest and probes."""
    name = "adapter_runs"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def engine() -> Iterator[Any]:
    """A client of the container engine; tests that ask for it are skipped where none answers.

    On a machine that cannot pull the public Python image, a local one named LOCAL_BASE takes its place.
    """
    docker = pytest.importorskip("docker")
    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException:
        if os.environ.get("REQUIRE_ENGINE"):
            raise
        pytest.skip("no container engine answers here")
    if "BASE_IMAGE" not in os.environ and client.images.list(LOCAL_BASE):
        os.environ["BASE_IMAGE"] = LOCAL_BASE
    yield client
    client.close()


def _tokenizer(records: list[dict[str, str]]) -> Any:
    """Byte-level BPE as GPT-2 and Llama 3 have it: a space joins the word after it, so merges cross prompt and answer."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=384,
        special_tokens=["<s>", "</s>", "<pad>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([r["instruction"] + " " + r["output"] + " " * 16 for r in records] * 2, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        padding_side="left",
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What tests counted, such as launches against a budget; with several workers, too."""
    passed = terminalreporter.getreports("passed")
    lines = [value for report in passed for name, value in report.user_properties if name == "counted"]
    if lines:
        terminalreporter.section("counted")
        for line in lines:
            terminalreporter.write_line(line)
