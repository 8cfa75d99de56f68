"""CIFAR-10 from forged files: what they hold, where they are found, and when they are damaged."""

from __future__ import annotations

import hashlib
import sys
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from unittest.mock import Mock

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp.data import cifar10
from nnfs_xp.data.downloads import ENVIRONMENT
from nnfs_xp.errors import ArgumentError, DataError

FOLDER, ARCHIVE = "cifar-10-batches-bin", "cifar-10-binary.tar.gz"
NAMES = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
RECORDS = 20
"""Of a forged file."""


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(cifar10, "_RECORDS", RECORDS)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Where the files are looked for, none of it the machine's own; there is nothing yet."""
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "data"))
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / "cache" / name)
    return {"data": tmp_path / "data", "cache": tmp_path / "cache" / "nnfs_xp"}


def pictures_of(number):
    """The pictures of a file, and its labels."""
    random = np.random.default_rng(number)
    return random.integers(256, size=(RECORDS, 32, 32, 3), dtype=np.uint8), (
        np.arange(RECORDS) + number
    ) % 10


def content_of(number):
    """A file in the format that its authors describe, byte by byte."""
    images, labels = pictures_of(number)
    content = bytearray()
    for image, label in zip(images, labels, strict=True):
        content.append(label)
        for channel in range(3):
            content += image[:, :, channel].tobytes()
    return bytes(content)


def write_files(place):
    (place / FOLDER).mkdir(parents=True)
    for number, name in enumerate(NAMES):
        (place / FOLDER / name).write_bytes(content_of(number))
    (place / FOLDER / "readme.html").write_text("see there")


def write_archive(place, source, names=(*NAMES, "readme.html")):
    place.mkdir(parents=True, exist_ok=True)
    with tarfile.open(place / ARCHIVE, "w:gz") as packed:
        for name in names:
            packed.add(source / FOLDER / name, f"{FOLDER}/{name}")


def assert_right(split):
    files = [pictures_of(number) for number in range(6)]
    images = np.concatenate([images for images, _ in files[:5]]).astype(np.float32) / 255
    labels = np.concatenate([labels for _, labels in files[:5]])
    np.testing.assert_array_equal(split.X_train, images)
    np.testing.assert_array_equal(split.y_train, labels)
    np.testing.assert_array_equal(split.X_test, files[5][0].astype(np.float32) / 255)
    np.testing.assert_array_equal(split.y_test, files[5][1])


@pytest.mark.parametrize("place", ["data", "cache"])
@pytest.mark.parametrize("packed", [False, True])
def test_found_where_they_lie(place, packed, folders, tmp_path):
    if packed:
        write_files(tmp_path / "elsewhere")
        write_archive(folders[place], tmp_path / "elsewhere", NAMES[::-1])
    else:
        write_files(folders[place])
    split = nn.data.load_cifar10()
    assert_right(split)
    assert [part.dtype for part in split] == [np.float32, np.int64] * 2
    assert [part.shape for part in split] == [(100, 32, 32, 3), (100,), (20, 32, 32, 3), (20,)]
    if packed:
        assert [path.name for path in folders[place].iterdir()] == [ARCHIVE], "nothing is written"


def test_compact_pictures_are_the_same(folders):
    write_files(folders["data"])
    split = nn.data.load_cifar10(compact=True)
    assert isinstance(split.X_train, nn.data.Scaled)
    assert_right(split._replace(X_train=split.X_train[:], X_test=split.X_test[:]))
    with pytest.raises(ArgumentError, match="`compact` must be True or False"):
        nn.data.load_cifar10(compact="uint8")


def test_the_folder_of_the_environment_goes_before_the_cache(folders):
    write_files(folders["cache"])
    write_archive(folders["data"], folders["cache"])
    (folders["cache"] / FOLDER / NAMES[0]).write_bytes(b"")
    assert_right(nn.data.load_cifar10())


