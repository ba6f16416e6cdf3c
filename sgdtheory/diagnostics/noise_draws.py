"""Draws of the gradient noise, and what is made of them through the smaller of two matrices."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from sgdtheory.statistics.bootstrap import Array

PAIRS = 1 << 26  # pairs of draws whose products are held at once: half a gigabyte in float64


@dataclass(frozen=True, eq=False)
class Draws:
    """Draws G [K, n] of the noise, float64, with C = GᵀG/K; `exact` when they are all examples
    there are.

    GᵀG [n, n] and GGᵀ [K, K] have the same eigenvalues but for zeros. Examples of a table are many
    more than a small network's parameters, and fewer than a large one's.
    """

    rows: Tensor
    exact: bool

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def sizes(self) -> Array:
        """|g|² of each, [K]."""
        sizes: Array = self.rows.square().sum(1).cpu().numpy()
        return sizes

    @cached_property
    def values(self) -> Tensor:
        """The eigenvalues of K·C that may be more than 0, ascending, [min(K, n)]."""
        values: Tensor = torch.linalg.eigvalsh(self._smaller)
        return values

    def directions(self, count: int) -> Tensor:
        """Unit vectors along the largest of them, at most `count`, [n, count]; none along one that
        is rounding."""
        found = torch.linalg.eigh(self._smaller)
        values, states = found.eigenvalues[-count:], found.eigenvectors[:, -count:]
        eps = torch.finfo(values.dtype).eps
        is_known = values > max(self.rows.shape) * eps * values[-1]
        values, states = values[is_known], states[:, is_known].to(self.rows)
        if not self._has_fewer_rows:
            same: Tensor = states
            return same
        unit: Tensor = self.rows.T @ (states / values.sqrt().to(self.rows))
        return unit

    @cached_property
    def squares(self) -> Array:
        """Σ_j (g_i·g_j)² of each draw i, itself among the j, [K]."""
        if self._has_fewer_rows:
            squares = self._smaller.square().sum(1)
        else:
            along = self.rows @ self._smaller.to(self.rows)
            squares = (along * self.rows).sum(1).cpu()
        found: Array = squares.numpy()
        return found

    def resampled(self, weights: Array) -> Array:
        """Σ_ij w_i w_j (g_i·g_j)² = K²‖C‖² of resamples that have draw i w_i times [R, K], [R].

        Of more than `PAIRS` pairs to first order in w − 1: some 1/K of the whole is left out.
        """
        if len(self) ** 2 > PAIRS:
            first_order: Array = 2 * weights @ self.squares - self.squares.sum()
            return first_order
        pairs = (self.rows @ self.rows.T).square().cpu().numpy()
        found: Array = ((weights @ pairs) * weights).sum(1)
        return found

    @property
    def _has_fewer_rows(self) -> bool:
        count, n = self.rows.shape
        return count < n

    @cached_property
    def _smaller(self) -> Tensor:
        """GGᵀ or GᵀG, on the CPU."""
        rows = self.rows
        product = rows @ rows.T if self._has_fewer_rows else rows.T @ rows
        return product.cpu()
