"""What columns of results are called on pages and terminals, and what they are measured in."""

from sgdtheory.statistics.rows import Row, Rows

# by a column's whole name, or by its last part
NAMES = {
    "name": "",
    "train_loss": "train loss",
    "train_error": "train error",
    "gradient_norm": "|∇objective|",
    "parameter_norm": "|θ|",
    "objective_gap": "objective gap (relative)",
    "learning_rate": "learning rate",
    "predicted": "T predicted",
    "predicted_epoch": "T predicted, epochs",
    "equivalent_rate": "η of equal SGD",
    "temperature.excess_loss": "T: excess loss",
    "temperature.virial": "T: virial",
    "temperature.equipartition": "T by direction: median",
    "temperature.equipartition_low": "T by direction: lower quartile",
    "temperature.equipartition_high": "T by direction: upper quartile",
    "fluctuation_dissipation": "fluctuation over dissipation",
    "temperature.noise_agreement": "ratio of Tr C, mini-batch over micro-batch",
    "noise_trace": "Tr C",
    "noise_trace_at_minimum": "Tr C(θ*)",
    "noise_trace_micro_batch": "Tr C, micro-batch",
    "noise_trace_mini_batch": "Tr C, mini-batch",
    "noise_trace_two_batch": "Tr C, two batches",
    "height": "2⟨L − L*⟩",
    "height_exact": "2⟨L − L*⟩ exact",
    "stability": "ηh/2(1+μ)",
    "top_curvature": "largest curvature",
    "relaxation": "relaxation time ηt",
    "adam_gradient_norm": "|S⁻¹∇objective|",
    "adam_top_curvature": "largest curvature of S⁻¹HS⁻¹",
    "adam_noise_trace": "Σσ_i",
    "adam_noise_trace_micro_batch": "Σσ_i, micro-batch",
    "adam_relaxation": "relaxation time ηt",
    "lost": "replicas lost",
}
# {} is the unit of the loss
UNITS = {
    "train_loss": "{}",
    "test_loss": "{}",
    "objective": "{}",
    "gradient_norm": "{}",
    "height": "{}",
    "height_exact": "{}",
    "top_curvature": "{}",
    "top_eigenvalue": "{}",
    "trace": "{}",
    "batch_sharpness": "{}",
    "noise_trace": "{}²",
    "noise_trace_at_minimum": "{}²",
    "noise_trace_micro_batch": "{}²",
    "noise_trace_mini_batch": "{}²",
    "noise_trace_two_batch": "{}²",
    "adam_noise_trace": "{}",
    "adam_noise_trace_micro_batch": "{}",
    "relaxation": "1/{}",
    "noise_scale": "examples",
    "seconds": "s",
}
# fractions, which people read in per cent; those that pictures of studies draw stand as they are
FRACTIONS = (
    "train_error",
    "training_error",
    "largest_training_error",
    "test_error",
    "mean_test_error",
    "test_error_above_the_ends",
    "train_error_own_statistics",
    "test_error_own_statistics",
    "test_error_rise",
    "scatter",
    "flat_fraction",
    "flat_fraction_data",
    "noise_top10_share",
    "defect",
)
OF_ADAM = "Σ Cᵢᵢ/σᵢ"  # what takes the place of Tr C where the noise is Adam's
TEMPERATURE = "temperature."  # what all estimators of a cell stand under, also those of a ratio


def heading(name: str, unit: str = "", label: str = "") -> str:
    """What a column is called, with its unit; nested ones as "path: training loss". In brackets
    stands an expression of the user's, as it was given. `unit`: of the loss; `label`: other words
    for it, which have their unit in them unless that is per cent."""
    if label:
        is_told = "%" in label or not is_fraction(name)
        return label if is_told else f"{label} / %"
    plain, bracket, given = name.partition("[")
    words = NAMES.get(plain) or _in_words(plain.removeprefix(TEMPERATURE))
    words += bracket + given
    measured_in = "%" if is_fraction(name) else _unit(quantity(name), unit)
    return f"{words} / {measured_in}" if measured_in else words


def of_adam(heading: str) -> str:
    """The heading in a sweep of Adam, whose noise is counted otherwise and has another unit."""
    name, slash, _ = heading.partition(" / ")
    if "Tr C" not in name:
        return heading
    return name.replace("Tr C", OF_ADAM) + (" / nats" if slash and "nats" in heading else "")


def with_error(heading: str, error: str) -> str:
    """The heading with what a run's errors are called; an expression of the user's stays."""
    words, bracket, given = heading.partition("[")
    return words.replace("error", error) + bracket + given


def is_fraction(name: str) -> bool:
    """Whether the numbers of a column are fractions in files, and per cent for people."""
    return quantity(name) in FRACTIONS


def quantity(name: str) -> str:
    """What a column is of: its name without what it stands under, and without an expression in
    brackets, which may hold any dots: flat_fraction of flat_fraction[encoder.weight]."""
    plain = name.partition("[")[0]
    return plain.rpartition(".")[2]


def _in_words(name: str) -> str:
    *parents, last = name.split(".")
    words = [parent.replace("_", " ") for parent in parents]
    words.append(NAMES.get(last, last.replace("_", " ")))
    return ": ".join(words)


def _unit(column: str, unit: str) -> str:
    """The unit of a column; empty where it has none, or that of the loss is not known."""
    found = UNITS.get(column, "")
    if "{}" in found and not unit:
        return ""
    return found.format(unit)


def for_people(cells: Rows) -> Rows:
    """Cells of a sweep with the estimators that are temperatures first, and without what stands
    under two names."""
    return [_for_people(cell) for cell in cells]


def _for_people(cell: Row) -> Row:
    found = cell.get("temperature")
    if not isinstance(found, dict):
        return cell
    kept = [name for name, number in found.items() if number != cell.get(name)]
    kept.sort(key=lambda name: not NAMES.get(TEMPERATURE + name, "").startswith("T"))
    return {**cell, "temperature": {name: found[name] for name in kept}}
