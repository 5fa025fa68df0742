"""Sharded training (FSDP2): parameters, gradients, optimiser state and EMA weights are divided among the processes.

torch's `fully_shard`, which accelerate's FSDP2 is built on, shards each block and then the rest of the network. A block's
parameters are gathered for its forward and its backward pass, and freed after each. Checkpoints are written and read by
`torch.distributed.checkpoint`, as safetensors: each process writes its own shards, and a run may continue on another number of
processes.

torch's parts are imported where they are used: they take more than a second, and most trainings are not sharded.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sonovid.training.distributed import ProcessGroup


def outer_blocks(model: nn.Module) -> list[nn.Module]:
    """The outermost blocks of a model, of the classes in its `_no_split_modules`, which transformers and diffusers have too.

    Where the model itself names none, those that its parts name count.
    """
    named = getattr(model, "_no_split_modules", None) or [
        name for part in model.modules() for name in getattr(part, "_no_split_modules", None) or ()
    ]

    def found(module: nn.Module) -> Iterator[nn.Module]:
        for child in module.children():
            if type(child).__name__ in named:
                yield child
            else:
                yield from found(child)

    return list(found(model))


def shard(module: nn.Module, model: nn.Module, device: torch.device, processes: ProcessGroup, *, precision: str) -> None:
    """Shard a model over all processes, in place. Its parameters become `DTensor`s.

    Args:
        module: the module whose forward pass uses the model, such as `ObjectiveModule`. Its other parameters stay whole.
        model: the model.
        device: where the parameters are.
        processes: the processes of the run.
        precision: of `TrainingConfig`. With "bf16", parameters are gathered in bfloat16 and gradients are reduced in float32.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    mesh = init_device_mesh(device.type, (processes.size,))
    policy = MixedPrecisionPolicy()
    if precision == "bf16":
        policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False)
    # Parameters are gathered by all processes together, so none may skip a pass because its own batch does not need it.
    model.runs_all_blocks = True  # type: ignore[assignment]
    own = set(model.parameters())
    others = {parameter for parameter in module.parameters() if parameter not in own}
    for block in outer_blocks(model):
        fully_shard(block, mesh=mesh, mp_policy=policy)
    # Parameters outside of blocks are gathered by the outer module, since objectives call other methods than `forward` too.
    fully_shard(module, mesh=mesh, mp_policy=policy, ignored_params=others)


def whole(tensor: Tensor) -> Tensor:
    """A tensor as a whole, on all processes, which must call this together. Other tensors are returned as they are."""
    # Only a `DTensor` has this method.
    gather_all = getattr(tensor, "full_tensor", None)
    return tensor if gather_all is None else gather_all()


def gather(tensors: Mapping[str, Tensor], processes: ProcessGroup) -> dict[str, Tensor]:
    """Whole tensors on the CPU of the main process, one at a time; empty in the others. All processes must call this."""
    gathered = {}
    for name, tensor in tensors.items():
        value = whole(tensor.detach())
        if processes.is_main:
            gathered[name] = value.to("cpu", copy=True)
    return gathered


@torch.no_grad()
def copy_whole(target: Tensor, value: Tensor) -> None:
    """Copy a whole tensor into a sharded or a whole one. All processes must have the same value."""
    if hasattr(target, "placements"):  # A `DTensor`.
        from torch.distributed.tensor import distribute_tensor

        value = distribute_tensor(value.to(target.device), target.device_mesh, target.placements)  # type: ignore[attr-defined]
    target.copy_(value)


def write_shards(folder: Path, tensors: dict[str, Tensor], processes: ProcessGroup) -> None:
    """Write tensors into a folder; each process writes its shards, and the main process writes whole tensors."""
    from torch.distributed import checkpoint as distributed_checkpoint

    writer = distributed_checkpoint.HuggingFaceStorageWriter(str(folder), save_distributed=True)
    distributed_checkpoint.save(dict(tensors), storage_writer=writer, process_group=processes.gloo)


def read_shards(folder: Path, targets: dict[str, Tensor], processes: ProcessGroup) -> None:
    """Read tensors that `write_shards` wrote, on any number of processes, into tensors of the same shapes."""
    from torch.distributed import checkpoint as distributed_checkpoint

    reader = distributed_checkpoint.HuggingFaceStorageReader(str(folder))
    distributed_checkpoint.load(dict(targets), storage_reader=reader, process_group=processes.gloo)


def shapes(folder: Path) -> dict[str, tuple[torch.Size, torch.dtype]]:
    """Shapes and dtypes of the whole tensors in a folder of shards."""
    from torch.distributed import checkpoint as distributed_checkpoint
    from torch.distributed.checkpoint.metadata import TensorStorageMetadata

    found: Any = distributed_checkpoint.HuggingFaceStorageReader(str(folder)).read_metadata()
    entries = found.state_dict_metadata.items()
    return {name: (one.size, one.properties.dtype) for name, one in entries if isinstance(one, TensorStorageMetadata)}


def read_whole(folder: Path) -> dict[str, Tensor]:
    """All tensors in a folder of shards, whole, in this process alone."""
    from torch.distributed import checkpoint as distributed_checkpoint

    tensors: dict[str, Any] = {name: torch.empty(shape, dtype=dtype) for name, (shape, dtype) in shapes(folder).items()}
    reader = distributed_checkpoint.HuggingFaceStorageReader(str(folder))
    distributed_checkpoint.load(tensors, storage_reader=reader, no_dist=True)
    return tensors
