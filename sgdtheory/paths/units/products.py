"""What sums and products of tensors do to their labels."""

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from sgdtheory.paths.units.join import Operand, joined
from sgdtheory.paths.units.label import Label, letters
from sgdtheory.paths.units.labels import UnitLabels, tensors_in


def pointwise(labels: UnitLabels, out: Tensor, *args: object, **named: object) -> Label:
    """Number by number, of tensors […] that are broadcast from the right."""
    return _pointwise(labels, out, list(tensors_in([args, named])))


def _pointwise(labels: UnitLabels, out: Tensor, tensors: Sequence[Tensor]) -> Label:
    for x in tensors:
        labels.bend(labels.of(x))
    return joined(labels.units, _operands(labels, out, tensors), letters(out.ndim))


def _operands(labels: UnitLabels, out: Tensor, tensors: Sequence[Tensor]) -> list[Operand]:
    names = letters(out.ndim)
    operands = []
    for x in tensors:
        operands.append(Operand(labels.of(x), names[out.ndim - x.ndim :]))
    return operands


def add(labels: UnitLabels, out: Tensor, x: object, y: object, *_: object, **__: object) -> Label:
    """A sum of two tensors […] bends no units that both have."""
    tensors = list(tensors_in([x, y]))
    if len(tensors) == 1 or not all(map(labels.is_labelled, tensors)):
        return _pointwise(labels, out, tensors)
    operands = _operands(labels, out, tensors)
    for axis in range(out.ndim):
        having = [one for one in operands if _units_along(one, letters(out.ndim)[axis])]
        if len(having) == 1:
            _bend_along(labels, having[0], letters(out.ndim)[axis])
    return joined(labels.units, operands, letters(out.ndim))


def multiply(
    labels: UnitLabels, out: Tensor, x: object, y: object, *_: object, **__: object
) -> Label:
    """A product of tensors […] bends the units that both have, but for a scale: a parameter with
    a number a unit, which what comes next may take in."""
    tensors = list(tensors_in([x, y]))
    if x is y and isinstance(x, Tensor):
        return square(labels, out, x)
    names = letters(out.ndim)
    operands = _operands(labels, out, tensors)
    scale = _scale(labels, operands)
    if scale is not None:
        return _scaled(labels, operands, scale, names)
    for operand in operands:
        note_read(labels, operand.label)
    return joined(labels.units, operands, names, bends=names)


def divide(
    labels: UnitLabels, out: Tensor, x: object, y: object, *_: object, **__: object
) -> Label:
    """A quotient of tensors […] bends the units of what is below."""
    tensors = list(tensors_in([x, y]))
    if isinstance(y, Tensor):
        labels.bend(labels.of(y))
    return joined(labels.units, _operands(labels, out, tensors), letters(out.ndim))


def power(labels: UnitLabels, out: Tensor, x: object, exponent: object, *_: object) -> Label | None:
    """x […] to a power: the second sees units all together where it is summed."""
    if isinstance(x, Tensor) and exponent == 2 and not isinstance(exponent, Tensor):
        return square(labels, out, x)
    return _pointwise(labels, out, list(tensors_in([x, exponent])))


def square(labels: UnitLabels, out: Tensor, x: Tensor) -> Label:
    """The squares of x […]."""
    return replace(labels.of(x), is_square=True, parameter=None, scaled_by=None)


def _units_along(operand: Operand, name: str) -> bool:
    label, names = operand
    if name not in names:
        return False
    return any(label.ids[k] is not None for k in label.span(names.index(name)))


def _bend_along(labels: UnitLabels, operand: Operand, name: str) -> None:
    label, names = operand
    for k in label.span(names.index(name)):
        ids = label.ids[k]
        if ids is not None:
            labels.units.bend(ids)


def _scale(labels: UnitLabels, operands: Sequence[Operand]) -> str | None:
    """The name of the parameter [units] among two operands that the other is scaled by."""
    for label, _ in operands:
        if label.parameter is not None and len(label.ids) == 1 and len(operands) == 2:
            ids = label.ids[0]
            if ids is not None and labels.axis_of(ids) == (label.parameter, 0):
                return label.parameter
    return None


