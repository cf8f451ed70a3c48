"""Where each document of a run lives. Delete any tail of this list and run the stage that makes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ADAPTER_FILES = ("README.md", "adapter_config.json", "adapter_model.safetensors", "manifest.json")


@dataclass(frozen=True)
class RunDirectory:
    """The paths of one run, `runs/<name>` by default."""

    root: Path

    @property
    def config(self) -> Path:
        """The TrainConfig as resolved from file, environment and command line."""
        return self.root / "config.yaml"

    @property
    def adapter(self) -> Path:
        """The exported adapter: exactly ADAPTER_FILES, the manifest written last."""
        return self.root / "adapter"

    @property
    def manifest(self) -> Path:
        """The AdapterManifest."""
        return self.adapter / "manifest.json"

    @property
    def checkpoints(self) -> Path:
        """Training states to resume from."""
        return self.root / "checkpoints"

    @property
    def metrics(self) -> Path:
        """One JSON object per logged optimizer step."""
        return self.root / "metrics.jsonl"

    @property
    def trackers(self) -> Path:
        """What TensorBoard and other trackers write."""
        return self.root / "trackers"

    def evaluation(self, suite: str) -> Path:
        """The folder of one suite's `report.json` and `samples.jsonl`."""
        return self.root / "evaluation" / suite

    @property
    def verdict(self) -> Path:
        """The gate's Verdict."""
        return self.root / "verdict.json"

    @property
    def attestation(self) -> Path:
        """The ServingAttestation."""
        return self.root / "attestation.json"
