"""Devices, of which one is the current one of each thread."""

from __future__ import annotations

from typing import Any

from cupy.cuda import runtime


class _Immutable(type):
    """As for a type that is compiled: nothing of it can be set."""

    def __setattr__(cls, name: str, value: object) -> None:
        if cls.__module__ == __name__:
            raise TypeError(
                f"cannot set {name!r} attribute of immutable type 'cupy.cuda.device.Device'"
            )
        super().__setattr__(name, value)


class Device(metaclass=_Immutable):
    """A device of that number; the thread's current one without."""

    __slots__ = ("id",)

    def __init__(self, device: int | Device | None = None) -> None:
        self.id = runtime.getDevice() if device is None else int(device)

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self) -> int:
        return self.id

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    def __enter__(self) -> Device:
        runtime.enter_device(self.id)
        return self

    def __exit__(self, *_: object) -> None:
        runtime.leave_device()

    def use(self) -> Device:
        runtime.setDevice(self.id)
        return self

    def synchronize(self) -> None:
        with self:
            runtime.deviceSynchronize()

    @property
    def mem_info(self) -> tuple[int, int]:
        with self:
            return runtime.memGetInfo()

    @property
    def compute_capability(self) -> str:
        runtime.check_device(self.id)
        return "90"

    @property
    def pci_bus_id(self) -> str:
        return f"0000:{self.id:02x}:00.0"

    @property
    def attributes(self) -> dict[str, Any]:
        properties = runtime.getDeviceProperties(self.id)
        return {
            "MaxThreadsPerBlock": properties["maxThreadsPerBlock"],
            "MaxSharedMemoryPerBlock": properties["sharedMemPerBlock"],
            "MaxSharedMemoryPerBlockOptin": properties["sharedMemPerBlockOptin"],
            "MaxSharedMemoryPerMultiprocessor": properties["sharedMemPerMultiprocessor"],
            "MultiProcessorCount": properties["multiProcessorCount"],
            "WarpSize": properties["warpSize"],
            "L2CacheSize": properties["l2CacheSize"],
            "MaxBlockDimX": 1024,
            "MaxBlockDimY": 1024,
            "MaxBlockDimZ": 64,
            "MaxGridDimX": 2**31 - 1,
            "MaxGridDimY": 65535,
            "MaxGridDimZ": 65535,
        }
