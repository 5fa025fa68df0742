"""Where the networks of a command compute: what --device names, or the best that is here."""


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
