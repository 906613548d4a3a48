"""libbpf, as much of it as loads one object and attaches its programs to an interface.

iproute2 brings the library along (libbpf.so.1), so a lab needs no compiler and no headers.
"""

import ctypes
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from ridgeline.errors import MachineError

_LIBRARY: Final = "libbpf.so.1"
_INGRESS: Final = 1
_EGRESS: Final = 2
_REPLACE: Final = 1
_EPERM: Final = 1
_EEXIST: Final = 17
_RUN_TIME: Final = 0
"""BPF_STATS_RUN_TIME."""
_RUN_TIME_AT: Final = 192
"""Where ``run_time_ns`` and ``run_cnt`` stand in ``struct bpf_prog_info``."""
_PROGRAM_INFO_BYTES: Final = 232
_GIVE_POINTERS: Final = (
    "bpf_object__open_mem",
    "bpf_object__find_map_by_name",
    "bpf_object__find_program_by_name",
    "bpf_object__next_map",
    "bpf_map__name",
    "libbpf_set_print",
)
_ROOM_TO_GROW: Final = 256
AS_ROOT: Final = "run the lab as root: sudo ridgeline lab up SPEC"
_OUTDATED: Final = "apt-get install libbpf1, or Debian 12, Ubuntu 24.04 or newer"

_Printer = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


class _Hook(ctypes.Structure):
    """``struct bpf_tc_hook``."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("ifindex", ctypes.c_int),
        ("attach_point", ctypes.c_int),
        ("parent", ctypes.c_uint32),
    )


class _Options(ctypes.Structure):
    """``struct bpf_tc_opts``."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("prog_fd", ctypes.c_int),
        ("flags", ctypes.c_uint32),
        ("prog_id", ctypes.c_uint32),
        ("handle", ctypes.c_uint32),
        ("priority", ctypes.c_uint32),
    )


class _TestRun(ctypes.Structure):
    """``struct bpf_test_run_opts``."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("data_in", ctypes.c_char_p),
        ("data_out", ctypes.c_void_p),
        ("data_size_in", ctypes.c_uint32),
        ("data_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_void_p),
        ("ctx_out", ctypes.c_void_p),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("retval", ctypes.c_uint32),
        ("repeat", ctypes.c_int),
        ("duration", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
        ("batch_size", ctypes.c_uint32),
    )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a program made of a packet."""

    action: int
    """``TC_ACT_OK`` (0), ``TC_ACT_SHOT`` (2), ``TC_ACT_REDIRECT`` (7)."""
    packet: bytes
    nanoseconds: int
    """That one run took, on average."""


class BpfObject:
    """A loaded object: its maps and programs, as long as it is open."""

    def __init__(self, handle: int, library: Any) -> None:
        self._handle = ctypes.c_void_p(handle)
        self._library = library

    @classmethod
    def load(
        cls, image: bytes, *, entries: Mapping[str, int] | None = None, only_open: bool = False
    ) -> Self:
        """Load an ELF object into the kernel, which verifies it; or only read it.

        Parameters
        ----------
        entries
            Maps that are to hold so many entries, whatever the object says.

        Raises
        ------
        MachineError
            No libbpf, no privilege, or the verifier's own words.
        """
        library = _library()
        said: list[str] = []
        listener = _listener(said)  # held here: libbpf keeps no reference that Python knows of
        previous = library.libbpf_set_print(listener)
        try:
            handle = library.bpf_object__open_mem(image, ctypes.c_size_t(len(image)), None)
            if not handle:
                raise MachineError(f"libbpf cannot read the object: {_last(said)}")
            made = cls(handle, library)
            for name, n in (entries or {}).items():
                library.bpf_map__set_max_entries(made._map_handle(name), ctypes.c_uint32(n))
            status = 0 if only_open else library.bpf_object__load(made._handle)
            if status:
                made.close()
                raise _refused(-status, said)
        finally:
            library.libbpf_set_print(ctypes.c_void_p(previous))
        return made

    def close(self) -> None:
        """Give the maps and programs back; those that are attached stay until detached."""
        self._library.bpf_object__close(self._handle)

    def program(self, name: str) -> int:
        """Return the descriptor of a program."""
        found = self._library.bpf_object__find_program_by_name(self._handle, name.encode())
        if not found:
            raise KeyError(name)
        return int(self._library.bpf_program__fd(ctypes.c_void_p(found)))

    def cost(self, name: str) -> tuple[int, int]:
        """Return nanoseconds and runs of a program while `measure_cost` was on."""
        info = ctypes.create_string_buffer(_PROGRAM_INFO_BYTES)
        size = ctypes.c_uint32(len(info))
        status = self._library.bpf_obj_get_info_by_fd(self.program(name), info, ctypes.byref(size))
        _check(status, "describe a program")
        return struct.unpack_from("=QQ", info, _RUN_TIME_AT)

    def shape(self) -> dict[str, tuple[int, int, int]]:
        """Return bytes of a key, bytes of a value, and most entries of each map."""
        found = {}
        at = self._library.bpf_object__next_map(self._handle, None)
        while at:
            this = ctypes.c_void_p(at)
            name = ctypes.cast(self._library.bpf_map__name(this), ctypes.c_char_p).value or b""
            found[name.decode()] = (
                int(self._library.bpf_map__key_size(this)),
                int(self._library.bpf_map__value_size(this)),
                int(self._library.bpf_map__max_entries(this)),
            )
            at = self._library.bpf_object__next_map(self._handle, this)
        return found

    def write(self, map_name: str, values: Mapping[bytes, bytes]) -> None:
        """Set entries of a map."""
        fd = self._map(map_name)
        for key, value in values.items():
            status = self._library.bpf_map_update_elem(fd, key, value, ctypes.c_uint64(0))
            if status:
                raise MachineError(
                    f"the kernel refused an entry of map {map_name}: {os.strerror(-status)}"
                )

    def read(self, map_name: str, key: bytes, n_bytes: int) -> bytes:
        """Read an entry of a map: `n_bytes`, of all processors if the map is per processor."""
        value = ctypes.create_string_buffer(n_bytes)
        status = self._library.bpf_map_lookup_elem(self._map(map_name), key, value)
        if status:
            raise MachineError(f"the kernel refused to read map {map_name}: {os.strerror(-status)}")
        return value.raw

    def run(self, name: str, packet: bytes, *, repeat: int = 1) -> Verdict:
        """Let a program see a packet (BPF_PROG_TEST_RUN); sockets are those of our namespace.

        A program that changes the packet sees, from the second time on, what it made of it.
        """
        made = ctypes.create_string_buffer(len(packet) + _ROOM_TO_GROW)
        options = _TestRun(
            sz=ctypes.sizeof(_TestRun),
            data_in=packet,
            data_out=ctypes.cast(made, ctypes.c_void_p),
            data_size_in=len(packet),
            data_size_out=len(made),
            repeat=repeat,
        )
        status = self._library.bpf_prog_test_run_opts(self.program(name), ctypes.byref(options))
        _check(status, "run a program on a packet")
        return Verdict(
            action=options.retval,
            packet=made.raw[: options.data_size_out],
            nanoseconds=options.duration,
        )

    def _map_handle(self, name: str) -> ctypes.c_void_p:
        found = self._library.bpf_object__find_map_by_name(self._handle, name.encode())
        if not found:
            raise KeyError(name)
        return ctypes.c_void_p(found)

    def _map(self, name: str) -> int:
        fd = int(self._library.bpf_object__find_map_fd_by_name(self._handle, name.encode()))
        if fd < 0:
            raise KeyError(name)
        return fd


