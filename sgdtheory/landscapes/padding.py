"""Embeddings that keep the row of a padding code, whichever way points are evaluated."""

from collections import defaultdict
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
    derivative of the loss. Embeddings that share weights and their padding keep it.
    """
    paddings: dict[int, set[int | None]] = defaultdict(set)  # of those that own a weight
    for part in module.modules():
        for weight in part.parameters(recurse=False):
            paddings[id(weight)].add(part.padding_idx if isinstance(part, nn.Embedding) else None)
    for part in module.modules():
        if isinstance(part, nn.Embedding) and part.padding_idx is not None:
            is_torchs = type(part).forward is nn.Embedding.forward
            if is_torchs and part.max_norm is None:
                is_kept = paddings[id(part.weight)] == {part.padding_idx}
                padding = part.padding_idx if is_kept else None
                # its own, before its class's
                vars(part)["forward"] = partial(_embedded, part, padding)


def _embedded(embedding: nn.Embedding, padding: int | None, codes: Tensor) -> Tensor:
    """Rows [..., d] of codes [...]; those of the padding are constants."""
    rows = F.embedding(codes, embedding.weight)
    if padding is None:
        return rows
    is_padding = codes == padding
    return torch.where(is_padding[..., None], rows.detach(), rows)
