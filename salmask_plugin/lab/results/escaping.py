"""Texts from files as people see them: nothing in them acts on a terminal, a page or a table."""

from __future__ import annotations

import re
import unicodedata

from salmask_plugin.lab.results.codec import decode, encode
from salmask_plugin.lab.results.record import RunRecord

LONGEST = 2000
"""Characters of one text that are shown."""
_JOINERS = "\u00ad\u200c\u200d"
"""Signs without a shape that scripts need."""
_FORMULA = ("=", "+", "-", "@")


def shown(text: str, *, breaks: bool = False) -> str:
    r"""Return a text with everything escaped that has no shape of its own.

    Bytes that are no UTF-8, which Python keeps as surrogates, become ``\xff``; control signs, such
    as those that colour or clear a terminal, ``\x1b``; signs that turn the direction of writing
    ``\u202e``. Line breaks and tabulators become spaces; a text beyond ``LONGEST`` signs is cut.

    Args:
        text: from anywhere.
        breaks: keep line breaks.
    """
    cut = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    if cut.isascii() and cut.isprintable():
        return cut
    return "".join(sign if breaks and sign == "\n" else _sign(sign) for sign in cut)


def _sign(sign: str) -> str:
    if sign in "\n\r\t":
        return " "
    code, kind = ord(sign), unicodedata.category(sign)
    if kind in ("Cc", "Cs", "Cf", "Zl", "Zp") and sign not in _JOINERS:
        if 0xDC80 <= code <= 0xDCFF:
            code -= 0xDC00
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    return sign


def escape_markdown(text: str) -> str:
    """Keep a name from ending a table cell, opening a tag or marking up the text around it."""
    text = " ".join(shown(text).split())
    for sign in "\\`*_[]|~$":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def escape_block(text: str) -> str:
    """Escape a text that stands at the beginning of a paragraph or of a list's point."""
    escaped = escape_markdown(text)
    if escaped.startswith(("#", "+", "-", "=", ":")):
        return f"\\{escaped}"
    # "1." and "1)" begin a numbered list.
    return re.sub(r"^(\d+)([.)])", r"\1\\\2", escaped)


def printable(record: RunRecord) -> RunRecord:
    """Return a record whose texts, names of settings included, can be shown."""
    read: RunRecord = decode(_texts(encode(record)), RunRecord)
    return read


def _texts(value: object) -> object:
    if isinstance(value, dict):
        return {shown(str(key)): _texts(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_texts(item) for item in value]
    return shown(value) if isinstance(value, str) else value


def csv_cell(value: object) -> object:
    """Return what a spreadsheet takes for text and not for a formula; numbers stay numbers."""
    if not isinstance(value, str):
        return value
    text = shown(value)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
