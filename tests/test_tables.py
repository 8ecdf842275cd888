"""Annotated degradations, as tables have them: what is read, assumed, moved, left out and refused."""

import numpy as np
import pytest

import fastdeg as fd
from fastdeg.cli.annotations import annotation_bins, read_annotations
from fastdeg.cli.tables import read_table

VALUES = np.array([[0.0, 12.5, 4], [1.25, 20.0, 2], [2.5, 7.75, 4]])
SPACE = fd.DegradationSpace([fd.Axis.regular("blur_sigma", 0.5, 3, 5), fd.Axis.regular("noise_sigma", 0, 50, 5)])


def text(separator=",", decimal=".", header=("file", "blur_sigma", "noise_sigma", "downsampling")):
    rows = [[f"{i}.png", *map(str, row)] for i, row in enumerate(VALUES.tolist())]
    lines = [separator.join(header), *(separator.join(row) for row in rows)]
    return "\n".join([lines[0], *(line.replace(".", decimal).replace(f"{decimal}png", ".png") for line in lines[1:])])


def read(path, **options):
    return read_annotations(read_table(path), options.pop("space", None), **options)


@pytest.mark.parametrize(
    ("content", "assumed"),
    [
        (text().encode(), ""),
        (text().replace("\n", "\r\n").encode("utf-8-sig"), ""),
        (text(";").encode(), "separated by semicolons"),
        (text(";", ",").encode(), "separated by semicolons"),
        (text("\t").encode("utf-16"), "separated by tabs"),
        (text(header=(" File", "BLUR_SIGMA ", " noise_sigma", "Downsampling")).encode(), ""),
        (("\n\n" + text().replace("\n1.png", "\n   \n\n,,,\n1.png") + "\n\n").encode(), ""),
        (text().replace("0.png", "für.png").encode("cp1252"), "Windows-1252"),
    ],
)
def test_text_tables(content, assumed, tmp_path):
    (tmp_path / "table.csv").write_bytes(content)
    found = read(tmp_path / "table.csv")
    assert found.space.names == ("blur_sigma", "downsampling", "noise_sigma")
    np.testing.assert_array_equal(found.parameters, VALUES[:, [0, 2, 1]])
    assert found.has_files
    assert found.names[1:] == ("1.png", "2.png")
    assert assumed in "; ".join(found.assumed)


@pytest.mark.parametrize(("suffix", "package"), [("parquet", "pyarrow"), ("xlsx", "openpyxl")])
def test_parquet_and_excel(suffix, package, tmp_path):
    pytest.importorskip(package, reason="needs the extra tables")
    pd = pytest.importorskip("pandas", reason="needs the extra tables")
    frame = pd.DataFrame(VALUES, columns=["blur_sigma", "noise_sigma", "downsampling"])
    path = tmp_path / f"table.{suffix}"
    frame.to_parquet(path) if suffix == "parquet" else frame.to_excel(path, index=False)
    found = read(path)
    np.testing.assert_array_equal(found.parameters, VALUES[:, [0, 2, 1]])
    assert found.names == ("row 1", "row 2", "row 3")
    path.write_bytes(b"neither the one nor the other")
    with pytest.raises(ValueError, match=f"table.{suffix}: "):
        read_table(path)


def test_axes_come_from_the_columns(tmp_path):
    (tmp_path / "table.csv").write_text("noise_sigma,downsampling,date,jpeg_quality\n60,2,1,95\n10,3,2,20\n")
    found = read(tmp_path / "table.csv")
    ranges = {axis.name: (axis.low, axis.high, axis.discrete) for axis in found.space.axes}
    assert ranges == {"downsampling": (2, 8, True), "noise_sigma": (0, 60, False), "jpeg_quality": (20, 100, False)}
    assert found.space.n_bins <= 50_000
    assumed = "; ".join(found.assumed)
    assert "noise_sigma 0–60 (50 cells)" in assumed
    assert "columns not used: date" in assumed
    assert read(tmp_path / "table.csv", space=fd.DegradationSpace([found.space.axes[1]])).assumed == (
        "columns not used: downsampling, date, jpeg_quality",
    )


