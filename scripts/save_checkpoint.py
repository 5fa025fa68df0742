"""Save the averaged weights of a training that is not finished, in half precision, so that another machine can go on from them.

    python scripts/save_checkpoint.py RUN NETWORK checkpoints/NAME

RUN/model/NETWORK is the folder of one network, such as "denoiser". `sonovid train RECIPE init=checkpoints/NAME ...` begins from
the result. The state of the optimiser is not kept.
"""

import argparse
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("network", help="folder of the network in its model")
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    source = options.run / "model" / options.network
    weights = {name: value for path in sorted(source.glob("*.safetensors")) for name, value in load_file(path).items()}
    if not weights:
        parser.error(f"{source}: no safetensors")
    options.out.mkdir(parents=True, exist_ok=True)
    halved = {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
    save_file(halved, options.out / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})
    shutil.copy(source / "config.json", options.out / "config.json")
    print(options.out)


if __name__ == "__main__":
    main()
