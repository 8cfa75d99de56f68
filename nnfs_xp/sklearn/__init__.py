"""Estimators for scikit-learn: its own MLPs' parameters, and what their users have asked for."""

from nnfs_xp.backend.importing import import_library

import_library("sklearn", "pip install 'nnfs-xp[sklearn]'")

from nnfs_xp.sklearn.classifier import MLPClassifier  # noqa: E402 # after the advice
from nnfs_xp.sklearn.onnx import export_onnx  # noqa: E402
from nnfs_xp.sklearn.regressor import MLPRegressor  # noqa: E402

__all__ = ["MLPClassifier", "MLPRegressor", "export_onnx"]
