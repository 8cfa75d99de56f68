"""The layers and losses that pages must show, by name: all public ones but the bases."""

import nnfs_xp as nn

BASES = {nn.Layer, nn.StochasticLayer, nn.Loss}


def layers():
    """The classes of layers."""
    return _classes(nn.layers)


def losses():
    """The classes of losses."""
    return _classes(nn.losses)


def _classes(module):
    found = (getattr(module, name) for name in module.__all__)
    # A second name of a class is no second class.
    return {cls.__name__: cls for cls in found if cls not in BASES}
