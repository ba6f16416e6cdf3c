"""Cross entropy: −log p of the class, in nats."""

from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from sgdtheory.annotations import Fraction
from sgdtheory.data.examples import IGNORED, Examples
from sgdtheory.errors import UserError

Axis = Literal["auto", "last", "second"]
OF_NUMBERS = (
    "use landscape.loss=mse, huber or binary; where the numbers name classes, give them as "
    "integers [N] (a table: data.kind=classes)"
)
UNIT = 1e-3  # that probabilities, rounded by their author, may miss 1 by


@dataclass(frozen=True)
class CrossEntropy:
    """−Σ_k q_k log p_k, p = softmax(outputs), in nats: q is 1 for the class that is the target, or
    (1 − ε) + ε/K there and ε/K elsewhere with label smoothing ε (Szegedy et al. 2016, 1512.00567,
    Section 7), or the floating target itself.

    Of several targets in an example, the mean over those that are not −100. `axis`: where the
    classes of the outputs lie when an example has several targets: last [b, …, K], as most
    transformers give them, or second [b, K, …], as torch's function takes them; auto: where K is.
    """

    label_smoothing: Fraction = 0.0
    axis: Axis = "auto"
    unit = "nats"
    error = "error"

    def adapted_to(self, outputs: Tensor, data: Examples) -> Self:
        """The loss that knows where the classes of outputs [b, …] lie; UserError where they do not
        fit the targets."""
        targets = data.train_targets[: len(outputs)]
        _refuse_no_probabilities(data)
        axes = _axes_of(outputs, targets, data.outputs)
        if self.axis in axes:
            return self
        if self.axis != "auto" or not axes:
            raise UserError(_unfit(outputs, targets, data.outputs))
        if len(axes) == 2:
            raise UserError(
                f"model: outputs {list(outputs.shape)} may have the {data.outputs} classes in the "
                f"second axis or in the last for targets {list(targets.shape)}; say "
                f"loss.axis=second or loss.axis=last"
            )
        return replace(self, axis=axes[0])

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Loss of each example [P, b] from outputs [P, b, …] and targets [P or 1, b, …]."""
        points, examples = outputs.shape[:2]
        of_points = targets.expand(points, *targets.shape[1:])
        if outputs.ndim == 3:
            if targets.is_floating_point():
                return self._of_probabilities(outputs, of_points)
            # classes along the second axis: the log-softmax of ten classes is 8 × faster there
            outputs = outputs.mT.contiguous()
            return self._of_classes(outputs, of_points)
        if self.axis == "second":
            losses = self._of_classes(outputs.flatten(0, 1), of_points.flatten(0, 1))
        else:  # where they lie: moving them to the second axis costs more than the loss
            losses = self._of_classes(outputs.flatten(0, -2), of_points.flatten())
        sums = losses.view(points, examples, -1).sum(2)
        counted = (targets != IGNORED).flatten(2).sum(2)
        return sums / counted.clamp_min(1)

    def _of_classes(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(
            outputs, targets, reduction="none", label_smoothing=self.label_smoothing
        )

    def _of_probabilities(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """[P, b] from outputs and floating targets [P, b, K]."""
        classes = outputs.shape[-1]
        smooth = (1 - self.label_smoothing) * targets + self.label_smoothing / classes
        terms = smooth.to(outputs.dtype) * outputs.log_softmax(-1)
        return -terms.sum(-1)

    def _classes_second(self, outputs: Tensor) -> Tensor:
        """Outputs [b, …] as [b, K, …]."""
        if self.axis == "second":
            return outputs
        return outputs.movedim(-1, 1)

    def errors(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The share of an example's targets [b, …] that are not the largest output [b, …], float64
        [b]."""
        if targets.is_floating_point():
            targets = targets.argmax(-1)
        outputs = self._classes_second(outputs)
        wrong = (outputs.argmax(1) != targets).double()
        if wrong.ndim == 1:
            return wrong
        counted = (targets != IGNORED).flatten(1).double()
        errors = (wrong.flatten(1) * counted).sum(1)
        return errors / counted.sum(1).clamp_min(1)

    def predictions(self, outputs: Tensor) -> Tensor:
        """The probabilities [b, …] that outputs [b, …] give the classes."""
        if self.axis == "last":
            return outputs.softmax(-1)
        return outputs.softmax(1)

    def of_constant(self, targets: Tensor, outputs: int) -> float:
        """−Σ p ln p in nats, p the smoothed frequencies of the classes in targets [N, …]; at most
        ln K."""
        p = frequencies(targets, outputs)
        p = (1 - self.label_smoothing) * p + self.label_smoothing / outputs
        return float(torch.special.entr(p).sum())

    def lowest(self, targets: Tensor, outputs: int) -> float:
        """−Σ q ln q in nats, q the smoothed target, the mean over targets [N, …]: what no network
        can go below; 0 of classes without smoothing."""
        q = torch.zeros(1, outputs, dtype=torch.float64)
        q[0, 0] = 1  # classes have one entropy all
        if targets.is_floating_point():
            q = targets.double().cpu()
        q = (1 - self.label_smoothing) * q + self.label_smoothing / outputs
        return float(torch.special.entr(q).sum(1).mean())


