"""DNS questions and what an answer must be (RFC 1035), read with as little work as will do."""

import re
import struct
from dataclasses import dataclass
from typing import Final, Self

import dns.exception
import dns.flags
import dns.message
import dns.rdatatype

from ridgeline.agent.checks.plan import FLAGS, RCODES, DnsCheck
from ridgeline.agent.health import Round

_HEADER: Final = struct.Struct("!HHHHHH")
_RESPONSE: Final = 0x8000
_TRUNCATED: Final = 0x0200
_SERVFAIL: Final = 2
_NAMES: Final = {number: name for name, number in RCODES.items()}


@dataclass(frozen=True, slots=True)
class Question:
    """A question ready to be sent again and again, and the eyes for its answer."""

    tail: bytes
    """The query without the two bytes of its ID."""
    n_question: int
    """Length of the question section."""
    rcodes: frozenset[int]
    flags: int
    pattern: re.Pattern[str] | None
    is_datagram: bool

    @classmethod
    def of(cls, check: DnsCheck) -> Self:
        """Write the query of a check."""
        query = dns.message.make_query(check.name, check.type, use_edns=0, payload=1232)
        query.flags = dns.flags.Flag.RD if check.recursion else dns.flags.Flag(0)
        wire = query.to_wire()
        bare = dns.message.make_query(check.name, check.type).to_wire()
        return cls(
            tail=wire[2:],
            n_question=len(bare) - _HEADER.size,
            rcodes=frozenset(RCODES[name] for name in check.rcodes),
            flags=sum(FLAGS[flag] for flag in check.flags),
            pattern=re.compile(check.answer) if check.answer else None,
            is_datagram=check.transport == "udp",
        )

    def judge(self, wire: bytes) -> Round:
        """Say whether an answer is right; its ID has been looked at already."""
        if len(wire) < _HEADER.size + self.n_question:
            return Round(ok=False, reason="the answer is too short to be one")
        _, flags, n_questions, n_answers, _, _ = _HEADER.unpack_from(wire)
        end = _HEADER.size + self.n_question
        asked = self.tail[_HEADER.size - 2 : end - 2]
        same = n_questions == 1 and wire[_HEADER.size : end].lower() == asked.lower()
        if not flags & _RESPONSE or not same:
            return Round(ok=False, reason="the answer is to another question")
        complaint = self._complain(flags, n_answers)
        if complaint is not None:
            return complaint
        if self.pattern is not None:
            return self._match(wire, self.pattern)
        return Round(ok=True, reason=f"answers {_rcode(flags)}")

    def _complain(self, flags: int, n_answers: int) -> Round | None:
        rcode = flags & 0xF
        if rcode not in self.rcodes:
            # A server that answers SERVFAIL is alive and lacks its input: the zone has expired,
            # or nobody upstream answers it. The other sites are likely to lack it too.
            return Round(ok=False, reason=f"answers {_rcode(flags)}", shared=rcode == _SERVFAIL)
        if flags & self.flags != self.flags:
            missing = [n for n, bit in FLAGS.items() if self.flags & bit and not flags & bit]
            return Round(ok=False, reason=f"the answer lacks the flag {' and '.join(missing)}")
        if rcode == 0 and not n_answers and not flags & _TRUNCATED:
            return Round(ok=False, reason="the answer is empty")
        return None

    def _match(self, wire: bytes, pattern: re.Pattern[str]) -> Round:
        try:
            message = dns.message.from_wire(wire)
        except dns.exception.DNSException as error:
            return Round(ok=False, reason=f"the answer cannot be read: {error}")
        texts = [rdata.to_text() for rrset in message.answer for rdata in rrset]
        if any(pattern.search(text) for text in texts):
            return Round(ok=True, reason="answers as expected")
        found = ", ".join(texts)[:80] or "nothing"
        return Round(ok=False, reason=f"answers {found}, and nothing of it is {pattern.pattern!r}")


def _rcode(flags: int) -> str:
    return _NAMES.get(flags & 0xF, f"RCODE{flags & 0xF}")
