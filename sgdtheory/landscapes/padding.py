"""Embeddings that keep the row of a padding code, whichever way points are evaluated."""

from collections import Counter
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def keep_padding(module: nn.Module) -> None:
    """Have the embeddings of a module give no gradient to the row of their `padding_idx`.

    As torch's own do, but for several points at once: under vmap those keep the row of the first
    point alone. So each has a forward pass of its own that is the same function.

    An embedding whose weights are another layer's too, as tied outputs are, gives that row a
    gradient like all others: it is trained there, and what is left out here would leave no
    derivative of the loss.
    """
    owners: Counter[int] = Counter()
    for part in module.modules():
        owners.update(id(weight) for weight in part.parameters(recurse=False))
    for part in module.modules():
        if isinstance(part, nn.Embedding) and part.padding_idx is not None:
            is_torchs = type(part).forward is nn.Embedding.forward
            if is_torchs and part.max_norm is None:
                padding = part.padding_idx if owners[id(part.weight)] == 1 else None
                vars(part)["forward"] = partial(
                    _embedded, part, padding
                )  # its own, before its class's


def _embedded(embedding: nn.Embedding, padding: int | None, codes: Tensor) -> Tensor:
    """Rows [..., d] of codes [...]; those of the padding are constants."""
    rows = F.embedding(codes, embedding.weight)
    if padding is None:
        return rows
    is_padding = codes == padding
    return torch.where(is_padding[..., None], rows.detach(), rows)
