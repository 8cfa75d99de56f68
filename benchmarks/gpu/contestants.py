"""What each peer does on a GPU: it gives ``build(work, batch)``, as the modules of `peers` do.

All take data that are on the device already, leave the loss there, and wait for the device only
when they are told to.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks import cifar_network
from benchmarks.cifar_network import CifarWork
from benchmarks.gpu.works import GPU_WORKS
from benchmarks.work import BETA_1, BETA_2, EPSILON, LEARNING_RATE, Contestant, Work

Build = Callable[[Work, int], Contestant]


def make_builder(name: str, backend: str, device: str, precision: str) -> Build:
    """The `build` of a peer.

    Raises
    ------
    ImportError
        It is not installed, or finds no device of that kind.
    """
    if name == "nnfs_xp":
        return partial(build_ours, backend=backend, precision=precision)
    if name == "matmul":
        return partial(build_product, device=device)
    if name == "jax_jit":
        return jax_builder(device, precision)
    return torch_builder(device, precision, compiled=name == "torch_compile")


@dataclass(frozen=True)
class Ours(Contestant):
    """With the trainer, which knows whether steps are recorded."""

    trainer: Any = None


def trainer_for(work: Work, backend: str, precision: str, *, graph: bool = True) -> Any:
    """Our trainer for a work; ``"float64"`` as precision stands for a model of that type."""
    import nnfs_xp as nn

    logging.getLogger("nnfs_xp").addHandler(HEARD)
    dtype = "float64" if precision == "float64" else "float32"
    optimizer: Any
    if isinstance(work, CifarWork):
        model = work.model()
        rate, momentum = cifar_network.LEARNING_RATE, cifar_network.NESTEROV
        optimizer = nn.SGD(rate, momentum=momentum, nesterov=True)
    else:
        layers: list[Any] = []
        for weights in work.weights():
            dense = nn.Dense(*weights.shape, initializer=None, dtype=dtype)
            dense.weights = weights.astype(dtype)
            layers += [dense, nn.ReLU()]
        model = nn.Sequential(*layers[:-1])
        optimizer = nn.Adam(LEARNING_RATE, beta_1=BETA_1, beta_2=BETA_2, epsilon=EPSILON)
    return nn.Trainer(
        model,
        nn.SoftmaxCategoricalCrossentropy(),
        optimizer,
        metrics=(),
        backend=backend,
        precision="float32" if dtype == "float64" else precision,
        graph=graph,
    )


def refusal(trainer: Any) -> str | None:
    """Why its steps are not recorded as graphs, if they are not."""
    if trainer.recorder.refused:
        return str(trainer.recorder.refused)
    if trainer.backend.can_record:
        return None
    return "; ".join([f"{trainer.backend.name} cannot record", *HEARD.texts])


class Heard(logging.Handler):
    """Keeps what the library warns of in its log: it says there why it goes a slower way."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a text, once."""
        if record.getMessage() not in self.texts:
            self.texts.append(record.getMessage())


HEARD = Heard()


def lacking(backend: str, precision: str) -> str | None:
    """Why ours cannot be trained in a precision there, if it cannot."""
    from nnfs_xp.errors import BackendError

    try:
        trainer_for(GPU_WORKS["rehearsal"], backend, precision)
    except BackendError as error:
        return str(error)
    return None


def build_ours(work: Work, batch: int, backend: str, precision: str) -> Contestant:
    """Through `Trainer.train_step`."""
    trainer = trainer_for(work, backend, precision)
    place = trainer.backend.asarray
    data = [(place(x), place(y)) for x, y in work.data(batch)]

    wait = trainer.backend.synchronize
    forward = trainer.model.forward
    return Ours(trainer.train_step, forward, data, lambda _: wait(), trainer=trainer)


def require_torch(device: str) -> Any:
    """PyTorch, if it finds the device."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise ImportError(f"PyTorch {torch.__version__} finds no CUDA device")
    return torch


def torch_builder(device: str, precision: str, *, compiled: bool) -> Build:
    """PyTorch's `build`, eager or by ``torch.compile``, with graphs but for the convolutions."""
    torch = require_torch(device)
    from benchmarks.peers import torch_airbench, torch_eager

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None

    def narrowed(function: Any) -> Any:
        def narrow(*arguments: Any) -> Any:
            with torch.autocast(device, torch.bfloat16):
                return function(*arguments)

        return narrow if precision == "bfloat16" else function

    def prepared(mode: str) -> Callable[[Any], Any]:
        compile_it = partial(torch.compile, mode=mode)
        return lambda function: (compile_it if compiled else lambda f: f)(narrowed(function))

    def build(work: Work, batch: int) -> Contestant:
        if compiled:
            torch.compiler.reset()
        with torch.device(device):
            if isinstance(work, CifarWork):
                made = torch_airbench.build(work, batch, prepared("default"))
            else:
                made = torch_eager.build(work, batch, prepared("reduce-overhead"))
        data = [(x.to(device), y.to(device)) for x, y in made.data]
        return Contestant(made.step, made.infer, data, lambda _: wait())

    return build


def jax_builder(device: str, precision: str) -> Build:
    """JAX's `build`."""
    import jax

    found = jax.devices()[0].platform
    if (found == "cpu") != (device == "cpu"):
        raise ImportError(f"JAX {jax.__version__} finds no CUDA device, only {found!r}")
    factors = "tensorfloat32" if precision == "tf32" else "highest"
    jax.config.update("jax_default_matmul_precision", factors)
    from benchmarks.peers import jax_jit

    return jax_jit.build


def build_product(work: Work, batch: int, device: str) -> Contestant:
    """The card's own rate: a product of square matrices of bfloat16, so many rows each.

    With PyTorch's `matmul`, else with CuPy's.
    """
    del work
    generator = np.random.default_rng(0)
    hosts = [generator.standard_normal((batch, batch), dtype=np.float32) for _ in range(4)]
    try:
        torch = require_torch(device)
    except ImportError:
        import nnfs_xp as nn

        backend = nn.get_backend("cupy")
        arrays = [backend.asarray(host, "bfloat16") for host in hosts]
        product, wait = backend.xp.matmul, backend.synchronize
    else:
        arrays = [torch.from_numpy(host).to(device, torch.bfloat16) for host in hosts]
        product = torch.matmul
        wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    data = list(pairwise(arrays))
    return Contestant(product, lambda x: x, data, lambda _: wait())


Update = tuple[float, list[Any], list[Any]]


def our_update(work: Work, batch: int, backend: str, precision: str) -> Update:
    """The loss, the gradients and the parameters behind one step, as NumPy arrays."""
    from nnfs_xp.backend import to_numpy

    trainer = trainer_for(work, backend, precision)
    x, y = work.data(batch)[0]
    dtype = trainer.model.dtype
    loss = trainer.train_step(trainer.backend.asarray(x, dtype), trainer.backend.asarray(y))
    dense = trainer.model.layers[::2]
    gradients = [to_numpy(a) for layer in dense for a in (layer.dweights, layer.dbiases)]
    parameters = [to_numpy(a) for layer in dense for a in (layer.weights, layer.biases)]
    return float(loss), gradients, parameters
