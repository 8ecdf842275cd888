"""Slow oracles for crafting: the objective from its definition, and a general convex solver."""

import numpy as np
import ot
from problems_craft import ground_costs


def mixture_moments(p, means, covs):
    mean = sum(w * m for w, m in zip(p, means, strict=True))
    second = sum(w * (c + np.outer(m, m)) for w, m, c in zip(p, means, covs, strict=True))
    return mean, second - np.outer(mean, mean)


def squared_frechet(p, means, covs, mean, cov):
    """‖μ(p) − m‖² + tr Σ(p) + tr C − 2 × nuclear norm of Σ(p)^½ C^½."""
    mu, sigma = mixture_moments(p, means, covs)
    roots = []
    for matrix in (sigma, cov):
        values, vectors = np.linalg.eigh(matrix)
        roots.append((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T)
    nuclear = np.linalg.svd(roots[0] @ roots[1], compute_uv=False).sum()
    return ((mu - mean) ** 2).sum() + np.trace(sigma) + np.trace(cov) - 2 * nuclear


def transport_cost(p, q, costs):
    """POT's simplex is exact to rounding; linear programming allows infeasibilities of 1e-7 that shift the value."""
    return ot.emd2(p, q, np.ascontiguousarray(costs), numItermax=10**7)


def kl(p, prior):
    positive = p > 0
    return (p[positive] * np.log(p[positive] / prior[positive])).sum()


def objective(p, arguments, transport=transport_cost):
    target, prior = arguments["target"], arguments["prior"]
    value = arguments["frechet_weight"] * squared_frechet(
        p, target.bins.centers, target.bins.covariances, *arguments["target_moments"]
    )
    if arguments["wasserstein_weight"] > 0:
        value += arguments["wasserstein_weight"] * transport(p, target.pmf, ground_costs(arguments))
    if arguments["generalization"] > 0:
        value += arguments["generalization"] * kl(p, prior.pmf)
    return value


def convex_solver(arguments):
    """Return the p that cvxpy and Clarabel find. Their reported value is not to be trusted where C is singular."""
    import cvxpy as cp

    target = arguments["target"]
    means, covs, q = target.bins.centers, target.bins.covariances, target.pmf
    prior, (mean, cov) = arguments["prior"].pmf, arguments["target_moments"]
    n = len(means)
    p = cp.Variable(n, nonneg=True)
    constraints = [cp.sum(p) == 1]
    value = 0
    if arguments["frechet_weight"] > 0:
        values, vectors = np.linalg.eigh(cov)
        factor = vectors[:, values > 1e-12] * np.sqrt(values[values > 1e-12])
        linear = np.einsum("iaa->i", covs) + ((means - mean) ** 2).sum(axis=1)
        value += arguments["frechet_weight"] * (linear @ p + np.trace(cov))
        k = factor.shape[1]
        if k:
            # tr (FᵀΣF)^½ = max tr Z with [[FᵀSF − uuᵀ, Z], [Zᵀ, I]] ⪰ 0; the mean u enters by one more row
            x = (means - means.mean(axis=0)) @ factor
            second = np.einsum("ak,iab,bl->ikl", factor, covs, factor) + x[:, :, None] * x[:, None, :]
            moment = cp.reshape(second.reshape(n, -1).T @ p, (k, k), order="C")
            u = cp.reshape(x.T @ p, (k, 1), order="C")
            z = cp.Variable((k, k))
            block = cp.bmat(
                [[moment, u, z], [u.T, np.ones((1, 1)), np.zeros((1, k))], [z.T, np.zeros((k, 1)), np.eye(k)]]
            )
            constraints.append((block + block.T) / 2 >> 0)
            value -= 2 * arguments["frechet_weight"] * cp.trace(z)
    if arguments["wasserstein_weight"] > 0:
        sinks = np.flatnonzero(q > 0)
        plan = cp.Variable((n, len(sinks)), nonneg=True)
        constraints += [cp.sum(plan, axis=1) == p, cp.sum(plan, axis=0) == q[sinks]]
        value += arguments["wasserstein_weight"] * cp.sum(cp.multiply(ground_costs(arguments)[:, sinks], plan))
    usable = prior > 0
    if not usable.all():
        constraints.append(p[np.flatnonzero(~usable)] == 0)
    if arguments["generalization"] > 0:
        at = np.flatnonzero(usable)
        value += arguments["generalization"] * cp.sum(cp.kl_div(p[at], prior[at]))
    if arguments["lower"] is not None:
        constraints += [p >= arguments["lower"], p <= arguments["upper"]]
    problem = cp.Problem(cp.Minimize(value), constraints)
    problem.solve(solver="CLARABEL", tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10)
    return p.value
