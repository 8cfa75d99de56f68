"""The exceptions that nnfs_xp raises: one tree, each also a standard Python error."""


class NnfsError(Exception):
    """Base class of every error that the library raises on purpose."""


class ArgumentError(NnfsError, ValueError):
    """A setting is out of its range: a dropout rate of 1.5, say."""


class ShapeError(NnfsError, ValueError):
    """An array has the wrong shape."""


class DTypeError(NnfsError, TypeError):
    """An array has the wrong data type, or is no array at all."""


class LabelError(NnfsError, ValueError):
    """Labels do not fit the predictions: out of range, of another length, of float type."""


class DataError(NnfsError, ValueError):
    """A data set is unusable: unknown, missing, damaged, or holding NaN or infinity."""


class BackendError(NnfsError, RuntimeError):
    """A backend is unknown or not usable, or arrays of different backends or devices meet."""


class NotReadyError(NnfsError, RuntimeError):
    """A call came too early: ``backward`` before a training ``forward``, say."""


class CheckpointError(NnfsError, RuntimeError):
    """A model file cannot be written, or is damaged, or is not one of ours."""


class TrainingWarning(UserWarning):
    """Something went wrong that a training survives: a checkpoint that cannot be written, say."""


class DivergenceError(NnfsError, ArithmeticError):
    """The loss became NaN or infinite."""


class OutOfMemoryError(NnfsError, MemoryError):
    """The device has not enough memory for what was asked."""


class DistributedError(NnfsError, RuntimeError):
    """Processes that train together cannot go on: one failed, or is of another mind."""
