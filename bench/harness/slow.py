"""A server that answers late: a proxy in a process of its own, which holds back what the server says."""

import asyncio
import contextlib
import multiprocessing
import socket
import time

CHUNK = 1 << 18


async def pump(reader, writer, delay):
    """Forwards in order, each chunk `delay` seconds after it came; chunks in between are under way together."""
    chunks = asyncio.Queue(64)

    async def forward():
        while (held := await chunks.get())[1]:
            due, chunk = held
            await asyncio.sleep(max(due - time.monotonic(), 0))
            writer.write(chunk)
            await writer.drain()
        writer.close()

    sending = asyncio.create_task(forward())
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(CHUNK):
            await chunks.put((time.monotonic() + delay, chunk))
    await chunks.put((0, b""))
    with contextlib.suppress(ConnectionError):
        await sending


def serve(listener, port, delay):
    async def connection(reader, writer):
        theirs, ours = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, ours, 0.0), pump(theirs, writer, delay), return_exceptions=True)

    async def forever():
        server = await asyncio.start_server(connection, sock=listener)
        await server.serve_forever()

    asyncio.run(forever())


@contextlib.contextmanager
def port(server, milliseconds):
    """A port behind which the server's answers come so much later; the server's own for 0."""
    if not milliseconds:
        yield server.port
        return
    # It listens before the process is there, so that nobody has to wait for it.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        child = multiprocessing.get_context("spawn").Process(
            target=serve, args=(listener, server.port, milliseconds / 1000), daemon=True
        )
        child.start()
        try:
            yield listener.getsockname()[1]
        finally:
            child.kill()
