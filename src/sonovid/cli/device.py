"""Device and dtype of a command's networks, from --device and --dtype."""

from typing import Any


def resolve_device(name: str | None) -> str:
    """The device of --device, checked to be usable.

    Args:
        name: The device, such as cpu or cuda:1; None: a GPU if available, else the CPU.

    Raises:
        ValueError: no such device, or not usable on this machine.
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


def resolve_dtype(name: str, device: str) -> Any:
    """The dtype of --dtype. "auto" gives bfloat16 if the device multiplies matrices in it natively, else float32."""
    import torch

    if name != "auto":
        return getattr(torch, name)
    return torch.bfloat16 if has_bfloat16(device) else torch.float32


def has_bfloat16(device: str) -> bool:
    """Whether a device has native bfloat16 matrix multiplication, not emulated in float32."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device != "cpu":
        return False
    tests = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(test is not None and test() for test in tests)
