"""Backpropagation in view: pictures of real passes, a page to play with, trainings to watch.

Every number comes from the layers, which run one by one. Arrays may be of any backend.
"""

from nnfs_xp.see.chapter_figures import chapter
from nnfs_xp.see.graphs import graph
from nnfs_xp.see.hosts import play, record, watch
from nnfs_xp.see.page import Page
from nnfs_xp.see.picture import Picture
from nnfs_xp.see.tracing import LayerTrace, Trace, trace

__all__ = [
    "LayerTrace",
    "Page",
    "Picture",
    "Trace",
    "chapter",
    "graph",
    "play",
    "record",
    "trace",
    "watch",
]
