"""The lowest versions that pyproject.toml allows, put into a throw-away environment, and this package run on them.

    python scripts/lowest_versions.py [--keep DIR] [TEST ...]

PyTorch and everything else comes from the environment that runs this; diffusers, transformers, accelerate and safetensors are
those of the lower bounds. With no TEST: every module of the package is imported, and a tiny pipeline is saved, loaded and sampled
(tests/test_conventions.py and tests/test_folders.py).
"""

import argparse
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("diffusers", "transformers", "accelerate", "safetensors")
IMPORTS = """
import importlib, pkgutil, sonovid
for found in pkgutil.walk_packages(sonovid.__path__, "sonovid."):
    importlib.import_module(found.name)
import diffusers, transformers
print(f"imported with diffusers {diffusers.__version__} and transformers {transformers.__version__}")
"""


def lowest() -> list[str]:
    """The lower bounds as exact requirements."""
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    pairs = (one.split(">=") for one in dependencies)
    return [f"{name}=={version}" for name, version in pairs if name in NAMES]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="where the packages go, and are found by the next call")
    parser.add_argument("tests", nargs="*", default=["tests/test_conventions.py", "tests/test_folders.py"])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = args.keep or Path(scratch)
        if not (place / "diffusers").is_dir():
            subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--target", str(place), *lowest()], check=True)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(place), str(ROOT / "src")])}
        for words in (["-c", IMPORTS], ["-m", "pytest", "-q", "-p", "no:cacheprovider", *args.tests]):
            subprocess.run([sys.executable, *words], check=True, cwd=ROOT, env=environment)


if __name__ == "__main__":
    main()
