"""Reading and writing annotated documents: our markup and JSONL, and the formats of other tools.

``python -m data.formats convert IN OUT`` and ``… validate IN`` do it from a shell. One module a format; ``files`` finds
the format of a path. Readers never stop at a bad document: they yield a ``Problem`` in its place.
"""

from data.formats.files import FORMATS, read_documents, sound_documents, write_documents
from data.formats.jsonl import from_json, parse_line, to_json
from data.formats.markup import from_markup, to_markup
from data.formats.problems import FormatError, Problem, not_utf8

__all__ = [
    "FORMATS", "FormatError", "Problem", "from_json", "from_markup", "not_utf8", "parse_line", "read_documents",
    "sound_documents", "to_json", "to_markup", "write_documents",
]  # fmt: skip
