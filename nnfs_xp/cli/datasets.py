"""Training on the data sets that the library knows, and on folders of images."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nnfs_xp as nn
from nnfs_xp.cli import results
from nnfs_xp.data import hold_out
from nnfs_xp.distributed.ending import say_once
from nnfs_xp.distributed.group import local_backend
from nnfs_xp.distributed.launched import told_size
from nnfs_xp.errors import ArgumentError, CheckpointError, DivergenceError
from nnfs_xp.layers.summary import size_text
from nnfs_xp.pictures import draw_pictures
from nnfs_xp.recipes import Recipe
from nnfs_xp.runs import (
    CHECKPOINTS,
    HISTORY,
    MODEL,
    RAY,
    RUN,
    Settings,
    choose_settings,
    forget_run,
    make_folder,
    place_of,
    recipe_of,
    write_run,
)

if TYPE_CHECKING:
    from nnfs_xp.see import Page

_VALIDATION_SHARE = 0.1
_CHECKPOINT_SECONDS = 60


def train(options: argparse.Namespace) -> int:
    """Train on a data set that the library knows, in as many processes as were started."""
    if options.ray is not None:
        return _train_on_ray(options)
    with nn.distributed.group() as group:
        settings = _settings(options)
        group.shards = settings.shards or None
        return _train(options, settings, group)


def _settings(options: argparse.Namespace) -> Settings:
    if options.resume and options.out is None:
        raise ArgumentError("--resume needs --out: the folder of the training to go on with.")
    for name in ("port", "allow_host"):
        if getattr(options, name) is not None and not options.watch:
            raise ArgumentError(f"--{name.replace('_', '-')} needs --watch, whose page it is for.")
    return choose_settings(results.given(options, Settings), options.out, resume=options.resume)


def _train_on_ray(options: argparse.Namespace) -> int:
    """Train in workers of a Ray cluster; where some are lost, those that are left go on."""
    if told_size() > 1:
        error = ArgumentError("--ray starts processes by itself. Leave mpiexec or srun out.")
        say_once(error)
        raise error
    if options.watch:
        raise ArgumentError("--watch does not go with --ray, whose workers may be elsewhere.")
    settings = _settings(options)
    name = Path(settings.dataset).name
    folder = make_folder(options.out, name, resume=options.resume).resolve()
    options.out, options.resume = folder, True

    def work(group: nn.distributed.Group) -> int:
        return _train(options, settings, group)

    shards = settings.shards or None
    workers = (1, options.ray) if shards is None else options.ray
    return nn.distributed.run_on_ray(work, workers=workers, storage=folder / RAY, shards=shards)


def _train(options: argparse.Namespace, settings: Settings, group: nn.distributed.Group) -> int:
    """Train as one of the processes of a group; the first of them writes and prints."""
    speaks = group.rank == 0
    recipe, name = recipe_of(settings), Path(settings.dataset).name
    plan, shape = recipe.plan(settings.model), recipe.sample_shape(settings.model)
    backend = local_backend(options.backend, group)
    data = recipe.load_as(shape)
    X, y, X_val, y_val = hold_out(
        data.X_train, data.y_train, share=_VALIDATION_SHARE, seed=settings.seed
    )
    steps = ceil(len(X) / settings.batch_size) * settings.epochs
    optimizer = plan.optimizer(settings.learning_rate, settings.decay, steps)
    model = plan.build(shape, settings.hidden, len(recipe.classes), settings.dropout, settings.seed)
    if plan.begin is not None:
        plan.begin(model, X)
    trainer = nn.Trainer(
        model,
        plan.loss(),
        optimizer,
        backend=backend,
        seed=settings.seed,
        precision=settings.precision,
        group=group,
    )
    place = place_of(options.out)
    folder = group.on_rank_0(lambda: make_folder(options.out, name, resume=options.resume))
    if speaks:
        where = backend.name if group.size == 1 else f"{backend.name} in {group.size} processes"
        _say_what_is_trained(settings, recipe, model, len(X), where)
    first = speaks and not (folder / RUN).exists()
    undo = partial(forget_run, folder, place, resume=options.resume) if first else None
    with _undone_unless_begun(trainer, undo), _served(options, folder, group) as page:
        run = {**settings.record(), "nnfs_xp": nn.__version__, "backend": backend.name}
        if first:  # so that it can be resumed, whatever ends it
            write_run(folder, run)

        start = time.perf_counter()
        try:
            trainer.fit(
                X,
                y,
                epochs=settings.epochs,
                batch_size=settings.batch_size,
                validation_data=(X_val, y_val),
                transform=None if plan.augmentation is None else plan.augmentation(shape),
                progress=results.PROGRESS[options.progress],
                callbacks=_watching(options, folder, recipe),
                checkpoint=nn.Checkpoints(
                    folder / CHECKPOINTS, every_seconds=_CHECKPOINT_SECONDS, least_seconds=1
                ),
                resume=options.resume,
            )
        except (KeyboardInterrupt, SystemExit) as stop:
            if isinstance(stop, KeyboardInterrupt) and not stop.args:
                raise  # a second Ctrl-C, which leaves at once
            if speaks:
                _keep(folder, trainer, {**run, "epochs_done": trainer.epoch})
                _say_stopped(options, folder, trainer, group)
            if isinstance(stop, KeyboardInterrupt):
                return results.INTERRUPTED
            return int(stop.code or 0)
        seconds = time.perf_counter() - start
        run |= {"epochs_done": trainer.epoch, "seconds": round(seconds, 3)}
        run["epochs"] = max(settings.epochs, trainer.epoch)
        if speaks:
            _keep(folder, trainer, run)
        test = trainer.evaluate(data.X_test, data.y_test)
        if not speaks:
            return 0
        with results.beside_model(folder):
            write_run(folder, {**run, "test": test})
        with results.drawing():
            draw_pictures(folder, trainer, recipe, data, name)
        epochs = "1 epoch" if trainer.epoch == 1 else f"{trainer.epoch} epochs"
        print(f"trained {epochs} in {seconds:.1f} s{_memory_text(trainer)}")
        print(f"test accuracy {test['accuracy']:.4f}, loss {test['loss']:.4f}")
        print(f"results in {folder}")
        _say_how_to_watch(options, folder)
        _stay(page, group)
        return 0


def _say_what_is_trained(
    settings: Settings, recipe: Recipe, model: nn.Sequential, n: int, where: str
) -> None:
    n_classes = len(recipe.classes)
    if settings.model == "mlp":
        widths = "-".join(map(str, (recipe.n_features, *settings.hidden, n_classes)))
        print(f"{settings.dataset}: {n} samples, network {widths}, on {where}", flush=True)
        return
    size = " x ".join(map(str, recipe.sample_shape("cnn")))
    filters = "-".join(map(str, settings.hidden))
    print(
        f"{settings.dataset}: {n} images of {size}, {n_classes} classes, convolutions {filters}, "
        f"on {where}\n{model.summary()}",
        flush=True,
    )


def _watching(options: argparse.Namespace, folder: Path, recipe: Recipe) -> list[nn.Callback]:
    """The callbacks of a training, which has one if it is watched."""
    if not options.watch:
        return []
    return [nn.Watch(folder, classes=recipe.classes, image_shape=recipe.image_shape)]


@contextmanager
def _undone_unless_begun(trainer: nn.Trainer, undo: Callable[[], None] | None) -> Iterator[None]:
    """Undo what was written for a training that fails before its first step."""
    try:
        yield
    except Exception as error:
        began = trainer.learner.count > 0 and not isinstance(error, CheckpointError)
        if undo is not None and not began and not isinstance(error, DivergenceError):
            undo()
        raise


@contextmanager
def _served(
    options: argparse.Namespace, folder: Path, group: nn.distributed.Group
) -> Iterator[Page | None]:
    """The page of --watch, which the first process serves; None in the others, and without it."""
    pages: list[Page] = []

    def serve() -> None:
        from nnfs_xp import see  # of which other trainings need nothing

        page = see.watch(folder, port=options.port or 0, allow_hosts=options.allow_host or ())
        pages.append(page)
        print(f"watch it at {page.url}", flush=True)

    if options.watch:
        group.on_rank_0(serve)
    try:
        yield next(iter(pages), None)
    finally:
        for page in pages:
            page.close()


def _stay(page: Page | None, group: nn.distributed.Group) -> None:
    """Serve the page until Ctrl-C, if somebody sits at the terminal and no process waits for it."""
    if page is None or group.size > 1 or sys.stdout is None or not sys.stdout.isatty():
        return
    print(f"the page stays at {page.url}\nCtrl-C ends it", flush=True)
    page.wait()


def _say_stopped(
    options: argparse.Namespace, folder: Path, trainer: nn.Trainer, group: nn.distributed.Group
) -> None:
    print(f"stopped after epoch {trainer.epoch}; the model so far is in {folder}")
    started = f"mpiexec -n {group.size} " if group.name == "mpi" and group.size > 1 else ""
    print(f"go on with: {started}nnfs-xp train --out {folder} --resume")
    _say_how_to_watch(options, folder)


def _say_how_to_watch(options: argparse.Namespace, folder: Path) -> None:
    if options.watch:
        print(f"see how it went: nnfs-xp watch {folder}")


def _memory_text(trainer: nn.Trainer) -> str:
    memory = trainer.memory()
    if memory is None:
        return ""
    return f", with at most {size_text(memory.reserved)} of the device's {size_text(memory.total)}"


def _keep(folder: Path, trainer: nn.Trainer, run: dict[str, Any]) -> None:
    nn.save(trainer.model, folder / MODEL)
    with results.beside_model(folder):
        write_run(folder, run)
        trainer.history.to_csv(folder / HISTORY)
