"""Damaged files of tables: each column is read or refused. `fuzz_files.py` does it for longer."""

from random import Random

import fuzzed
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_table_files import SEEDS


@pytest.mark.parametrize("kind", SEEDS)
@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_damaged_table_is_read_or_refused(kind, seed, tmp_path):
    random, content = Random(seed), bytearray(SEEDS[kind])
    for _ in range(random.randint(1, 4)):
        place, cut = random.randint(0, len(content)), random.choice([0, 1, 1, 7])
        content[place : place + cut] = random.randbytes(random.randint(0, 3))
    (tmp_path / "file").write_bytes(content)
    fuzzed.read_table(tmp_path / "file")


@pytest.mark.parametrize("kind", ["csv", "parquet", "xlsx", "arrow", "json"])
def test_a_whole_table_is_read(kind, tmp_path):
    (tmp_path / "file").write_bytes(SEEDS[kind])
    assert fuzzed.read_table(tmp_path / "file")
