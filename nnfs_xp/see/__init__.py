"""Backpropagation in view: pictures of real passes, a page to play with, trainings to watch.

Every number comes from the layers, which run one by one. Arrays may be of any backend.
"""

from nnfs_xp.see.chapter import chapter
from nnfs_xp.see.graphs import graph
from nnfs_xp.see.picture import Picture
from nnfs_xp.see.tracing import LayerTrace, Trace, trace

__all__ = ["LayerTrace", "Picture", "Trace", "chapter", "graph", "trace"]
