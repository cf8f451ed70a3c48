"""The private directory through which the supervisor and the gateway inside vLLM's process talk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StateDirectory:
    """Its paths. The directory is readable by its owner only, and deleted with the server."""

    root: Path

    @property
    def settings(self) -> Path:
        """GatewaySettings, written before vLLM starts."""
        return self.root / "gateway.json"

    @property
    def readiness(self) -> Path:
        """Readiness, written by the supervisor after each check."""
        return self.root / "readiness.json"

    @property
    def attestations(self) -> Path:
        """The latest attestation of each adapter, `<name>.json`."""
        return self.root / "attestations"

    @property
    def attestation_request(self) -> Path:
        """Touched by the gateway when a client asks for a new attestation."""
        return self.root / "attestation.requested"
