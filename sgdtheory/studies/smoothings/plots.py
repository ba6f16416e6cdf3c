"""Who arrives at the centre of a spiky bowl, as a picture."""

from sgdtheory.statistics.measured import Plot


def plots() -> list[Plot]:
    arrived = "share that reaches the centre"
    labels = {"scale": "width s / s*", "arrived": arrived, "method": "method"}
    caption = (
        "Share of replicas that come within the radius of the centre, by the standard deviation s "
        "of the noise in a step. s* is where the function smoothed by a Gaussian of width s has "
        "no other minimum left. Descent on the smoothed function turns over there and nowhere "
        "else; SGD does so earlier, since its noise also carries it over what is left of the "
        "spikes. Bars are Wilson's. One dimension and Gaussian noise: no network is shown."
    )
    return [
        Plot(
            "arrivals",
            "SGD gets past spikes long before they are smoothed away",
            caption,
            "scales",
            "scale",
            ("arrived",),
            by="method",
            labels=labels,
        )
    ]
