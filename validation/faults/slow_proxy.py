"""Pass TCP on, and every answer late: HOST PORT TO-HOST TO-PORT SECONDS."""

import asyncio
import sys

host, port, to_host, to_port, seconds = sys.argv[1:]


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Join a client with the server behind."""
    try:
        back_reader, back_writer = await asyncio.open_connection(to_host, int(to_port))
    except OSError:
        writer.close()
        return
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(pump(reader, back_writer, 0.0))
            group.create_task(pump(back_reader, writer, float(seconds)))
    except* OSError:
        pass
    finally:
        writer.close()
        back_writer.close()


async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter, late: float) -> None:
    """Copy until the end."""
    while data := await source.read(65_536):
        await asyncio.sleep(late)
        target.write(data)
        await target.drain()
    target.close()


async def main() -> None:
    """Serve until killed."""
    server = await asyncio.start_server(serve, host, int(port))
    await server.serve_forever()


asyncio.run(main())
