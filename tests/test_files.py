"""Model files: they give back what was saved, are never half written, and execute nothing."""

from __future__ import annotations

import contextlib
import csv
import errno
import json
import os
import stat
import struct
import zlib

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

import nnfs_xp as nn
from nnfs_xp.errors import ArgumentError, CheckpointError
from nnfs_xp.interop.tensor_file import read_tensors, write_tensors

DENSE = {"class": "Dense", "config": {"n_inputs": 2, "n_neurons": 3}}
WEIGHTS = {
    "weights": np.arange(6, dtype=np.float32).reshape(2, 3),
    "biases": np.ones((1, 3), dtype=np.float32),
}


def ensemble(dtype):
    return (
        nn.ParametricActivation(nn.Mish(), 3, dtype=dtype, alpha_regularizer_l1=0.1),
        nn.Repeat(2),
        nn.Scale((2, 3), initializer=nn.initializers.random_signs, dtype=dtype),
        nn.MemberDense(2, 3, 4, dtype=dtype, bias_regularizer_l2=0.2),
        nn.Flatten(),
    )


def pictures(dtype):
    return (
        nn.Reshape((1, 3, 1)),
        nn.Conv2D(1, 4, (1, 2), padding="same", dtype=dtype, weight_regularizer_l2=0.1),
        nn.DepthwiseConv2D(4, (1, 3), multiplier=2, padding=((0, 0), (1, 1)), dtype=dtype),
        nn.ZeroPad2D(((0, 1), (0, 2))),
        nn.MaxPool2D((2, 1), strides=(1, 2), padding=((1, 0), (0, 0))),
        nn.GroupNorm(8, 4, scale=False, epsilon=0.5, dtype=dtype),
        nn.Upsample2D((1, 2)),
        nn.SeparableConv2D(8, 2, (1, 2), use_bias=False, max_norm=2.0, dtype=dtype),
        nn.AveragePool2D((1, 2), padding="same", counts_padding=True),
        nn.Conv2DTranspose(2, 2, (1, 2), strides=(1, 2), output_padding=(0, 1), dtype=dtype),
        nn.GlobalAveragePool(),
    )


def sequences(dtype):
    return (
        nn.Reshape((3, 1)),
        nn.Conv1D(1, 4, 2, dilation=2, use_bias=False, dtype=dtype),
        *(nn.MaxPool1D(2, strides=1, padding="same"), nn.AveragePool1D(1)),
        nn.Conv1DTranspose(4, 2, 3, padding=(1, 0), groups=2, dtype=dtype, trainable=("biases",)),
        nn.GlobalMaxPool(),
    )


def every_layer(dtype="float32"):
    return nn.Sequential(
        nn.Dense(6, 5, dtype=dtype, weight_regularizer_l1=0.1, bias_regularizer_l2=0.2),
        nn.ReLU(),
        nn.Sequential(nn.Dense(5, 4, dtype=dtype), nn.LeakyReLU(0.25), nn.Dropout(0.125)),
        nn.Tanh(),
        nn.Sequential(nn.Block(nn.Sigmoid(), name="bent"), nn.Linear()),
        nn.Dense(4, 3, dtype=dtype, weight_regularizer_l2=0.3, bias_regularizer_l1=0.4),
        nn.Residual(nn.BatchNorm(3, momentum=0.75, dtype=dtype), nn.GELU("tanh"), nn.SELU()),
        nn.Concatenate(
            nn.Sequential(nn.LayerNorm(3, epsilon=0.5, dtype=dtype), nn.SiLU(), nn.Flatten()),
            nn.Sequential(nn.Columns(1, 3), nn.PeriodicEmbedding(2, 5, 3, sigma=0.5, dtype=dtype)),
            nn.Sequential(nn.Scale(3, dtype=dtype, scale_regularizer_l2=0.1), *ensemble(dtype)),
            nn.Residual(nn.ELU(0.5), nn.AlphaDropout(0.25), nn.GaussianNoise(0.5), nn.Softplus()),
            nn.Sequential(*pictures(dtype), input_shape=(3,)),
            nn.Sequential(*sequences(dtype), input_shape=(3,)),
        ),
        nn.Softmax(),
        seed=0,
    )


