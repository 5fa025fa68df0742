"""Where and in what the networks of a command compute: what --device and --dtype name, or the best that is here."""

from typing import Any


def usable(name: str | None) -> str:
    """A device by its name; None: a GPU where there is one.

    Raises:
        ValueError: no such device, or not on this machine.
    """
    import torch

    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = str(torch.device(name))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"--device {name}: not usable here ({str(error).splitlines()[0]})") from None
    return device


def dtype_of(name: str, device: str) -> Any:
    """A dtype by its name; "auto": bfloat16 where the device multiplies matrices in it, else float32."""
    import torch

    if name != "auto":
        return getattr(torch, name)
    return torch.bfloat16 if has_bfloat16(device) else torch.float32


def has_bfloat16(device: str) -> bool:
    """Whether a device multiplies matrices in bfloat16 by instructions of its own, and not by way of float32."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device != "cpu":
        return False
    tests = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(test is not None and test() for test in tests)
