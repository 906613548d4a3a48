"""Which prefix holds an address, among thousands."""

from collections.abc import Sequence

from ridgeline.spec.model import Address, Prefix


class PrefixTable:
    """Finds the prefix that holds an address, without trying them all."""

    def __init__(self, prefixes: Sequence[Prefix]) -> None:
        self._index: dict[tuple[int, int, int], int] = {}
        self._lengths: dict[int, list[int]] = {}
        self.prefixes = prefixes
        for index, prefix in enumerate(prefixes):
            key = (prefix.version, prefix.prefixlen, int(prefix.network_address))
            self._index.setdefault(key, index)
        for version in (4, 6):
            lengths = {length for v, length, _ in self._index if v == version}
            self._lengths[version] = sorted(lengths, reverse=True)

    def find(self, address: Address, *, shorter_than: int = 129) -> int | None:
        """Return the index of the longest prefix that holds the address."""
        number, bits = int(address), address.max_prefixlen
        for length in self._lengths[address.version]:
            network = number >> (bits - length) << (bits - length)
            index = self._index.get((address.version, length, network))
            if length < shorter_than and index is not None:
                return index
        return None
