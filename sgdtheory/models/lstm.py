"""A recurrent network that reads characters one after the other and says, at each, what comes
next."""

from torch import Tensor, nn

from sgdtheory.annotations import PositiveInt, Shape


class LSTM(nn.Module):
    """Character codes → embedding → one layer of LSTM (Hochreiter & Schmidhuber 1997) → logits of
    the next character.

    The hidden state begins at zero in every window. Initialised as torch does: weights uniform in
    ±1/√hidden, embeddings normal.
    """

    def __init__(
        self,
        shape: Shape,
        classes: PositiveInt,
        embedding: PositiveInt = 8,
        hidden: PositiveInt = 16,
    ) -> None:
        super().__init__()
        self.symbols = classes
        self.embedding = nn.Embedding(classes, embedding)
        self.lstm = nn.LSTM(embedding, hidden, batch_first=True)
        self.output = nn.Linear(hidden, classes)

    def forward(self, codes: Tensor) -> Tensor:
        """Codes [b, T], integers in any dtype → logits [b, classes, T], classes second as torch's
        cross entropy wants them."""
        hidden, _ = self.lstm(self.embedding(codes.long()))  # [b, T, hidden]
        logits: Tensor = self.output(hidden).mT
        return logits
