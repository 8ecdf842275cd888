"""Slow oracles for crafting: the objective from its definition, and a general convex solver."""

import itertools

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


def small_objective(p, arguments, vertices):
    """Objective at points p, shape (n, N), of a problem of two or three bins, given the vertices of its transport."""
    means, covs, mean, cov = moment_arguments(arguments)
    prior, d = arguments["prior"].pmf, len(mean)
    mu = p @ means
    away = means - mu[:, None]
    values, vectors = np.linalg.eigh(covs)
    roots = (
        vectors * np.sqrt(np.maximum(values, 0))[:, None]
    )  # of each bin: a sum of squares keeps a Σ that is singular
    factors = np.sqrt(np.maximum(p, 0))[:, :, None, None] * np.concatenate(
        (away[:, :, :, None], np.broadcast_to(roots, (len(p), *roots.shape))), axis=3
    )
    values, vectors = np.linalg.eigh(cov)
    products = np.einsum("niar,ab->nirb", factors, vectors * np.sqrt(np.maximum(values, 0)))
    nuclear = np.linalg.svd(products.reshape(len(p), -1, d), compute_uv=False)
    traces = (factors**2).sum(axis=(1, 2, 3)) + np.trace(cov)
    frechet = ((mu - mean) ** 2).sum(axis=1) + traces - 2 * nuclear.sum(axis=1)
    transport = np.max([p @ phi + constant for phi, constant in vertices], axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = np.where(p > 0, p * np.log(p / prior), 0.0).sum(axis=1)
    weights = arguments["frechet_weight"], arguments["wasserstein_weight"], arguments["generalization"]
    terms = (frechet, transport, entropy)  # none is negative but by rounding
    return sum((w * np.maximum(t, 0.0) for w, t in zip(weights, terms, strict=True) if w > 0), np.zeros(len(p)))


def moment_arguments(arguments):
    bins = arguments["target"].bins
    means, covs = arguments.get("bin_moments") or (bins.centers, bins.covariances)
    return means, covs, *arguments["target_moments"]


def transport_vertices(arguments):
    """Potentials φ and ⟨ψ, q⟩ at the vertices of the dual of the transport: W is the largest ⟨φ, p⟩ + ⟨ψ, q⟩.

    They are the spanning trees of the pairs whose potentials are feasible.
    """
    q, costs = arguments["target"].pmf, ground_costs(arguments)
    costs, q = costs[:, q > 0], q[q > 0]
    n, m = costs.shape
    vertices = []
    for tree in itertools.combinations(itertools.product(range(n), range(m)), n + m - 1):
        system = np.zeros((n + m, n + m))
        for row, (i, j) in enumerate(tree):
            system[row, [i, n + j]] = 1
        system[-1, 0] = 1  # one potential is free
        if abs(np.linalg.det(system)) < 0.5:
            continue  # not a tree
        potentials = np.rint(np.linalg.inv(system)) @ np.append([costs[cell] for cell in tree], 0.0)
        if (potentials[:n, None] + potentials[n:] <= costs + 1e-14 * max(1, costs.max())).all():
            vertices.append((potentials[:n], float(q @ potentials[n:])))
    return vertices


def smallest_objective(arguments, near, points=16):
    """Return the least objective that a search over ever finer triangles of feasible points finds, from all over and
    from a point nearby."""
    prior, vertices = arguments["prior"].pmf, transport_vertices(arguments)
    n = len(prior)
    low = np.zeros(n) if arguments["lower"] is None else arguments["lower"]
    high = np.where(prior > 0, 1.0 if arguments["upper"] is None else arguments["upper"], 0.0)
    grid = np.array([g for g in itertools.product(range(points + 1), repeat=n) if sum(g) == points]) / points - 1 / n
    least = float(small_objective(near[None], arguments, vertices)[0])
    for center, size in ((np.full(n, 1 / n), 1.0), (near, 1e-3)):
        while size > 1e-9:
            p = np.concatenate((center + size * grid, [center]))
            p[np.abs(p) < 1e-15] = 0.0
            p = p[((p >= low) & (p <= high)).all(axis=1)]
            if len(p):
                values = small_objective(p, arguments, vertices)
                center, least = p[values.argmin()], min(least, float(values.min()))
            size /= 4
    return least
