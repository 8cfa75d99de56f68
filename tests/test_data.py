"""Data sets: what they hold, how they are split, and files that are damaged or missing."""

# ruff: noqa: NPY002 # the book seeds NumPy's global random state

from __future__ import annotations

import gzip
import hashlib
import math
import struct
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import nnfs_xp as nn
from nnfs_xp.backend import Memory, to_numpy
from nnfs_xp.data import mnist
from nnfs_xp.data.batching import place
from nnfs_xp.data.idx import read_idx
from nnfs_xp.data.tables import read_numbers
from nnfs_xp.errors import ArgumentError, DataError, DTypeError, ShapeError

UNSIGNED_BYTE = 8
SMALL = np.arange(6, dtype=np.uint8)
LOADERS = {"mnist": nn.data.load_mnist, "fashion-mnist": nn.data.load_fashion_mnist}


def idx(shape, content, code=UNSIGNED_BYTE):
    """A gzipped IDX file, whose header may promise anything."""
    header = struct.pack(f">HBB{len(shape)}I", 0, code, len(shape), *shape)
    return gzip.compress(header + bytes(content))


def write_array(path, array):
    path.write_bytes(idx(array.shape, array.tobytes()))


def write_mnist(folder):
    """Files named and made as the official ones: 40 and 20 random images, each label in turn."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for kind, n in (("train", 40), ("t10k", 20)):
        images = random.integers(256, size=(n, 28, 28), dtype=np.uint8)
        write_array(folder / f"{kind}-images-idx3-ubyte.gz", images)
        write_array(folder / f"{kind}-labels-idx1-ubyte.gz", np.arange(n, dtype=np.uint8) % 10)


def test_digits_are_the_images_of_the_source_in_two_parts():
    digits = X_train, y_train, X_test, y_test = nn.data.load_digits()
    assert [part.shape for part in digits] == [(1438, 64), (1438,), (359, 64), (359,)]
    assert [part.dtype for part in digits] == [np.float32, np.int64] * 2
    assert len({image.tobytes() for image in (*X_train, *X_test)}) == 1797, "an image is in twice"
    assert np.array_equal(np.unique(X_train * 16), np.arange(17))
    counts = np.bincount([*y_train, *y_test])
    # Counted by the data set's authors, in its file optdigits.names.
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    np.testing.assert_allclose(np.bincount(y_test), 0.2 * counts, rtol=0, atol=1)
    for part, again in zip(digits, nn.data.load_digits(), strict=True):
        assert np.array_equal(part, again)


@given(
    labels=arrays(np.int64, st.integers(1, 200), elements=st.integers(0, 4)),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32),
)
def test_hold_out_takes_a_share_of_every_class(labels, share, seed):
    samples = np.arange(len(labels))
    if math.floor(len(labels) * share) == 0:
        with pytest.raises(nn.errors.LabelError, match="too few"):
            nn.data.hold_out(samples, labels, share=share, seed=seed)
        return
    split = nn.data.hold_out(samples, labels, share=share, seed=seed)
    assert np.array_equal(np.sort([*split.X_train, *split.X_test]), samples), "each in one part"
    assert np.array_equal(split.y_train, labels[split.X_train])
    assert np.array_equal(split.y_test, labels[split.X_test])
    assert len(split.X_test) == math.floor(len(labels) * share)
    shares = share * np.bincount(labels)
    taken = np.bincount(split.y_test, minlength=len(shares))
    assert np.all(np.abs(taken - shares) < 1 + 1e-9), "to the next whole sample"
    again = nn.data.hold_out(samples, labels, share=share, seed=seed)
    assert np.array_equal(split.X_test, again.X_test)
    for part in (split.X_train, split.X_test):
        assert np.array_equal(part, np.sort(part)), "samples keep their order"


@pytest.mark.parametrize(
    ("share", "n", "error"),
    [
        (0, 9, nn.errors.ArgumentError),
        (1, 9, nn.errors.ArgumentError),
        (math.nan, 9, nn.errors.ArgumentError),
        (0.5, 8, nn.errors.LabelError),
    ],
)
def test_hold_out_refuses(share, n, error):
    with pytest.raises(error):
        nn.data.hold_out(np.arange(9), np.zeros(n, dtype=int), share=share, seed=0)


def test_hold_out_draws_with_its_seed():
    labels = np.zeros(100, dtype=np.int64)
    tests = [nn.data.hold_out(np.arange(100), labels, share=0.5, seed=s).X_test for s in (0, 1)]
    assert not np.array_equal(*tests)


def book_spiral(samples, classes):
    """The points of chapter 3, one by one, with NumPy's global random state."""
    points, labels = [], []
    for c in range(classes):
        for i, noise in enumerate(np.random.standard_normal(samples)):
            radius = i / (samples - 1)
            angle = 2.5 * (4 * c + 4 * radius + 0.2 * noise)
            points.append([radius * math.sin(angle), radius * math.cos(angle)])
            labels.append(c)
    return points, labels


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_spiral_is_that_of_the_book(dtype):
    np.random.seed(0)
    points, labels = book_spiral(20, 4)
    np.random.seed(0)
    X, y = nn.data.spiral_data(20, 4, dtype=dtype)
    assert (X.dtype, y.dtype) == (np.dtype(dtype), np.int64)
    # The angles go up to 40, and so does their rounding in units of eps.
    np.testing.assert_allclose(X, points, rtol=0, atol=40 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(y, labels)


def test_spiral_draws_with_its_seed():
    first, same, other = (nn.data.spiral_data(seed=seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


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


@given(array=arrays(np.uint8, array_shapes(max_dims=4, min_side=0, max_side=5)))
def test_idx_files_give_back_what_was_written(array, tmp_path):
    write_array(tmp_path / "any.gz", array)
    np.testing.assert_array_equal(read_idx(tmp_path / "any.gz"), array)


def test_an_idx_file_is_refused_wherever_it_is_cut(tmp_path):
    path, whole = tmp_path / "cut.gz", idx(SMALL.shape, SMALL)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"cut\.gz is damaged"):
            read_idx(path)
    assert length > 18, "the file holds more than what gzip adds"


def test_a_flipped_bit_in_an_idx_file_never_changes_the_array(tmp_path):
    path, whole = tmp_path / "flipped.gz", idx(SMALL.shape, SMALL)
    complaints = []
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:  # The time of writing, in gzip's header, may be anything.
            np.testing.assert_array_equal(read_idx(path), SMALL)
        except DataError as error:
            complaints.append(str(error))
    assert len(complaints) > 4 * len(whole), "most flips are found"
    assert all("flipped.gz" in complaint for complaint in complaints)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        pytest.param(b"1,2,3\n4,5,6\n", "damaged", id="text"),
        pytest.param(gzip.compress(b"\x89PNG\r\n"), "no IDX file", id="picture"),
        pytest.param(idx((6,), SMALL, code=13), "no IDX file", id="type code"),
        pytest.param(idx((), b""), "no IDX file", id="no axes"),
        pytest.param(idx((2, 4), SMALL), r"promises 8 bytes \(2, 4\), it holds 6", id="less"),
        pytest.param(idx((5,), SMALL), r"promises 5 bytes \(5,\), it holds more", id="more"),
        pytest.param(idx((2**32 - 1,) * 3, SMALL), "promises the shape", id="huge"),
        pytest.param(idx((0,) + (2**32 - 1,) * 3, b""), "promises the shape", id="huge and empty"),
        pytest.param(idx((1,) * 70, b"1"), "no IDX file", id="many axes"),
        pytest.param(idx((1,) * 9, b"1"), "no IDX file", id="one axis more than there may be"),
        pytest.param(idx((6,), SMALL) + b"more", "damaged", id="trailing"),
    ],
)
def test_what_is_no_idx_file_is_refused(content, complaint, tmp_path):
    path = tmp_path / "bad.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=complaint) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Where the data sets are looked for, none of it the machine's own; there is nothing yet."""
    monkeypatch.setenv(mnist.ENVIRONMENT, str(tmp_path / "data"))
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / "cache" / name)
    return {"data": tmp_path / "data", "cache": tmp_path / "cache" / "nnfs_xp"}


