"""The benchmark of several processes runs, and the model of sums over many has the right limits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from nnfs_xp.testing import fake_groups, in_threads

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
pytestmark = pytest.mark.skipif(os.name != "posix", reason="mpiexec is looked for as on POSIX")
if os.name == "posix":
    from benchmarks import distributed, distributed_work, scaling_model
    from benchmarks.scaling_model import Cluster, Link, Overlap

    CLUSTER = Cluster()
    BYTES_ALONE = Cluster(Link(0, 360e9), Link(0, 42e9), overhead=0)
GPUS = 1, 2, 4, 8, 16, 64, 512, 1024, 4096
SMALL, LARGE = 4 * 669_706, 4 * 124_000_000
WAYS = "ring", "tree", "hierarchical", "all_reduce"


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", "distributed", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("way", WAYS)
def test_one_gpu_sums_for_nothing(way):
    assert getattr(CLUSTER, way)(LARGE, 1) == 0
    assert scaling_model.efficiency(0.035, getattr(CLUSTER, way)(LARGE, 1)) == 1
    assert Overlap().exposed(LARGE, 0.035, lambda n: getattr(CLUSTER, way)(n, 1)) == 0


def test_the_bytes_of_a_ring_and_of_halving_tend_to_twice_the_array():
    link = Link(0, 1e9)
    for way in (scaling_model.ring, scaling_model.halving):
        assert way(1e9, 2, link) == pytest.approx(1)
        assert way(1e9, 2**30, link) == pytest.approx(2)
    assert scaling_model.tree(1e9, 2**30, link) == pytest.approx(60)


def test_the_hops_of_a_ring_and_of_the_trees():
    link = Link(1, 1e30)
    assert scaling_model.ring(1, 9, link) == pytest.approx(16)
    for way in (scaling_model.tree, scaling_model.halving):
        assert [way(1, p, link) for p in (1, 2, 8, 9)] == pytest.approx([0, 2, 6, 8])


@pytest.mark.parametrize("p", [1, 2, 3, 8])
def test_within_a_node_the_hierarchical_sum_is_a_ring(p):
    for n in (1, SMALL, LARGE):
        assert CLUSTER.hierarchical(n, p) == pytest.approx(CLUSTER.ring(n, p), rel=1e-12)


def test_with_one_gpu_a_node_only_the_network_counts():
    cluster = Cluster(Link(9, 1), Link(6e-6, 2.6e9), gpus_per_node=1, overhead=0)
    assert cluster.ring(LARGE, 64) == scaling_model.ring(LARGE, 64, cluster.inter)
    assert cluster.tree(LARGE, 64) == scaling_model.tree(LARGE, 64, cluster.inter)
    assert cluster.hierarchical(LARGE, 64) == scaling_model.halving(LARGE, 64, cluster.inter)


@pytest.mark.parametrize("way", WAYS)
def test_more_bytes_and_more_gpus_take_longer(way):
    all_reduce = getattr(CLUSTER, way)
    sizes = [10**power for power in range(10)]
    for p in GPUS[1:]:
        times = [all_reduce(n, p) for n in sizes]
        assert all(a < b for a, b in pairwise(times))
    for n in sizes:
        times = [all_reduce(n, p) for p in GPUS]
        assert all(a < b for a, b in pairwise(times))


@pytest.mark.parametrize("p", GPUS[1:])
def test_no_way_is_faster_than_its_bytes(p):
    least = scaling_model.ring(LARGE, p, Link(0, 360e9))
    for way in WAYS:
        assert getattr(BYTES_ALONE, way)(LARGE, p) >= least * (1 - 1e-12)
        assert getattr(CLUSTER, way)(LARGE, p) > getattr(BYTES_ALONE, way)(LARGE, p)


def test_the_flat_ring_is_that_of_all_cards_of_a_node():
    assert BYTES_ALONE.ring(LARGE, 4096) == pytest.approx(2 * LARGE / (8 * 42e9), rel=1e-3)
    slow = Cluster(inter=Link(6e-6, 1e12))
    assert slow.ring(LARGE, 64) == pytest.approx(
        15e-6 + 126 * 27e-6 / 8 + 2 * 63 / 64 * LARGE / 360e9
    )


def test_nodes_are_full():
    assert [CLUSTER.nodes(p) for p in (1, 8, 16)] == [1, 1, 2]
    with pytest.raises(ValueError, match="12 GPUs do not fill nodes of 8"):
        CLUSTER.nodes(12)


def test_sums_hide_behind_the_backward_pass():
    def all_reduce(n):
        return n / 1e9

    overlap = Overlap(bucket=25e6, hidden=0.6)
    assert overlap.exposed(100e6, 1.0, all_reduce) == pytest.approx(0.025)  # the last bucket
    assert overlap.exposed(110e6, 1.0, all_reduce) == pytest.approx(0.010)
    assert overlap.exposed(100e6, 0.1, all_reduce) == pytest.approx(0.040)  # what does not fit
    assert overlap.exposed(10e6, 1.0, all_reduce) == pytest.approx(0.010)  # a single bucket
    assert scaling_model.efficiency(3, 1) == 0.75


def test_the_fit_finds_the_latency_and_the_bandwidth():
    points = [(calls, n, calls * 5e-6 + n / 3e9) for calls, n in ((1, 10), (2, 10**6), (9, 10**8))]
    link = scaling_model.fitted(points)
    assert link.latency == pytest.approx(5e-6)
    assert link.bandwidth == pytest.approx(3e9)
    no_latency = scaling_model.fitted([(1, 10**6, 1e-3), (1, 10**7, 2e-2)])
    assert no_latency.latency == 0
    assert no_latency.bandwidth == pytest.approx(1e9 / 1.2)  # relative errors of 0.2 and -0.4
    no_bytes = scaling_model.fitted([(1, 10, 2e-6), (1, 1000, 1e-6)])
    assert no_bytes.bandwidth == np.inf
    with pytest.raises(ValueError, match="two points"):
        scaling_model.fitted(points[:1])


def test_the_model_beside_what_was_measured():
    sums = {n: (1 + -(-n // 1000)) * 5e-6 + n / 1e9 for n in (100, 1000, 5000, 100_000)}
    text = scaling_model.comparison(sums, [100, 5000], 2, piece=1000)
    assert "5 µs a collective and 1 GB/s; as a ring, alpha = 2.5 µs and b = 1 GB/s." in text
    rows = [cells(line) for line in text.splitlines()[-4:]]
    assert [row[1] for row in rows] == ["fitted", "left out", "fitted", "left out"]
    assert [row[-1] for row in rows] == ["1.00"] * 4


def test_the_command_of_the_model():
    done = run("model", "--gpus", "8,64", "--models", "124e6:35", "--overhead", 20)
    assert done.returncode == 0, done.stderr
    assert "20 µs a collective" in done.stdout
    cluster = Cluster(overhead=20e-6)
    for p in (8, 64):
        plain = 100 * scaling_model.efficiency(0.035, cluster.all_reduce(LARGE, p))
        assert f"| 124,000,000 | 35 | {p} | {plain:.0f} |" in done.stdout
    refused = run("model", "--gpus", "12")
    assert refused.returncode == 2
    assert "12 GPUs do not fill nodes of 8" in refused.stderr


@pytest.mark.parametrize("n", [1, 2])
def test_the_parts_are_those_of_a_step(n):
    def weights(group):
        whole = distributed_work.Steps("16-8-4", 8, group)
        in_parts = distributed_work.Steps("16-8-4", 8, group)
        seconds = dict.fromkeys(distributed.PARTS, 0.0)
        for _ in range(4):
            whole.step()
            in_parts.parts(seconds)
        assert all(seconds.values())
        return [np.asarray(each.learner.model.flat.values) for each in (whole, in_parts)]

    first = distributed_work.Steps("16-8-4", 8, fake_groups(1)[0]).learner.model.flat.values
    for one, other in in_threads(fake_groups(n), weights):
        assert np.array_equal(one, other)
        assert not np.array_equal(one, first)


def test_the_command(tmp_path):
    done = run("--quick", "--processes", "1,2", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "distributed.json").read_text())
    figures = content["figures"]
    assert content["machine"] in done.stdout
    assert "mpi4py" in content["machine"]
    for n, batch in ((1, 8), (2, 8), (2, 16)):
        for name in ("step", *distributed.PARTS):
            values = figures[f"{name} 16-8-4 {n} {batch}"]
            assert len(values) == 2
            assert min(values) > 0
    sizes = 64, 256, 688, 1024  # and the gradients' bytes
    for size in sizes:
        assert min(figures[f"add {size} 2"]) > 0
        assert f"| `add` of {size:,} bytes | 2 |" in done.stdout
    assert len(figures["without 16-8-4"]) == len(figures["alone 16-8-4"]) == 8
    assert figures["same bits 16-8-4"] == [1.0, 1.0]
    lines = done.stdout.splitlines()
    (scaled,) = [cells(line) for line in lines if line.startswith("| 16-8-4 | strong | 2 |")]
    one, two = (figures[f"step 16-8-4 {n} 8"] for n in (1, 2))
    speed = np.median([a / b for a, b in zip(one, two, strict=True)])
    assert scaled[-1] == f"{speed / 2:.2f}"
    fits = [cells(line)[1] for line in lines if line.endswith(" |") and "| `" not in line][-4:]
    assert fits == ["fitted", "left out", "left out", "fitted"]


def test_several_repeats_of_one_process(tmp_path):
    done = run("--quick", "--processes", 1, "--repeats", 2, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "distributed.json").read_text())
    assert len(content["figures"]["step 16-8-4 1 8"]) == 4
    assert "alpha" not in done.stdout


def test_what_is_missing_is_told(monkeypatch, tmp_path):
    beside = tmp_path / "mpiexec"
    beside.touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", os.devnull)
    assert distributed.launcher(None) == [str(beside)]
    assert distributed.launcher(f"{beside} --some 1") == [str(beside), "--some", "1"]
    with pytest.raises(SystemExit, match="there is no command 'mpirun --some'"):
        distributed.launcher("mpirun --some")
    beside.unlink()
    with pytest.raises(SystemExit, match=r"there is no mpiexec beside .*nnfs-xp\[mpi\]"):
        distributed.launcher(None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"mpi4py is not installed; .*nnfs-xp\[mpi\]"):
        distributed.launcher(None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--mpiexec", "false"), "the processes ended with the status 1"),
        (("--timeout", "0.01"), "the processes did not end within 0.01 s"),
        (("--processes", "0,1"), "numbers must be 1 or more"),
        (("--processes", "1,9"), "a batch of 8 is too small for 9"),
        (("--sizes", "64,128"), "three sizes"),
        (("--nets", "784"), "a net is written as"),
    ],
)
def test_what_goes_wrong_is_told(tmp_path, arguments, message):
    done = run("--quick", *arguments, "--out", tmp_path)
    assert done.returncode != 0
    assert message in done.stderr
    assert not list(tmp_path.iterdir())
