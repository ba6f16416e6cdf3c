"""Join two networks of your own: ten lines, without a command or a configuration.

python examples/join_your_networks.py

"""

import torch
from sklearn.datasets import load_wine
from torch import nn

import sgdtheory


def wine() -> tuple[torch.Tensor, torch.Tensor]:
    """178 wines: thirteen numbers of mean 0 and spread 1 each, and which of three they are."""
    numbers, kinds = load_wine(return_X_y=True)
    inputs = torch.tensor((numbers - numbers.mean(0)) / numbers.std(0)).float()
    return inputs, torch.tensor(kinds)


def trained(inputs: torch.Tensor, targets: torch.Tensor, seed: int) -> nn.Module:
    """Whatever you train, and however."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(13, 16), nn.ReLU(), nn.Linear(16, 3))
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.01)
    for _ in range(300):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(inputs), targets).backward()
        optimiser.step()
    return network


def main() -> None:
    train = wine()
    first, second = (trained(*train, seed) for seed in (0, 1))

    landscape = sgdtheory.landscape(first, train)
    path = sgdtheory.connect(landscape, first, second.state_dict())
    print(path)
    print("barrier:", path.barrier)
    middle = landscape.model_at(path.points([0.5])[0].float())  # an ordinary nn.Module
    with torch.no_grad():
        loss = nn.functional.cross_entropy(middle(train[0]), train[1])
    print(f"half-way: {loss:.4f} nats")


if __name__ == "__main__":
    main()
