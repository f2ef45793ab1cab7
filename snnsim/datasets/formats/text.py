"""The lines of text before binary data: "% key value" (Prophesee) and "# ..." (AEDAT)."""

from __future__ import annotations

LONGEST = 2**16  # bytes of one line


def percent_lines(head: bytes) -> tuple[int, dict[str, str]]:
    """Bytes of the header, and its values by key. It ends behind "% end", or before the first line that is none of it.

    Without "% end" data may begin with the bytes of "% " by chance: a line that is not text up to its end is data.
    """
    found: dict[str, str] = {}
    place = 0
    while head[place:place + 2] in (b"% ", b"%\n", b"%\r"):
        end = head.find(b"\n", place, place + LONGEST)
        text = _text(head[place + 1:end]) if end >= 0 else None
        if text is None:
            break
        place = end + 1
        if text == "end":
            break
        key, _, value = text.partition(" ")
        found.setdefault(key, value.strip())
    return place, found


def sharp_lines(head: bytes) -> tuple[int, list[str]]:
    """Bytes of the header, and its lines without "#". It ends behind "!END-HEADER", or before the first other line."""
    lines: list[str] = []
    place = 0
    while head[place:place + 1] == b"#":
        end = head.find(b"\n", place, place + LONGEST)
        text = _text(head[place + 1:end]) if end >= 0 else None
        if text is None:
            break
        place = end + 1
        lines.append(text)
        if text == "!END-HEADER":
            break
    return place, lines


def _text(line: bytes) -> str | None:
    try:
        text = line.decode("utf-8").strip()
    except UnicodeDecodeError:
        return None
    return text if text.replace("\t", " ").isprintable() else None


def number(text: str | None, most: int) -> int | None:
    """A whole number from 1 to `most`, or None where it is none."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 9:
        return None
    return int(text) if 1 <= int(text) <= most else None
