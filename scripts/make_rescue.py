"""Compile the rescue program, `src/ridgeline/lab/rescue/data/rescue.bpf.c`, to what is shipped.

    python scripts/make_rescue.py            write rescue.bpf.o beside it
    python scripts/make_rescue.py --check    say whether it is what the source gives

Needs clang 14, llvm-strip and libbpf's headers (Debian 12: clang llvm libbpf-dev). Debug information
is stripped but for BTF, and the source is compiled by its bare name, so that the same compiler gives
the same bytes everywhere.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "src" / "ridgeline" / "lab" / "rescue" / "data"
SOURCE, OBJECT = FOLDER / "rescue.bpf.c", FOLDER / "rescue.bpf.o"
CLANG, STRIP = "clang-14", "llvm-strip-14"
FLAGS = (
    "-O2",
    "-g",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-target",
    "bpfel",
    "-mcpu=v3",
    "-fdebug-compilation-dir=.",
)


def missing() -> str | None:
    """Say what is not there to compile with; None if all is."""
    for program in (CLANG, STRIP):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    if not Path("/usr/include/bpf/bpf_helpers.h").exists():
        return "libbpf's headers are not installed (libbpf-dev)"
    return None


def build() -> bytes:
    """Compile the source and return the object."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / OBJECT.name
        multiarch = [f"-I{path}" for path in sorted(Path("/usr/include").glob("*-linux-gnu"))]
        subprocess.run(
            [CLANG, *FLAGS, *multiarch, "-c", SOURCE.name, "-o", str(made)],
            cwd=SOURCE.parent,
            check=True,
        )
        subprocess.run([STRIP, "-g", str(made)], check=True)
        return made.read_bytes()


def main() -> int:
    why = missing()
    if why:
        print(why, file=sys.stderr)
        return 3
    made = build()
    if sys.argv[1:] == ["--check"]:
        same = made == OBJECT.read_bytes()
        print("the object is what the source gives" if same else "the object is stale")
        return 0 if same else 1
    OBJECT.write_bytes(made)
    print(f"{OBJECT.name}: {len(made):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