def test_what_is_outside_is_refused_moved_or_left_out(tmp_path):
    (tmp_path / "table.csv").write_text(text())
    words = r"row 1 \(line 2\), column blur_sigma: .* from 0.5 to 3, got 0; --space .* 1 such rows of 3"
    with pytest.raises(ValueError, match=words):
        read(tmp_path / "table.csv", space=SPACE)
    moved = read(tmp_path / "table.csv", space=SPACE, outside="clip")
    np.testing.assert_array_equal(moved.parameters, [[0.5, 12.5], [1.25, 20], [2.5, 7.75]])
    assert "1 of 3 rows outside the space moved to it" in moved.assumed
    dropped = read(tmp_path / "table.csv", space=SPACE, outside="drop")
    np.testing.assert_array_equal(dropped.parameters, [[1.25, 20], [2.5, 7.75]])
    assert dropped.names == ("1.png", "2.png")
    far = fd.DegradationSpace([fd.Axis.regular("noise_sigma", 40, 50, 2)])
    with pytest.raises(ValueError, match="expected rows inside the space, got none"):
        read(tmp_path / "table.csv", space=far, outside="drop")


def test_rows_without_numbers_are_counted(tmp_path):
    (tmp_path / "table.csv").write_text("blur_sigma,noise_sigma\n1,2\n\nNA,3\n1,\n2,4\n")
    with pytest.raises(ValueError, match=r"row 2 \(line 4\), column blur_sigma: expected a finite .* 2 of 4 rows"):
        read(tmp_path / "table.csv")
    found = read(tmp_path / "table.csv", skip_bad=True)
    np.testing.assert_array_equal(found.parameters, [[1, 2], [2, 4]])
    assert found.names == ("row 1", "row 4")
    assert "2 of 4 rows without numbers left out" in found.assumed


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("blur_sigma,BLUR_SIGMA\n1,2\n", "expected the column blur_sigma once, got it 2 times"),
        ("width,height\n1,2\n", "expected columns among blur_sigma, .*, got width, height"),
        ("blur_sigma,noise_sigma\n1,2,3\n", "expected as many values in each row as in the header"),
        ("blur_sigma\n-1\n", "column blur_sigma: expected values from 0 to 1000, got -1"),
        ("blur_sigma\n", "expected at least one row below the header"),
        (" \n\n", "expected a table with a header line, got an empty file"),
        ("\x00\x01\xff", "expected at least one row|got binary data"),
    ],
)
def test_what_is_no_table_of_degradations_is_refused(content, words, tmp_path):
    (tmp_path / "table.csv").write_text(content, encoding="latin-1")
    with pytest.raises(ValueError, match=words):
        read(tmp_path / "table.csv")


def test_bins_keep_the_table_where_it_is(tmp_path):
    rng = np.random.default_rng(0)
    blob = rng.normal((1, 5), (0.2, 1.5), (1500, 2)), rng.normal((2.5, 14), (0.3, 2), (1500, 2))
    rows = np.abs(np.concatenate(blob))
    (tmp_path / "table.csv").write_text("blur_sigma,noise_sigma\n" + "".join(f"{a},{b}\n" for a, b in rows))
    found = read(tmp_path / "table.csv")
    bins, prior = annotation_bins(found, None)
    assert isinstance(bins, fd.GridBins)
    assert prior is None
    q = fd.BinnedDistribution.from_samples(bins, found.parameters)
    for k, half_a_cell in enumerate((0.05, 0.5)):
        levels = bins.space.axes[k].centers
        assert fd.emd_1d(found.parameters[:, k], levels, None, q.marginal(k)) < half_a_cell
    clusters, prior = annotation_bins(found, 40)
    near = fd.BinnedDistribution.from_samples(clusters, found.parameters)
    np.testing.assert_allclose(near.moments()[0], rows.mean(axis=0), rtol=1e-3)
    inner = rows[np.abs(rows - (1, 5)).max(axis=1) < 0.2]
    dense = near.pmf[clusters.assign(inner)].mean() / prior.pmf[clusters.assign(inner)].mean()
    assert dense > 2  # the prior is spread over the space, not as the rows are
