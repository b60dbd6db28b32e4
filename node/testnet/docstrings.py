"""Real text that every machine has: the documentation strings of Python's own modules."""

import ast
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import Refused

# Each contributor gives some of the documentation of some modules, one document a docstring: what
# is paid by influence is paid to documents, and a long one has little to do with any answer.
AUTHORS = {
    "ada": ("argparse", "cmd"),
    "barbara": ("json", "csv", "configparser"),
    "claude": ("shutil", "tempfile", "glob"),
    "donald": ("heapq", "bisect", "random"),
    "edsger": ("statistics", "functools", "queue"),
}
COPYIST = "mallory"  # gives again what another gave first, in a document of his own
COPIED = "bisect.bisect_left"
DOCUMENT_BYTES_MIN, DOCUMENT_BYTES_MAX = 200, 1_500
DOCUMENTS_MAX = 5  # of one module


@dataclass(frozen=True, slots=True)
class Text:
    author: str
    title: str  # module and name
    data: bytes  # Markdown


def collect() -> list[Text]:
    """Every contribution, in the order in which they are sent."""
    texts = [
        Text(author, title, data)
        for author, modules in AUTHORS.items()
        for module in modules
        for title, data in documentation(module)
    ]
    original = next(text for text in texts if text.title == COPIED)
    return [*texts, Text(COPYIST, f"my-{COPIED}", b"My own notes.\n\n" + original.data)]


def documentation(module: str) -> list[tuple[str, bytes]]:
    """Docstrings of a module of the standard library as Markdown, in source order: (name, text)."""
    found = list[tuple[str, bytes]]()
    for name, text in _docstrings(_source(module)):
        data = f"{heading(module, name)}{text}\n".encode()
        if DOCUMENT_BYTES_MIN <= len(data) <= DOCUMENT_BYTES_MAX:
            found.append((f"{module}.{name}", data))
    return found[:DOCUMENTS_MAX]


def heading(module: str, name: str) -> str:
    """What stands before the documentation of one thing; the question that its text answers."""
    return f"## {module}.{name}\n\n" if name else f"# {module}\n\n"


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
