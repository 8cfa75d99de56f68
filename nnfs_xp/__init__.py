"""Neural networks with every line of backpropagation in view, on every array backend.

What the package offers is listed in ``__init__.pyi``. Each name is imported when first used, so
that ``import nnfs_xp`` costs next to nothing.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
