"""Hooks of the documentation site (mkdocs.yml): generated pages, links out of docs/, and formulas as MathML.

Pages in docs/ are read in two places, on a code host and on the site. Two things differ there: links to files outside docs/, and
formulas between dollar signs. These hooks bring both into the form that the site needs.
"""

import ast
import html
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "sonovid"
# Pages outside docs/: path in the repository to path on the site.
OUTSIDE = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md", "benchmarks/README.md": "benchmarks.md"}
# Not in the API reference: programs, which have pages of their own, and the networks of published metrics.
NO_REFERENCE = ("app", "cli", "metrics/extractors", "metrics/rating", "metrics/report")
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")
# Code first, so that dollar signs in it are left alone.
CODE_OR_FORMULA = re.compile(
    r"(?P<code>```.*?```|`[^`\n]*`)|\$\$(?P<block>.+?)\$\$|(?<![\w$\\])\$(?P<inline>[^$\n`]+?)\$(?!\w)", re.DOTALL
)


def summary(path: Path) -> str:
    """The first line of a Python file's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or path.stem).splitlines()[0]


def modules(package: Path) -> list[str]:
    """The dotted names of a package's public modules, the package itself first."""
    names = []
    for path in sorted(package.rglob("*.py")):
        place = path.relative_to(PACKAGE).with_suffix("")
        if path.name == "__init__.py":
            place = place.parent
        if not place.name.startswith("_") and not place.as_posix().startswith(NO_REFERENCE):
            names.append(".".join(["sonovid", *place.parts]))
    return names


def directive(name: str) -> str:
    """mkdocstrings' directive for a module. Of a package that only imports its public names, the docstring alone is shown."""
    path = PACKAGE.parent.joinpath(*name.split("."), "__init__.py")
    if not path.is_file() or any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in ast.parse(path.read_text()).body):
        return f"::: {name}"
    return f"::: {name}\n    options:\n      members: false"


def reference_pages() -> Iterator[tuple[str, str]]:
    """Path on the site and text of each page of the API reference: one for each package."""
    rows = []
    for package in sorted(path for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()):
        names = modules(package)
        if not names:
            continue
        yield f"reference/{package.name}.md", "\n\n".join([f"# sonovid.{package.name}", *map(directive, names)])
        rows.append(f"| [`sonovid.{package.name}`]({package.name}.md) | {summary(package / '__init__.py')} |")
    intro = "Generated from the docstrings. The calls that most programs need are described in [Python](../api.md)."
    table = "\n".join(["| package | |", "|---|---|", *rows])
    yield "reference/index.md", f"# API reference\n\n{intro}\n\n{table}\n"


def example_pages() -> Iterator[tuple[str, str]]:
    """Path on the site and text of a page for each file of examples/."""
    for path in sorted((ROOT / "examples").glob("*.py")):
        title = summary(path).rstrip(".").replace("`", "")
        code = f"```python\n{path.read_text(encoding='utf-8')}```"
        yield f"examples/{path.stem}.md", f"# {title}\n\n`examples/{path.name}`\n\n{code}\n"


def on_config(config: Any) -> Any:
    """Adds the reference's and the examples' pages to the navigation, under the entries that mkdocs.yml names for them."""
    reference = sorted(uri for uri, _ in reference_pages() if uri != "reference/index.md")
    generated = {
        "API reference": [{f"sonovid.{Path(uri).stem}": uri} for uri in reference],
        "Contributing": [{Path(uri).stem.replace("_", " ").capitalize(): uri} for uri, _ in example_pages()],
    }
    for section in config.nav:
        for title, pages in section.items():
            if title in generated:
                pages += generated[title]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Adds the generated pages and the pages that lie outside docs/."""
    texts = dict([*reference_pages(), *example_pages()])
    texts |= {uri: (ROOT / name).read_text(encoding="utf-8") for name, uri in OUTSIDE.items()}
    for uri, text in texts.items():
        files.append(File.generated(config, uri, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links and formulas as the site needs them."""
    return formulas(links(markdown, page.file.src_uri))


def links(markdown: str, uri: str) -> str:
    """Links to pages outside docs/ lead to their pages on the site; links to other files of the repository become plain text.

    A link to a file that does not exist is left as it is: the strict build reports it.
    """
    here = next((name for name, site in OUTSIDE.items() if site == uri), f"docs/{uri}")
    start = posixpath.dirname(uri) or "."

    def rewritten(match: re.Match[str]) -> str:
        text, target = match[1], match[2]
        name, mark, anchor = target.partition("#")
        if not name or ":" in name:
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(here), name))
        site = OUTSIDE.get(path)
        if path.startswith("docs/"):
            site = path.removeprefix("docs/")
        elif path.startswith("examples/") and path.endswith(".py"):
            site = path.removesuffix(".py") + ".md"
        if site is not None:
            return f"[{text}]({posixpath.relpath(site, start)}{mark}{anchor})"
        return text if (ROOT / path).exists() else match[0]

    return LINK.sub(rewritten, markdown)


def formulas(markdown: str) -> str:
    """TeX between dollar signs as MathML, which browsers show without a script."""

    def rewritten(match: re.Match[str]) -> str:
        if match["code"]:
            return match[0]
        block = match["block"]
        mathml = convert(html.unescape(block or match["inline"]), display="block" if block else "inline")
        return mathml.replace("|", "&#x7C;")

    return CODE_OR_FORMULA.sub(rewritten, markdown)
