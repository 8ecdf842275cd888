"""Minima over the bounded simplex {p : Σp = 1, lower ≤ p ≤ upper} in closed form or by a one-dimensional root."""

from __future__ import annotations

import numpy as np

from fastdeg._types import Float

_NOTHING = 800.0  # exp(−_NOTHING) is 0


def entropy_term(p: Float, prior: Float) -> float:
    """Return KL(p ‖ prior) for a prior that is positive everywhere."""
    positive = p > 0
    if not positive.all():
        p, prior = p[positive], prior[positive]
    return max(float(p @ np.log(p / prior)), 0.0)


def linear_entropic_minimum(costs: Float, prior: Float, tau: float, lower: Float, upper: Float) -> tuple[float, Float]:
    """Return minimum and minimiser of ⟨costs, p⟩ + tau KL(p ‖ prior) over the bounded simplex.

    The value is that of the dual function at the multiplier found: a lower bound even where the root is not exact.
    """
    if tau <= 0:
        p = _fill(costs, lower, upper)
        return float(costs @ p), p
    offset = float(costs.min())
    scaled = (costs - offset) / tau
    weights = prior * np.exp(-scaled)
    shift = np.log(weights.sum())  # of the multiplier, in units of tau
    p = weights * np.exp(-shift)
    if (p >= lower).all() and (p <= upper).all():
        return offset - tau * float(shift), p
    logs = np.log(prior) - scaled
    shift = _clipped_root(logs, lower, upper, float(shift))
    exponent = logs - shift
    p = np.clip(np.exp(np.minimum(exponent, 1.0)), lower, upper)
    # p (cost + tau shift) + tau p log(p / prior), separable in the bins
    terms = p * (np.log(np.maximum(p, 1e-300)) - exponent)
    return offset + tau * (float(terms.sum()) - shift), p


def _clipped_root(logs: Float, lower: Float, upper: Float, start: float) -> float:
    """Solve Σ clip(exp(logs − shift), lower, upper) = 1 for the shift, by Newton steps and bisection in a bracket."""
    below = float((logs - np.log(upper)).min())  # from here down each p is at its upper bound
    above = float(logs.max()) + _NOTHING
    if (some := lower > 0).any():
        above = max(above, float((logs[some] - np.log(lower[some])).max()))
    shift, last = min(max(start, below), above), np.inf
    for _ in range(200):
        free = np.exp(np.minimum(logs - shift, 1.0))
        p = np.clip(free, lower, upper)
        excess = float(p.sum()) - 1
        if abs(excess) < 1e-15:
            break
        if excess > 0:
            below = shift
        else:
            above = shift
        slope = float(p[(free > lower) & (free < upper)].sum())
        proposal = shift + excess / slope if slope > 0 else np.inf
        if not below < proposal < above or abs(excess) > last / 2:
            proposal = (below + above) / 2
            last = np.inf  # the next step may be Newton's
        else:
            last = abs(excess)
        if not below < proposal < above:
            break  # no number is left between them
        shift = proposal
    return shift


def _fill(costs: Float, lower: Float, upper: Float) -> Float:
    """Return the vertex that fills the cheapest bins first."""
    p = lower.copy()
    order = np.argsort(costs, kind="stable")
    room = (upper - lower)[order]
    before = np.cumsum(room) - room
    p[order] += np.clip(1 - lower.sum() - before, 0, room)
    return p


def project(point: Float, lower: Float, upper: Float) -> Float:
    """Return the Euclidean projection of a point onto the bounded simplex (Condat, 2016; here by Newton's method)."""
    low, high = float((lower - point).min()), float((upper - point).max())
    shift = 0.0
    for _ in range(200):
        p = np.clip(point + shift, lower, upper)
        excess = float(p.sum()) - 1
        if abs(excess) < 1e-15:
            break
        if excess > 0:
            high = min(high, shift)
        else:
            low = max(low, shift)
        moved = point + shift
        free = int(((moved > lower) & (moved < upper)).sum())
        proposal = shift - excess / free if free else (low + high) / 2
        shift = proposal if low < proposal < high else (low + high) / 2
    return np.clip(point + shift, lower, upper)