def architecture(model):
    return [(prefix, type(layer), layer.config()) for prefix, layer in model.walk()]


def forge(path, model=DENSE, weights=WEIGHTS, version=1):
    """A file in the format, whatever it describes."""
    write(path, json.dumps({"version": version, "model": model}), weights)


def write(path, description, weights=WEIGHTS):
    """A file with the description, and with its checksum where that is possible."""
    with contextlib.suppress(ValueError, TypeError, RecursionError):
        facts = json.loads(description)
        description = json.dumps({**facts, "crc32": checksum(facts, weights)})
    path.write_bytes(safetensors.numpy.save(weights, metadata={"nnfs_xp model": description}))


def checksum(facts, weights):
    parts = [json.dumps(facts, sort_keys=True).encode()]
    for name in sorted(weights):
        array = weights[name]
        parts += [f"\n{name} {array.dtype} {array.shape}\n".encode(), array.tobytes()]
    return f"{zlib.crc32(b''.join(parts)):08x}"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_loaded_model_is_the_saved_one(backend, dtype, tmp_path):
    model = every_layer(dtype).to(backend)
    model.parameters()["0.biases"][...] = 0.5
    model.buffers()["6.0.running_mean"][...] = 0.25
    kinds = {type(layer).__name__ for _, layer in model.walk()}
    public = {getattr(nn, name).__name__ for name in nn.layers.__all__}
    assert kinds == public - {"Layer", "StochasticLayer", "Embedding"}

    nn.save(model, tmp_path / "model.safetensors")
    loaded = nn.load(tmp_path / "model.safetensors", backend=backend)
    assert architecture(loaded) == architecture(model)
    assert (loaded.backend, loaded.dtype) == (backend, dtype)
    for name, array in model.parameters().items():
        np.testing.assert_array_equal(nn.to_numpy(loaded.parameters()[name]), nn.to_numpy(array))
    assert list(loaded.buffers()) == ["6.0.running_mean", "6.0.running_variance"]
    for name, array in model.buffers().items():
        np.testing.assert_array_equal(nn.to_numpy(loaded.buffers()[name]), nn.to_numpy(array))
    inputs = backend.asarray(np.linspace(-1, 1, 12).reshape(2, 6), dtype)
    for function in (lambda m: m.forward(inputs), lambda m: m.regularization_loss()):
        np.testing.assert_array_equal(*(nn.to_numpy(function(m)) for m in (loaded, model)))


def test_an_embedding_is_saved(tmp_path):
    model = nn.Sequential(nn.Embedding(5, 2), nn.Flatten(), nn.Dense(4, 1), seed=0)
    nn.save(model, tmp_path / "model")
    loaded = nn.load(tmp_path / "model", backend="numpy")
    assert architecture(loaded) == architecture(model)
    np.testing.assert_array_equal(loaded.layers[0].weights, model.layers[0].weights)


def test_every_backend_writes_the_same_bytes(backend, tmp_path):
    nn.save(every_layer(), tmp_path / "numpy")
    nn.save(every_layer().to(backend), tmp_path / "other")
    assert (tmp_path / "numpy").read_bytes() == (tmp_path / "other").read_bytes()


def test_a_single_layer_can_be_saved(tmp_path):
    layer = nn.Dense(2, 3, seed=0)
    nn.save(layer, str(tmp_path / "layer"))
    loaded = nn.load(str(tmp_path / "layer"), backend="numpy")
    assert isinstance(loaded, nn.Dense)
    assert np.array_equal(loaded.weights, layer.weights)