def test_the_classes_are_ten():
    assert len(nn.data.CIFAR10_CLASSES) == 10
    assert nn.data.CIFAR10_CLASSES[3:6:2] == ("cat", "dog")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (lambda whole: whole[:-1], r"is cut short: it has 61,459 bytes, where 20 .* take 61,460"),
        (lambda whole: whole[:3073], "is cut short"),
        (lambda whole: b"", "is cut short"),
        (lambda whole: whole + whole, "is no file of CIFAR-10's binary version: it has 122,920"),
        (lambda whole: b"\x0a" + whole[1:], "holds the label 10; labels go from 0 to 9"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_damaged_files_are_refused(content, complaint, packed, folders, tmp_path):
    place = tmp_path / "elsewhere" if packed else folders["data"]
    write_files(place)
    path = place / FOLDER / "data_batch_3.bin"
    path.write_bytes(content(path.read_bytes()))
    if packed:
        write_archive(folders["data"], place)
    with pytest.raises(DataError, match=complaint) as caught:
        nn.data.load_cifar10()
    assert "data_batch_3.bin" in str(caught.value)
    assert str(folders["data"]) in str(caught.value)


def test_a_missing_file_is_named(folders, tmp_path):
    write_files(folders["data"])
    (folders["data"] / FOLDER / "test_batch.bin").unlink()
    with pytest.raises(DataError, match=r"no file .*test_batch\.bin, though its folder is there"):
        nn.data.load_cifar10()
    write_files(tmp_path / "elsewhere")
    write_archive(folders["cache"], tmp_path / "elsewhere", NAMES[1:])
    (folders["data"] / FOLDER).rename(tmp_path / "away")
    with pytest.raises(DataError, match=r"holds no data_batch_1\.bin\. Delete it"):
        nn.data.load_cifar10()


@pytest.mark.parametrize("damage", [lambda whole: whole[: len(whole) // 2], lambda whole: b"no"])
def test_a_damaged_archive_is_refused(damage, folders, tmp_path):
    write_files(tmp_path / "elsewhere")
    write_archive(folders["data"], tmp_path / "elsewhere")
    path = folders["data"] / ARCHIVE
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"is damaged or truncated .* Delete it") as caught:
        nn.data.load_cifar10()
    assert str(path) in str(caught.value)


def assert_says_where_to_put_files(complaint, folders):
    for word in (ENVIRONMENT, ARCHIVE, FOLDER, folders["data"], folders["cache"]):
        assert str(word) in complaint


def test_without_pooch_missing_files_are_explained(folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(DataError, match=r"pip install 'nnfs-xp\[data\]'") as caught:
        nn.data.load_cifar10()
    assert_says_where_to_put_files(str(caught.value), folders)


@pytest.fixture
def requests(tmp_path, monkeypatch):
    """The requests that come to the mirror of the archive."""
    pytest.importorskip("pooch")
    requests = []

    class Handler(SimpleHTTPRequestHandler):
        def log_request(self, code, *_):
            requests.append((code, self.path))

    write_files(tmp_path / "elsewhere")
    write_archive(tmp_path / "web", tmp_path / "elsewhere")
    checksum = hashlib.md5((tmp_path / "web" / ARCHIVE).read_bytes()).hexdigest()  # noqa: S324 # the official one
    monkeypatch.setattr(cifar10, "_CHECKSUM", f"md5:{checksum}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("pooch.core.time", Mock())  # which it would sleep with between tries
    handler = partial(Handler, directory=str(tmp_path / "web"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setattr(cifar10, "_MIRRORS", (f"http://127.0.0.1:{server.server_port}/",))
        yield requests
        server.shutdown()
        thread.join()


def test_the_archive_is_downloaded_and_kept_unpacked(requests, folders):
    assert_right(nn.data.load_cifar10())
    assert requests == [(200, f"/{ARCHIVE}")]
    assert [path.name for path in folders["cache"].iterdir()] == [FOLDER]
    assert sorted(path.name for path in (folders["cache"] / FOLDER).iterdir()) == NAMES
    assert_right(nn.data.load_cifar10())
    assert len(requests) == 1


@pytest.mark.usefixtures("requests")
def test_a_download_with_a_wrong_checksum_is_not_kept(folders, monkeypatch):
    monkeypatch.setattr(cifar10, "_CHECKSUM", "md5:" + "0" * 32)
    with pytest.raises(DataError, match=r"could not be downloaded \(.*ValueError\)") as caught:
        nn.data.load_cifar10()
    assert_says_where_to_put_files(str(caught.value), folders)
    assert list(folders["cache"].iterdir()) == []
