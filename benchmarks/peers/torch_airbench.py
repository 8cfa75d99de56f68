"""The network for CIFAR-10 in PyTorch, channels last, with its fused SGD."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch

from benchmarks.cifar_network import (
    EPSILON,
    FACTOR,
    LEARNING_RATE,
    MOMENTUM,
    NESTEROV,
    WHITENING,
    CifarWork,
)
from benchmarks.work import Contestant


class Scaled(torch.nn.Module):
    """Multiplies what it gets by a number."""

    def forward(self, inputs: Any) -> Any:
        """Of the logits."""
        return inputs * FACTOR


def network(work: CifarWork) -> torch.nn.Sequential:
    """With the weights of the work."""
    nn = torch.nn

    def normalized(n_filters: int) -> list[Any]:
        norm = nn.BatchNorm2d(n_filters, EPSILON, 1 - MOMENTUM)
        norm.weight.requires_grad_(False)
        return [norm, nn.GELU()]

    layers: list[Any] = [nn.Conv2d(3, WHITENING, 2), nn.GELU()]
    layers[0].weight.requires_grad_(False)
    widths = work.sizes[1:-1]
    for n_channels, n_filters in pairwise((WHITENING, *widths)):
        for c, pools in ((n_channels, [nn.MaxPool2d(2)]), (n_filters, [])):
            convolution = nn.Conv2d(c, n_filters, 3, padding="same", bias=False)
            layers += [convolution, *pools, *normalized(n_filters)]
    layers += [nn.MaxPool2d(3), nn.Flatten(), nn.Linear(widths[-1], work.sizes[-1]), Scaled()]
    own = [each for each in layers if isinstance(each, (nn.Conv2d, nn.Linear))]
    with torch.no_grad():
        for layer, weights in zip(own, work.weights(), strict=True):
            axes = (3, 2, 0, 1) if weights.ndim == 4 else (1, 0)
            layer.weight.copy_(torch.from_numpy(weights.transpose(axes)))
            if layer.bias is not None:
                layer.bias.zero_()
    return nn.Sequential(*layers)


def build(work: CifarWork, batch: int, compiled: Callable[[Any], Any] = lambda f: f) -> Contestant:
    """The network for one batch size."""
    torch.backends.cudnn.benchmark = True
    model = network(work)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # its stubs lack it
    criterion = torch.nn.CrossEntropyLoss()
    trained = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.SGD(
        trained, LEARNING_RATE, momentum=NESTEROV, nesterov=True, fused=True
    )
    forward = compiled(model)
    loss_of = compiled(lambda x, y: criterion(model(x), y))

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = loss_of(x, y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    def infer(x: Any) -> Any:
        with torch.inference_mode():
            return forward(x)

    data = [
        (torch.from_numpy(x).permute(0, 3, 1, 2), torch.from_numpy(y)) for x, y in work.data(batch)
    ]
    return Contestant(step, infer, data)
