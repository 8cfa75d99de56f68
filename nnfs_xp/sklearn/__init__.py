"""Estimators for scikit-learn: its own MLPs' parameters, and what their users have asked for."""

from nnfs_xp._extras import needs_extra

with needs_extra("nnfs_xp.sklearn", "sklearn"):
    from nnfs_xp.sklearn.classifier import MLPClassifier


__all__ = ["MLPClassifier", "MLPRegressor"]
