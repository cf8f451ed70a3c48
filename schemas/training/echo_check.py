"""The manipulation check: whether an echo path had anything to say, before anyone asks what it was good for."""

from __future__ import annotations

from pydantic import NonNegativeFloat

from schemas.document import Count, Fraction, Section


class EchoCheck(Section):
    """Measured on validation rows, without dropout. An echo whose figures are all near zero was never there, and a
    comparison with it tests nothing."""

    samples: Count
    """Validation rows read."""
    tokens: Count
    """Answer tokens among them."""
    injection_to_output: NonNegativeFloat
    """Root mean square of the injected vectors over that of the outputs they are added to, where they are added."""
    injection_to_update: NonNegativeFloat | None
    """The same over the adapter's own update; None where the adapter's update is zero."""
    distinct_share: Fraction
    """Share of the mean square of z that differs between samples: 0 when every sample has the same echo."""
    plain_loss: float
    """Cross-entropy of the plain path, nats per answer token."""
    echo_loss: float
    """Cross-entropy of the echo path."""
    another_echo_loss: float
    """Cross-entropy of the echo path when each sample is given another one's echo."""
    plain_accuracy: Fraction
    """Answer tokens that are the plain path's most likely ones."""
    echo_accuracy: Fraction
    """Answer tokens that are the echo path's most likely ones."""
    divergence: float
    """KL(echo path || plain path), nats per answer token."""

    @property
    def gain(self) -> float:
        """What the echo gives its own path: nats per answer token by which it lowers the loss."""
        return self.plain_loss - self.echo_loss

    @property
    def content_gain(self) -> float:
        """What is in the sample's own echo and in no other's: nats per answer token."""
        return self.another_echo_loss - self.echo_loss
