import json
import os
import subprocess
import sys

import pytest

import fastdeg as fd
from fastdeg.cli import main


def test_show_config_prints_what_a_bug_report_needs(capsys):
    fd.show_config()
    printed = capsys.readouterr().out
    for word in ("fastdeg", "numba", "threads", "threading_layer", "cache_folder"):
        assert word in printed


def test_rooms_are_compiled_by_name_with_progress():
    told = []
    fd.warmup(["measuring", "images"], progress=lambda fraction, what: told.append((fraction, what)))
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(set(fractions))
    assert told[-1] == (1.0, "compiled")
    assert "features and the estimator" in [what for _, what in told]
    assert not any("points" in what for _, what in told)
    with pytest.raises(ValueError, match=r"rooms: expected one of 'measuring', .*got 'image'"):
        fd.warmup("image")


def test_the_verb_warmup_ends_with_the_cache_folder(capsys):
    assert main(["warmup", "--rooms", "measuring"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert main(["info", "--json"]) == 0
    assert last == json.loads(capsys.readouterr().out)["cache_folder"]


@pytest.mark.slow
def test_after_a_warmup_the_main_functions_compile_nothing(tmp_path):
    calls = """
import numpy as np, fastdeg as fd
rng = np.random.default_rng(5)
bins = fd.GridBins(fd.DegradationSpace.preset("paper"))
q = fd.BinnedDistribution.from_samples(bins, bins.space.unstandardize(rng.random((24, 3))))
fd.craft(q)
bins = fd.GridBins(fd.DegradationSpace.preset("dense"))
fd.tradeoff_path(fd.BinnedDistribution.from_samples(bins, bins.space.unstandardize(rng.random((24, 3)))))
fd.emd(*rng.dirichlet(np.ones(2000), 2), rng.random((2000, 3)))
fd.farthest_points(rng.random((50_000, 3)), 10)
fd.weighted_moments(rng.random((100_000, 4)))
"""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}

    def run(code: str) -> int:
        subprocess.run([sys.executable, "-c", code], check=True, env=environment)
        return len(list(tmp_path.rglob("*.nbc")))

    compiled = run("import fastdeg as fd; fd.warmup()")
    assert compiled > 20
    assert run(calls) == compiled