def _refuse_no_probabilities(data: Examples) -> None:
    """Raise UserError where floating targets [N, K] are no probabilities."""
    if data.has_classes or data.train_targets.ndim != 2:
        return
    for targets in (data.train_targets, data.test_targets):
        sums = targets.double().sum(1)
        off = float((sums - 1).abs().max())
        if float(targets.min()) < 0 or off > UNIT:
            raise UserError(
                f"data {data.name}: floating targets [N, K] of cross entropy are probabilities, "
                f"and these are below 0 or do not sum to 1; {OF_NUMBERS}"
            )


def frequencies(targets: Tensor, classes: int) -> Tensor:
    """The frequencies [classes] of classes among targets [N, …], float64, those of every example
    with the same weight as in the mean loss; of floating targets [N, K] their means."""
    targets = targets.cpu()
    if targets.is_floating_point():
        return targets.double().mean(0)
    of_examples = targets.reshape(len(targets), -1)
    counted = of_examples != IGNORED
    shares = counted.double() / counted.sum(1, keepdim=True).clamp_min(1)
    weights = torch.bincount(of_examples[counted], shares[counted], classes)
    return weights / weights.sum()


def _axes_of(outputs: Tensor, targets: Tensor, classes: int) -> list[Axis]:
    """Where the classes may lie."""
    if targets.is_floating_point():
        is_fit = outputs.shape == targets.shape and outputs.ndim == 2
        return ["second"] if is_fit else []
    places = targets.shape[1:]
    if outputs.ndim != targets.ndim + 1:
        return []
    of_example = outputs.shape[1:]
    axes: list[Axis] = []
    if of_example[1:] == places and of_example[0] >= classes:
        axes.append("second")
    if len(places) and of_example[:-1] == places and of_example[-1] >= classes:
        axes.append("last")
    return axes


def _unfit(outputs: Tensor, targets: Tensor, classes: int) -> str:
    given = list(outputs.shape)
    if targets.is_floating_point():
        return (
            f"data: targets are numbers {list(targets.shape)}, and no probabilities of outputs "
            f"{given}: cross entropy is of classes; {OF_NUMBERS}"
        )
    examples, *places = targets.shape
    if not places:
        return (
            f"model: gives outputs {given} for {examples} examples of {classes} classes; they "
            f"must be logits [{examples}, {classes}]"
        )
    return (
        f"model: gives outputs {given} for targets {list(targets.shape)} of {classes} classes; "
        f"they must be logits {[examples, classes, *places]} or {[examples, *places, classes]}"
    )
