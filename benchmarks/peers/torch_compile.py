"""PyTorch with `torch.compile` over forward, loss and their backward, and its fused Adam."""

from __future__ import annotations

import torch

from benchmarks.peers import torch_eager
from benchmarks.work import Contestant, Work


def build(work: Work, batch: int) -> Contestant:
    """The work for one batch size."""
    torch.compiler.reset()
    return torch_eager.build(work, batch, torch.compile)
