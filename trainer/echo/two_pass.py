"""The readable reference: the plain pass over the whole batch, the echo pass over the whole batch, the loss of both.

Legend: B samples, T columns of a whole pass (a batch's but the last), d hidden size.
"""

from __future__ import annotations

from trainer.data.batch import Batch
from trainer.echo.chunked_loss import RowLosses, paired_losses
from trainer.echo.layer_pass import LayerPass, Norms, Paths, receivers_of, receiving_positions, whole_pass
from trainer.echo.state_distillation import representation_gap


def two_pass(paths: Paths, batch: Batch, norms: Norms) -> RowLosses:
    """The losses of a micro-batch whose step runs the echo path, by two whole passes."""
    # 1. Plain: what ships. On the way the source layers are read.
    plain_pass = LayerPass(
        paths.forwards(norms),
        reading=paths.reading(batch),
        source_layers=paths.source_layers,
        kept_layers=paths.compared_layers,
    )
    plain_BTd = whole_pass(paths, plain_pass, batch)

    # 2. Echo: the same columns again, with what was read injected into the target layers.
    receiving_BT = receiving_positions(batch, paths.echo.positions)
    injections = paths.injections(plain_pass, batch, receivers_of(receiving_BT))
    with paths.echo_gradients():
        echo_pass = LayerPass(paths.forwards(norms, injections), kept_layers=paths.compared_layers)
        echo_BTd = whole_pass(paths, echo_pass, batch)

    # 3. Loss: both cross-entropies and the distillation between them, on the supervised rows.
    losses = paired_losses(paths.head, batch, plain_BTd, echo_BTd, batch.in_whole_pass, paths.weights)
    if not paths.compared_layers:
        return losses
    gap = representation_gap(plain_pass.states, echo_pass.states, batch.in_whole_pass.answers)
    return losses.plus(paths.echo.distillation.representations * gap)
