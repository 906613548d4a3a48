"""BIRD's answers are read whole, however the socket cuts them."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from ridgeline.agent.routers.bird_socket import BirdSocket, RefusalError
from ridgeline.errors import MachineError

END = b"(the server closes)"
GREETING = b"0001 BIRD 2.0.12 ready.\n"
PROTOCOLS = (
    b"2002-Name       Proto      Table      State  Since         Info\n"
    b"1002-any_1      Static     master4    up     15:39:50.692  \n"
    b" any_2      Static     master4    down   15:39:50.692  \n"
    b"0000 \n"
)
LINES = [
    "Name       Proto      Table      State  Since         Info",
    "any_1      Static     master4    up     15:39:50.692  ",
    "any_2      Static     master4    down   15:39:50.692  ",
    "",
]


def ask(folder: Path, answer: Callable[[bytes], list[bytes]], *commands: str) -> list[list[str]]:
    """Ask a server that answers each command with these pieces."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GREETING)
        while command := await reader.readline():
            pieces = answer(command)
            for piece in pieces:
                if piece is END:
                    writer.close()
                    return
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
        writer.close()

    async def story() -> list[list[str]]:
        async with await asyncio.start_unix_server(serve, folder / "bird.ctl"):
            bird = BirdSocket(str(folder / "bird.ctl"))
            try:
                return [await bird.command(command) for command in commands]
            finally:
                bird.close()
                await asyncio.sleep(0.01)

    return asyncio.run(story())


@pytest.mark.parametrize("size", [1, 2, 7, 64, 1000])
def test_an_answer_in_pieces_is_one_answer(tmp_path: Path, size: int) -> None:
    pieces = [PROTOCOLS[at : at + size] for at in range(0, len(PROTOCOLS), size)]
    answers = ask(tmp_path, lambda _: pieces, "show protocols", "show protocols")
    assert answers == [LINES, LINES]


def test_a_refusal_has_its_code(tmp_path: Path) -> None:
    with pytest.raises(RefusalError, match="refuses `shwo`: syntax error") as caught:
        ask(tmp_path, lambda _: [b"9001 syntax error\n"], "shwo")
    assert caught.value.code == 9001


def test_a_connection_that_ends_within_an_answer_is_lost(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="was lost during `show protocols`"):
        ask(tmp_path, lambda _: [PROTOCOLS[:90], END], "show protocols")
