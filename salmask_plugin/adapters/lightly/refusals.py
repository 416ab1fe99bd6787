"""Ways of training that a method cannot be trained in, said before it starts."""

from __future__ import annotations

from pytorch_lightning import LightningModule


def refuse_compiled(module: LightningModule) -> None:
    """Raise ValueError if ``torch.compile`` was given the whole module.

    A step draws masks, keeps a queue and logs, which no compiler traces.
    """
    if getattr(module, "_compiler_ctx", None) is not None:
        raise ValueError(
            f"torch.compile({type(module).__name__}) is not supported: a step draws masks. Compile "
            "its networks in place: model.backbone.compile(), and the same for its other parts."
        )


def check_momentum_moves(module: LightningModule, momentum: float) -> None:
    """Raise ValueError if 16-bit weights would leave a key encoder where it is.

    Its average moves by 1 - momentum of a difference, less than such a weight's last bit.
    """
    precision = str(module.trainer.precision)
    if precision in ("bf16-true", "16-true"):
        raise ValueError(
            f"trainer.precision={precision} keeps weights in 16 bits, where the key encoder's "
            f"steps of 1 - momentum = {1 - momentum:g} of a difference are rounded away and it "
            f"stands still. Use {precision.replace('true', 'mixed')} or 32-true."
        )
