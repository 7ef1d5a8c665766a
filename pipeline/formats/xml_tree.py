"""Read XML that others wrote: no document types and no entities, so neither expansion bombs nor other files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

from ..utils.errors import InputError

MAX_BYTES = 256 << 20
MAX_DEPTH = 32


@dataclass
class Element:
    """An element of XML.

    Attributes:
        tag: Its name, without a namespace.
        attributes: Its attributes.
        text: The text before its first child, stripped.
        children: The elements in it.
    """

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def all(self, *path: str) -> Iterator[Element]:
        """Yield the elements at a path of tags below this one."""
        if not path:
            yield self
        for child in self.children:
            if path and child.tag == path[0]:
                yield from child.all(*path[1:])

    def find(self, *path: str) -> Element | None:
        """Return the first element at a path of tags below this one."""
        return next(self.all(*path), None)

    def value(self, *path: str) -> str:
        """Return the text of the first element at a path; empty where there is none."""
        element = self.find(*path)
        return "" if element is None else element.text

    def numbers(self, *tags: str) -> list[float]:
        """Return the numbers in the children with these tags.

        Raises:
            ValueError: If one is missing or no number.
        """
        return [float(self.value(tag)) for tag in tags]

    def iterate(self) -> Iterator[Element]:
        """Yield this element and all below it."""
        yield self
        for child in self.children:
            yield from child.iterate()


def read_xml(path: Path, root: str, what: str) -> Element:
    """Return the root element of an XML file.

    Args:
        path: The file.
        root: Tag that the root must have.
        what: What the file should be, for messages.

    Raises:
        InputError: If the file cannot be read, has another root, or declares a document type or entities.
    """
    stack: list[Element] = []
    texts: list[list[str]] = []
    roots: list[Element] = []

    def refuse(*_: Any) -> int:
        raise InputError(f"label file {path.name} declares a document type or entities; remove the declaration")

    def start(tag: str, attributes: dict[str, str]) -> None:
        element = Element(tag.rpartition(":")[2], dict(attributes))
        if len(stack) >= MAX_DEPTH or (not stack and element.tag != root):
            raise InputError(f"label file {path.name} is not {what}")
        (stack[-1].children if stack else roots).append(element)
        stack.append(element)
        texts.append([])

    def end(_: str) -> None:
        stack.pop().text = "".join(texts.pop()).strip()

    def add_text(text: str) -> None:
        texts[-1].append(text)

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = add_text
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = parser.ExternalEntityRefHandler = refuse
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"label file {path.name} is larger than {MAX_BYTES >> 20} MiB")
        parser.Parse(path.read_bytes(), True)
    except (expat.ExpatError, OSError, ValueError, OverflowError) as error:
        raise InputError(f"label file {path.name} cannot be read: {error}"[:200]) from None
    return roots[0]


def image_size(element: Element, height: str = "height", width: str = "width") -> tuple[int, int]:
    """Return rows and columns from two children; 0 where the file does not say.

    Raises:
        InputError: If one is no number.
    """
    try:
        rows, columns = (int(float(element.value(tag) or 0)) for tag in (height, width))
    except (ValueError, OverflowError):
        raise InputError("the label file states a size that is not a number") from None
    return rows, columns
