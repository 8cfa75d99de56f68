"""Data sets: what they hold, how they are split, and files that are damaged or missing."""

from __future__ import annotations

import gzip
import hashlib
import math
import struct
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import nnfs_xp as nn
from nnfs_xp.data import mnist
from nnfs_xp.data.idx import read_idx
from nnfs_xp.errors import ArgumentError, DataError

UNSIGNED_BYTE = 8
SMALL = np.arange(6, dtype=np.uint8).reshape(2, 3)


def idx(shape, content, code=UNSIGNED_BYTE):
    """A gzipped IDX file whose header may promise anything."""
    header = struct.pack(f">HBB{len(shape)}I", 0, code, len(shape), *shape)
    return gzip.compress(header + bytes(content))


def write_mnist(folder, n_train=40, n_test=20):
    """Files named and made as the official ones: random images, every label in turn."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for kind, n in (("train", n_train), ("t10k", n_test)):
        images = random.integers(256, size=(n, 28, 28), dtype=np.uint8)
        write_array(folder / f"{kind}-images-idx3-ubyte.gz", images)
        write_array(folder / f"{kind}-labels-idx1-ubyte.gz", np.arange(n, dtype=np.uint8) % 10)


def write_array(path, array):
    path.write_bytes(idx(array.shape, array.tobytes()))


# --- Digits, and how data sets are split


def test_digits_are_the_1797_images_of_the_source():
    X_train, y_train, X_test, y_test = nn.data.load_digits()
    assert (X_train.shape, y_train.shape) == ((1438, 64), (1438,))
    assert (X_test.shape, y_test.shape) == ((359, 64), (359,))
    assert X_train.dtype == X_test.dtype == np.float32
    assert y_train.dtype == y_test.dtype == np.int64
    assert len({image.tobytes() for image in (*X_train, *X_test)}) == 1797, "an image is in twice"
    assert np.array_equal(np.unique(X_train * 16), np.arange(17))
    counts = np.bincount(np.concatenate([y_train, y_test]))
    # Counted by the data set's authors, in the file optdigits.names.
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    np.testing.assert_allclose(np.bincount(y_test), 0.2 * counts, atol=1)


def test_digits_are_the_same_each_time():
    for first, second in zip(nn.data.load_digits(), nn.data.load_digits(), strict=True):
        np.testing.assert_array_equal(first, second)


@given(
    labels=arrays(np.int64, st.integers(1, 200), elements=st.integers(0, 4)),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32),
)
def test_hold_out_takes_a_share_of_every_class(labels, share, seed):
    n = len(labels)
    split = nn.data.hold_out(np.arange(n), labels, share=share, seed=seed)
    assert sorted([*split.X_train, *split.X_test]) == list(range(n)), "each sample in one part"
    assert np.array_equal(split.y_train, labels[split.X_train])
    assert np.array_equal(split.y_test, labels[split.X_test])
    assert len(split.X_test) == math.floor(n * share)
    shares = share * np.bincount(labels)
    assert np.all(np.abs(np.bincount(split.y_test, minlength=len(shares)) - shares) < 1 + 1e-9)
    again = nn.data.hold_out(np.arange(n), labels, share=share, seed=seed)
    assert np.array_equal(split.X_test, again.X_test)


def test_hold_out_draws_with_its_seed():
    labels = np.zeros(100, dtype=np.int64)
    first, second = (
        nn.data.hold_out(np.arange(100), labels, share=0.5, seed=s).X_test for s in (0, 1)
    )
    assert not np.array_equal(first, second)


# --- Spiral and sine


def book_spiral(samples, classes):
    """The points of chapter 3, one by one, from NumPy's global random state."""
    points, labels = [], []
    for c in range(classes):
        noise = np.random.standard_normal(samples)
        for i in range(samples):
            radius = i / (samples - 1)
            angle = 2.5 * (4 * c + 4 * radius + 0.2 * noise[i])
            points.append([radius * math.sin(angle), radius * math.cos(angle)])
            labels.append(c)
    return points, labels


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_spiral_is_the_book_s(dtype):
    np.random.seed(0)  # as the book does
    points, labels = book_spiral(20, 4)
    np.random.seed(0)
    X, y = nn.data.spiral_data(20, 4, dtype=dtype)
    assert (X.dtype, y.dtype) == (np.dtype(dtype), np.int64)
    np.testing.assert_allclose(X, points, rtol=0, atol=10 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(y, labels)


def test_spiral_with_a_seed_leaves_the_global_state_alone():
    np.random.seed(0)
    state = np.random.get_state()[1].copy()
    first, second, other = (nn.data.spiral_data(seed=seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
    assert np.array_equal(np.random.get_state()[1], state)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sine_is_one_period(dtype):
    X, y = nn.data.sine_data(8, dtype=dtype)
    assert X.dtype == y.dtype == dtype
    assert X.tolist() == [[i / 8] for i in range(8)]
    expected = [[math.sin(2 * math.pi * i / 8)] for i in range(8)]
    np.testing.assert_allclose(y, expected, rtol=0, atol=np.finfo(dtype).eps)


@pytest.mark.parametrize("count", [0, -1, 2.5, "3", True, None])
def test_generators_refuse_what_is_no_count(count):
    with pytest.raises(ArgumentError, match="samples"):
        nn.data.spiral_data(samples=count)
    with pytest.raises(ArgumentError, match="classes"):
        nn.data.spiral_data(classes=count)
    with pytest.raises(ArgumentError, match="samples"):
        nn.data.sine_data(count)


# --- IDX files


@given(array=arrays(np.uint8, array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)))
def test_idx_files_give_back_what_was_written(array, tmp_path):
    write_array(tmp_path / "any.gz", array)
    np.testing.assert_array_equal(read_idx(tmp_path / "any.gz"), array)


def test_a_truncated_idx_file_is_refused_wherever_it_ends(tmp_path):
    path, whole = tmp_path / "cut.gz", idx(SMALL.shape, SMALL.tobytes())
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"cut\.gz is damaged"):
            read_idx(path)
    assert length > 20, "the file has more than gzip's header and trailer"


def test_a_flipped_bit_in_an_idx_file_never_changes_the_array(tmp_path):
    path, whole = tmp_path / "flipped.gz", idx(SMALL.shape, SMALL.tobytes())
    refused = 0
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:  # The time of writing, in gzip's header, may be anything.
            np.testing.assert_array_equal(read_idx(path), SMALL)
        except DataError as error:
            assert "flipped.gz" in str(error)
            refused += 1
    assert refused > 4 * len(whole), "most flips hit something that counts"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"1,2,3\n4,5,6\n", "damaged"),
        (idx((2, 3), SMALL.tobytes(), code=13), "no IDX file of unsigned bytes"),
        (idx((), b""), "no IDX file of unsigned bytes"),
        (gzip.compress(b"\x89PNG\r\n"), "no IDX file of unsigned bytes"),
        (idx((2, 4), SMALL.tobytes()), r"promises 8 bytes \(2, 4\), it holds 6"),
        (idx((5,), SMALL.tobytes()), r"promises 5 bytes \(5,\), it holds more"),
        (idx((2**32 - 1,) * 3, b"abc"), "promises the shape"),
        (idx((2**30,), b"abc"), "it holds 3"),
        (idx(SMALL.shape, SMALL.tobytes()) + b"more", "damaged"),
    ],
    ids="text type axes picture less more huge large trailing".split(),
)
def test_what_is_no_idx_file_is_refused(content, complaint, tmp_path):
    path = tmp_path / "bad.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=complaint) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