def _scaled(labels: UnitLabels, operands: Sequence[Operand], scale: str, names: str) -> Label:
    """The product with a scale: its units are those of what was scaled, but only what reads them
    next may be changed in the scale's place."""
    units = labels.units
    label = joined(units, operands, names)
    parameters = [operand for operand in operands if operand.label.parameter == scale]
    axis = next(k for k, name in enumerate(names) if _units_along(parameters[0], name))
    (factor,) = label.span(axis)
    ids = label.ids[factor]
    others = [k for k, part in enumerate(label.ids) if part is not None and k != factor]
    if ids is None or ids.size != label.sizes[factor] or len(parameters) == 2 or others:
        labels.bend(label)
        return label
    for operand in operands:
        if operand.label.parameter != scale:
            note_read(labels, operand.label)
    own = units.new(ids.shape)
    units.unify(ids, own)
    labels.scaled.setdefault(scale, set())
    note_read(labels, parameters[0].label, scale)
    parts = list(label.ids)
    parts[factor] = own
    return Label(label.axes, tuple(parts), scaled_by=scale)


def note_read(labels: UnitLabels, label: Label, scale: str | None = None) -> None:
    """Note that a parameter was used, with numbers of this scale."""
    if label.parameter is not None:
        labels.readings.setdefault(label.parameter, set()).add(scale)


def contract(
    labels: UnitLabels, first: Operand, second: Operand, out: str, bias: Operand | None = None
) -> Label:
    """The sum over the axes that are not in `out`."""
    for one, other in ((first, second), (second, first)):
        _read(labels, one, other, out)
    operands = [first, second]
    if bias is not None:
        operands.append(bias)
        note_read(labels, bias.label)
    shared = "".join(name for name in first.names if name in second.names and name in out)
    return joined(labels.units, operands, out, bends=shared)


def _read(labels: UnitLabels, weight: Operand, read: Operand, out: str) -> None:
    """Note which scaled numbers a parameter reads; what else is done to scaled numbers leaves the
    scale where it is."""
    scale = read.label.scaled_by
    name = weight.label.parameter
    note_read(labels, weight.label, scale)
    if scale is None:
        return
    for axis, letter in enumerate(weight.names):
        span = weight.label.span(axis)
        if letter in out or len(span) != 1 or name is None:
            continue
        ids = weight.label.ids[span.start]
        place = None if ids is None else labels.axis_of(ids)
        if place is not None and place[0] == name and _units_along(read, letter):
            labels.scaled[scale].add(place)
            return
    labels.bend(read.label)


def mm(labels: UnitLabels, out: Tensor, x: Tensor, y: Tensor) -> Label:
    """[n, k] times [k, m]."""
    return contract(labels, Operand(labels.of(x), "nk"), Operand(labels.of(y), "km"), "nm")


def bmm(labels: UnitLabels, out: Tensor, x: Tensor, y: Tensor) -> Label:
    """[b, n, k] times [b, k, m]."""
    return contract(labels, Operand(labels.of(x), "bnk"), Operand(labels.of(y), "bkm"), "bnm")


def mv(labels: UnitLabels, out: Tensor, x: Tensor, y: Tensor) -> Label:
    """[n, k] times [k]."""
    return contract(labels, Operand(labels.of(x), "nk"), Operand(labels.of(y), "k"), "n")


def dot(labels: UnitLabels, out: Tensor, x: Tensor, y: Tensor) -> Label:
    """[k] times [k]."""
    return contract(labels, Operand(labels.of(x), "k"), Operand(labels.of(y), "k"), "")


def addmm(
    labels: UnitLabels, out: Tensor, bias: Tensor, x: Tensor, y: Tensor, **_: object
) -> Label:
    """[n, k] times [k, m], and a bias [m]."""
    added = Operand(labels.of(bias), "nm"[-bias.ndim :])
    return contract(labels, Operand(labels.of(x), "nk"), Operand(labels.of(y), "km"), "nm", added)


def baddbmm(
    labels: UnitLabels, out: Tensor, bias: Tensor, x: Tensor, y: Tensor, **_: object
) -> Label:
    """[b, n, k] times [b, k, m], and what is added [b, n, m]."""
    added = Operand(labels.of(bias), "bnm"[-bias.ndim :])
    first, second = Operand(labels.of(x), "bnk"), Operand(labels.of(y), "bkm")
    return contract(labels, first, second, "bnm", added)
