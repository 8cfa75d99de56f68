"""Images from folders of class folders: what is taken of them, in batches and as arrays."""

from __future__ import annotations

import logging
import os
import pickle
import struct
import sys
import warnings
from io import BytesIO
from itertools import chain

import numpy as np
import pytest

import nnfs_xp as nn
from nnfs_xp.data import augment
from nnfs_xp.errors import ArgumentError, BackendError, DataError, LabelError

Image = pytest.importorskip("PIL.Image")


def picture(number, height=8, width=6, mode="RGB"):
    """A picture that its number tells apart from others."""
    random = np.random.default_rng(number)
    pixels = random.integers(256, size=(height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def save(image, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path):
    """Three classes of four, three and five pictures."""
    place = tmp_path / "images"
    for label, (name, n) in enumerate([("bird", 4), ("cat", 3), ("dog", 5)]):
        for number in range(n):
            save(picture(10 * label + number), place / name / f"{number}.png")
    return place


def pixels_of(label, number, **how):
    return np.asarray(picture(10 * label + number, **how), dtype=np.float32) / 255


NUMBERS = [(label, number) for label, n in enumerate((4, 3, 5)) for number in range(n)]
ALL = np.array([pixels_of(*each) for each in NUMBERS])
LABELS = np.array([label for label, _ in NUMBERS])


def test_all_images_as_arrays(folder):
    X, y, classes = nn.data.load_images(folder)
    assert classes == ("bird", "cat", "dog")
    assert isinstance(X, nn.data.Scaled)
    np.testing.assert_array_equal(X[:], ALL)
    np.testing.assert_array_equal(y, LABELS)
    assert y.dtype == np.int64
    floats = nn.data.load_images(str(folder), compact=False).X
    assert isinstance(floats, np.ndarray)
    assert floats.dtype == np.float32
    np.testing.assert_array_equal(floats, ALL)


def test_batches_of_images(folder):
    images = nn.data.ImageFolder(folder, batch_size=5)
    assert (len(images), images.n_samples, images.image_shape) == (3, 12, (8, 6, 3))
    assert images.classes == ("bird", "cat", "dog")
    found = [images[number] for number in range(3)]
    assert [x.shape for x, _ in found] == [(5, 8, 6, 3), (5, 8, 6, 3), (2, 8, 6, 3)]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in found]), ALL)
    np.testing.assert_array_equal(np.concatenate([y for _, y in found]), LABELS)
    assert found[0][0].dtype == np.float32
    assert repr(images) == "<ImageFolder: 12 samples in 3 batches of 5>"


def test_shuffled_batches_tell_their_samples(folder):
    images = nn.data.ImageFolder(folder, batch_size=5, shuffle=True, seed=2)
    orders = []
    for epoch in range(2):
        for number, (x, y) in enumerate(images.walk(epoch)):
            rows = images.samples(epoch, number)
            np.testing.assert_array_equal(x, ALL[rows])
            np.testing.assert_array_equal(y, LABELS[rows])
            orders.append(rows.tolist())
    for epoch in (orders[:3], orders[3:]):
        assert sorted(chain(*epoch)) == list(range(12))
    assert orders[:3] != orders[3:]


def new_trainer(backend="numpy", n_classes=3):
    model = nn.Sequential(nn.Flatten(), nn.Dense(144, 8), nn.ReLU(), nn.Dense(8, n_classes), seed=0)
    loss = nn.SoftmaxCategoricalCrossentropy()
    return nn.Trainer(model, loss, nn.Adam(0.003), backend=backend, seed=1)


def test_a_network_trains_on_them(backend, folder):
    images = nn.data.ImageFolder(folder, batch_size=4, shuffle=True)
    trainer = new_trainer(backend)
    flip = augment.Flip(alternating=True)
    history = trainer.fit(images, epochs=40, transform=flip, progress=False)
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    evaluated = trainer.evaluate(nn.data.ImageFolder(folder))
    X, y, _ = nn.data.load_images(folder)
    assert evaluated == pytest.approx(trainer.evaluate(X, y))
    assert evaluated["accuracy"] > 0.8


def test_other_processes_can_make_the_batches(folder):
    images = nn.data.ImageFolder(folder, batch_size=5, shuffle=True)
    images[0]  # begins to read
    again = pickle.loads(pickle.dumps(images))
    np.testing.assert_array_equal(again[1][0], images[1][0])


