"""Refuse what changes a module's results and does not show in its class and settings."""

from __future__ import annotations

from typing import Any

from nnfs_xp.errors import ArgumentError

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_PARAMETER_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")


class Unseen:
    """Refuses modules with hidden changes; takes each once, in order, for two may share tensors.

    Parameters
    ----------
    torch : module
    """

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._owners: dict[int, tuple[str, str, Any]] = {}
        self._training: tuple[bool, str] | None = None

    def refuse_global_hooks(self) -> None:
        """Refuse to go on where PyTorch runs something around every module."""
        every = vars(self._torch.nn.modules.module)
        if any(every.get(f"_global{name}") for name in _HOOKS):
            raise ArgumentError(
                "PyTorch has hooks for all modules, which may change what this one computes. "
                "Remove them."
            )

    def refuse_changed(self, module: Any, branch: bool) -> None:
        """Refuse a module that does not do what its class says.

        Parameters
        ----------
        module : torch.nn.Module
        branch : bool
            Whether others are given the same inputs.
        """
        nn = self._torch.nn
        if isinstance(module, nn.modules.lazy.LazyModuleMixin) or any(
            map(nn.parameter.is_lazy, module.parameters(recurse=False))
        ):
            raise ArgumentError("it has no shapes before it has seen inputs. Call it once.")
        hooked = any(getattr(module, name, None) for name in _HOOKS) or any(
            getattr(parameter, name, None)
            for parameter in module.parameters(recurse=False)
            for name in _PARAMETER_HOOKS
        )
        if hooked:
            raise ArgumentError("it has hooks, which may change what it computes. Remove them.")
        if "forward" in vars(module) or type(module).__call__ is not self._torch.nn.Module.__call__:
            raise ArgumentError(
                "its forward was replaced, and nothing tells what the new one does."
            )
        if branch and getattr(module, "inplace", False):
            raise ArgumentError(
                "in a Residual or Concatenate, inplace=True can overwrite the inputs that others "
                "are still to be given. Build it with inplace=False."
            )

    def refuse_mixed(self, module: Any, path: str) -> None:
        """Refuse a module that trains while another does not, or the other way round.

        For modules that compute something else in training than in evaluation.
        """
        if self._training is None:
            self._training = bool(module.training), path
        training, other = self._training
        if module.training != training:
            raise ArgumentError(
                f"its `training` is {module.training}, that of module `{other}` {training}; layers "
                "here follow the one call. Call train() or eval() of the whole module first."
            )

    def shared(self, module: Any, path: str) -> dict[str, tuple[str, str]]:
        """The parameters that are those of modules before, by name: whose, and its name there.

        Raises
        ------
        ArgumentError
            Another tensor, buffers included, lies in the memory of another one.
        """
        found = {}
        for name, tensor in module.state_dict(keep_vars=True).items():
            memory = tensor.data_ptr()
            if not memory:  # an empty tensor, or one on "meta"
                continue
            owner, theirs, first = self._owners.setdefault(memory, (path, name, tensor))
            if (owner, theirs) == (path, name):
                continue
            if first is not tensor or name not in module._parameters:
                raise ArgumentError(
                    f"it shares its `{name}` with module `{owner}`, whose `{theirs}` it is or "
                    "overlaps; only whole parameters can be shared."
                )
            found[name] = owner, theirs
        return found
