"""One line of metrics.jsonl: what training showed at one optimizer step."""

from __future__ import annotations

from schemas.document import Count, Fraction, Section


class TrainingMetrics(Section):
    """Means over the steps since the line before, unless said otherwise."""

    step: Count
    """Optimizer steps finished."""
    epoch: float
    """Passes over the data finished."""
    loss: float | None = None
    """Plain-path cross-entropy, nats per supervised token; None on lines that hold only a validation loss."""
    echo_loss: float | None = None
    """Echo-path cross-entropy over the steps that ran it; None where none did."""
    distillation_loss: float | None = None
    """tau^2 KL(teacher || student) over the steps that ran the echo path; None where none did."""
    echo_probability: Fraction | None = None
    """p_k of the last step; None for methods without an echo path."""
    echo_share: Fraction | None = None
    """Share of steps whose routing drew the echo path."""
    learning_rate: float | None = None
    """Of the last step."""
    gradient_norm: float | None = None
    """Before clipping."""
    tokens_per_second: float | None = None
    """Real tokens (padding excluded) per second of wall time."""
    supervised_tokens_per_second: float | None = None
    """Tokens under the loss per second of wall time."""
    validation_loss: float | None = None
    """Plain-path cross-entropy on the validation rows at this step; None between evaluations."""
    seconds: float
    """Wall time of the optimisation so far, over all sessions."""