def test_a_share_of_each_class_is_held_out(folder):
    images = nn.data.ImageFolder(folder, batch_size=5, shuffle=True)
    rest, held = images.hold_out(0.25, seed=3)
    wanted = nn.data.hold_out(np.arange(12), LABELS, share=0.25, seed=3)
    assert rest.paths == [images.paths[row] for row in wanted.X_train]
    assert held.paths == [images.paths[row] for row in wanted.X_test]
    np.testing.assert_array_equal(held.labels, wanted.y_test)
    assert (rest.shuffle, held.shuffle) == (True, False)
    assert held.classes == images.classes
    np.testing.assert_array_equal(held[0][0], ALL[wanted.X_test])
    with pytest.raises(ArgumentError, match="share"):
        images.hold_out(1)
    with pytest.raises(LabelError, match="too few"):
        images.hold_out(0.01)


def test_classes_keep_their_labels(folder):
    X, y, classes = nn.data.load_images(folder, classes=("dog", "bird"))
    assert classes == ("dog", "bird")
    np.testing.assert_array_equal(X[:], np.concatenate([ALL[7:], ALL[:4]]))
    assert y.tolist() == [0] * 5 + [1] * 4


def test_files_below_a_class_that_are_no_images_do_not_count(folder):
    save(picture(99), folder / "cat" / "more" / "A.JPG", format="PNG")
    save(picture(98), folder / "cat" / ".hidden.png")
    save(picture(97), folder / ".cache" / "0.png")
    save(picture(96), folder / "cat" / ".thumbs" / "0.png")
    save(picture(95), folder / "outside.png")
    (folder / "cat" / "notes.txt").write_text("none")
    X, y, classes = nn.data.load_images(folder)
    assert classes == ("bird", "cat", "dog")
    assert np.bincount(y).tolist() == [4, 4, 5]
    np.testing.assert_array_equal(X[7:8][0], np.asarray(picture(99), np.float32) / 255)


def test_what_a_survey_tells(folder, tmp_path):
    assert nn.data.survey_images(folder) == (("bird", "cat", "dog"), (4, 3, 5), (8, 6), 3)
    save(picture(1, 4, 4), folder / "cat" / "small.png")
    assert nn.data.survey_images(folder, classes=("cat",)) == (("cat",), (4,), None, 3)
    for mode in ("L", "1", "LA"):
        save(picture(1, 9, 7, mode), tmp_path / "grey" / "one" / f"{mode}.png")
    assert nn.data.survey_images(tmp_path / "grey") == (("one",), (3,), (9, 7), 1)
    save(picture(1, 9, 7, "P"), tmp_path / "grey" / "one" / "colours.png")
    assert nn.data.survey_images(tmp_path / "grey").channels == 3


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_colours(mode, channels, tmp_path):
    image = picture(5, mode=mode)
    ending = "tif" if mode == "CMYK" else "png"
    path = save(image, tmp_path / "all" / "one" / f"image.{ending}")
    (found,), _, _ = nn.data.load_images(tmp_path / "all", channels=channels, compact=False)
    wanted = np.asarray(Image.open(path).convert("L" if channels == 1 else "RGB"), np.float32) / 255
    np.testing.assert_array_equal(found, wanted.reshape(8, 6, channels))


