"""Curvature against the whole Hessian in float64, against identities of networks, and against
another package."""

from functools import partial
from typing import Any

import hessian_eigenthings as peer
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sgdtheory.data.digits import digits
from sgdtheory.diagnostics.spectrum import Spectrum
from sgdtheory.geometry.hessian import hessian, top_eigenpairs
from sgdtheory.geometry.lanczos import lanczos, weighted_spectrum
from sgdtheory.geometry.spectral_density import density, density_without, ritz_pairs
from sgdtheory.geometry.traces import trace_beside
from sgdtheory.landscapes.network import Network
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.models.linear import Linear
from sgdtheory.models.mlp import MLP
from sgdtheory.models.resnet import ResNet
from sgdtheory.optim.schedule import Cosine
from sgdtheory.optim.sgd import SGD
from sgdtheory.products import Products
from sgdtheory.protocol import hvp, value_and_grad
from sgdtheory.rng import stream

LANCZOS = lanczos


def trained(landscape: Network, steps: int = 150) -> Tensor:
    """A point below which little is left, [n] in float64."""
    start = landscape.init(1, stream(0, "init"))
    for state in SGD(steps, 64, 0.3, Cosine(), 0.9).run(landscape, start, 0):
        last = state
    return last.cloud[0].double()


@pytest.fixture(scope="module")
def small() -> tuple[Network, Tensor, Tensor]:
    """Tanh MLP 64-8-10 on 300 digits, a trained point [610], and the whole Hessian there by
    autograd's own double loop."""
    landscape = Network(
        partial(MLP, hidden=(8,), activation="tanh"), digits().first(300, 60), weight_decay=1e-4
    )
    theta = trained(landscape)
    whole = torch.autograd.functional.hessian(lambda x: landscape.losses(x[None])[0], theta)
    return landscape, theta, whole


def test_the_whole_hessian_and_its_top_ten(small: tuple[Network, Tensor, Tensor]) -> None:
    landscape, theta, whole = small
    torch.testing.assert_close(hessian(landscape, theta), whole, rtol=0, atol=1e-12)
    exact = torch.linalg.eigvalsh(whole).flip(0)[:10]
    values, modes = top_eigenpairs(landscape, theta, 10)
    assert float((values - exact).abs().max()) < 1e-6 * float(exact[0])
    torch.testing.assert_close(
        modes @ whole, values[:, None] * modes, rtol=0, atol=1e-5 * float(exact[0])
    )


def test_the_density_finds_trace_and_moments_within_its_own_error(
    small: tuple[Network, Tensor, Tensor],
) -> None:
    landscape, theta, whole = small
    scores = []
    for seed in range(8):
        found = density(
            landscape, theta, 10, 6, 2, stream(seed, "probes")
        )  # two nodes: exact for h and h²
        for f in (lambda h: h, torch.square):
            total = found.total(f)
            assert total.value is not None and total.stderr is not None
            scores.append(
                (total.value - float(f(torch.linalg.eigvalsh(whole)).sum())) / total.stderr
            )
    z = torch.tensor(scores)
    assert (
        float(z.abs().max()) < 5.9
    )  # of Student's t with 5 degrees of freedom, 16 draws: chance 1/30
    assert (
        0.3 < float(z.square().mean().sqrt()) < 2.5
    )  # an error neither too small nor too large; 1.3 expected


