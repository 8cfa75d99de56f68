"""What the package offers, as a type checker and a reader see it; loaded by __init__.py."""

from . import data as data
from . import errors as errors
from . import initializers as initializers
from . import interop as interop
from . import layers as layers
from . import losses as losses
from . import metrics as metrics
from . import optimizers as optimizers
from . import plots as plots
from . import see as see
from . import training as training
from .backend import Backend as Backend
from .backend import available_backends as available_backends
from .backend import get_backend as get_backend
from .backend import register_backend as register_backend
from .backend import to_numpy as to_numpy
from .errors import NnfsError as NnfsError
from .interop import export_onnx as export_onnx
from .interop import load as load
from .interop import save as save
from .layers import *
from .losses import *
from .metrics import *
from .optimizers import *
from .parameters import *
from .schedules import *
from .training import *

__version__: str
__all__: list[str]
