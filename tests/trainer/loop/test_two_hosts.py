"""Two hosts on one machine: network namespaces joined by a virtual cable, with nothing but its addresses between them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import safetensors.torch

from schemas.run_directory import RunDirectory

ADDRESSES = ("10.203.0.1", "10.203.0.2")


@pytest.fixture
def hosts() -> Iterator[list[str]]:
    """The names of two network namespaces, host i with address ADDRESSES[i] on interface echo<i>."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("making network namespaces needs root and iproute2")
    names = [f"echo-host{i}-{os.getpid()}" for i in (0, 1)]
    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", "echo0", "netns", names[0], "type", "veth", "peer", "name", "echo1", "netns", names[1])
        for i, name in enumerate(names):
            ip("-n", name, "address", "add", f"{ADDRESSES[i]}/24", "dev", f"echo{i}")
            ip("-n", name, "link", "set", f"echo{i}", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no right to make network namespaces here: {done.stderr.strip()}")


def host_command(host: str, rank: int, config: Path) -> list[str]:
    """What one types on host `rank` of two; here inside its namespace."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
    meeting = ["--node-rank", str(rank), "--master-addr", ADDRESSES[0], "--master-port", "29500"]
    return ["ip", "netns", "exec", host, *launcher, *meeting, "-m", "trainer", str(config)]


def test_two_hosts_over_a_network_interface_end_in_the_one_process_adapter(
    hosts: list[str], tmp_path: Path, tiny_base: Path, records: list[dict[str, str]], training_runs: ModuleType
) -> None:
    changes = {"method": "echo_lora", "adapter__dropout": 0.0}
    one = training_runs.run(training_runs.make_config(tmp_path / "one", tiny_base, records, **changes))
    config = training_runs.write_config(tmp_path / "two", tiny_base, records, **changes)
    nodes = [
        subprocess.Popen(
            host_command(host, rank, config),
            env={**os.environ, "GLOO_SOCKET_IFNAME": f"echo{rank}"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, host in enumerate(hosts)
    ]
    messages = [node.communicate()[1] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], messages
    two = RunDirectory(tmp_path / "two" / "runs" / "run")
    ours, theirs = (safetensors.torch.load_file(run.adapter / "adapter_model.safetensors") for run in (one, two))
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) < 1e-5
