"""For tests of layers and losses of one's own: checks, and a pytest plugin (see `plugin`)."""

from nnfs_xp.testing.checks import check_layer, check_loss
from nnfs_xp.testing.gradients import numeric_gradient
from nnfs_xp.testing.groups import fake_groups, in_threads
from nnfs_xp.testing.synchronization import no_synchronization

__all__ = [
    "check_layer",
    "check_loss",
    "fake_groups",
    "in_threads",
    "no_synchronization",
    "numeric_gradient",
]
