"""Embeddings that keep the row of a padding code, whichever way points are evaluated."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def keep_padding(module: nn.Module) -> None:
    """Have the embeddings of a module give no gradient to the row of their `padding_idx`.

    As torch's own do, but for several points at once: under vmap those keep the row of the first
    point alone. So each has a forward pass of its own that is the same function.
    """
    for part in module.modules():
        if isinstance(part, nn.Embedding) and part.padding_idx is not None:
            is_torchs = type(part).forward is nn.Embedding.forward
            if is_torchs and part.max_norm is None:
                vars(part)["forward"] = partial(
                    _embedded, part, part.padding_idx
                )  # its own, before its class's


def _embedded(embedding: nn.Embedding, padding: int, codes: Tensor) -> Tensor:
    """Rows [..., d] of codes [...]; those of the padding are constants."""
    rows = F.embedding(codes, embedding.weight)
    is_padding = codes == padding
    return torch.where(is_padding[..., None], rows.detach(), rows)