def test_a_file_is_safetensors_and_json_and_nothing_else(tmp_path):
    model, path = every_layer(), tmp_path / "model.safetensors"
    arrays = model.parameters() | model.buffers()
    nn.save(model, path)
    with safetensors.safe_open(path, framework="numpy") as file:
        assert set(file.keys()) == set(arrays)
        assert file.metadata().keys() == {"nnfs_xp model"}
        description = json.loads(file.metadata()["nnfs_xp model"])
    layers = [layer["class"] for layer in description["model"]["layers"]]
    assert layers == [type(layer).__name__ for layer in model.layers]
    content = path.read_bytes()
    (header,) = struct.unpack("<Q", content[:8])
    json.loads(content[8 : 8 + header])
    assert len(content) == 8 + header + sum(a.nbytes for a in arrays.values())


@pytest.mark.parametrize("function", ["fsync", "replace"])
@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(errno.ENOSPC, "disk full"), CheckpointError),
        (KeyboardInterrupt("disk full"), KeyboardInterrupt),
    ],
)
def test_a_write_that_fails_leaves_the_old_file(function, error, raised, tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    nn.save(nn.Dense(2, 3, seed=0), path)
    before = path.read_bytes()

    def fail(*_):
        raise error

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(raised, match="disk full"):
        nn.save(nn.Dense(2, 3, seed=1), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path], "no temporary file stays behind"


@pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX's")
def test_the_permissions_of_a_file_are_the_usual_ones(tmp_path):
    former = os.umask(0o027)
    try:
        nn.save(nn.ReLU(), tmp_path / "model")
    finally:
        os.umask(former)
    assert (tmp_path / "model").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("path", ["missing/model", "folder", "file/model"])
def test_what_cannot_be_written_is_an_error_that_names_the_path(path, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="cannot write") as caught:
        nn.save(nn.ReLU(), tmp_path / path)
    assert str(tmp_path / path) in str(caught.value)
    with pytest.raises(CheckpointError, match="cannot write"):
        nn.save(nn.ReLU(), "/")


def assert_refused(path, complaint):
    with pytest.raises(CheckpointError, match=complaint) as caught:
        nn.load(path, backend="numpy")
    assert str(path) in str(caught.value)


def test_what_is_no_model_file_is_refused(tmp_path):
    assert_refused(tmp_path / "missing", "there is no file")
    assert_refused(tmp_path, "is no nnfs_xp model file")
    (tmp_path / "empty").touch()
    assert_refused(tmp_path / "empty", "is no nnfs_xp model file, or damaged")
    (tmp_path / "pickle").write_bytes(b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00")
    assert_refused(tmp_path / "pickle", "is no nnfs_xp model file, or damaged")
    safetensors.numpy.save_file(WEIGHTS, tmp_path / "other", metadata={"format": "pt"})
    assert_refused(tmp_path / "other", "holds no nnfs_xp model, but other safetensors")


@given(content=st.binary())
def test_random_bytes_are_refused(content, tmp_path):
    (tmp_path / "random").write_bytes(content)
    assert_refused(tmp_path / "random", "is no nnfs_xp model file, or damaged")


def test_a_file_is_refused_wherever_it_is_cut(tmp_path):
    path = tmp_path / "cut"
    forge(path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert_refused(path, "is no nnfs_xp model file, or damaged")
    assert length > 100


def test_a_flipped_bit_is_refused_wherever_it_is(tmp_path):
    path = tmp_path / "flipped"
    forge(path)
    whole = path.read_bytes()
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        assert_refused(
            path, "damaged|holds no nnfs_xp model|describes no (nnfs_xp )?model|format version"
        )
    assert bit > 2000


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", "null", "{}", '{"version": 1}', "[" * 10**5, '{"a":' * 10**5]
)
def test_a_description_that_is_none_is_refused(text, tmp_path):
    write(tmp_path / "model", text)
    assert_refused(tmp_path / "model", "describes no (nnfs_xp )?model that can be built")


def test_a_deep_description_is_refused(tmp_path):
    depth = 10**4
    nested = '{"class":"Sequential","layers":[' * depth + json.dumps(DENSE) + "]}" * depth
    write(tmp_path / "model", f'{{"version": 1, "model": {nested}}}')
    assert_refused(tmp_path / "model", "describes no (nnfs_xp )?model that can be built")


def test_nesting_costs_no_more_than_it_holds(tmp_path):
    depth = 60  # 2**60 steps, should each level look twice at the next
    nested = (
        '{"class":"Sequential","layers":[' * depth + '{"class":"ReLU","config":{}}' + "]}" * depth
    )
    write(tmp_path / "model", f'{{"version": 1, "model": {nested}}}', {})
    assert len(list(nn.load(tmp_path / "model").walk())) == depth + 1


def test_a_dtype_that_numpy_lacks_is_refused(tmp_path):
    header = {"__metadata__": {"nnfs_xp model": json.dumps({"version": 1, "model": DENSE})}}
    header["weights"] = {"dtype": "F8_E4M3", "shape": [2, 3], "data_offsets": [0, 6]}
    text = json.dumps(header).encode()
    (tmp_path / "model").write_bytes(struct.pack("<Q", len(text)) + text + b"\x00" * 6)
    assert_refused(tmp_path / "model", "no nnfs_xp model file, or damaged")


def dense(**config):
    return {"class": "Dense", "config": DENSE["config"] | config}


@pytest.mark.parametrize(
    ("forged", "complaint"),
    [
        ({"version": 2}, "of format version 2; this release reads 1"),
        ({"model": [DENSE]}, "describes no model"),
        ({"model": {"class": "Conv", "config": {}}}, "layer 'Conv', which this release lacks"),
        ({"model": {"class": "Layer", "config": {}}}, "layer 'Layer', which"),
        ({"model": {"class": "os.system", "config": {"command": "x"}}}, "layer 'os.system', which"),
        ({"model": {"class": ["Dense"], "config": {}}}, r"layer \['Dense'\], which"),
        ({"model": {"class": "Dense"}}, "missing 2 required"),
        ({"model": {"class": "Sequential", "layers": 3}}, "describes no model"),
        ({"model": {"class": "Sequential", "layers": []}}, "at least one layer"),
        (
            {
                "model": {"class": "Sequential", "layers": [DENSE, DENSE]},
                "weights": WEIGHTS | {"more": np.zeros((3, 9), dtype=np.float32)},
            },
            "does not fit",
        ),
        ({"model": dense(colour="red")}, "unexpected keyword argument 'colour'"),
        ({"model": dense(n_neurons=-3)}, "n_neurons"),
        ({"model": dense(n_inputs=10**30)}, "describes no model"),
        ({"model": dense(n_inputs=2**20, n_neurons=2**12)}, "more parameters than the file holds"),
        ({"model": {"class": "Sequential", "layers": [DENSE, dense(n_inputs=3)]}}, "than the file"),
        ({"model": dense(n_inputs=2**40, n_neurons=2**20)}, "describes no model"),
        ({"model": dense(dtype="int8")}, "dtype"),
        ({"model": dense(weight_regularizer_l1=float("nan"))}, "weight_regularizer_l1"),
        ({"model": dense(weight_regularizer_l1=10**400)}, "describes no model"),
        ({"model": dense(initializer="os.system")}, "describes no model"),
        ({"model": {"class": "Residual", "layers": []}}, "at least one layer"),
        (
            {"model": {"class": "Concatenate", "layers": [DENSE, dense(n_inputs=3)]}},
            "than the file",
        ),
        ({"model": {"class": "Residual", "layers": [DENSE]}}, "keep the shape"),
        ({"model": {"class": "BatchNorm", "config": {"n_features": 2**30}}}, "than the file"),
        ({"model": dense(n_inputs=3, n_neurons=2)}, r"`weights` .* shape \(3, 2\)"),
        ({"model": dense(dtype="float64")}, r"`weights` .* float64; .* float32"),
        ({"weights": {"weights": WEIGHTS["weights"]}}, "more parameters than the file holds"),
        (
            {"weights": {"weights": WEIGHTS["weights"], "offsets": WEIGHTS["biases"]}},
            "do not match in biases, offsets",
        ),
        ({"weights": WEIGHTS | {"more": np.zeros(3)}}, "do not match in more"),
    ],
)
def test_a_forged_file_is_refused(forged, complaint, tmp_path):
    forge(tmp_path / "model")
    assert np.array_equal(nn.load(tmp_path / "model", "numpy").weights, WEIGHTS["weights"])
    forge(tmp_path / "model", **forged)
    assert_refused(tmp_path / "model", complaint)


def test_a_file_with_a_former_name_gives_the_layer_of_today(tmp_path):
    model = {"class": "Sequential", "layers": [{"class": "Parallel", "layers": [DENSE, DENSE]}]}
    weights = {f"0.{branch}.{name}": WEIGHTS[name] for branch in (0, 1) for name in WEIGHTS}
    forge(tmp_path / "model", model, weights)
    loaded = nn.load(tmp_path / "model", "numpy")
    assert [type(layer) for layer in loaded.layers] == [nn.Concatenate]
    assert loaded.output_shape((2,)) == (6,)
    np.testing.assert_array_equal(loaded.layers[0].children[1].weights, WEIGHTS["weights"])


class Parallel(nn.Layer):
    def config(self):
        return {}


def test_a_former_name_is_free_for_a_layer_of_ones_own(tmp_path):
    nn.save(Parallel(), tmp_path / "model")
    loaded = nn.load(tmp_path / "model", "numpy", custom_layers=[Parallel])
    assert type(loaded) is Parallel


class Factors(nn.Layer):
    factors = nn.Parameter()
    dfactors = nn.Gradient()

    def __init__(self, n):
        super().__init__()
        self.n = n
        self.create_parameters("float32", factors=(1, n))

    def config(self):
        return {"n": self.n}


def test_a_layer_of_ones_own_is_loaded_when_handed_over(tmp_path):
    model = nn.Sequential(nn.Dense(2, 3), Factors(3))
    model.layers[1].factors = [[1, 2, 3]]
    nn.save(model, tmp_path / "model")
    assert_refused(tmp_path / "model", "layer 'Factors', .* custom_layers")
    loaded = nn.load(tmp_path / "model", custom_layers=[Factors], backend="numpy")
    assert architecture(loaded) == architecture(model)
    assert loaded.layers[1].factors.tolist() == [[1, 2, 3]]


def test_a_history_becomes_a_table(tmp_path):
    history = nn.History()
    rows = [{"loss": 1 / 3, "val_accuracy": 0.5}, {"loss": 1e-20, "val_accuracy": 1.0}]
    for row in rows:
        history.append(row)
    history.to_csv(tmp_path / "history.csv")
    with (tmp_path / "history.csv").open(newline="", encoding="utf-8") as file:
        table = [{name: float(cell) for name, cell in row.items()} for row in csv.DictReader(file)]
    assert table == [{"epoch": 1.0} | rows[0], {"epoch": 2.0} | rows[1]]


class Counter(nn.Layer):
    count = nn.Buffer()

    def __init__(self):
        super().__init__()
        self.create_buffers(count=np.zeros((1, 2), dtype=np.float32))


def test_buffers_are_saved_with_the_parameters(backend, tmp_path):
    model = nn.Sequential(nn.Dense(2, 2, seed=0), Counter()).to(backend)
    model.layers[1].count = [[3.0, 4.0]]
    nn.save(model, tmp_path / "model")
    loaded = nn.load(tmp_path / "model", backend, custom_layers=[Counter])
    assert nn.to_numpy(loaded.layers[1].count).tolist() == [[3.0, 4.0]]
    assert backend.owns(loaded.layers[1].count)


def test_an_array_that_lies_otherwise_in_memory_is_saved_as_it_reads(tmp_path):
    table = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    arrays = {"turned": table.T, "reversed": table[::-1, :, ::-1], "number": np.float32(3.5)}
    write_tensors(tmp_path / "tensors", "test", {}, arrays)
    _, found = read_tensors(tmp_path / "tensors", "test")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].shape == array.shape


def test_a_model_is_loaded_to_where_auto_leads(tmp_path, monkeypatch):
    nn.save(nn.Dense(2, 3), tmp_path / "model")
    monkeypatch.setenv("NNFS_XP_BACKEND", "array_api_strict")
    assert nn.load(tmp_path / "model").backend.name == "array_api_strict"


@pytest.mark.parametrize("name", ["Layer", "StochasticLayer"])
def test_a_base_class_is_no_layer_of_a_file(name, tmp_path):
    forge(tmp_path / "model", {"class": name, "config": {}}, {})
    assert_refused(tmp_path / "model", f"layer '{name}', which")


@pytest.mark.skipif(os.name != "posix", reason="folders are flushed on POSIX only")
def test_content_and_name_are_on_the_disk_before_a_save_returns(tmp_path, monkeypatch):
    flushed = []

    def fsync(descriptor):
        status = os.fstat(descriptor)
        flushed.append("folder" if stat.S_ISDIR(status.st_mode) else status.st_size)

    monkeypatch.setattr(os, "fsync", fsync)
    nn.save(nn.Dense(2, 3, seed=0), tmp_path / "model")
    assert flushed == [(tmp_path / "model").stat().st_size, "folder"]


@pytest.mark.skipif(os.name != "posix", reason="other systems allocate all of the file")
def test_what_does_not_fit_is_refused_before_it_is_read(tmp_path):
    path, n = tmp_path / "model", 2**40
    description = json.dumps({"version": 1, "model": DENSE})
    header = {"__metadata__": {"nnfs_xp model": description}}
    header["more"] = {"dtype": "F32", "shape": [n // 4], "data_offsets": [0, n]}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + n)  # of which the disk holds nothing
    assert_refused(path, "do not match in biases, more, weights")


@pytest.mark.parametrize("path", [None, 3, b"model", ["model"]])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(ArgumentError, match=r"`path` must be a string or a pathlib\.Path; got"):
        nn.save(nn.ReLU(), path)
    with pytest.raises(ArgumentError, match="`path` must be"):
        nn.load(path)


@pytest.mark.skipif(os.name != "posix", reason="named pipes are POSIX's")
def test_a_pipe_is_not_replaced_by_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        with pytest.raises(CheckpointError, match=r"cannot write .*folder or a device"):
            nn.save(nn.ReLU(), tmp_path / name)
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link", "pipe"]


def test_links_in_a_circle_are_refused(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(CheckpointError, match=r"cannot write .*leads nowhere"):
        nn.save(nn.ReLU(), tmp_path / "a")
    assert_refused(tmp_path / "a", "cannot be read: .*link")


@pytest.mark.skipif(os.name != "posix", reason="folders are flushed on POSIX only")
def test_a_folder_that_cannot_be_read_can_be_written_to(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "denied")

    monkeypatch.setattr(os, "open", refuse)
    nn.save(nn.ReLU(), tmp_path / "model")
    monkeypatch.undo()
    assert isinstance(nn.load(tmp_path / "model"), nn.ReLU)


def test_a_file_that_may_not_be_read_is_not_called_missing(tmp_path, monkeypatch):
    nn.save(nn.ReLU(), tmp_path / "model")

    def refuse(*_):
        raise PermissionError(errno.EACCES, "denied")

    monkeypatch.setattr(type(tmp_path), "open", refuse)
    assert_refused(tmp_path / "model", "cannot be read: .*denied")