@pytest.mark.parametrize("place", ["data", "cache"])
@pytest.mark.parametrize("name", LOADERS)
def test_the_mnist_family_is_found_where_it_lies(name, place, folders):
    write_mnist(folders[place] / name)
    split = LOADERS[name]()
    assert [part.shape for part in split] == [(40, 784), (40,), (20, 784), (20,)]
    assert [part.dtype for part in split] == [np.float32, np.int64] * 2
    assert split.y_test.tolist() == [*range(10)] * 2
    images = np.random.default_rng(0).integers(256, size=(40, 784), dtype=np.uint8)
    np.testing.assert_array_equal(split.X_train, images.astype(np.float32) / 255)


def test_the_folder_of_the_environment_goes_before_the_cache(folders, monkeypatch):
    write_mnist(folders["data"] / "mnist")
    write_mnist(folders["cache"] / "mnist")
    write_array(folders["cache"] / "mnist" / "t10k-labels-idx1-ubyte.gz", np.zeros(20, np.uint8))
    assert nn.data.load_mnist().y_test.tolist() == [*range(10)] * 2
    monkeypatch.setenv(mnist.ENVIRONMENT, "")
    assert nn.data.load_mnist().y_test.tolist() == [0] * 20
    monkeypatch.setenv("HOME", str(folders["data"].parent))
    monkeypatch.setenv(mnist.ENVIRONMENT, "~/data")
    assert nn.data.load_mnist().y_test.tolist() == [*range(10)] * 2


