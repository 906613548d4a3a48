"""Text for XML and HTML: escaping and numbers."""

from typing import Final

# XML 1.0, section 2.2: what a document may not contain even escaped, lone surrogates included.
_FORBIDDEN: Final = {
    **{code: "\ufffd" for code in range(0x20) if code not in (0x09, 0x0A, 0x0D)},
    **dict.fromkeys(range(0x7F, 0xA0), "\ufffd"),
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),
    0xFFFE: "\ufffd",
    0xFFFF: "\ufffd",
    ord("&"): "&amp;",
    ord("<"): "&lt;",
    ord(">"): "&gt;",
    ord('"'): "&quot;",
    ord("'"): "&#39;",
}


def esc(text: object) -> str:
    """Escape for element content and for quoted attributes alike."""
    return str(text).translate(_FORBIDDEN)


def num(value: float, digits: int = 1) -> str:
    """Write a coordinate as short as it goes: ``12.0`` is ``12``."""
    text = f"{value:.{digits}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def percent(share: float) -> str:
    """Write a share of 0 to 1 for people; a trace is not rounded away to nothing."""
    if 0 < share < 0.005:
        return "<1 %"
    if 0.995 < share < 1:
        return ">99 %"
    return f"{share * 100:.0f} %"


def count(number: float) -> str:
    """Write a count with narrow spaces between thousands: ``3 900``."""
    text = f"{number:,.0f}"
    return text.replace(",", "\u202f")


def milliseconds(value: float) -> str:
    """Write a time as precisely as it matters: ``0.8 ms``, ``71 ms``, ``3.6 s``."""
    if abs(value) >= 9950:
        return f"{value / 1000:.0f} s"
    if abs(value) >= 995:
        return f"{value / 1000:.1f} s"
    if abs(value) >= 9.95 or value == 0:
        return f"{value:.0f} ms"
    return f"{value:.1f} ms"
