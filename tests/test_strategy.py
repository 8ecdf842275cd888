"""The table of methods: that it is complete, and that a method from outside is certified like those of the package.

The page docs/add-a-method.md runs with the documentation's tests.
"""

import numpy as np
import pytest

import fastdeg as fd
from fastdeg.crafting import strategy
from fastdeg.crafting.problem.problem import Dual, Primal
from fastdeg.crafting.solve import Run


@pytest.fixture
def target():
    bins = fd.GridBins(fd.DegradationSpace.preset("paper"))
    return fd.BinnedDistribution.from_samples(bins, [[1, 20, 80], [2, 22, 78], [1, 31, 80]])


@pytest.mark.parametrize("row", strategy.TABLE, ids=lambda row: row.method)
def test_each_row_names_a_method_and_says_why(row):
    method = row.resolve()
    for name in ("applies", "blank", "primal", "dual", "residuals", "state", "advance"):
        assert hasattr(method, name)
    assert row.case
    assert row.why
    assert any(character.isdigit() for character in row.measured)


def test_changes_hold_for_the_calls_within_and_are_undone():
    before = strategy.current()
    with strategy.using(plan_arcs=0), strategy.using(exact_bins=7) as inner:
        assert strategy.current() is inner
        assert (inner.plan_arcs, inner.exact_bins) == (0, 7)
    with pytest.raises(ZeroDivisionError), strategy.using(plan_arcs=0):
        raise ZeroDivisionError
    assert strategy.current() is before
    with pytest.raises(TypeError, match="no_such_threshold"), strategy.using(no_such_threshold=1):
        pass


class FrankWolfe:
    """Conditional gradients on w_F FD² + τ KL without transport: slow, and from outside."""

    blank = False

    def __init__(self, problem, run: Run):
        self.problem, self.p = problem, problem.prior / problem.prior.sum()

    @staticmethod
    def applies(problem, run):
        return problem.transport.absent and problem.tau > 0

    def primal(self):
        return Primal(self.p, 0.0)

    def dual(self):
        return Dual(np.zeros(self.problem.n_bins), 0.0, self.problem.frechet.moments(self.p))

    def advance(self, enough, at_most):
        problem = self.problem
        towards = problem.tangent_minimum(problem.frechet.moments(self.p), np.zeros(problem.n_bins), 0.0)[1]
        shares = np.geomspace(1e-4, 1, 60)
        values = [problem.objective((1 - s) * self.p + s * towards, 0.0) for s in shares]
        share = shares[int(np.argmin(values))]
        self.p = (1 - share) * self.p + share * towards
        return 1

    def residuals(self):
        return {"primal_residual": 0.0, "dual_residual": 0.0}

    def state(self):
        return None


def test_a_method_from_outside_is_certified(target):
    options = {"generalization": 0.3, "wasserstein_weight": 0, "tol": 1e-5}
    ours = fd.craft(target, **options)
    row = strategy.Row(FrankWolfe, case="no transport", why="to show how", measured="75 bins: 20 ms")
    with strategy.using(rows=(row,)):
        theirs = fd.craft(target, **options)
    assert theirs.converged
    assert theirs.n_iter > 1
    assert abs(theirs.objective - ours.objective) <= 2e-5
    np.testing.assert_allclose(theirs.distribution.pmf, ours.distribution.pmf, atol=5e-3)
