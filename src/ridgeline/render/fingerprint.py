"""Fingerprints of a site's configuration that are equal where the configurations mean the same.

What must differ from site to site (its name, its own addresses, its folders, what only a site of the
shield does) is taken out first. The fingerprint tells nothing of what is in the file: keys are
random, and a hash of them cannot be turned back.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

LENGTH: Final = 16
"""Hex digits, 64 bits: enough to tell files apart that nobody made to collide."""
CONFIG_NAME: Final = "config.whoami.anycast.test."
EXPECTED_SCHEMA: Final = "ridgeline.expected/1"
"""Of the file that says what every site shall be; its facts are named as those that sites tell."""
FILE_FACT: Final = "file "
"""How the name of a fact begins that is the fingerprint of a file; its path in the site's folder follows."""
SERIAL_FACT: Final = "serial of "
"""How the name of a fact begins that is a zone's serial; the zone follows."""
ABSENT: Final = "absent"
"""What stands for the fingerprint of a file that is not there."""

# Where the file itself carries its fingerprint.
_CARRIED: Final = re.compile(
    rf"^.*\b{re.escape(CONFIG_NAME)}.*\n|"
    rf"(?:(?<=\\n)|\b)(?:config|policy)=[0-9a-f]{{{LENGTH}}}(?:\\n)?",
    re.MULTILINE,
)
# nginx: which site asks which, of the shield, is another matter at each site; so is who is asked.
_SHIELD: Final = re.compile(
    r"^ *upstream shield_.*\n|^ *split_clients [^{]*\{[^}]*\}\n?"
    r"|^( *)server \{  # for the other sites\n(?:\1 .*\n)*\1\}\n",
    re.MULTILINE,
)
_POLICY: Final = re.compile(r"^( *)(?:map|location|sub vcl_\w+) ?[^{\n]*\{", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What differs between the sites, and may."""

    sites: tuple[str, ...]
    """Names of all sites."""
    addresses: tuple[str, ...]
    """Every site's own addresses."""
    folders: tuple[str, ...] = ()
    """Where this site's files are; the longest is taken out first."""


def fingerprint(text: str, fleet: Fleet) -> str:
    """Hash the text of a configuration, less what may differ between sites."""
    return sha256(normalise(text, fleet).encode()).hexdigest()[:LENGTH]


def file_fingerprint(data: bytes, fleet: Fleet) -> str:
    """Hash a file as it is on a disk: as `fingerprint` does if it is text, else byte by byte."""
    try:
        return fingerprint(data.decode(), fleet)
    except UnicodeDecodeError:  # a key
        return sha256(data).hexdigest()[:LENGTH]


def policy_fingerprint(texts: Iterable[str], fleet: Fleet) -> str:
    """Hash the parts of an edge's files that say what is cached: maps, locations, subroutines."""
    blocks = [block.strip() for text in texts for block in _policy_blocks(normalise(text, fleet))]
    return sha256("\n".join(blocks).encode()).hexdigest()[:LENGTH]


def normalise(text: str, fleet: Fleet) -> str:
    """Take out what may differ between sites."""
    text = _SHIELD.sub("", _CARRIED.sub("", text))
    for folder in sorted(fleet.folders, key=len, reverse=True):
        text = text.replace(folder.rstrip("/"), "@FOLDER@")
    for is_v6, ends in ((False, r"(?![0-9]|\.[0-9])"), (True, r"(?![0-9A-Fa-f:])")):
        addresses = "|".join(re.escape(a) for a in fleet.addresses if (":" in a) == is_v6)
        if addresses:
            text = re.sub(rf"(?<![0-9A-Fa-f:.])(?:{addresses}){ends}", "@OWN@", text)
    if fleet.sites:
        names = "|".join(map(re.escape, sorted(fleet.sites, key=len, reverse=True)))
        text = re.sub(rf"(?<![A-Za-z0-9-])(?:{names})(?![A-Za-z0-9-])", "@SITE@", text)
        in_hex = "|".join(site.encode().hex() for site in fleet.sites)  # Knot's NSID
        text = re.sub(rf"\b0x(?:{in_hex})\b", "@SITE@", text)
    return text


def _policy_blocks(text: str) -> Iterable[str]:
    for found in _POLICY.finditer(text):
        end = text.find(f"\n{found[1]}}}", found.end())
        one_line = text[found.start() : text.find("\n", found.start())]
        yield one_line if one_line.rstrip().endswith("}") or end < 0 else text[found.start() : end]