def test_what_is_transparent_is_on_white(tmp_path):
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:2, :, :] = (200, 100, 50, 255)
    save(Image.fromarray(pixels), tmp_path / "one" / "image.png")
    (found,), _, _ = nn.data.load_images(tmp_path, compact=False)
    np.testing.assert_allclose(found[0, 0] * 255, [200, 100, 50], rtol=1e-6)
    np.testing.assert_array_equal(found[2:], 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_as_a_viewer_shows_them(orientation, tmp_path):
    """Turned and mirrored as the standard's figure has it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = picture(7)
    save(image, tmp_path / "one" / "image.tif", exif=exif)
    save(image, tmp_path / "one" / "image.png", exif=exif)
    turns = {5: (1, True), 6: (-1, False), 7: (-1, True), 8: (1, False), 3: (2, False)}
    turns |= {1: (0, False), 2: (0, True), 4: (2, True)}
    n, mirrored = turns[orientation]
    pixels = np.asarray(image, np.float32) / 255
    # Mirrored first, left and right exchanged, and then turned.
    wanted = np.rot90(pixels[:, ::-1] if mirrored else pixels, n)
    X, _, _ = nn.data.load_images(tmp_path, compact=False)
    for found in X:
        np.testing.assert_array_equal(found, wanted)
    assert nn.data.survey_images(tmp_path).size == wanted.shape[:2]


@pytest.mark.parametrize(
    ("size", "box"),
    [
        (4, (0, 1, 6, 7)),
        ((4, 3), (0, 0, 6, 8)),
        ((2, 6), (0, 3, 6, 5)),
        ((16, 6), (1.5, 0, 4.5, 8)),
    ],
)
def test_the_middle_is_resized(size, box, folder):
    height, width = size if isinstance(size, tuple) else (size, size)
    X, _, _ = nn.data.load_images(folder, size=size, compact=False)
    assert X.shape == (12, height, width, 3)
    image = picture(0)
    wanted = image.resize((width, height), Image.Resampling.BILINEAR, box)
    np.testing.assert_array_equal(X[0], np.asarray(wanted, np.float32) / 255)
    assert nn.data.ImageFolder(folder, size=size).image_shape == (height, width, 3)


def test_single_files(folder, tmp_path):
    paths = [folder / "dog" / "1.png", str(folder / "bird" / "0.png"), folder / "dog" / "1.png"]
    X = nn.data.read_images(paths, size=(8, 6))
    np.testing.assert_array_equal(X[:], ALL[[8, 0, 8]])
    assert nn.data.read_images(paths, size=3, channels=1).shape == (3, 3, 3, 1)
    complaint = r"1 of 2 images cannot be taken: .*none\.png: it cannot be read"
    with pytest.raises(DataError, match=complaint):
        nn.data.read_images([*paths[:1], tmp_path / "none.png"], size=3)
    with pytest.raises(DataError, match="names no images"):
        nn.data.read_images([], size=3)
    with pytest.raises(ArgumentError, match="`size` must be a whole number or two; got None"):
        nn.data.read_images(paths, size=None)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def deep(path):
    Image.fromarray(np.zeros((8, 6), np.uint16)).save(path)


def bomb(path, side=100_000):
    """A few bytes that promise 10 thousand million pixels, or fewer."""
    head = BytesIO()
    Image.new("L", (1, 1)).save(head, "BMP")
    content = bytearray(head.getvalue())
    content[18:26] = struct.pack("<ii", side, side)
    path.write_bytes(content)


def large(path):
    """As `bomb`, of so many pixels that Pillow only warns."""
    bomb(path, 10_000)


UNFIT = {
    "text": (lambda path: path.write_text("no image"), "it is no image, or damaged"),
    "empty": (lambda path: path.write_bytes(b""), "it is no image, or damaged"),
    "deep": (deep, "it is of mode I;16, with more than 8 bits for each value"),
    "bomb": (bomb, "it has more pixels than Pillow's limit"),
    "large": (large, "it has 10000 x 10000 pixels, more than Pillow's limit of 89,478,485"),
    "other": (
        lambda path: picture(1, 9, 6).save(path),
        r"it is of 9 x 6 pixels, where most are of 8 x 6 \(`size` brings all to one\)",
    ),
}
"""What a header tells."""


@pytest.mark.parametrize("name", UNFIT)
def test_unfit_images_are_named_and_counted_or_left_out(name, folder, caplog):
    spoil, reason = UNFIT[name]
    for number in (1, 3):
        spoil(folder / "dog" / f"{number}.png")
    complaint = rf"2 of 12 images in .* cannot be taken: dog.1\.png: {reason}"
    for take in (nn.data.load_images, nn.data.ImageFolder):
        with pytest.raises(DataError, match=complaint) as caught:
            take(folder)
        assert "unreadable='skip'" in str(caught.value)
        assert "3.png" in str(caught.value)
    with caplog.at_level(logging.WARNING, "nnfs_xp"):
        X, y, _ = nn.data.load_images(folder, unreadable="skip")
    assert "left out: 2 of 12 images" in caplog.text
    kept = [row for row in range(12) if row not in (8, 10)]
    np.testing.assert_array_equal(X[:], ALL[kept])
    np.testing.assert_array_equal(y, LABELS[kept])
    images = nn.data.ImageFolder(folder, unreadable="skip")
    assert [path.name for path, _ in images.skipped] == ["1.png", "3.png"]
    assert images.n_samples == 10
    if name != "other":
        assert nn.data.survey_images(folder, unreadable="skip").counts == (4, 3, 3)
        with pytest.raises(DataError, match="2 of 12 images"):
            nn.data.survey_images(folder)


def test_pillow_does_not_warn_beside_the_error(folder):
    large(folder / "dog" / "1.png")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(DataError, match="10000 x 10000 pixels"):
            nn.data.ImageFolder(folder)
        with pytest.raises(DataError, match="10000 x 10000 pixels"):
            nn.data.read_images([folder / "dog" / "1.png"], size=8)
    assert not caught


def test_errors_go_from_process_to_process(folder):
    (folder / "dog" / "1.png").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        nn.data.ImageFolder(folder)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again)) == (type(caught.value), str(caught.value))


def test_an_image_that_ends_early_is_found_when_it_is_read(folder):
    big = save(picture(0, 64, 64), folder / "cat" / "0.png")
    for each in sorted(folder.rglob("*.png")):
        picture(0, 64, 64).save(each)
    cut(big)
    images = nn.data.ImageFolder(folder, batch_size=3)
    with pytest.raises(
        DataError, match=r"1 of 3 images in .*cat.0\.png: it is damaged \(OSError: "
    ):
        list(images.walk(0))
    model = nn.Sequential(nn.Flatten(), nn.Dense(64 * 64 * 3, 3), seed=0)
    loss = nn.SoftmaxCategoricalCrossentropy()
    trainer = nn.Trainer(model, loss, nn.SGD(0.1), backend="numpy")
    with pytest.raises(DataError, match=r"batch 2 of epoch 1: .*cat.0\.png: it is damaged"):
        trainer.fit(images, progress=False)
    with pytest.raises(DataError, match=r"1 of 12 images in .*cat.0\.png"):
        nn.data.load_images(folder)
    assert nn.data.ImageFolder(folder, unreadable="skip").n_samples == 11
    assert len(nn.data.load_images(folder, unreadable="skip").y) == 11


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_what_is_no_file_is_named_and_not_waited_for(folder):
    os.mkfifo(folder / "cat" / "pipe.png")
    (folder / "dog" / "link.png").symlink_to("nowhere")
    reasons = r"cat.pipe\.png: it is no plain file; dog.link\.png: it cannot be read \(No such file"
    with pytest.raises(DataError, match=rf"2 of 14 images in .*: {reasons}"):
        nn.data.ImageFolder(folder)


def test_only_some_of_many_are_named(folder):
    for path in sorted(folder.rglob("*.png"))[:9]:
        path.write_text("")
    with pytest.raises(DataError, match=r"9 of 12 images .*; and 4 more"):
        nn.data.ImageFolder(folder)
    with pytest.raises(DataError, match="no image of the class 'bird' is left: 9 of 12"):
        nn.data.ImageFolder(folder, unreadable="skip")
    for path in folder.rglob("*.png"):
        path.write_text("")
    for unreadable in ("refuse", "skip"):
        with pytest.raises(DataError, match="12 of 12 images"):
            nn.data.ImageFolder(folder, unreadable=unreadable)
        with pytest.raises(DataError, match="12 of 12 images"):
            nn.data.survey_images(folder, unreadable=unreadable)


@pytest.mark.parametrize("take", [nn.data.load_images, nn.data.ImageFolder, nn.data.survey_images])
def test_folders_that_hold_no_classes(take, folder, tmp_path):
    with pytest.raises(DataError, match=r"the folder .*nowhere cannot be read: No such file"):
        take(tmp_path / "nowhere")
    save(picture(0), tmp_path / "lone" / "0.png")
    with pytest.raises(DataError, match=r"lone has 1 image itself, but no sub-folders"):
        take(tmp_path / "lone")
    with pytest.raises(DataError, match=r"cat has 3 images itself, but no sub-folders\. Put the"):
        take(folder / "cat")
    with pytest.raises(DataError, match=r"has no sub-folder 'cow'\. It has 'bird', 'cat', 'dog'"):
        take(folder, classes=("cat", "cow"))
    (folder / "cow").mkdir()
    (folder / "cow" / "notes.txt").write_text("none")
    with pytest.raises(DataError, match=r"has no images of the class 'cow'\. Images are files wh"):
        take(folder)
    (folder / "eel").mkdir()
    with pytest.raises(DataError, match="has no images of classes 'cow', 'eel'"):
        take(folder)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 0}, "`size` must be a whole number of at least 1"),
        ({"size": (1, 2, 3)}, "`size` must be a whole number or two"),
        ({"channels": 4}, r"`channels` must be 1 \(grey\) or 3 \(colours\); got 4"),
        ({"channels": True}, "`channels`"),
        ({"unreadable": "ignore"}, "`unreadable` must be 'refuse' or 'skip'; got 'ignore'"),
        ({"classes": "cat"}, "`classes` must be names of sub-folders; got 'cat'"),
        ({"classes": ()}, "`classes` must be names"),
        ({"classes": ("cat", "cat")}, "has a name twice"),
    ],
)
def test_settings_that_cannot_be(settings, message, folder):
    for take in (nn.data.load_images, nn.data.ImageFolder):
        with pytest.raises(ArgumentError, match=message):
            take(folder, **settings)


def test_without_pillow_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    for take in (nn.data.load_images, nn.data.ImageFolder, nn.data.survey_images):
        with pytest.raises(BackendError, match=r"need Pillow; pip install 'nnfs-xp\[images\]'"):
            take(folder)
