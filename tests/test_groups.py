"""What processes that train together do as one, by threads that stand in for them."""

from __future__ import annotations

import copy
import pickle
import threading
import time

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp.distributed import Group
from nnfs_xp.distributed.ordered import summed_in_order
from nnfs_xp.distributed.watch import is_told
from nnfs_xp.errors import ArgumentError, DistributedError, NnfsError
from nnfs_xp.testing import fake_groups, in_threads

SIZES = pytest.mark.parametrize("size", [1, 2, 3, 5])


@SIZES
def test_sums_are_those_of_all_ranks(size, backend):
    def work(group):
        own = backend.asarray(np.arange(6, dtype=np.float32).reshape(2, 3) * (group.rank + 1))
        group.add(own)
        return nn.to_numpy(own)

    found = in_threads(fake_groups(size), work)
    expected = np.arange(6).reshape(2, 3) * sum(range(1, size + 1))
    assert len(found) == size
    for each in found:
        np.testing.assert_array_equal(each, expected)


def test_long_arrays_are_summed_in_pieces():
    def work(group):
        own = np.full(2**20 + 7, group.rank + 1, np.float64)
        group.add(own)
        return own

    for each in in_threads(fake_groups(2), work):
        assert (each == 3).all()


def test_what_is_no_whole_block_of_memory_is_refused():
    with pytest.raises(ArgumentError, match="contiguous"):
        in_threads(fake_groups(2), lambda group: group.add(np.ones((4, 4)).T[1:]))
    with pytest.raises(ArgumentError, match="contiguous"):
        in_threads(fake_groups(2), lambda group: group.add(np.zeros(0), np.ones((4, 4)).T[1:]))


@SIZES
def test_objects_travel(size):
    def work(group):
        own = {"rank": group.rank, "array": np.full(group.rank, 7.0)}
        return group.broadcast(own), group.gather(own)

    for told, gathered in in_threads(fake_groups(size), work):
        assert told["rank"] == 0
        assert told["array"].size == 0
        assert [each["rank"] for each in gathered] == list(range(size))
        assert [each["array"].size for each in gathered] == list(range(size))


@SIZES
def test_what_one_wants_all_do(size):
    found = in_threads(fake_groups(size), lambda group: group.agree(group.rank == 1, -group.rank))
    assert found == [(float(size > 1), 0.0)] * size


@SIZES
@pytest.mark.parametrize("n", [0, 1, 4, 7, 64])
@pytest.mark.parametrize("shards", [None, 8])
def test_parts_are_contiguous_and_even(size, n, shards):
    if shards is not None and shards % size:
        return
    groups = fake_groups(size, shards=shards)
    parts = [group.part(n) for group in groups]
    assert [row for part in parts for row in range(part.start, part.stop)] == list(range(n))
    rows = [part.stop - part.start for part in parts]
    assert sorted(rows, reverse=True) == rows
    assert shards is not None or max(rows) - min(rows) <= 1


@SIZES
@pytest.mark.parametrize("n", [1, 4, 7, 1000])
def test_each_updates_a_part_of_a_flat_buffer(size, n):
    def work(group):
        own = np.arange(n, dtype=np.float32)
        place = group.add_part(own)
        values = np.full(n, -1.0, np.float32)
        values[place] = own[place]
        group.share_parts(values)
        return values

    for each in in_threads(fake_groups(size), work):
        np.testing.assert_array_equal(each, np.arange(n) * size)


def test_sums_in_order_can_be_begun_anywhere():
    arrays = list(np.random.default_rng(0).normal(size=(8, 100)).astype(np.float32))
    whole = summed_in_order(arrays)
    for n in (2, 4):
        parts = [summed_in_order(arrays[start : start + n]) for start in range(0, 8, n)]
        np.testing.assert_array_equal(summed_in_order(parts), whole)
    assert (sum(arrays) != whole).any(), "the order matters, or nothing was shown"


@pytest.mark.parametrize("shards", [3, 6, 0, 2.5, True, "two"])
def test_shards_are_a_power_of_two(shards):
    with pytest.raises((NnfsError, TypeError)):
        Group(shards=shards)


def test_the_processes_divide_the_shards():
    with pytest.raises(ArgumentError, match="must divide"):
        fake_groups(3, shards=8)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), "long"])
def test_a_time_limit_is_above_0(timeout):
    with pytest.raises((NnfsError, TypeError)):
        Group(timeout=timeout)


