"""Load the base models of SVG: a video and an audio U-Net, from a model folder or from released repositories."""

from typing import Any

from torch import nn

from sonovid.models.svg import SVG
from sonovid.pipelines import loading
from sonovid.recipes.svg.config import NetworkConfig


def load_trained_bases(model: str) -> tuple[nn.Module, nn.Module]:
    """Load the two U-Nets of a model folder of SVG.

    Raises:
        ValueError: the folder holds no SVG.
    """
    folder = loading.locate(model)
    index = loading.read_index(folder)
    denoiser = loading.load_component(folder, "denoiser", index.get("denoiser"))
    if not isinstance(denoiser, SVG):
        raise ValueError(f"network.begun={model}: its network is a {type(denoiser).__name__}; expected an SVG")
    return denoiser.unets["video"], denoiser.unets["audio"]


def load_released_bases(config: NetworkConfig) -> tuple[nn.Module, nn.Module]:
    """Load AnimateDiff's U-Net, from an image U-Net and a motion adapter or as a whole, and AudioLDM's.

    Raises:
        ValueError: a source is missing or holds something else, or the adapter does not fit the U-Net.
    """
    from diffusers import MotionAdapter, UNet2DConditionModel, UNetMotionModel

    if not config.audio:
        raise ValueError("network.video without network.audio: name AudioLDM's folder or repository too, or only network.begun")
    audio = _load_network("audio", config.audio, UNet2DConditionModel)
    if not config.adapter:
        return _load_network("video", config.video, UNetMotionModel), audio
    image = _load_network("video", config.video, UNet2DConditionModel)
    adapter = _load_network("adapter", config.adapter, MotionAdapter)
    blocks = [list(one.config["block_out_channels"]) for one in (adapter, image)]
    if blocks[0] != blocks[1]:
        raise ValueError(
            f"network.adapter={config.adapter}: made for blocks of {blocks[0]} channels, and those of {config.video} have "
            f"{blocks[1]}: name the adapter of this U-Net's family"
        )
    try:
        return UNetMotionModel.from_unet2d(image, adapter), audio
    except (RuntimeError, KeyError, IndexError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"network.adapter={config.adapter}: does not fit the U-Net of {config.video}: {reason}") from error


def _load_network(key: str, source: str, kind: type) -> Any:
    """Load one released network: a U-Net from the subfolder unet, a motion adapter from the root.

    Args:
        key: "video", "audio" or "adapter", the key in `network`.
        source: Hub id or folder.
        kind: the expected class.

    Raises:
        ValueError: there is no network, one of another class, or weights are missing or unexpected.
    """
    network_class: Any = kind
    where = {} if key == "adapter" else {"subfolder": "unet"}
    try:
        name = network_class.load_config(source, **where).get("_class_name")
        if name != kind.__name__:
            hint = "; leave network.adapter empty for a whole motion U-Net" if name == "UNetMotionModel" else ""
            found = f"a {name}" if name else "no network of diffusers"
            raise ValueError(f"network.{key}={source}: holds {found}, expected a {kind.__name__}{hint}")
        network, info = network_class.from_pretrained(source, use_safetensors=True, output_loading_info=True, **where)
    except OSError as error:
        raise ValueError(f"network.{key}={source}: no {kind.__name__} there: {str(error).splitlines()[0]}") from error
    for fault, description in (("missing_keys", "missing"), ("unexpected_keys", "unexpected")):
        if names := sorted(info[fault]):
            raise ValueError(
                f"network.{key}={source}: {len(names)} weights are {description}, such as {names[0]}; download the folder again"
            )
    return network
