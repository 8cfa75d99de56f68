"""PyTorch, eager, with its fused Adam."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch

from benchmarks import mnist
from benchmarks.work import BETA_1, BETA_2, EPSILON, LEARNING_RATE, Contestant, Work


def build(work: Work, batch: int, compiled: Callable[[Any], Any] = lambda f: f) -> Contestant:
    """The work for one batch size."""
    layers: list[Any] = []
    for weights in work.weights():
        dense = torch.nn.Linear(*weights.shape)
        with torch.no_grad():
            dense.weight.copy_(torch.from_numpy(weights.T))
            dense.bias.zero_()
        layers += [dense, torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    criterion = torch.nn.CrossEntropyLoss() if work.classes else torch.nn.MSELoss()
    optimizer = torch.optim.Adam(
        model.parameters(), LEARNING_RATE, (BETA_1, BETA_2), EPSILON, fused=True
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

    data = [(torch.from_numpy(x), torch.from_numpy(y)) for x, y in work.data(batch)]
    return Contestant(step, infer, data)


class Training:
    """MNIST in PyTorch's usual loop, with a `DataLoader`."""

    def __init__(self, seed: int, average_decay: float | None = None) -> None:
        torch.manual_seed(seed)
        X, y, *test = map(torch.from_numpy, mnist.read())
        self.test = test
        data = torch.utils.data.TensorDataset(X, y)
        self.loader = torch.utils.data.DataLoader(data, batch_size=mnist.BATCH, shuffle=True)
        layers: list[Any] = []
        for n, m in pairwise(mnist.SIZES):
            layers += [torch.nn.Linear(n, m), torch.nn.ReLU()]
        self.model = torch.nn.Sequential(*layers[:-1])
        self.criterion = torch.nn.CrossEntropyLoss()
        self.optimizer = torch.optim.Adam(self.model.parameters(), mnist.LEARNING_RATE, fused=True)
        self.averaged = None
        if average_decay is not None:
            averages = torch.optim.swa_utils.get_ema_multi_avg_fn(average_decay)
            self.averaged = torch.optim.swa_utils.AveragedModel(self.model, multi_avg_fn=averages)

    def epoch(self) -> None:
        """Train on all images once."""
        self.model.train()
        total = torch.zeros(())
        for x, y in self.loader:
            self.optimizer.zero_grad()
            loss = self.criterion(self.model(x), y)
            loss.backward()
            self.optimizer.step()
            if self.averaged is not None:
                self.averaged.update_parameters(self.model)
            total += loss.detach() * len(x)

    def accuracy(self) -> float:
        """On the test images."""
        X, y = self.test
        model = (self.averaged or self.model).eval()
        with torch.inference_mode():
            return (model(X).argmax(dim=1) == y).float().mean().item()
