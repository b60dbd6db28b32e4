"""Real text that every machine has: the documentation strings of Python's own modules."""

import ast
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import Refused

# Each contributor gives the documentation of some modules, one document a module.
AUTHORS = {
    "ada": ("argparse", "optparse", "cmd"),
    "barbara": ("json", "csv", "configparser"),
    "claude": ("pathlib", "shutil", "tempfile"),
    "donald": ("heapq", "bisect", "random"),
    "edsger": ("threading", "queue", "sched"),
}
COPYIST = "mallory"  # gives again what another gave first, in a document of his own
COPIED = "heapq"
DOCUMENT_BYTES_MAX = 24_000


@dataclass(frozen=True, slots=True)
class Text:
    author: str
    title: str
    data: bytes  # Markdown


def collect() -> list[Text]:
    """Every contribution, in the order in which they are sent."""
    texts = [
        Text(author, module, documentation(module))
        for author, modules in AUTHORS.items()
        for module in modules
    ]
    original = next(text for text in texts if text.title == COPIED)
    half = original.data[: len(original.data) // 2].rsplit(b"\n\n", 1)[0]
    return [*texts, Text(COPYIST, f"my-{COPIED}", b"# My own notes\n\n" + half + b"\n")]


def documentation(module: str) -> bytes:
    """The docstrings of a module of the standard library as Markdown, in source order."""
    parts, size = [f"# {module}\n"], 0
    for name, text in _docstrings(_source(module)):
        part = f"## {name}\n\n{text}\n" if name else f"{text}\n"
        size += len(part.encode())
        if size > DOCUMENT_BYTES_MAX:
            break
        parts.append(part)
    return "\n".join(parts).encode()


def _source(module: str) -> str:
    folder = Path(sysconfig.get_path("stdlib"))
    for path in (folder / f"{module}.py", folder / module / "__init__.py"):
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise Refused(f"this Python has no source of its module {module} in {folder}")


def _docstrings(source: str) -> Iterator[tuple[str, str]]:
    tree = ast.parse(source)
    if text := ast.get_docstring(tree):
        yield "", text
    stack: list[tuple[str, ast.stmt]] = [("", node) for node in reversed(tree.body)]
    while stack:
        prefix, node = stack.pop()
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        name = f"{prefix}{node.name}"
        if text := ast.get_docstring(node):
            yield name, text
        if isinstance(node, ast.ClassDef):
            stack += [(f"{name}.", child) for child in reversed(node.body)]
