"""Builds the sdist and the wheel, installs the wheel into an empty environment, and runs it there.

    python scripts/check_distribution.py [--keep DIR]

The wheel is built from the unpacked sdist, so that both are checked. Nothing is downloaded: the build runs without isolation, and
the empty environment finds the dependencies in the environment of this interpreter. Only sonovid itself comes from the wheel.
"""

import argparse
import os
import shutil
import site
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from email.parser import BytesParser
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Data files of the package: weights, the page of the rating study, settings, and the descriptions of the weights.
DATA = (".safetensors", ".html", ".json", ".md")
IN_SDIST = ("LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml", "tests/test_laws.py", "docs/index.md")


def run(*command: "str | Path", cwd: Path, **environment: str) -> str:
    """The output of a command; its errors are shown and end the script.

    Args:
        command: the program and its arguments.
        cwd: the working directory. Never the repository: its `src` must not be importable.
        environment: variables added to the process's own.
    """
    hidden = {"PYTHONPATH", "VIRTUAL_ENV"}
    own = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run([str(word) for word in command], cwd=cwd, env=own | environment, text=True, capture_output=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\nexit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def build(folder: Path) -> tuple[Path, Path]:
    """The sdist of the repository, and the wheel built from it."""
    run(sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", folder, cwd=ROOT)
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
        (top,) = (folder / "unpacked").iterdir()
    missing = [name for name in IN_SDIST if not (top / name).is_file()]
    if missing:
        raise SystemExit(f"{sdist.name} lacks {', '.join(missing)}")
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder, cwd=top)
    (wheel,) = folder.glob("*.whl")
    return sdist, wheel


def package_files() -> set[str]:
    """The modules and data files of the package, by their paths in a wheel."""
    files = [path for path in (ROOT / "src").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {path.relative_to(ROOT / "src").as_posix() for path in files if path.suffix in (".py", *DATA)}


def check_wheel(wheel: Path, wanted: set[str]) -> str:
    """The version in the wheel's metadata; files that are missing or unwanted end the script."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        version = BytesParser().parsebytes(archive.read(metadata))["Version"]
    missing = sorted(wanted - names) + [kind for kind in DATA if not any(name.endswith(kind) for name in names)]
    if not any(name.endswith(".dist-info/licenses/LICENSE") for name in names):
        missing.append("LICENSE")
    unwanted = [name for name in names if not name.startswith("sonovid")]
    if missing or unwanted:
        raise SystemExit(f"{wheel.name} lacks {missing or 'nothing'} and holds {unwanted or 'nothing'} beside the package")
    return version


def install(wheel: Path, folder: Path) -> Path:
    """An empty environment with the wheel in it; its folder of programs.

    A .pth file adds this interpreter's site-packages for the dependencies. The editable install of sonovid there has no effect:
    Python does not read the .pth files of a folder that a .pth file added.
    """
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    python = programs / "python"
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    run(
        *(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index"),
        *("--disable-pip-version-check", wheel),
        cwd=folder,
    )
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    return programs


def check_installed(programs: Path, version: str, folder: Path) -> None:
    """Runs what a newcomer runs first: the version, the help, and a generation of few steps by the packaged model."""
    folder.mkdir()
    home = run(programs / "python", "-c", "import sonovid; print(sonovid.__file__)", cwd=folder).strip()
    if not Path(home).is_relative_to(programs.parent):
        raise SystemExit(f"sonovid was imported from {home}, not from the wheel")
    told = run(programs / "sonovid", "--version", cwd=folder).strip()
    if told != f"sonovid {version}":
        raise SystemExit(f"sonovid --version says {told!r}; the wheel is of version {version}")
    run(programs / "sonovid", "generate", "--help", cwd=folder)
    run(
        programs / "sonovid", "generate", "a stick hits a drum", "--steps", "2", "-o", "tiny.mp4", cwd=folder, OMP_NUM_THREADS="1"
    )
    if (folder / "tiny.mp4").stat().st_size < 1000:
        raise SystemExit("tiny.mp4 is empty")


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the distribution and run it from an empty environment.")
    parser.add_argument("--keep", type=Path, help="a folder for the sdist and the wheel")
    keep = parser.parse_args().keep
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        wanted = package_files()
        sdist, wheel = build(folder)
        version = check_wheel(wheel, wanted)
        check_installed(install(wheel, folder / "empty"), version, folder / "work")
        for path in (sdist, wheel):
            print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")
            if keep:
                keep.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, keep)
    print(f"sonovid {version}: built, installed into an empty environment, and run")


if __name__ == "__main__":
    main()
