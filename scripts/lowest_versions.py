"""Installs the lowest versions that pyproject.toml allows into a folder of their own, and runs this package on them.

    python scripts/lowest_versions.py [--keep DIR] [TEST ...]

The lower bounds of all dependencies but PyTorch are installed; PyTorch, and what the dependencies themselves require, come from
this environment. pip resolves the bounds first, so that bounds which exclude each other are an error. Then every module is
imported, and the tests run: by default the conventions of diffusers, model folders, and media read and written. The page of
`sonovid app` is left out: it belongs to an extra, whose packages are those of this environment.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = [
    "tests/test_conventions.py",
    "tests/pipelines/test_loading.py",
    "tests/media/test_reader.py",
    "tests/media/test_writer.py",
]
IMPORTS = """
import importlib, json, pkgutil, sys
from importlib.metadata import version
import sonovid
for found in pkgutil.walk_packages(sonovid.__path__, "sonovid."):
    if not found.name.startswith("sonovid.app.page"):
        importlib.import_module(found.name)
wanted = dict(one.split("==") for one in json.loads(sys.argv[1]))
print("imported with", ", ".join(f"{name} {version(name)}" for name in wanted))
"""


def lower_bounds() -> list[str]:
    """The lower bounds of all dependencies but PyTorch, as exact requirements."""
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    pairs = [one.split(">=") for one in dependencies]
    return [f"{name}=={bound}" for name, bound in pairs if name != "torch"]


def install(bounds: list[str], folder: Path) -> None:
    """Install the bounds into a folder: those packages alone that this environment does not have in a fitting version.

    Raises:
        subprocess.CalledProcessError: pip found no set of packages that meets all bounds, or could not install it.
    """
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    report = folder / "report.json"
    # The version of PyTorch is fixed, since pip would else consider every other build.
    torch = f"torch=={version('torch').split('+')[0]}"
    subprocess.run([*pip, "--dry-run", "--report", str(report), torch, *bounds], check=True)
    found = [one["metadata"] for one in json.loads(report.read_text())["install"]]
    pins = [f"{one['name']}=={one['version']}" for one in found if one["name"].lower() != "torch"]
    if pins:
        subprocess.run([*pip, "--no-deps", "--target", str(folder), *pins], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="folder for the packages; a later call with the same bounds uses them again")
    parser.add_argument("tests", nargs="*", default=TESTS)
    args = parser.parse_args()
    bounds = lower_bounds()
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.keep or Path(scratch)
        installed = folder / "bounds.txt"
        if not installed.is_file() or installed.read_text().split() != bounds:
            folder.mkdir(parents=True, exist_ok=True)
            install(bounds, folder)
            installed.write_text("\n".join(bounds))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT / "src")])}
        for words in (["-c", IMPORTS, json.dumps(bounds)], ["-m", "pytest", "-q", "-p", "no:cacheprovider", *args.tests]):
            subprocess.run([sys.executable, *words], check=True, cwd=ROOT, env=environment)


if __name__ == "__main__":
    main()
