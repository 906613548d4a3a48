"""A drawing as a file: SVG, PNG, or an HTML page that stands alone."""

from pathlib import Path
from typing import Final

from ridgeline.errors import InputError, MachineError

FORMATS: Final = (".svg", ".png", ".html")
PNG_WIDTH: Final = 2400


def check_picture_name(path: str) -> None:
    """Refuse a file name that says no format, before any work is done.

    Raises
    ------
    InputError
        With the endings that there are.
    """
    if Path(path).suffix not in FORMATS:
        raise InputError(f"{path}: a map is drawn as {', '.join(FORMATS)}; end the name so")


def write_picture(svg: str, path: str, *, title: str) -> None:
    """Write a drawing in the format that the name ends in.

    Raises
    ------
    MachineError
        The file cannot be written, or PNG is asked for and nothing can make one.
    """
    check_picture_name(path)
    if path.endswith(".png"):
        from ridgeline.picture.png import svg_to_png

        data = svg_to_png(svg, width=PNG_WIDTH)
    elif path.endswith(".html"):
        from ridgeline.picture.html import render_page

        data = render_page(title, f"<main><figure>{svg}</figure></main>").encode()
    else:
        data = svg.encode()
    try:
        Path(path).write_bytes(data)
    except OSError as error:
        raise MachineError(f"{path}: cannot be written: {error.strerror}") from None
