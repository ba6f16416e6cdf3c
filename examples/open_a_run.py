"""Open a finished run and ask it something new: how far apart are two minima, and what lies
half-way between them?

sgdtheory train
python examples/open_a_run.py runs/train/<the run>

"""

import sys

import sgdtheory


def main(path: str) -> None:
    run = sgdtheory.load(path)
    first, second = run.minima[0], run.minima[1]
    middle = (first + second) / 2

    print(run.results["claims"][0]["statement"])
    print(
        f"distance between two of them: {(first - second).norm():.2f}, their norms: "
        f"{first.norm():.2f}, {second.norm():.2f}"
    )
    for name, theta in {"first": first, "half-way": middle, "second": second}.items():
        # batch-norm statistics are recomputed at every point
        score = run.landscape.score(theta[None], "test")
        print(
            f"{name:9} test loss {score.losses.mean():.3f} nats, test error "
            f"{100 * score.errors.mean():.1f} %"
        )

    network = run.landscape.model_at(first)  # an ordinary nn.Module
    print(
        f"{type(network).__name__} with {sum(p.numel() for p in network.parameters()):,} parameters"
    )


if __name__ == "__main__":
    main(sys.argv[1])
