"""A pretend CUDA device: tensors that say cuda:0 and hold real values on the CPU, so that autograd and autocast work.

It raises where devices mix, as a GPU does, and counts launches and the places where the host would wait for the device.
Not covered: kernels' own limits, 4-bit weights, several processes. For a process of its own, which imports this first.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import importlib.util
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[3]
_TORCH = Path(str(importlib.util.find_spec("torch").origin)).parent  # type: ignore[union-attr]


def _library() -> Path:
    """guard.cpp, compiled once for this torch and kept in build/."""
    built = (
        ROOT / "build" / "pretend_cuda" / f"guard-{_TORCH.stat().st_ino}-{(HERE / 'guard.cpp').stat().st_mtime_ns}.so"
    )
    if not built.is_file():
        built.parent.mkdir(parents=True, exist_ok=True)
        new = built.with_suffix(f".{os.getpid()}")
        headers = [f"-I{_TORCH / 'include'}", f"-I{_TORCH / 'include/torch/csrc/api/include'}"]
        libraries = [f"-L{_TORCH / 'lib'}", "-lc10", "-ltorch_cpu", "-ltorch"]
        compile_ = ["c++", "-shared", "-fPIC", "-std=c++20", str(HERE / "guard.cpp"), "-o", str(new)]
        subprocess.run([*compile_, *headers, *libraries], check=True)
        new.replace(built)
    return built


assert "torch" not in sys.modules, "the guard must be there before torch asks for it"
for _name in ("libc10.so", "libtorch_cpu.so"):
    ctypes.CDLL(str(_TORCH / "lib" / _name), mode=ctypes.RTLD_GLOBAL)
ctypes.CDLL(str(_library()), mode=ctypes.RTLD_GLOBAL)

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_map

torch.cuda.amp.common.amp_definitely_not_available = lambda: False
torch.cuda.is_bf16_supported = lambda *a, **k: True  # type: ignore[assignment]
torch.cuda._lazy_init = lambda: None
torch.cuda.current_device = lambda: 0
torch.cuda.manual_seed_all = lambda seed: None
torch.nn.utils.clip_grad._has_foreach_support = lambda tensors, device: True  # as for plain CUDA tensors
CUDA = torch.device("cuda:0")


class _Event:
    """Where the host may wait, late and on purpose."""

    def record(self) -> None:
        pass

    def synchronize(self) -> None:
        pass


torch.cuda.Event = _Event  # type: ignore[assignment,misc]

# What launches nothing: views, and allocations without a value.
_FREE = {
    "view", "_unsafe_view", "expand", "transpose", "permute", "t", "slice", "select", "detach", "unsqueeze", "squeeze",
    "alias", "unbind", "split", "chunk", "as_strided", "_reshape_alias", "reshape", "lift_fresh", "split_with_sizes",
    "diagonal", "unfold", "narrow", "is_same_size", "empty", "empty_like", "new_empty", "empty_strided",
    "new_empty_strided", "_local_scalar_dense", "set_",
}  # fmt: skip
_WAITS = {
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "_unique2",
    "equal",
    "is_nonzero",
    "repeat_interleave",
    "_linalg_eigh",
}
_INDEXES = {"index", "index_put_", "index_put", "_index_put_impl_"}
_COPIES = {"_to_copy", "copy_"}


class Counts:
    """Of the calls since `reset`."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.launches: collections.Counter[str] = collections.Counter()
        self.waits: collections.Counter[str] = collections.Counter()


COUNTS = Counts()


class Pretended(torch.Tensor):
    """A tensor that says it is on cuda:0."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor, requires_grad: bool = False) -> Pretended:
        assert not isinstance(inner, Pretended)
        made = torch.Tensor._make_wrapper_subclass(
            cls, inner.size(), strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            layout=inner.layout, device=CUDA, requires_grad=requires_grad,
        )  # fmt: skip
        made.inner = inner
        return made

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    __torch_function__ = torch._C._disabled_torch_function_impl

    def __repr__(self, **_: Any) -> str:
        return f"Pretended({self.inner})"

    def tolist(self) -> Any:
        COUNTS.waits[f"tolist at {_where()}"] += 1
        return self.inner.tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class Pretend(TorchDispatchMode):
    """The mode in which a tensor asked for on `cuda` is a pretended one."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Runs an operation on the values within, once it is known to be possible on one device."""
    name, flat = func.__name__.split(".")[0], tree_flatten((args, kwargs))[0]
    theirs = [x for x in flat if isinstance(x, Pretended)]
    ours = [x for x in flat if isinstance(x, torch.Tensor) and not isinstance(x, Pretended)]
    asked = None if kwargs.get("device") is None else torch.device(kwargs["device"])
    if asked is None and not theirs:
        return func(*args, **kwargs)
    on_cuda = asked.type == "cuda" if asked is not None else True
    _refuse_a_mix(name, theirs, ours)
    _count_waits(name, args, kwargs, ours, on_cuda)
    if name not in _FREE:
        COUNTS.launches[name] += 1
    inner_args, inner_kwargs = tree_map(lambda x: x.inner if isinstance(x, Pretended) else x, (args, kwargs))
    if asked is not None and on_cuda:
        inner_kwargs["device"] = torch.device("cpu")
    with _disable_current_modes():
        out = func(*inner_args, **inner_kwargs)
    if name == "_local_scalar_dense" or not on_cuda:
        return out
    written = _written_arguments(func, args, kwargs)
    if written is not None:
        return written[0] if len(written) == 1 else tuple(written)
    return tree_map(lambda x: Pretended(x) if type(x) is torch.Tensor else x, out)


