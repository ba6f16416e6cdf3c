"""What is left of a push, as pictures."""

from sgdtheory.statistics.measured import Plot


def plots() -> list[Plot]:
    labels = {
        "rise": "rise of the loss at once / nats",
        "left": "what is left when all others have adapted / nats",
        "theory": "1/(H_ii (H⁻¹)_ii)",
        "share_left": "share of the rise that is left",
    }
    paid = Plot(
        "compensation",
        "The others make up for a pushed parameter, if there are enough of them",
        "One parameter of a minimum is pushed by δ and held while all others are minimised again; "
        "a mark is one parameter. In the wide network what is left hardly depends on how much the "
        "loss rose at first: it is about the price ½λδ² that the pushed parameter pays itself. "
        "With few hidden units what is left rises with what was taken.",
        "pushes",
        "rise",
        ("left",),
        "series",
        "xy",
        labels=labels,
        joined=False,
    )
    theory = Plot(
        "second_order",
        "Second-order theory says what is left",
        "The share of the rise that is left, against 1/(H_ii (H⁻¹)_ii), which is what eliminating "
        "all other parameters from the quadratic form leaves. The line is equality. It is exact "
        "for small pushes; after large ones the others find more than the quadratic form knows.",
        "pushes",
        "theory",
        ("share_left",),
        "series",
        "xy",
        ("theory",),
        labels=labels,
    )
    return [paid, theory]
