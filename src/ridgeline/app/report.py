"""Write what a demo saw: a page, a document for programs, a map."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ridgeline.errors import MachineError
from ridgeline.picture.report import render_report


def write_report(report: Mapping[str, Any], folder: Path) -> tuple[Path, ...]:
    """Write ``report.html`` and ``report.json`` into a folder, which is made if need be.

    Raises
    ------
    MachineError
        The folder cannot be written to.
    """
    texts = {
        folder / "report.html": render_report(report),
        folder / "report.json": json.dumps(report, indent=1, ensure_ascii=False) + "\n",
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise MachineError(f"{error.filename or folder}: {error.strerror}") from error
    return tuple(texts)