# --- MNIST and Fashion-MNIST, from small files


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Empty places for the two data sets to be looked for in: none of the machine's own."""
    monkeypatch.setenv(mnist.ENVIRONMENT, str(tmp_path / "data"))
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / "cache" / name)
    return SimpleNamespace(data=tmp_path / "data", cache=tmp_path / "cache" / "nnfs_xp")


@pytest.mark.parametrize("place", ["data", "cache"])
@pytest.mark.parametrize(
    ("name", "load"), [("mnist", nn.data.load_mnist), ("fashion-mnist", nn.data.load_fashion_mnist)]
)
def test_the_mnist_family_is_found_where_it_lies(name, load, place, places):
    folder = getattr(places, place) / name
    write_mnist(folder)
    split = load()
    assert [part.shape for part in split] == [(40, 784), (40,), (20, 784), (20,)]
    assert [str(part.dtype) for part in split] == ["float32", "int64"] * 2
    assert split.y_test.tolist() == [*range(10)] * 2
    images = read_idx(folder / "train-images-idx3-ubyte.gz").astype(np.float64)
    np.testing.assert_allclose(split.X_train, images.reshape(40, 784) / 255, rtol=1e-6)


@pytest.mark.parametrize(
    ("file", "array", "complaint"),
    [
        ("train-labels-idx1-ubyte.gz", np.zeros(39, np.uint8), r"\(40, 28, 28\) .* \(39,\)"),
        ("t10k-labels-idx1-ubyte.gz", np.full(20, 10, np.uint8), "label 10; labels go from 0 to 9"),
        ("t10k-images-idx3-ubyte.gz", np.zeros((20, 27, 28), np.uint8), r"\(20, 27, 28\)"),
        ("t10k-images-idx3-ubyte.gz", np.zeros((20, 784), np.uint8), r"\(20, 784\)"),
    ],
)
def test_mnist_files_that_do_not_belong_together_are_refused(file, array, complaint, places):
    write_mnist(places.data / "mnist")
    write_array(places.data / "mnist" / file, array)
    with pytest.raises(DataError, match=complaint) as caught:
        nn.data.load_mnist()
    assert str(places.data / "mnist") in str(caught.value)


