"""What the supervisor tells the gateway inside vLLM's process, and the names by which they know each other."""

from __future__ import annotations

from schemas.document import Section, Sha256

STATE_VARIABLE = "ECHO_LORA_STATE"
"""Environment variable with the state directory."""
ATTESTOR_HEADER = "x-echo-lora-attestor"
"""Header with the supervisor's secret."""
APPLIED_PATH = "/attestor/applied/"
"""Where the supervisor asks for an adapter's tensors; the adapter's name follows."""


class GatewaySettings(Section):
    """Secrets are handed over as hashes only."""

    attestor_sha256: Sha256
    """Of the secret with which the supervisor passes before the server is ready."""
    api_key_sha256: Sha256 | None
    """Of the key that clients must present; None leaves the endpoint open."""
    body_bytes: int
    """Longest request body."""
    body_seconds: float
    """Longest time a body may take to arrive."""
    concurrent_requests: int
    """Generations in flight at once in this process."""
