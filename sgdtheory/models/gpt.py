"""A decoder of tokens: GPT-2's, from one layer on (Radford et al. 2019)."""

import torch
from torch import Tensor, nn

from sgdtheory.annotations import PositiveInt, Shape
from sgdtheory.errors import UserError
from sgdtheory.models.transformer import Block, Norm, norm_of

SPREAD = 0.02  # of weights at the start; Radford et al. 2018, Section 4.1
BACK = ("attention.out.weight", "fall.weight")  # these lead back into the stream


class GPT(nn.Module):
    """Codes → embedding + learned positions → `layers` blocks → norm → logits of the next code.

    Initialised as GPT-2 is: weights and embeddings normal of spread 0.02, those that lead back into
    the stream 1/√(2 layers) of it, biases 0, norms 1. `tied`: the output's weight is the
    embedding's, and one set of coordinates.
    """

    def __init__(
        self,
        shape: Shape,
        classes: PositiveInt,
        layers: PositiveInt = 1,
        heads: PositiveInt = 4,
        width: PositiveInt = 64,
        norm: Norm = "layer",
        tied: bool = False,
    ) -> None:
        super().__init__()
        if len(shape) != 1:
            raise UserError(
                f"model: gpt takes sequences of codes [T], not inputs {list(shape)}; use "
                f"data=tokens"
            )
        self.token = nn.Embedding(classes, width)
        self.position = nn.Embedding(shape[0], width)
        blocks = (Block(width, heads, True, norm) for _ in range(layers))
        self.blocks = nn.Sequential(*blocks)
        self.norm = norm_of(norm, width)
        self.head = nn.Linear(width, classes, bias=False)
        if tied:
            self.head.weight = self.token.weight
        self._initialise(layers)

    def _initialise(self, layers: int) -> None:
        for part in self.modules():
            if isinstance(part, nn.Linear | nn.Embedding):
                nn.init.normal_(part.weight, std=SPREAD)
            if isinstance(part, nn.Linear) and part.bias is not None:
                nn.init.zeros_(part.bias)
        for name, weight in self.named_parameters():
            if name.endswith(BACK):
                nn.init.normal_(weight, std=SPREAD / (2 * layers) ** 0.5)

    def forward(self, codes: Tensor) -> Tensor:
        """Codes [b, T], integers → logits [b, T, classes]."""
        places = torch.arange(codes.shape[1], device=codes.device)
        stream = self.token(codes) + self.position(places)
        logits: Tensor = self.head(self.norm(self.blocks(stream)))
        return logits
