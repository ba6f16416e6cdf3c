"""What sums and products of tensors do to their labels."""

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from sgdtheory.paths.units.join import Operand, joined
from sgdtheory.paths.units.label import Label, letters
from sgdtheory.paths.units.labels import UnitLabels, tensors_in
from sgdtheory.paths.units.units import FactorIds


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
        missing = out.ndim - x.ndim
        operands.append(_operand(labels, x, names[missing:]))
    return operands


def _operand(labels: UnitLabels, x: Tensor, names: str) -> Operand:
    label = labels.of(x)
    return Operand(label, names)


def add(labels: UnitLabels, out: Tensor, x: object, y: object, *_: object, **__: object) -> Label:
    """A sum of two tensors […] bends no units that both have."""
    tensors = list(tensors_in([x, y]))
    if len(tensors) == 1 or not all(map(labels.is_labelled, tensors)):
        return _pointwise(labels, out, tensors)
    names = letters(out.ndim)
    operands = _operands(labels, out, tensors)
    for name in names:
        having = [one for one in operands if _units_along(one, name)]
        if len(having) == 1:
            _bend_along(labels, having[0], name)
    return joined(labels.units, operands, names)


def multiply(
    labels: UnitLabels, out: Tensor, x: object, y: object, *_: object, **__: object
) -> Label:
    """A product of tensors […] bends the units that both have, but for a scale: a parameter with
    a number a unit, which what comes next may take in."""
    if x is y and isinstance(x, Tensor):
        return square(labels, out, x)
    names = letters(out.ndim)
    tensors = list(tensors_in([x, y]))
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
    operands = _operands(labels, out, tensors)
    return joined(labels.units, operands, letters(out.ndim))


def power(labels: UnitLabels, out: Tensor, x: object, exponent: object, *_: object) -> Label | None:
    """x […] to a power: the second sees units all together where it is summed."""
    is_two = not isinstance(exponent, Tensor) and exponent == 2
    if is_two and isinstance(x, Tensor):
        return square(labels, out, x)
    return pointwise(labels, out, x, exponent)


def square(labels: UnitLabels, out: Tensor, x: Tensor) -> Label:
    """The squares of x […]."""
    return replace(labels.of(x), is_square=True, parameter=None, scaled_by=None)


def _units_along(operand: Operand, name: str) -> bool:
    return any(ids is not None for ids in _ids_along(operand, name))


def _bend_along(labels: UnitLabels, operand: Operand, name: str) -> None:
    for ids in _ids_along(operand, name):
        if ids is not None:
            labels.units.bend(ids)


def _ids_along(operand: Operand, name: str) -> Sequence[FactorIds]:
    """The units of each factor of an axis, none where the operand has no such axis."""
    label, names = operand
    axis = names.find(name)
    if axis < 0:
        return ()
    span = label.span(axis)
    return label.ids[span.start : span.stop]


def _scale(labels: UnitLabels, operands: Sequence[Operand]) -> str | None:
    """The name of the parameter [units] among two operands that the other is scaled by."""
    if len(operands) != 2:
        return None
    for label, _ in operands:
        name = label.parameter
        if name is None or len(label.ids) != 1:
            continue
        (ids,) = label.ids
        if ids is not None and labels.axis_of(ids) == (name, 0):
            return name
    return None


def _scaled(labels: UnitLabels, operands: Sequence[Operand], scale: str, names: str) -> Label:
    """The product with a scale: its units are those of what was scaled, but only what reads them
    next may be changed in the scale's place."""
    units = labels.units
    label = joined(units, operands, names)
    parameters: list[Operand] = []
    others: list[Operand] = []
    for operand in operands:
        of_kind = parameters if operand.label.parameter == scale else others
        of_kind.append(operand)
    parameter = parameters[0]
    axes = [name for name in names if _units_along(parameter, name)]
    (factor,) = label.span(names.index(axes[0]))
    parts = list(label.ids)
    ids = parts[factor]
    parts[factor] = None
    has_one = ids is not None and ids.size == label.sizes[factor]
    has_others = any(part is not None for part in parts)
    if ids is None or not has_one or has_others or not others:
        labels.bend(label)
        return label
    for operand in others:
        note_read(labels, operand.label)
    own = units.new(ids.shape)
    units.unify(ids, own)
    labels.scaled.setdefault(scale, set())
    note_read(labels, parameter.label, scale)
    parts[factor] = own
    return Label(label.axes, tuple(parts), scaled_by=scale)


