"""Runs a benchmark.

python -m benchmarks                              lists all of them
python -m benchmarks packaged.held_out --count 8  runs one; --help shows its options
"""

import ast
import sys
from importlib import import_module
from pathlib import Path

FOLDER = Path(__file__).parent
# `python benchmarks NAME` has this folder on the path, and its modules are imported from the folder above.
sys.path[0] = str(FOLDER.parent)


def benchmarks() -> dict[str, str]:
    """The first line of every module with a `main`, by name."""
    found = {}
    for path in sorted(FOLDER.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if path.stem != "__main__" and any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            name = ".".join(path.relative_to(FOLDER).with_suffix("").parts)
            found[name] = (ast.get_docstring(tree) or "").splitlines()[0]
    return found


def main() -> int:
    known, words = benchmarks(), sys.argv[1:]
    if not words or words[0] in ("-h", "--help"):
        print(__doc__)
        print("\n".join(f"{name:30}{line}" for name, line in known.items()))
        return 0
    name, *rest = words
    if name not in known:
        print(f"no benchmark {name!r}; known: {', '.join(known)}", file=sys.stderr)
        return 2
    sys.argv = [f"python -m benchmarks {name}", *rest]
    import_module(f"benchmarks.{name}").main()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
