"""Is this machine set up for the agent? For `agent check`: looks, and changes nothing.

Every answer is for the user who asks. The agent's own user may have fewer rights than root.
"""

import fcntl
import os
import pwd
import socket
import stat
import struct
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from ridgeline.agent.bfd_link import user_name
from ridgeline.agent.config import AgentConfig, DeadManSettings
from ridgeline.agent.lease import is_here
from ridgeline.agent.router import Finding, Neighbour, RouterKind, Severity
from ridgeline.agent.state import StateDirectory
from ridgeline.errors import MachineError

_UNIT: Final = "systemctl edit ridgeline-agent"
_CAP_NET_ADMIN: Final = 12  # <linux/capability.h>
_SIOCGIFFLAGS: Final = 0x8913  # <linux/sockios.h>
_IFF_UP: Final = 0x1  # <linux/if.h>


def machine_findings(config: AgentConfig, *, wall: float) -> Iterator[Finding]:
    """Look at the agent's folders, its sockets, and what its dead-man switch needs."""
    user = user_name()
    if os.geteuid() == 0:
        yield Finding(
            severity=Severity.NOTE,
            what="this check runs as root, who may do everything",
            why="what it says of rights holds for the agent only if it runs as root, too",
            lines=("sudo -u ridgeline ridgeline agent check ...",),
        )
    folder = _folder("state directory", Path(config.state), user, "state")
    yield folder
    if folder.severity is Severity.OK:
        yield from _state_file(config.state, wall)
    yield _folder("folder of the control socket", Path(config.control).parent, user, "control")
    if config.metrics.startswith("/"):
        yield _folder("folder of the metrics' socket", Path(config.metrics).parent, user, "metrics")
    match config.dead_man.kind:
        case "bfd":
            yield from _bfd(config.dead_man, user)
            yield from _gateways(config)
        case "lease":
            yield from _lease(config.dead_man)


def prepend_findings(config: AgentConfig, neighbours: tuple[Neighbour, ...]) -> Iterator[Finding]:
    """Say what a prepended drain is to a neighbour of our own AS."""
    if not config.policy.drain_prepend:
        return
    for neighbour in neighbours:
        if neighbour.asn == config.router.asn:
            yield Finding(
                severity=Severity.WARNING,
                what=f"{neighbour.name} is an iBGP neighbour: a drain with `prepend` moves no client "
                "there, it takes the route away",
                why="within an AS our own number in the path is a loop (RFC 4271, section 9.1.2), so "
                "that the neighbour drops the route at the start of the drain, not after its hold",
                lines=("drain: {prepend: 0}",),
                where="agent.yaml",
            )


def _state_file(folder: str, wall: float) -> Iterator[Finding]:
    try:
        StateDirectory(folder).read(wall=wall)
    except MachineError as error:
        reason, _, hint = str(error).partition("\n  fix: ")
        yield Finding(
            severity=Severity.ERROR,
            what=reason,
            why="the agent does not start without knowing what is drained",
            lines=(hint,),
        )


def _folder(what: str, path: Path, user: str, key: str) -> Finding:
    """Look whether files can be made in a folder, or the folder itself."""
    there = path
    while not _is_seen(there) and there != there.parent:
        there = there.parent
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK, effective_ids=True):
        will = "can be written" if there == path else f"does not exist, and can be made in {there}"
        return Finding(severity=Severity.OK, what=f"{what}: {path} {will} by {user}")
    problem = f"{there} cannot be written by {user}" if there.is_dir() else f"{there} is no folder"
    return Finding(
        severity=Severity.ERROR,
        what=f"{what}: {problem}",
        why="the agent does not start",
        lines=(f"install -d -m 0750 -o {user} {path}",),
        where=f"a shell, as root; or name another under `{key}:` in agent.yaml",
    )


def _is_seen(path: Path) -> bool:
    try:
        path.stat()
    except OSError:  # not there, or below what this user may not enter
        return False
    return True


def _bfd(settings: DeadManSettings, user: str) -> Iterator[Finding]:
    device = settings.interface
    make = f"ip tuntap add dev {device} mode tun user {user}"
    flags = _flags(device)
    if flags is None:
        yield _broken(f"there is no device {device}", "the agent does not start", make)
        return
    problem = _tun_problem()
    if problem:
        yield _broken(problem, "the agent cannot attach to its device", "modprobe tun")
    ours, owner = _may_attach(device)
    if not ours:
        yield _broken(
            f"the device {device} belongs to {owner}, not to {user}",
            "the agent cannot attach to it, so that no route goes out",
            f"ip link delete {device}; {make}",
        )
    if not flags & _IFF_UP:
        yield _broken(
            f"the device {device} is down",
            "no BFD packet passes, so that no route goes out",
            f"ip link set {device} up",
        )
    for text in settings.addresses:
        yield from _ends(text, device)
    if not problem and ours and flags & _IFF_UP:
        yield Finding(
            severity=Severity.OK, what=f"dead-man switch: the device {device} is there for {user}"
        )


