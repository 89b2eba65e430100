"""The list of broken and hostile files, and what each of them should be told."""

from dataclasses import dataclass
from dataclasses import field

import onnx


@dataclass
class Bad:
    """A file that must be refused.

    `words`: one of them (in any case) belongs in the error. `row`: what to feed where only running shows the fault.
    `harmless`: it may also run, if it does so within bounds.
    """

    name: str
    wrong: str
    words: tuple
    data: object
    row: dict | None = None
    files: dict = field(default_factory=dict)
    links: dict = field(default_factory=dict)
    harmless: bool = False


BAD: list[Bad] = []


def bad(name, wrong, words, model, row=None, **more):
    """`model`: bytes, a ModelProto, or text."""
    data = model.SerializeToString(deterministic=True) if isinstance(model, onnx.ModelProto) else model
    assert all(b.name != name for b in BAD), name
    words = (words,) if isinstance(words, str) else tuple(words)
    BAD.append(Bad(name, wrong, words, data.encode() if isinstance(data, str) else data, row, **more))
