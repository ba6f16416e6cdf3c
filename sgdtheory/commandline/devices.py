"""The device that a word means, and whether it is here."""

from sgdtheory.commandline.habits import value_meant
from sgdtheory.errors import nearest


def device_meant(name: str) -> str:
    """auto → the first GPU there is, else the CPU; any other name is itself."""
    import torch

    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


def why_no_device(name: str, key: str = "device") -> str:
    """Why nothing can be computed there, and what to write for `key` instead; empty where it
    can."""
    import torch

    hint = value_meant("device", name)
    try:
        device = torch.device(name)
    except RuntimeError:
        hint = hint or nearest(name, ["auto", "cpu", "cuda"])
        return f"{name!r} is not one of auto, cpu, cuda, cuda:1{hint}"
    if device.type not in ("cpu", "cuda"):
        return f"{name!r} is not one of auto, cpu, cuda, cuda:1{hint}"
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        there = f"there is no {name} here, GPUs found: {torch.cuda.device_count()}"
        return f"{there}; use {key}=cpu or auto"
    return ""
