"""Pictures, drawn with Matplotlib (the extra ``plot``).

Each function returns the figure, which a notebook shows, and saves it where a path is given; the
path's ending chooses the format: ``.png``, ``.svg``, ``.pdf``. Arrays may be of any backend. No
global setting of Matplotlib is changed.
"""

from nnfs_xp.plots.boundary import plot_decision_boundary
from nnfs_xp.plots.confusion import plot_confusion_matrix
from nnfs_xp.plots.feature_maps import plot_feature_maps
from nnfs_xp.plots.filters import plot_filters
from nnfs_xp.plots.gradient_flow import plot_gradient_flow
from nnfs_xp.plots.histograms import plot_activations, plot_gradients
from nnfs_xp.plots.history import plot_history
from nnfs_xp.plots.misclassified import plot_misclassified
from nnfs_xp.plots.weights import plot_weights

__all__ = [
    "plot_activations",
    "plot_confusion_matrix",
    "plot_decision_boundary",
    "plot_feature_maps",
    "plot_filters",
    "plot_gradient_flow",
    "plot_gradients",
    "plot_history",
    "plot_misclassified",
    "plot_weights",
]
