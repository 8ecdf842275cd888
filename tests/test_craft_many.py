"""Many problems side by side: the bits of one after the other, in order, and no process left behind."""

import signal
import subprocess
import sys
import textwrap
import time
import warnings

import numpy as np
import psutil
import pytest

import fastdeg as fd

PATIENCE = 60  # seconds, for what takes a few


@pytest.fixture(scope="module")
def problems():
    rng, bins = np.random.default_rng(0), fd.GridBins(fd.DegradationSpace.preset("paper"))
    targets = [fd.BinnedDistribution(bins, rng.dirichlet(np.full(75, 0.3))) for _ in range(7)]
    return [(q, {"generalization": tau}) for q, tau in zip(targets, [0.05, 0.3, 0.1, 0.2, 0.1, 0.1, 0.4], strict=True)]


@pytest.fixture(scope="module")
def one_by_one(problems):
    return [fd.craft(q, **options, threads=1) for q, options in problems]


def same(a, b):
    return a.distribution == b.distribution and (a.objective, a.lower_bound, a.n_iter, a.terms) == (
        b.objective, b.lower_bound, b.n_iter, b.terms,
    )  # fmt: skip


@pytest.mark.parametrize("threads", [1, 2])
def test_the_bits_of_one_after_the_other_in_order(problems, one_by_one, threads):
    results = list(fd.craft_many(iter(problems), threads=threads))
    assert len(results) == len(problems)
    assert all(map(same, results, one_by_one))
    assert all(result.distribution.bins is q.bins for result, (q, _) in zip(results, problems, strict=True))


def test_chains_start_anew_in_each_run(problems):
    q = problems[0][0]
    along = [(q, {"generalization": tau}) for tau in (0.1, 0.11, 0.12, 0.13, 0.14)]
    results = list(fd.craft_many(along, chain=2, threads=2))
    assert all(result.converged for result in results)
    for first in (0, 2, 4):
        assert same(results[first], fd.craft(q, **along[first][1], threads=1))
    for first in (0, 2):
        cold = fd.craft(q, **along[first][1], threads=1)
        assert same(results[first + 1], fd.craft(q, **along[first + 1][1], warm_start=cold, threads=1))
    assert not same(results[1], fd.craft(q, **along[1][1], threads=1))


def test_problems_are_taken_a_few_ahead_and_processes_end_when_nobody_asks_for_more(problems):
    taken = []

    def endless():
        while True:
            taken.append(None)
            yield problems[len(taken) % len(problems)]

    before = set(psutil.Process().children(recursive=True))
    results = fd.craft_many(endless(), threads=2)
    assert not taken
    next(results)
    own = set(psutil.Process().children(recursive=True)) - before
    assert len(own) == 2
    assert len(taken) < 1_000
    results.close()
    assert not psutil.wait_procs(own, timeout=PATIENCE)[1]


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_names_the_problem_after_the_results_before_it(problems, threads):
    wrong = [*(30 * problems)[:200], (problems[2][0], {"generalization": -1}), *problems[3:]]
    before, results = set(psutil.Process().children(recursive=True)), []
    with pytest.raises(ValueError, match="problem 200: generalization: expected a number >= 0, got -1"):
        results.extend(fd.craft_many(wrong, threads=threads))
    assert len(results) == 200
    assert not psutil.wait_procs(set(psutil.Process().children(recursive=True)) - before, timeout=PATIENCE)[1]


def test_warnings_come_from_processes_too(problems):
    q = problems[1][0]
    extreme = [problems[0], (q, {"generalization": 1e3}), (q, {"generalization": 0.1, "max_iter": 1})]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        list(fd.craft_many(extreme, threads=2))
    told = [(w.category, str(w.message).partition(" after")[0].partition(" (")[0]) for w in caught]
    assert told == [
        (UserWarning, "problem 1: the crafted distribution is all but the prior"),
        (RuntimeWarning, "problem 2: not converged:"),
    ]


def test_what_is_refused(problems):
    q = problems[0][0]
    for arguments, options, message in (
        ((3,), {}, "problems: expected pairs"),
        (([q],), {"chain": 0}, "chain: expected an integer >= 1"),
        (([],), {"threads": 0}, "threads: expected a positive integer"),
        (([],), {"client": 3}, "client: expected a distributed.Client"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            fd.craft_many(*arguments, **options)
    for problem, message in (
        (q, "problem 0: expected a target and a dictionary"),
        ((q, {"threads": 2}), "problem 0: threads is not for single problems"),
        ((q, {"generalisation": 2}), "problem 0: .*unexpected keyword argument"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            next(fd.craft_many([problem], threads=1))
    assert list(fd.craft_many([], threads=2)) == []


def test_an_interrupt_ends_the_workers():
    script = """
        import itertools, signal
        signal.signal(signal.SIGINT, signal.default_int_handler)
        import numpy as np, fastdeg as fd
        q = fd.BinnedDistribution(fd.GridBins(fd.DegradationSpace.preset("paper")), np.full(75, 1 / 75))
        try:
            for result in fd.craft_many(itertools.repeat((q, {"generalization": 0.1})), threads=2):
                print("result", flush=True)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "result\n"
        workers = psutil.Process(process.pid).children(recursive=True)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=PATIENCE)
    assert output.endswith("interrupted\n")
    assert "Traceback" not in errors
    assert len(workers) == 2
    assert not psutil.wait_procs(workers, timeout=PATIENCE)[1]


def test_a_process_that_is_killed_takes_its_workers_along():
    script = """
        import itertools
        import numpy as np, fastdeg as fd
        q = fd.BinnedDistribution(fd.GridBins(fd.DegradationSpace.preset("paper")), np.full(75, 1 / 75))
        for result in fd.craft_many(itertools.repeat((q, {"generalization": 0.1})), threads=2):
            print("result", flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "result\n"
        workers = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    assert len(workers) == 2
    assert not psutil.wait_procs(workers, timeout=PATIENCE)[1]
