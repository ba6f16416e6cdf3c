"""The landscape of a recurrent network on text: mean loss of the next character + ½λ|θ|²."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from sgdtheory.annotations import NonNegative, Place, PositiveFloat, PositiveInt
from sgdtheory.data.text import Text
from sgdtheory.landscapes.network import Network
from sgdtheory.landscapes.network_objective import ImageBatch


class TextModel(Network):
    """L(θ) = mean over windows and characters of −log p(next character) + ½λ|θ|², in nats; uniform
    guessing: ln 27 = 3.30.

    The model maps codes [b, T] to logits [b, classes, T]. An example is a window: its loss is the
    mean over its characters, its error the share of them that were guessed wrong. Points are
    evaluated one after the other, for torch's LSTM has no batched weights. `learning_rate`: as in
    `Network`.
    """

    def __init__(
        self,
        model: Callable[..., nn.Module],
        data: Text,
        weight_decay: NonNegative = 0.0,
        learning_rate: PositiveFloat | Literal["auto"] = "auto",
        part: PositiveInt | None = None,
        device: Annotated[str, Place] = "cpu",
    ) -> None:
        windows: Any = data  # it has all that Network asks of Images
        super().__init__(
            model,
            windows,
            weight_decay,
            learning_rate=learning_rate,
            rows="loop",
            part=part,
            device=device,
        )

    def batch(self, indices: Tensor, draws: Tensor | None = None) -> ImageBatch:
        """Windows [P, b, T] and the characters that follow [P, b, T]."""
        flat = indices.reshape(-1)
        shape = (*indices.shape, *self.data.shape)
        windows = self._train_images.index_select(0, flat)
        labels = self.data.train_labels.index_select(0, flat)
        return ImageBatch(windows.view(shape), labels.view(shape))

    def example_losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Mean loss of the characters of each window [P, b], outputs [P, b, K, T]."""
        points, examples = outputs.shape[:2]
        labels = labels.expand(points, examples, -1).flatten(0, 1)
        losses = F.cross_entropy(outputs.flatten(0, 1), labels, reduction="none")
        return losses.mean(1).view(points, examples)

    def example_errors(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The share of the characters of each window [b] that were guessed wrong."""
        wrong = outputs.argmax(1) != labels
        return wrong.double().mean(1)