@pytest.mark.parametrize(
    ("file", "array", "complaint"),
    [
        ("train-labels-idx1-ubyte.gz", np.zeros(39, np.uint8), r"\(40, 28, 28\) .* \(39,\)"),
        ("t10k-labels-idx1-ubyte.gz", np.full(20, 10, np.uint8), "label 10; labels go from 0 to 9"),
        ("t10k-images-idx3-ubyte.gz", np.zeros((20, 27, 28), np.uint8), r"\(20, 27, 28\)"),
        ("t10k-images-idx3-ubyte.gz", np.zeros((20, 784), np.uint8), r"\(20, 784\)"),
    ],
)
def test_mnist_files_that_do_not_belong_together_are_refused(file, array, complaint, folders):
    write_mnist(folders["data"] / "mnist")
    write_array(folders["data"] / "mnist" / file, array)
    with pytest.raises(DataError, match=complaint) as caught:
        nn.data.load_mnist()
    assert str(folders["data"] / "mnist") in str(caught.value)


def assert_says_where_to_put_files(complaint, folders):
    for word in (mnist.ENVIRONMENT, folders["data"] / "mnist", folders["cache"] / "mnist"):
        assert str(word) in complaint


def test_without_pooch_missing_files_are_explained(folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(DataError, match=r"pip install 'nnfs-xp\[data\]'") as caught:
        nn.data.load_mnist()
    assert_says_where_to_put_files(str(caught.value), folders)


@pytest.fixture
def requests(tmp_path, monkeypatch):
    """The requests that come to two mirrors, of which the first, /dead/, has lost its files."""
    pytest.importorskip("pooch")
    requests = []

    class Handler(SimpleHTTPRequestHandler):
        def log_request(self, code, *_):
            requests.append((code, self.path))

    write_mnist(tmp_path / "web" / "good")
    for path in (tmp_path / "web" / "good").iterdir():
        checksum = hashlib.sha256(path.read_bytes()).hexdigest()
        monkeypatch.setitem(mnist._SHA256["mnist"], path.name.removesuffix("-ubyte.gz"), checksum)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("pooch.core.time", Mock())  # which it would sleep with between tries
    handler = partial(Handler, directory=str(tmp_path / "web"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setitem(mnist._MIRRORS, "mnist", (f"{address}/dead/", f"{address}/good/"))
        yield requests
        server.shutdown()
        thread.join()


def test_mnist_is_downloaded_from_the_second_mirror_and_kept(requests, folders):
    split = nn.data.load_mnist()
    assert split.X_train.shape == (40, 784)
    file = "train-images-idx3-ubyte.gz"
    assert requests[:4] == [(404, f"/dead/{file}")] * 3 + [(200, f"/good/{file}")]
    assert len(list((folders["cache"] / "mnist").iterdir())) == 4
    requests.clear()
    assert np.array_equal(nn.data.load_mnist().X_train, split.X_train)
    assert requests == []


def test_a_download_with_a_wrong_checksum_is_not_kept(requests, folders, monkeypatch):
    file = "t10k-labels-idx1-ubyte.gz"
    monkeypatch.setitem(mnist._SHA256["mnist"], "t10k-labels-idx1", "0" * 64)
    with pytest.raises(DataError, match=r"downloaded \(.*HTTPError; .*ValueError\)") as caught:
        nn.data.load_mnist()
    assert_says_where_to_put_files(str(caught.value), folders)
    assert requests[-1] == (200, f"/good/{file}")
    assert not (folders["cache"] / "mnist" / file).exists()


def test_the_split_of_the_digits_stays_as_it_is():
    """Figures of releases are comparable only as long as it does."""
    digits = nn.data.load_digits()
    assert digits.y_test[:12].tolist() == [2, 5, 6, 0, 2, 3, 4, 9, 4, 6, 7, 6]
    assert (
        hashlib.sha256(digits.y_test.astype("<i8").tobytes()).hexdigest()[:16] == "72779821bddaa824"
    )


def test_a_header_cannot_ask_for_more_memory_than_any_file_of_the_family_takes(tmp_path):
    (tmp_path / "forged.gz").write_bytes(idx((2**15, 2**16), SMALL))
    with pytest.raises(DataError, match=r"promises the shape \(32768, 65536\)"):
        read_idx(tmp_path / "forged.gz")


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("1,2\n3,4\n", [[1, 2], [3, 4]]),
        ("\ufeffa,b\r\n1,-2.5e3\r\n", [[1, -2500]]),
        ("\n\n a , b \n 1 , 2 \n\n", [[1, 2]]),
        ('"1","2"\n', [[1, 2]]),
        ("7\n", [[7]]),
        ("\ufeff1,2\n", [[1, 2]]),
    ],
)
def test_tables_give_their_numbers(text, rows, tmp_path):
    (tmp_path / "table.csv").write_text(text, encoding="utf-8")
    found = read_numbers(tmp_path / "table.csv")
    assert found.dtype == np.float64
    assert found.tolist() == rows


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"a,b\nc,d\n", "row 2, column 1: 'c' is no finite number"),
        (b"1,2\na,b\n", "row 2, column 1: 'a' is no finite number"),
        (b"1,2\n3,inf\n", "row 2, column 2: 'inf' is no finite number"),
        (b"1,2\n3,nan\n", "row 2, column 2: 'nan' is no finite number"),
        (b"1,2\n3,\n", "row 2, column 2: '' is no finite number"),
        (b"1,2\n3\n", "row 2 has 1 columns; those before it have 2"),
        (b"a,b\n", "no rows of numbers"),
        (b"", "no rows of numbers"),
        (b"\xff\xfe1\n", "is no CSV file"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused(content, complaint, tmp_path):
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(DataError, match=complaint) as caught:
        read_numbers(tmp_path / "table.csv")
    assert str(tmp_path / "table.csv") in str(caught.value)


class SmallDevice:
    """Like a GPU's backend, with so many bytes free."""

    def __init__(self, free):
        self.free = free
        self.strict = nn.get_backend("array_api_strict")

    def __getattr__(self, name):
        return getattr(self.strict, name)

    def memory(self):
        return Memory(0, 0, self.free, self.free)


@pytest.mark.parametrize("dtype", [None, "float32"])
def test_a_data_set_goes_to_the_device_if_it_takes_at_most_half_of_what_is_free(dtype):
    data = np.arange(10.0)
    size = 80 if dtype is None else 40
    placed = place(data, SmallDevice(2 * size), dtype)
    assert nn.get_backend("array_api_strict").owns(placed)
    kept = place(data, SmallDevice(2 * size - 1), dtype)
    assert isinstance(kept, np.ndarray)
    assert kept.dtype == (dtype or "float64")
    assert place(placed, SmallDevice(0)) is placed, "what is there already stays"


def bytes_of(n=400, k=12):
    return np.random.default_rng(0).integers(256, size=(n, k)).astype(np.uint8)


def test_scaled_samples_are_those_divided():
    raw = bytes_of()
    scaled = nn.data.Scaled(raw, 255)
    expected = np.divide(raw, 255, dtype=np.float32)
    assert (scaled.shape, scaled.ndim, len(scaled)) == ((400, 12), 2, 400)
    order = np.random.default_rng(1).permutation(400)[:50]
    for rows in (slice(3, 9), order, (slice(0, 1), ...), order.tolist()):
        assert scaled[rows].dtype == np.float32
        assert np.array_equal(scaled[rows], expected[rows])
    assert np.array_equal(np.asarray(scaled), expected)
    assert np.asarray(scaled, dtype=np.float64).dtype == np.float64
    assert repr(scaled) == "Scaled(uint8 of shape (400, 12), 255)"


def test_scaled_samples_must_be_whole_numbers():
    with pytest.raises(DTypeError, match="must hold whole numbers; got float32"):
        nn.data.Scaled(np.ones((3, 2), np.float32))
    with pytest.raises(ShapeError, match="single number"):
        nn.data.Scaled(np.uint8(3))
    for wrong in (0, -1, float("nan"), "2"):
        with pytest.raises(ArgumentError, match="`divisor` must be above 0"):
            nn.data.Scaled(bytes_of(), wrong)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_training_on_scaled_samples_is_that_on_floats(backend, dtype):
    raw, labels = bytes_of(), np.random.default_rng(2).integers(3, size=400)
    floats = np.divide(raw, 255, dtype=dtype)
    found = []
    for X in (floats, nn.data.Scaled(raw, 255)):
        model = nn.Sequential(
            nn.Dense(12, 8, dtype=dtype), nn.ReLU(), nn.Dense(8, 3, dtype=dtype), seed=0
        )
        loss = nn.SoftmaxCategoricalCrossentropy()
        trainer = nn.Trainer(model, loss, nn.Adam(0.01), backend=backend)
        history = trainer.fit(
            X, labels, epochs=2, batch_size=32, validation_data=(X, labels), progress=False
        )
        weights = {name: to_numpy(w) for name, w in model.parameters().items()}
        found.append((history, weights, trainer.predict_proba(X), trainer.evaluate(X, labels)))
    (history, weights, chances, figures), (others, *rest) = found
    assert {name: list(values) for name, values in others.items()} == dict(history.items())
    for name, values in weights.items():
        assert np.array_equal(values, rest[0][name])
    assert np.array_equal(chances, rest[1])
    assert figures == rest[2]


def test_many_bytes_stay_bytes_until_a_batch_is_taken(monkeypatch):
    monkeypatch.setattr("nnfs_xp.training.preparation._MANY", 100)
    raw, labels = bytes_of(), np.random.default_rng(2).integers(3, size=400)

    def train(X):
        model = nn.Sequential(nn.Dense(12, 3, seed=0))
        loss = nn.SoftmaxCategoricalCrossentropy()
        trainer = nn.Trainer(model, loss, nn.SGD(0.01), backend="numpy")
        trainer.fit(X, labels, batch_size=32, progress=False)
        return model.flat.values

    expected = train(raw.astype(np.float32))
    asked = []
    take = nn.data.Scaled.__getitem__
    monkeypatch.setattr(
        nn.data.Scaled, "__getitem__", lambda self, rows: asked.append(rows) or take(self, rows)
    )
    assert np.array_equal(train(raw), expected)
    assert len(asked) > 400 // 32
    assert all(not isinstance(rows, slice) or rows.stop is not None for rows in asked)