def test_without_pooch_the_error_says_what_to_install_and_where_to_put_files(places, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(DataError, match=r"nnfs-xp\[data\]") as caught:
        nn.data.load_mnist()
    for place in (places.data / "mnist", places.cache / "mnist", mnist.ENVIRONMENT):
        assert str(place) in str(caught.value)


@pytest.fixture
def mirrors(tmp_path, places, monkeypatch):
    """A server with MNIST under /good/ and nothing under /dead/; gives the paths asked for."""
    pytest.importorskip("pooch")
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            asked.append(self.path) if args[0].startswith('"') else None

    write_mnist(tmp_path / "web" / "good")
    serve = partial(Handler, directory=str(tmp_path / "web"))
    with ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setitem(mnist._MIRRORS, "mnist", (f"{address}/dead/", f"{address}/good/"))
        for path in (tmp_path / "web" / "good").iterdir():
            checksum = hashlib.sha256(path.read_bytes()).hexdigest()
            monkeypatch.setitem(mnist._SHA256, ("mnist", path.name), checksum)
        monkeypatch.setattr("pooch.core.time", SimpleNamespace(sleep=lambda seconds: None))
        yield asked
        server.shutdown()
        thread.join()


def test_mnist_is_downloaded_from_the_second_mirror_and_kept(mirrors, places):
    split = nn.data.load_mnist()
    assert split.X_train.shape == (40, 784)
    dead, good = "/dead/train-images-idx3-ubyte.gz", "/good/train-images-idx3-ubyte.gz"
    assert mirrors[:4] == [dead, dead, dead, good]
    assert len(list((places.cache / "mnist").iterdir())) == 4
    mirrors.clear()
    np.testing.assert_array_equal(nn.data.load_mnist().X_train, split.X_train)
    assert mirrors == []


def test_a_download_with_a_wrong_checksum_is_not_kept(mirrors, places, monkeypatch):
    monkeypatch.setitem(mnist._SHA256, ("mnist", "t10k-labels-idx1-ubyte.gz"), "0" * 64)
    with pytest.raises(DataError, match=r"could not be downloaded.*HTTPError.*ValueError") as found:
        nn.data.load_mnist()
    assert str(places.cache / "mnist") in str(found.value)
    assert mirrors[-1] == "/good/t10k-labels-idx1-ubyte.gz"
    assert len(list((places.cache / "mnist").iterdir())) == 3