def test_a_wrong_complement_is_seen(
    small: tuple[Network, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the top ten taken out, they would be counted twice."""
    landscape, theta, whole = small
    monkeypatch.setattr(
        "sgdtheory.geometry.spectral_density.lanczos", lambda *a: LANCZOS(*a[:4], a[4][:0])
    )
    total = density(landscape, theta, 10, 6, 30, stream(0, "probes")).total(lambda h: h)
    assert total.value is not None and total.stderr is not None
    assert total.value - float(whole.trace()) > 3 * total.stderr


def test_shares_and_counts_are_within_their_errors(small: tuple[Network, Tensor, Tensor]) -> None:
    landscape, theta, whole = small
    exact = torch.linalg.eigvalsh(whole)
    found = density(landscape, theta, 10, 6, 60, stream(0, "probes"))
    for edge in (1e-3, 1e-2, 1e-1):
        edge *= float(exact[-1])
        share = found.share(-edge, edge)
        assert share.value is not None and share.stderr is not None
        assert abs(share.value - float((exact.abs() < edge).double().mean())) < 3 * share.stderr
    below = found.below(0.0)
    assert below.value is not None and below.stderr is not None
    assert abs(below.value - int((exact < 0).sum())) < 3 * max(1.0, below.stderr)


def test_small_landscapes_have_no_error() -> None:
    landscape = Quadratic((1.0, 0.37, 0.02, -0.5), ambient=40, stiffness=0.1)
    found = density(landscape, landscape.minima()[0].double(), 3, 6, 30, stream(0, "probes"))
    assert found.total(lambda h: h) == pytest.approx(
        (1.0 + 0.37 + 0.02 - 0.5 + 36 * 0.1, None, "", ""), abs=1e-9
    )
    assert found.below(0.0)[:2] == (1.0, None) and found.share(-0.05, 0.05)[:2] == (
        pytest.approx(1 / 40),
        None,
    )


def test_a_weighted_spectrum_is_that_of_its_vectors(small: tuple[Network, Tensor, Tensor]) -> None:
    landscape, theta, whole = small
    vectors = torch.randn(3, len(theta), generator=stream(0, "vectors"), dtype=torch.float64)
    values, weights = weighted_spectrum(landscape, theta, vectors, 20)
    for power in (1, 2, 3):
        wanted = (
            torch.einsum("vi,ij,vj->", vectors, torch.linalg.matrix_power(whole, power), vectors)
            / vectors.square().sum()
        )
        assert float((weights * values**power).sum()) == pytest.approx(float(wanted), rel=1e-9)


# identities


def test_batch_norm_makes_a_filter_scale_invariant() -> None:
    """L(w) = L(aw) for a filter before batch norm: w·∇_wL = 0, and differentiated once more H_ww w
    = −∇_wL."""
    landscape = Network(partial(ResNet, depth=8, width=2), digits().first(64, 10), weight_decay=0.0)
    theta = landscape.init(1, stream(0, "init")).double()
    landscape.module.double()
    names = dict(landscape.module.named_parameters())
    _, gradient = value_and_grad(landscape, theta)
    first, checked = 0, 0
    for name, parameter in names.items():
        last = first + parameter.numel()
        if parameter.ndim == 4:  # every filter of these networks is followed by batch norm
            vector = torch.zeros_like(theta)
            vector[:, first:last] = theta[:, first:last]
            size = float(gradient[:, first:last].norm())
            product = hvp(landscape, theta, vector)[:, first:last]
            eps = 1e-3  # of batch norm's ε = 1e-5 beside the variance: not quite scale invariant
            assert abs(float((vector * gradient).sum())) < eps * size * float(vector.norm()), name
            assert float((product + gradient[:, first:last]).norm()) < eps * size, name
            checked += 1
        first = last
    assert checked >= 7


def test_a_softmax_has_null_directions() -> None:
    """One vector added to every output row changes no probability: gradient and Hessian vanish
    along it, λ = 0."""
    landscape = Network(Linear, digits().first(100, 10), weight_decay=0.0)
    theta = landscape.init(1, stream(0, "init")).double()
    shapes = [p.shape for p in landscape.module.parameters()]
    assert [tuple(s) for s in shapes] == [(10, 64), (10,)]
    row = torch.randn(64, generator=stream(0, "row"), dtype=torch.float64)
    direction = torch.cat([row.repeat(10), torch.full((10,), 0.7, dtype=torch.float64)])[None]
    _, gradient = value_and_grad(landscape, theta)
    assert abs(float((gradient * direction).sum())) < 1e-12 * float(direction.norm())
    assert float(hvp(landscape, theta, direction).norm()) < 1e-12 * float(direction.norm())
    broken = direction.clone()
    broken[:, :64] *= 2
    assert float(hvp(landscape, theta, broken).norm()) > 1e-3


def test_gauss_newton_has_the_rank_of_its_outputs() -> None:
    """A linear softmax has no other curvature: rank H ≤ N(K − 1), and with fewer examples than
    parameters it is reached."""
    landscape = Network(Linear, digits().first(12, 10), weight_decay=0.0)
    theta = landscape.init(1, stream(0, "init"))[0].double()
    values = torch.linalg.eigvalsh(hessian(landscape, theta))
    assert int((values > 1e-12 * values[-1]).sum()) == 12 * 9 and float(values[0]) > -1e-14


# another package


def test_a_peer_finds_the_same(small: tuple[Network, Tensor, Tensor]) -> None:
    """hessian-eigenthings, on the same module and data, with the L2 term in its loss."""
    landscape, theta, _ = small
    module: Any = landscape.model_at(theta)
    images = landscape.data.scaled(landscape.data.train_inputs, torch.float32).double()

    def loss(model: Any, batch: tuple[Tensor, Tensor]) -> Tensor:
        decay = sum(p.square().sum() for p in model.parameters())
        return F.cross_entropy(model(batch[0]), batch[1]) + 0.5 * landscape.weight_decay * decay

    operator = peer.HessianOperator(module, [(images, landscape.data.train_targets)], loss)
    theirs = peer.lanczos(operator, k=1, which="LA", max_iter=60, seed=0)
    values, _ = top_eigenpairs(landscape, theta, 1)
    assert float(values[0]) == pytest.approx(float(theirs.eigenvalues[0]), rel=1e-6)
    trace = peer.trace(operator, num_matvecs=800, method="hutchinson", seed=0)
    # thirty probes: an error from six is Student's with five degrees of freedom, beyond three of
    # its widths in 3 % of cases
    ours = density(landscape, theta, 10, 30, 2, stream(0, "probes")).total(lambda h: h)
    assert ours.value is not None and ours.stderr is not None
    assert abs(ours.value - trace.estimate) < 3 * (ours.stderr**2 + trace.stderr**2) ** 0.5


# few products


def test_leading_curvatures_lie_within_their_bounds(small: tuple[Network, Tensor, Tensor]) -> None:
    landscape, theta, whole = small
    exact = torch.linalg.eigvalsh(whole)
    found = ritz_pairs(landscape, theta, 10, 20, stream(0, "leading"))
    assert float(found.bounds[0]) < 1e-2 * float(exact[-1])
    for value, bound, mode in zip(found.values, found.bounds, found.vectors, strict=True):
        assert float((exact - value).abs().min()) <= float(bound)
        assert float((whole @ mode - value * mode).norm()) <= float(bound) * 1.001
    assert float(found.values[0]) == pytest.approx(float(exact[-1]), abs=float(found.bounds[0]))


def test_a_brief_spectrum_is_within_its_errors(small: tuple[Network, Tensor, Tensor]) -> None:
    landscape, theta, whole = small
    exact = torch.linalg.eigvalsh(whole)
    largest = float(exact[-1])
    wanted = {
        "trace": float(exact.sum()),
        "flat_fraction": float((exact.abs() < 1e-3 * largest).double().mean()),
        "negative_eigenvalues": float((exact < -(len(exact) ** 0.5) * 2.2e-16 * largest).sum()),
    }
    scores = []
    for seed in range(6):
        row = Spectrum(seed=seed).within(40)(landscape, theta[None])[0]
        assert set(row) == set(Spectrum()(landscape, theta[None])[0]) if not seed else True
        top = row["top_eigenvalue"]
        assert top.value is not None and top.stderr is not None
        assert abs(top.value - largest) <= top.stderr < 0.05 * largest
        told = [row[f"eigenvalue_{i}"] for i in range(2, 11)]
        assert all(
            x.stderr is not None and x.stderr <= 0.1 * x.value if x.value is not None else x.why
            for x in told
        )
        for name, value in wanted.items():
            found, error, _, why = row[name]
            if found is None:  # an error that is twice as large tells nothing
                assert name != "trace" and why.startswith("known to ± ")
                continue
            assert error is not None
            scores.append((found - value) / error)
    assert len(scores) >= 12
    z = torch.tensor(scores)
    assert (
        float(z.abs().max()) < 4.5
    )  # of Student's t with 9 degrees of freedom, 18 draws: chance 1/40
    assert float(z.abs().median()) < 1.5


def test_products_are_not_exceeded(
    small: tuple[Network, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    landscape, theta, _ = small
    counted = []
    real = Products.__call__
    counting = lambda self, rows: counted.append(len(rows)) or real(self, rows)  # noqa: E731
    monkeypatch.setattr(Products, "__call__", counting)
    Spectrum().within(40)(landscape, theta[None])
    assert sum(counted) == 40


# the trace


def test_a_space_in_which_the_hessian_is_known(small: tuple[Network, Tensor, Tensor]) -> None:
    """Eigenvectors and the first probe's Krylov space are orthonormal together, and the sum of
    eigenvalues and α is the trace of H in them."""
    landscape, theta, whole = small
    known, vectors = top_eigenpairs(landscape, theta, 4)
    found = density_without(landscape, theta, known, vectors, 2, 25, stream(0, "probes"))
    assert found.inside is not None
    basis, trace = found.inside
    identity = torch.eye(29, dtype=torch.float64)
    torch.testing.assert_close(basis @ basis.T, identity, rtol=0, atol=1e-6)
    restricted = basis @ whole @ basis.T
    assert float(trace) == pytest.approx(float(restricted.trace()), rel=1e-6)


def test_a_krylov_space_that_is_complete_ends() -> None:
    """Five different curvatures: what would come after five steps is rounding."""
    landscape = Quadratic((2.0, 0.3, 1e-2, -0.5), ambient=300, stiffness=0.1)
    theta = landscape.minima()[0].float()
    none = torch.zeros(0, 300)
    found = density_without(landscape, theta, none[:, 0], none, 3, 40, stream(0, "probes"))
    assert found.inside is not None
    basis, _ = found.inside
    assert len(basis) <= 6
    identity = torch.eye(len(basis))
    torch.testing.assert_close(basis @ basis.T, identity, rtol=0, atol=1e-4)
    trace = Spectrum(top=2, probes=3, steps=40)(landscape, theta[None])[0]["trace"]
    exact = 2.0 + 0.3 + 1e-2 - 0.5 + 296 * 0.1
    assert trace.value is not None and trace.stderr is not None
    assert abs(trace.value - exact) < 4 * trace.stderr + 1e-4  # and rounding of 300 in float32


def traces(landscape: Network, theta: Tensor, brief: bool) -> list[Any]:
    """Tr H with its error by twelve seeds."""
    found = []
    for seed in range(12):
        spectrum = Spectrum(top=4, probes=2, steps=20, trace_products=16, seed=seed)
        if brief:
            spectrum = spectrum.within(60)
        found.append(spectrum(landscape, theta[None])[0]["trace"])
    return found


@pytest.mark.parametrize("brief", [False, True])
def test_the_trace_is_within_its_error(small: tuple[Network, Tensor, Tensor], brief: bool) -> None:
    landscape, theta, whole = small
    exact = float(whole.trace())
    found = traces(landscape, theta, brief)
    z = torch.tensor([(x.value - exact) / x.stderr for x in found])
    # Student's t with 14 or 15 degrees of freedom: beyond 4.5 in 1 of 2000 draws; the root mean
    # square of twelve has a spread of a quarter round 1.07
    assert float(z.abs().max()) < 4.5
    assert 0.4 < float(z.square().mean().sqrt()) < 1.9
    assert max(x.stderr for x in found) < 0.02 * exact


def test_what_is_known_is_not_seen_again(
    small: tuple[Network, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random vectors that are not taken out of the known space count it twice."""
    landscape, theta, whole = small
    monkeypatch.setattr(
        "sgdtheory.diagnostics.spectrum.trace_beside",
        lambda *a: trace_beside(a[0], a[1], a[2][:0], *a[3:]),
    )
    for found in traces(landscape, theta, brief=True):
        assert found.value - float(whole.trace()) > 3 * found.stderr


def test_the_trace_is_better_than_by_the_probes_alone(
    small: tuple[Network, Tensor, Tensor],
) -> None:
    landscape, theta, _ = small
    old = density(landscape, theta, 10, 6, 60, stream(0, "spectrum")).total(lambda h: h)
    new = Spectrum()(landscape, theta[None])[0]["trace"]
    assert old.stderr is not None and new.stderr is not None
    assert new.stderr < 0.2 * old.stderr  # for 30 products more than 390


def test_from_no_vector_lanczos_gives_no_direction() -> None:
    """A draw of the noise of two examples may be exactly 0."""
    origin = torch.zeros(2, dtype=torch.float64)
    nothing = torch.zeros(1, 2, dtype=torch.float64)
    found = lanczos(Quadratic((4.0, 1.0)), origin, nothing, 2, origin.expand(0, 2))
    assert not found.alpha.any() and not found.basis[:, : found.alpha.shape[1]].any()