def _written_arguments(func: Any, args: Any, kwargs: dict[str, Any]) -> list[Any] | None:
    """For an operation in place or with `out=`: the arguments that it returns."""
    schema, found = func._schema, []
    if not any(r.alias_info is not None and r.alias_info.is_write for r in schema.returns):
        return None
    for returned in schema.returns:
        for index, argument in enumerate(schema.arguments):
            alias = argument.alias_info
            if (
                alias is not None
                and returned.alias_info is not None
                and alias.before_set == returned.alias_info.before_set
            ):
                found.append(args[index] if index < len(args) else kwargs[argument.name])
                break
        else:
            found.append(None)
    return found


def _refuse_a_mix(name: str, theirs: list[Any], ours: list[torch.Tensor]) -> None:
    """A GPU takes a CPU's scalar, and an index; nothing else, and fused AdamW not even those."""
    if not theirs or not ours or name in _COPIES or name in _INDEXES:
        return
    if name == "_fused_adamw_" or any(tensor.dim() > 0 for tensor in ours):
        raise RuntimeError(f"DEVICE MIX in {name}: on the CPU {[tuple(t.shape) for t in ours]}, at {_where()}")


def _count_waits(name: str, args: Any, kwargs: dict[str, Any], ours: list[torch.Tensor], on_cuda: bool) -> None:
    waits = name in _WAITS
    if name in _INDEXES:
        index = [i for i in args[1] if isinstance(i, torch.Tensor)]
        waits = bool(ours) or any(i.dtype in (torch.bool, torch.uint8) for i in index)
    elif name in _COPIES:
        source = args[0] if name == "_to_copy" else args[1]
        target_on_cuda = on_cuda if name == "_to_copy" else isinstance(args[0], Pretended)
        free = bool(kwargs.get("non_blocking")) or (name == "copy_" and len(args) > 2 and args[2])
        waits = isinstance(source, Pretended) != target_on_cuda and not free
    if waits:
        COUNTS.waits[f"{name} at {_where()}"] += 1


def _where() -> str:
    """The product's line that asked."""
    for frame in reversed(traceback.extract_stack()):
        if "/trainer/" in frame.filename and "/tests/" not in frame.filename:
            return f"{frame.filename.split('/trainer/')[1]}:{frame.lineno}"
    return "autograd, or a library"


_attention = torch.nn.functional.scaled_dot_product_attention


class _FusedAttention(torch.autograd.Function):
    """One launch forward and one backward, as a fused kernel has."""

    @staticmethod
    def forward(ctx: Any, query: Any, key: Any, value: Any, *options: Any) -> Any:
        ctx.save_for_backward(query, key, value)
        ctx.options = options
        with _uncounted("attention"):
            return _written_out(query, key, value, *options)

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        with torch.enable_grad(), _uncounted("attention backward"):
            leaves = [tensor.detach().requires_grad_() for tensor in ctx.saved_tensors]
            found = torch.autograd.grad(_written_out(*leaves, *ctx.options), leaves, gradient)
        return (*found, None, None, None, None, None)


def _written_out(
    query: Any, key: Any, value: Any, mask: Any, dropout: float, causal: bool, scale: Any, grouped: bool
) -> Any:
    with torch.autocast("cuda", enabled=False):
        return torch.ops.aten._scaled_dot_product_attention_math(
            query, key, value, mask, dropout, causal, None, scale=scale, enable_gqa=grouped
        )[0]


@contextlib.contextmanager
def _uncounted(name: str) -> Iterator[None]:
    counted, COUNTS.launches = COUNTS.launches, collections.Counter()
    yield
    COUNTS.launches = counted
    COUNTS.launches[name] += 1


def _pretended_attention(
    query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False,
    scale: Any = None, enable_gqa: bool = False,
) -> Any:  # fmt: skip
    if not isinstance(query, Pretended):
        return _attention(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa)
    assert attn_mask is None or not enable_gqa, "no fused kernel takes grouped heads and a mask"
    dtype = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else query.dtype
    inputs = (tensor.to(dtype) for tensor in (query, key, value))
    return _FusedAttention.apply(*inputs, attn_mask, dropout_p, is_causal, scale, enable_gqa)


torch.nn.functional.scaled_dot_product_attention = _pretended_attention
_as_tensor = torch.as_tensor


def _pretended_as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Any:
    if device is None or torch.device(device).type != "cuda" or isinstance(data, Pretended):
        return _as_tensor(data, dtype=dtype) if device is None else _as_tensor(data, dtype=dtype, device=device)
    COUNTS.waits[f"as_tensor at {_where()}"] += 1
    return Pretended(_as_tensor(data, dtype=dtype))


torch.as_tensor = _pretended_as_tensor


def move(module: torch.nn.Module) -> torch.nn.Module:
    """A module with its parameters and buffers on the pretended device."""
    for part in module.modules():
        for name, parameter in list(part._parameters.items()):
            if parameter is not None and not isinstance(parameter.data, Pretended):
                moved = torch.nn.Parameter(Pretended(parameter.data), requires_grad=parameter.requires_grad)
                part._parameters[name] = moved
        for name, buffer in list(part._buffers.items()):
            if buffer is not None and not isinstance(buffer, Pretended):
                part._buffers[name] = Pretended(buffer)
    return module
