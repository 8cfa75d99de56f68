"""The benchmark of growth finds the exponents and kinks of known curves, and measures its own."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
pytestmark = pytest.mark.skipif(os.name != "posix", reason="limits and alarms are those of POSIX")
if os.name == "posix":
    from benchmarks import growth, growth_work

SIZES = [10, 30, 100, 300, 1000]


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", "growth", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_exponent_of_a_power_is_found():
    values = [3 * n**2 for n in SIZES]
    assert growth.exponent(SIZES, values) == pytest.approx(2)
    assert growth.slopes(SIZES, values) == pytest.approx([2] * 4)
    assert growth.kinks(SIZES, values, 2) == []


def test_the_exponent_is_that_of_the_upper_half():
    values = [5, 5, 5, 15, 50]  # a fixed cost, then in proportion
    assert growth.exponent(SIZES, values) == pytest.approx(1)
    assert growth.exponent(SIZES[:2], values[:2]) == pytest.approx(0)
    assert growth.exponent([10], [1.0]) is None


def test_the_exponent_takes_the_least_squares():
    logarithms = np.log(SIZES[2:])
    expected = np.polyfit(logarithms, np.log([1.0, 4.0, 9.0]), 1)[0]
    assert growth.exponent(SIZES, [7.0, 7.0, 1.0, 4.0, 9.0]) == pytest.approx(expected)


def test_a_kink_is_found_where_it_is():
    values = [10, 30, 100, 1500, 5000]  # one jump by five times
    ((low, high, slope),) = growth.kinks(SIZES, values, 1)
    assert (low, high) == (100, 300)
    assert slope == pytest.approx(np.log(15) / np.log(3))
    assert growth.kinks([1, 10], [1, 10**1.34], 1) == []
    assert len(growth.kinks([1, 10], [1, 10**0.64], 1)) == 1


def test_tables_show_what_was_found():
    curve = growth_work.CURVES["streamed"]
    rows = [
        {"size": 1000, "seconds": 0.001, "allocated": 2e6, "resident": None},
        {"size": 10_000, "seconds": 0.002, "allocated": 2e6, "resident": 3_000_000},
    ]
    found = {"curve": curve.name, "left_out": "so it is", **growth.fitted(curve, rows)}
    assert growth.table(found, curve.unit).splitlines()[2:] == [
        "| 1,000 | 1 |  | 2 |  |  |",
        "| 10,000 | 2 | 0.30 | 2 | 0.00 | 3 |",
        "",
        "so it is",
    ]
    assert growth.summary([found]).splitlines()[2:] == [
        "| streamed | time | 1 | 0.30 | 1,000 to 10,000: 0.30 |",
        "| streamed | memory | 0 | 0.00 |  |",
    ]


@pytest.mark.parametrize("counts_building", [True, False])
def test_memory_is_what_the_work_takes(counts_building):
    def begin(n):
        built = b"\1" * n
        return lambda: built + built[: n // 2]

    with suppress(OSError, AttributeError):  # what tests before left free would be taken again
        ctypes.CDLL(None).malloc_trim(0)
    size = 140_000_000  # so that the allocator takes each piece anew: it may keep 64 MiB
    curve = growth_work.Curve("", "", "", (), (), begin, counts_building=counts_building)
    figures, action = growth_work.measure_memory(curve, size)
    expected = size * (3 if counts_building else 2)  # the half, too, is a copy
    assert figures["allocated"] == pytest.approx(expected, rel=0.01)
    assert figures["resident"] is None or figures["resident"] == pytest.approx(expected, rel=0.1)
    assert len(action()) == size * 3 // 2


def test_a_stream_gives_as_many_samples_as_asked_for():
    for n, n_batches in ((5, 1), (1024, 1), (1025, 2), (10_000, 10)):
        stream = growth_work.Stream(n)
        assert len(stream) == n_batches
        batches = [stream[number] for number in range(n_batches)]
        assert sum(len(x) for x, _ in batches) == sum(len(y) for _, y in batches) == n


def test_a_checkpoint_is_written_whole_and_read_without_training(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    growth_work.write_checkpoint(2_000)()
    (path,) = tmp_path.glob("*/*.safetensors")
    assert path.stat().st_size > 3 * 4 * 2_000
    trainer, _, go_on = growth_work._trained(2_000)
    assert trainer.model.flat.size == 2_000
    weights = np.asarray(trainer.model.flat.values).copy()
    trainer.model.flat.values[...] = 0
    go_on()
    assert np.array_equal(trainer.model.flat.values, weights)
    assert weights.any()
    assert (trainer.epoch, trainer.learner.count) == (1, 1)


def test_what_cannot_be_measured_is_told(tmp_path):
    curve = growth_work.CURVES["samples"]
    found = growth.measure(curve, [1_000, 10**13, 10**14], 1, 0.001, str(tmp_path))
    assert [row["size"] for row in found["rows"]] == [1_000]
    assert found["left_out"] == (
        "10,000,000,000,000 and above are left out: it does not fit in memory"
    )
    nothing = growth.measure(curve, [10**13], 1, 0.001, str(tmp_path))
    assert nothing["rows"] == []
    assert "left out" in growth.table(nothing, curve.unit)
    growth.draw([nothing], tmp_path / "growth.png")
    assert not (tmp_path / "growth.png").exists()


def test_a_process_that_is_killed_is_told(tmp_path):
    sized = growth.Sized(growth_work.CURVES["width"], 16, str(tmp_path))
    assert sized.turn() > 0
    sized._process.kill()
    with pytest.raises(growth.LeftOutError, match="killed"):
        sized.turn()


def test_the_command(tmp_path):
    done = run("--quick", "--rounds", 1, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    curves = json.loads((tmp_path / "growth.json").read_text())["curves"]
    assert [found["curve"] for found in curves] == list(growth_work.CURVES)
    for found in curves:
        curve = growth_work.CURVES[found["curve"]]
        assert found["left_out"] is None
        assert tuple(row["size"] for row in found["rows"]) == curve.few
        for row in found["rows"]:
            assert row["seconds"] > 0
            assert row["allocated"] > 0
        for name in ("time", "memory"):
            assert len(found[name]["slopes"]) == 1
            slope = f"{found[name]['exponent']:.2f}"
            assert f"| {curve.name} | {name} | {found[name]['ideal']} | {slope} |" in done.stdout
        assert growth.table(found, curve.unit) in done.stdout
    allocated = {found["curve"]: [row["allocated"] for row in found["rows"]] for found in curves}
    assert allocated["samples"][1] > allocated["samples"][0] + 9_000 * 72  # the samples
    assert allocated["checkpoint-write"][1] < 200_000  # of 1.2 MB
    assert allocated["checkpoint-read"][1] > 3 * 4 * 100_000
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")


def test_curves_are_chosen_by_name(tmp_path):
    both = ["checkpoint-write", "checkpoint-read"]
    assert [curve.name for curve in growth.chosen("checkpoint,width")] == ["width", *both]
    done = run("--only", "width,height", "--out", tmp_path)
    assert done.returncode == 2
    assert "no curve is called 'height'; choose of width, depth, batch, classes" in done.stderr
    assert not list(tmp_path.iterdir())
