"""Dropout whose rate follows a schedule."""

from __future__ import annotations

from nnfs_xp import _checks
from nnfs_xp.errors import ArgumentError
from nnfs_xp.layers import AlphaDropout, Dropout
from nnfs_xp.schedules import Schedule
from nnfs_xp.training.callbacks import Callback, Training


class ScheduleDropout(Callback):
    """Multiplies the rate of each dropout by a schedule's value, epoch by epoch.

    After the training each layer has the rate again that it was built with. Where a GPU launches
    recorded steps, these are recorded anew after each change.

    Parameters
    ----------
    schedule : Schedule
        Its steps are epochs. It must depend on their number alone, as the curves do.

    Raises
    ------
    ArgumentError
        It is no schedule, or, in a training, leads to a rate that is not in [0, 1).

    Notes
    -----
    rate = the layer's own rate * schedule.rate(epoch), with the number of epochs before this one.

    Source: Holzmüller, Grinsztajn and Steinwart 2024, *Better by Default: Strong Pre-Tuned MLPs and
    Boosted Trees on Tabular Data*, section 3, where dropout ends as the learning rate does.

    Examples
    --------
    >>> import nnfs_xp as nn
    >>> nn.ScheduleDropout(nn.FlatCosine(1.0, steps=20))
    ScheduleDropout(FlatCosine(1.0, 20))
    """

    def __init__(self, schedule: Schedule) -> None:
        if not isinstance(schedule, Schedule):
            raise ArgumentError(f"`schedule` must be a Schedule object; got {schedule!r}.")
        self.schedule = schedule
        self._rates: list[tuple[Dropout | AlphaDropout, float]] = []

    def on_train_begin(self, trainer: Training) -> None:
        layers = [layer for _, layer in trainer.model.walk()]
        dropouts = [layer for layer in layers if isinstance(layer, (Dropout, AlphaDropout))]
        self._rates = [(layer, layer.rate) for layer in dropouts]
        self.on_epoch_begin(trainer)  # a resumed one may begin in the middle

    def on_epoch_begin(self, trainer: Training) -> None:
        share = self.schedule.rate(trainer.epoch)
        for layer, rate in self._rates:
            layer.rate = _checks.check_range("rate", rate * share, 0, 1)

    def let_go(self) -> None:
        for layer, rate in self._rates:
            layer.rate = rate
        self._rates = []