def _gateways(config: AgentConfig) -> Iterator[Finding]:
    """Look whether the router's next hops are the ends that the agent answers for."""
    hops = {ip_address(text) for text in config.router.bfd.split(",") if text}
    ends = {ip_address(text.partition(",")[0]) for text in config.dead_man.addresses}
    for hop in sorted(map(str, hops - ends)):
        yield Finding(
            severity=Severity.ERROR,
            what=f"dead-man switch: {hop} is a next hop for the router, and the agent answers for "
            "others",
            why="no BFD session for it comes up, so that no route by it goes out",
            lines=(f"addresses: ['{hop},PEER']   # PEER: the address of the device",),
            where="agent.yaml, dead_man",
        )
    if config.router.kind is not RouterKind.BIRD:
        return
    for version in sorted({prefix.version for prefix in config.prefixes}):
        if all(hop.version != version for hop in hops):
            known = sorted(str(end) for end in ends if end.version == version)
            yield Finding(
                severity=Severity.WARNING,
                what=f"dead-man switch: none for the IPv{version} prefixes",
                why="if the agent is killed and then the service dies, their routes stay",
                lines=(f"bfd: '{','.join([*map(str, hops), *(known or ['ADDRESS'])])}'",),
                where="agent.yaml, router",
            )


def _ends(text: str, device: str) -> Iterator[Finding]:
    local_text, _, peer_text = text.partition(",")
    local, peer = ip_address(local_text), ip_address(peer_text)
    if not is_here(peer):
        length = 30 if peer.version == 4 else 64
        yield _broken(
            f"{peer}, the router's end of the dead-man switch, is not on this machine",
            "the router cannot hear the agent, so that no route goes out",
            f"ip address add {peer}/{length} dev {device}",
        )
    if is_here(local):
        yield _broken(
            f"{local}, the agent's end of the dead-man switch, is an address of this machine",
            "the router takes none of its own machine's addresses as a next hop",
            f"ip address del {local} dev {device}",
        )


def _lease(settings: DeadManSettings) -> Iterator[Finding]:
    fine = True
    if _flags(settings.interface) is None:
        fine = False
        yield _broken(
            f"there is no interface {settings.interface} for the dead-man lease",
            "the agent does not start",
            f"ip link add {settings.interface} type dummy; ip link set {settings.interface} up",
        )
    if not has_net_admin():
        fine = False
        yield Finding(
            severity=Severity.ERROR,
            what=f"dead-man switch: {user_name()} lacks CAP_NET_ADMIN here",
            why="the agent cannot lease its addresses, so that no route goes out",
            lines=(
                "CapabilityBoundingSet=CAP_NET_ADMIN",
                "AmbientCapabilities=CAP_NET_ADMIN",
            ),
            where=f"{_UNIT}, [Service]",
        )
    if fine:
        yield Finding(
            severity=Severity.OK,
            what=f"dead-man switch: a lease on {settings.interface} can be had",
        )


def _broken(what: str, why: str, command: str) -> Finding:
    return Finding(
        severity=Severity.ERROR, what=f"dead-man switch: {what}", why=why, lines=(command,)
    )


def has_net_admin() -> bool:
    """Whether this process has CAP_NET_ADMIN (capabilities(7))."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> _CAP_NET_ADMIN & 1)
    return False


def _flags(device: str) -> int | None:
    """Return the flags of a device of this network namespace; None where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        request = struct.pack("16sH22x", device.encode()[:15], 0)
        try:
            answer = fcntl.ioctl(opened, _SIOCGIFFLAGS, request)
        except OSError:
            return None
    return int(struct.unpack_from("16xH", answer)[0])


def _tun_problem() -> str:
    path = Path("/dev/net/tun")
    try:
        if not stat.S_ISCHR(path.stat().st_mode):
            return f"{path} is no device"
    except OSError as error:
        return f"{path}: {error.strerror}"
    is_open = os.access(path, os.R_OK | os.W_OK, effective_ids=True)
    return "" if is_open else f"{path} cannot be opened by {user_name()}"


def _may_attach(device: str) -> tuple[bool, str]:
    """Say whether this user may attach, and whose the device is, as far as sysfs shows it."""
    folder = Path("/sys/class/net") / device
    try:
        if int((folder / "ifindex").read_text()) != socket.if_nametoindex(device):
            return True, ""
    except (OSError, ValueError):  # sysfs shows the namespace in which it was mounted
        return True, ""
    try:
        owner, group = (int((folder / name).read_text()) for name in ("owner", "group"))
    except (OSError, ValueError):
        return False, "another driver: it is no TUN device"
    # As the kernel decides, in tun_not_capable().
    is_ours = owner in {-1, os.geteuid()} and group in {-1, os.getegid(), *os.getgroups()}
    if is_ours or has_net_admin():
        return True, ""
    try:
        return False, pwd.getpwuid(owner).pw_name
    except (KeyError, OverflowError):
        return False, f"user {owner}, group {group}"