def attach(index: int, *, ingress: int, egress: int) -> None:
    """Attach programs to an interface of the calling thread's network namespace.

    Raises
    ------
    MachineError
        The kernel refused.
    """
    library = _library()
    hook = _hook(index, _INGRESS | _EGRESS)
    _check(library.bpf_tc_hook_create(ctypes.byref(hook)), "add a clsact qdisc", _EEXIST)
    for point, program in ((_INGRESS, ingress), (_EGRESS, egress)):
        hook = _hook(index, point)
        options = _Options(
            sz=ctypes.sizeof(_Options), prog_fd=program, flags=_REPLACE, handle=1, priority=1
        )
        status = library.bpf_tc_attach(ctypes.byref(hook), ctypes.byref(options))
        _check(status, "attach the program")


def detach(index: int) -> None:
    """Take every program off an interface of the calling thread's network namespace."""
    hook = _hook(index, _INGRESS | _EGRESS)
    _check(_library().bpf_tc_hook_destroy(ctypes.byref(hook)), "remove the clsact qdisc")


def measure_cost() -> int:
    """Let the kernel time every BPF program while the returned descriptor is open."""
    fd = int(_library().bpf_enable_stats(_RUN_TIME))
    _check(min(fd, 0), "time BPF programs")
    return fd


def processors() -> int:
    """Count the values that a per-processor map has."""
    return int(_library().libbpf_num_possible_cpus())


def _hook(index: int, point: int) -> _Hook:
    return _Hook(sz=ctypes.sizeof(_Hook), ifindex=index, attach_point=point)


def _library() -> Any:
    try:
        library = ctypes.CDLL(_LIBRARY, use_errno=True)
    except OSError as error:
        raise MachineError(f"no {_LIBRARY} on this machine", hint=_OUTDATED) from error
    for name in _GIVE_POINTERS:
        getattr(library, name).restype = ctypes.c_void_p
    return library


def _listener(said: list[str]) -> Any:
    """Make the function that libbpf calls instead of writing to standard error."""
    libc = ctypes.CDLL(None)

    def listen(_: int, form: bytes, arguments: int) -> int:
        text = ctypes.create_string_buffer(4096)
        libc.vsnprintf(text, ctypes.c_size_t(len(text)), form, ctypes.c_void_p(arguments))
        said.append(text.value.decode(errors="replace").rstrip())
        return 0

    return _Printer(listen)


def _last(said: list[str]) -> str:
    return next((line for line in reversed(said) if line), "it does not say why")


def _refused(number: int, said: list[str]) -> MachineError:
    if number == _EPERM:
        return MachineError("the kernel lets only root load BPF programs", hint=AS_ROOT)
    log = "\n".join(said).splitlines()
    words = [line for line in log if line and not line.startswith(("libbpf", "--", "processed"))]
    return MachineError(
        f"the kernel refused the program: {os.strerror(number)}: {_last(words or log)}"
    )


def _check(status: int, what: str, *fine: int) -> None:
    if status and -status not in fine:
        hint = AS_ROOT if -status == _EPERM else ""
        raise MachineError(f"the kernel refused to {what}: {os.strerror(-status)}", hint=hint)
