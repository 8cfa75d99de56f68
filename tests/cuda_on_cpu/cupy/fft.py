"""Fourier transforms."""

from __future__ import annotations

from functools import partial

import numpy as np

from cupy._arrays import call

__all__ = list(np.fft.__all__)
globals().update({name: partial(call, getattr(np.fft, name)) for name in __all__})
