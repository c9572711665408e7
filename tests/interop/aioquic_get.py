"""Fetch one URL over HTTP/3 with aioquic: aioquic_get.py URL CA FILE.  Prints the status; runs in the peers' tree."""
import asyncio
import sys
from urllib.parse import urlparse

from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated

WINDOW = 16 << 20  # bytes


class Client(QuicConnectionProtocol):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.http = H3Connection(self._quic)
        self.done = asyncio.get_running_loop().create_future()
        self.file = None
        self.status = None

    def get(self, url, file):
        self.file = file
        stream = self._quic.get_next_available_stream_id()
        headers = [(":method", "GET"), (":scheme", "https"), (":authority", url.netloc), (":path", url.path)]
        self.http.send_headers(stream, [(a.encode(), b.encode()) for a, b in headers], end_stream=True)
        self.transmit()
        return self.done

    def quic_event_received(self, event):
        if isinstance(event, ConnectionTerminated) and not self.done.done():
            self.done.set_exception(ConnectionError(event.reason_phrase))
        for answer in self.http.handle_event(event):
            if isinstance(answer, HeadersReceived):
                self.status = dict(answer.headers)[b":status"].decode()
            elif isinstance(answer, DataReceived):
                self.file.write(answer.data)
            if getattr(answer, "stream_ended", False) and not self.done.done():
                self.done.set_result(None)


async def main(address, ca, path):
    url = urlparse(address)
    configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name="millrace.test",
                                      max_data=WINDOW, max_stream_data=WINDOW)
    configuration.load_verify_locations(ca)
    with open(path, "wb") as file:
        async with connect(url.hostname, url.port, configuration=configuration, create_protocol=Client) as client:
            await client.get(url, file)
            print(client.status)


asyncio.run(main(*sys.argv[1:]))
