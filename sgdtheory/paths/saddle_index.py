"""The top of a path: whether it is a saddle of the objective, and how many directions go down
there."""

import torch

from sgdtheory.geometry.hessian import hessian
from sgdtheory.optim.descent import newton
from sgdtheory.paths.path import Path
from sgdtheory.paths.profile import Profile
from sgdtheory.protocol import Landscape, value_and_grad
from sgdtheory.statistics.rows import Row

STATIONARY = 1e-6  # |∇L| at a refined top: below, it is a critical point
DENSE_HESSIAN = 500  # parameters up to which an index is counted from the whole spectrum


def saddle_index(landscape: Landscape, path: Path, along: Profile) -> Row:
    """How many directions go down at the top, where the top is a critical point of the objective:
    {index, index_why, …}."""
    top = along.worst
    if top in (0, len(along.t) - 1):
        return {"index": None, "index_why": "the top of the path is one of its ends"}
    at = path.t[top : top + 1]
    theta = path.at(at).double()
    _, gradient = value_and_grad(landscape, theta)
    before = float(gradient.norm())
    if theta.shape[1] > DENSE_HESSIAN:
        return {
            "index": None,
            "index_why": f"the top is no critical point of the objective: |∇L| = {before:.2g}",
        }
    refined = newton(landscape, theta[0], 20)[None]
    value, gradient = value_and_grad(landscape, refined)
    left = float(gradient.norm())
    moved = float((refined - theta).norm()) / path.length
    if left > STATIONARY * max(1.0, before) or moved > 0.1:
        return {
            "index": None,
            "index_why": f"no critical point near the top: |∇L| = {left:.2g} after refining",
        }
    eigenvalues = torch.linalg.eigvalsh(hessian(landscape, refined[0]))
    rounding = 1e-8 * eigenvalues.abs().max()
    is_down = eigenvalues < -rounding
    return {"index": int(is_down.sum()), "saddle_value": float(value[0])}
