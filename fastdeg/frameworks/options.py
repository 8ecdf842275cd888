"""What was read of an option file: its chain, what it amounts to on the axes of a space, and what is to be said."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from fastdeg import _checks
from fastdeg._types import ByValue, Float
from fastdeg.bins import Bins, GridBins
from fastdeg.degradations import History, OneOf, registry
from fastdeg.distribution import BinnedDistribution
from fastdeg.frameworks import chain as chains
from fastdeg.frameworks.chain import Chain, Product
from fastdeg.frameworks.ranges import Values, fixed
from fastdeg.frameworks.simulation import block_steps, history_of
from fastdeg.space import DegradationSpace

N_DRAWS = 100_000


@dataclass(frozen=True, eq=False, repr=False)
class Options(ByValue):
    """The degradations of an option file.

    Attributes
    ----------
    framework : str
        The dialect that it is written in.
    chain : tuple
        Its random steps, in order; some of them branches.
    scale : float
        Clean size by low-resolution size.
    without_effect, traps, unknown : tuple of str
        Sentences on keys that do nothing, on what surprises, and on names that the dialect does not know.
    source : str
        The file.
    """

    framework: str
    chain: Chain
    scale: float = 1.0
    without_effect: tuple[str, ...] = ()
    traps: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    source: str = ""
    _products: list[tuple[float, Product]] | None = field(default=None, compare=False)

    @property
    def notes(self) -> tuple[str, ...]:
        """All that is to be said of the file, in sentences."""
        outside = [f"{name}: no axis tells of it (probability {p:.2g})" for name, p in self.outside.items()]
        return (*self.unknown, *self.without_effect, *self.traps, *outside)

    @property
    def outside(self) -> dict[str, float]:
        """Steps that no axis tells of, by name, with their probability."""
        return chains.others(self.chain)

    @cached_property
    def products(self) -> list[tuple[float, Product]] | None:
        """The chain as a mixture of independent ranges over the axes, where it is one."""
        return chains.products(self.chain) if self._products is None else self._products

    @property
    def history(self) -> History:
        """The chain as random steps that `fastdeg.degrade` carries out, the downsampling included.

        Steps that no axis tells of are left out. Of ranges of axes (CSV, JSON, and mixtures of products) it draws from
        one block after the other by their weights.
        """
        if self._products is None:
            return history_of(self.chain, self.scale)
        return History([OneOf([(weight, block_steps(product)) for weight, product in self._products])])

    def distribution(
        self, bins: Bins, n: int = N_DRAWS, rng: np.random.Generator | int | None = 0
    ) -> BinnedDistribution:
        """Return what a training run with this file trains on, over bins.

        Where the file's chain is fastdeg's own (blur, one downsampling, noise, JPEG; one of several such chains), its
        ranges are integrated over the bins. Otherwise its parameters are drawn ``n`` times and their effects composed:
        blurs in quadrature, noise through the later filters and resizes, the last JPEG. What lies beyond the space
        counts in its outer bins, an image without JPEG in those of the best quality.

        Parameters
        ----------
        bins : GridBins or CentroidBins
            Over a space of parameters of the chain.
        n : int
            Number of draws, where there are any.
        rng : numpy.random.Generator or int, optional
            Of the draws; the same ones each time by default.

        Returns
        -------
        BinnedDistribution

        Raises
        ------
        ValueError
            When the bins have no space, or one of other axes.
        """
        space = registry.space_of(bins, "bins", own_pipeline=False)
        if self.products is not None and isinstance(bins, GridBins):
            pmf = np.zeros(space.shape)
            for weight, product in self.products:
                part: Float = np.full(1, weight)
                for axis in space.axes:
                    part = np.multiply.outer(part, _along(product, axis.name).shares(axis))
                pmf += part[0]
            return BinnedDistribution(bins, pmf.ravel() / pmf.sum())
        return BinnedDistribution.from_samples(bins, self.sample(bins, n, rng), outside="clip")

    def sample(self, bins: Bins, n: int, rng: np.random.Generator | int | None = None) -> Float:
        """Return n draws of the composed effects over the axes of the bins' space, shape (n, d); not clipped to it."""
        space = registry.space_of(bins, "bins", own_pipeline=False)
        n, rng = _checks.integer(n, "n", 1), _checks.generator(rng)
        _checks.memory(16.0 * n * space.ndim, "n")
        if self.products is not None:
            return _columns(_draw_products(self.products, space.names, n, rng), space, n)
        return _columns(chains.draw(self.chain, n, rng), space, n)

    def one(self, bins: Bins, rng: np.random.Generator) -> tuple[History, Float]:
        """Return one draw: as a history that leaves nothing to chance, and its composed effects, shape (d,)."""
        space, rng = registry.space_of(bins, "bins", own_pipeline=False), _checks.generator(rng)
        if self._products is not None:
            weights = np.array([weight for weight, _ in self._products])
            product = self._products[rng.choice(len(weights), p=weights / weights.sum())][1]
            drawn = {name: fixed(float(values.draw(1, rng)[0])) for name, values in product.items()}
            effects = _draw_products([(1.0, dict(drawn))], space.names, 1, rng)
            return History(block_steps(dict(drawn))), _columns(effects, space, 1)[0]
        chain = chains.one(self.chain, rng)
        return history_of(chain, self.scale), _columns(chains.draw(chain, 1, rng), space, 1)[0]

    def __repr__(self) -> str:
        kind = "ranges" if self.products is not None else f"chain of {len(self.chain)} steps"
        return f"Options({self.framework}, ×{self.scale:g}, {kind}, {len(self.notes)} notes)"


def _draw_products(
    products: list[tuple[float, Product]], names: tuple[str, ...], n: int, rng: np.random.Generator
) -> dict[str, Float]:
    weights = np.array([weight for weight, _ in products])
    label = rng.choice(len(weights), n, p=weights / weights.sum())
    drawn = {name: np.empty(n) for name in names}
    for k, (_, product) in enumerate(products):
        at = np.flatnonzero(label == k)
        for name in names:
            drawn[name][at] = _along(product, name).draw(len(at), rng)
    return drawn


def _columns(drawn: dict[str, Float], space: DegradationSpace, n: int) -> Float:
    """Return drawn effects by the axes of a space, (n, d); no compression is the best quality that there is."""
    if "poisson_scale" in space.names and "noise_sigma" in space.names:
        drawn = drawn | {"noise_sigma": drawn.get("gaussian_sigma", drawn["noise_sigma"])}
    columns = []
    for axis in space.axes:
        values = drawn[axis.name] if axis.name in drawn else np.full(n, _neutral(axis.name))
        columns.append(np.where(np.isfinite(values), values, registry.parameters()[axis.name].high))
    return np.stack(columns, axis=1)


def _along(product: Product, name: str) -> Values:
    """Return the range of one axis; where a step is missing, the value at which it changes nothing."""
    if name in product:
        return product[name]
    if name in ("blur_sigma_x", "blur_sigma_y") and "blur_sigma" in product:
        return product["blur_sigma"]
    return fixed(_neutral(name))


def _neutral(name: str) -> float:
    """Return the value at which a parameter changes nothing, infinity for the best quality."""
    neutral = registry.parameters()[name].neutral
    return np.inf if neutral is None else float(neutral)