def failures(groups, work):
    """What each rank raised."""
    errors = [None] * len(groups)

    def run(rank):
        try:
            with groups[rank].together():
                work(groups[rank])
        except Exception as error:
            errors[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(len(groups))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()
    return errors


def test_where_one_fails_the_others_are_told_at_once():
    def work(group):
        if group.rank == 1:
            raise ZeroDivisionError("planted")
        group.agree(1)

    begin = time.monotonic()
    first, own, last = failures(fake_groups(3), work)
    assert time.monotonic() - begin < 2
    assert isinstance(own, ZeroDivisionError)
    for error in (first, last):
        assert isinstance(error, DistributedError)
        assert "rank 1 of 3 failed: ZeroDivisionError: planted" in str(error)
        assert "in work" in "".join(error.__notes__), "where it came from"
    assert [is_told(error) for error in (first, own, last)] == [False, True, True]


def test_a_group_in_which_one_failed_is_of_no_more_use():
    groups = fake_groups(2)

    def work(group):
        if group.rank:
            raise ValueError("planted")
        group.agree(1)

    failures(groups, work)
    assert all(group.is_broken for group in groups)
    again, _ = failures(groups, lambda group: group.rank or group.agree(1))
    assert "planted" in str(again)


def test_where_all_fail_alike_they_may_go_on():
    groups = fake_groups(3)

    def fail(group):
        group.agree(1)
        raise ArgumentError("the same for all")

    errors = failures(groups, fail)
    assert [str(error) for error in errors] == ["the same for all"] * 3
    assert [is_told(error) for error in errors] == [False, True, True]
    assert in_threads(groups, lambda group: group.agree(group.rank)) == [(2.0,)] * 3


def test_those_that_failed_at_different_places_do_not_meet_again():
    groups = fake_groups(2)

    def work(group):
        if group.rank:
            time.sleep(0.1)
        else:
            group._calls += 1  # it made a call more
        raise ValueError("planted")

    failures(groups, work)
    assert all(group.is_broken for group in groups)


def test_an_error_is_told_where_rank_0_has_left():
    def work(group):
        if group.rank == 0:
            group.close()
        else:
            time.sleep(0.1)
            raise ValueError("planted")

    _, error = failures(fake_groups(2), work)
    assert not is_told(error)


def test_what_rank_0_does_alone():
    groups = fake_groups(2)
    found = in_threads(groups, lambda group: group.on_rank_0(lambda: group.rank + 5))
    assert found == [5, 5]

    def refuse():
        raise ArgumentError("no such folder")

    errors = failures(groups, lambda group: group.on_rank_0(refuse))
    assert [str(error) for error in errors] == ["no such folder"] * 2
    assert in_threads(groups, lambda group: group.agree(1)) == [(1.0,)] * 2


def test_nothing_is_summed_of_nothing():
    in_threads(fake_groups(2), lambda group: group.add(np.zeros(0)))


def test_one_that_does_not_come_is_named():
    def work(group):
        if group.rank == 1:
            time.sleep(1.2)
        group.agree(1)

    begin = time.monotonic()
    errors = failures(fake_groups(3, timeout=0.4), work)
    assert time.monotonic() - begin < 4
    assert "rank 1 of 3 did not come to `agree` within 0.4 s" in str(errors[0])


def test_one_that_leaves_is_named():
    def work(group):
        if group.rank == 1:
            group.close()
        else:
            group.broadcast("hello")

    first, none, _ = failures(fake_groups(3), work)
    assert none is None
    assert "rank 1 of 3 came to its end" in str(first)


def test_other_calls_and_other_lengths_are_named():
    def work(group):
        group.add(np.zeros(3 + group.rank))

    for error in failures(fake_groups(2), work):
        assert "rank 1 of 2 makes another call than rank 0" in str(error)
    first, _ = failures(fake_groups(2), lambda g: g.agree(1) if g.rank else g.broadcast(1))
    assert "another call" in str(first)


def test_facts_are_compared():
    def work(group):
        group.compare(version="1.0", dtype="float64" if group.rank == 2 else "float32")

    for error in failures(fake_groups(3), work):
        assert "rank 2 of 3 has another dtype than rank 0: 'float64', not 'float32'" in str(error)


def test_abort_tells_the_others():
    def work(group):
        if group.rank == 1:
            group.abort("out of paper")
        else:
            group.agree(1)

    first, _ = failures(fake_groups(2), work)
    assert "rank 1 of 2 failed: out of paper" in str(first)


def test_a_closed_group_refuses():
    groups = fake_groups(2)
    in_threads(groups, Group.close)
    groups[0].close()
    with pytest.raises(DistributedError, match="closed"):
        groups[0].agree(1)


def test_a_group_of_one_does_nothing():
    group = nn.distributed.group("none")
    array = np.ones(3)
    group.add(array)
    assert array.tolist() == [1, 1, 1]
    assert group.broadcast("x") == "x"
    assert group.gather("x") == ["x"]
    assert group.agree(3, 4) == (3, 4)
    assert group.part(10) == slice(0, 10)
    assert (group.rank, group.size, group.local_rank, group.is_alone) == (0, 1, 0, True)
    with group:
        group.compare(anything=object())
        group.abort("nobody hears")
    group.close()
    assert pickle.loads(pickle.dumps(group)).size == 1


def test_a_copy_is_in_the_same_group():
    group, _ = fake_groups(2)
    assert copy.deepcopy(group) is group
    with pytest.raises(ArgumentError, match="cannot be pickled"):
        pickle.dumps(group)


@pytest.mark.parametrize("name", ["mpich", None, 3])
def test_an_unknown_group_is_refused(name):
    with pytest.raises(ArgumentError, match="must be one of"):
        nn.distributed.group(name)


def test_the_environment_says_what_auto_is(monkeypatch):
    monkeypatch.setenv("NNFS_XP_GROUP", "none")
    monkeypatch.setenv("SLURM_NTASKS", "4")
    assert nn.distributed.group().size == 1
    monkeypatch.setenv("NNFS_XP_GROUP", "many")
    with pytest.raises(ArgumentError, match="NNFS_XP_GROUP"):
        nn.distributed.group()


def test_tasks_of_slurm_that_know_of_no_other_are_refused(monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "4")
    with pytest.raises(DistributedError, match="SLURM_NTASKS"):
        nn.distributed.group()
    monkeypatch.setenv("SLURM_NTASKS", "1")
    assert nn.distributed.group().size == 1


def test_what_can_be_used_is_told():
    told = nn.distributed.available_groups()
    assert told.keys() == {"mpi", "nccl", "ray"}
    assert all(told.values())