def note_read(labels: UnitLabels, label: Label, scale: str | None = None) -> None:
    """Note that a parameter was used, with numbers of this scale."""
    if label.parameter is not None:
        scales = labels.readings.setdefault(label.parameter, set())
        scales.add(scale)


def contract(
    labels: UnitLabels, first: Operand, second: Operand, out: str, bias: Operand | None = None
) -> Label:
    """The sum over the axes that are not in `out`."""
    _read(labels, first, second, out)
    _read(labels, second, first, out)
    operands = [first, second]
    if bias is not None:
        operands.append(bias)
        note_read(labels, bias.label)
    shared = set(first.names) & set(second.names)
    bends = "".join(name for name in out if name in shared)
    return joined(labels.units, operands, out, bends)


def _read(labels: UnitLabels, weight: Operand, read: Operand, out: str) -> None:
    """Note which scaled numbers a parameter reads; what else is done to scaled numbers leaves the
    scale where it is."""
    scale = read.label.scaled_by
    name = weight.label.parameter
    note_read(labels, weight.label, scale)
    if scale is None:
        return
    for letter in weight.names:
        factors = _ids_along(weight, letter)
        if letter in out or len(factors) != 1 or name is None:
            continue
        (ids,) = factors
        if ids is None:
            continue
        place = labels.axis_of(ids)
        if place is None or place[0] != name:
            continue
        if _units_along(read, letter):
            labels.scaled[scale].add(place)
            return
    labels.bend(read.label)


def mm(labels: UnitLabels, out: Tensor, x: Tensor, y: Tensor) -> Label:
    """[n, k] times [k, m]."""
    first = _operand(labels, x, "nk")
    second = _operand(labels, y, "km")
    return contract(labels, first, second, "nm")


def bmm(labels: UnitLabels, out: Tensor, x: Tensor, y: Tensor) -> Label:
    """[b, n, k] times [b, k, m]."""
    first = _operand(labels, x, "bnk")
    second = _operand(labels, y, "bkm")
    return contract(labels, first, second, "bnm")


def mv(labels: UnitLabels, out: Tensor, x: Tensor, y: Tensor) -> Label:
    """[n, k] times [k]."""
    first = _operand(labels, x, "nk")
    second = _operand(labels, y, "k")
    return contract(labels, first, second, "n")


def dot(labels: UnitLabels, out: Tensor, x: Tensor, y: Tensor) -> Label:
    """[k] times [k]."""
    first = _operand(labels, x, "k")
    second = _operand(labels, y, "k")
    return contract(labels, first, second, "")


def addmm(
    labels: UnitLabels, out: Tensor, bias: Tensor, x: Tensor, y: Tensor, **_: object
) -> Label:
    """[n, k] times [k, m], and a bias [m]."""
    first = _operand(labels, x, "nk")
    second = _operand(labels, y, "km")
    added = _operand(labels, bias, "nm"[-bias.ndim :])
    return contract(labels, first, second, "nm", added)


def baddbmm(
    labels: UnitLabels, out: Tensor, bias: Tensor, x: Tensor, y: Tensor, **_: object
) -> Label:
    """[b, n, k] times [b, k, m], and what is added [b, n, m]."""
    first = _operand(labels, x, "bnk")
    second = _operand(labels, y, "bkm")
    added = _operand(labels, bias, "bnm"[-bias.ndim :])
    return contract(labels, first, second, "bnm", added)
