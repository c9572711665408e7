"""aioquic as an endpoint of the interoperability cases: HTTP/0.9 or HTTP/3, client and server.  Runs in the peers' tree.

    aioquic_endpoint.py client HOST PORT PATH... --out DIR [options]
    aioquic_endpoint.py server HOST PORT --root DIR --cert PEM --key PEM [options]
"""
import argparse
import asyncio
import contextlib
import os
import ssl
import sys
from pathlib import Path

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.h0.connection import H0_ALPN, H0Connection
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, ProtocolNegotiated, StreamReset
from aioquic.quic.packet import QuicProtocolVersion
from aioquic.tls import CipherSuite

WINDOW = 16 << 20  # bytes
NAME = "millrace.test"
UNKNOWN_VERSION = 0x1a2a3a4a  # a client begins with it
VERSIONS = {"1": [QuicProtocolVersion.VERSION_1],
            "2": [QuicProtocolVersion.VERSION_2, QuicProtocolVersion.VERSION_1],
            "only2": [QuicProtocolVersion.VERSION_2],
            "unknown": [QuicProtocolVersion.VERSION_1, UNKNOWN_VERSION]}


def configure(arguments, is_client):
    protocols = H3_ALPN if arguments.alpn == "h3" else H0_ALPN
    configuration = QuicConfiguration(is_client=is_client, alpn_protocols=protocols, max_data=WINDOW,
                                      max_stream_data=WINDOW, supported_versions=VERSIONS[arguments.versions])
    if is_client and arguments.versions == "2":
        configuration.original_version = QuicProtocolVersion.VERSION_1
    if is_client and arguments.versions == "unknown":
        configuration.original_version = UNKNOWN_VERSION
    if arguments.keylog:
        configuration.secrets_log_file = open(arguments.keylog, "a", encoding="ascii")
    return configuration


# ---- client


class Client(QuicConnectionProtocol):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.http = None
        self.pending = {}  # stream -> (file, future)
        self.is_over = False

    def get(self, path, out, alpn):
        if self.http is None:
            self.http = H3Connection(self._quic) if alpn == "h3" else H0Connection(self._quic)
        stream = self._quic.get_next_available_stream_id()
        headers = [(":method", "GET"), (":scheme", "https"), (":authority", NAME), (":path", path)]
        future = asyncio.get_running_loop().create_future()
        self.pending[stream] = (open(out, "wb"), future)
        self.http.send_headers(stream, [(a.encode(), b.encode()) for a, b in headers], end_stream=True)
        return future

    def end(self, stream, error=None):
        file, future = self.pending.pop(stream)
        file.close()
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(ConnectionError(error))

    def quic_event_received(self, event):
        if isinstance(event, ConnectionTerminated):
            for stream in list(self.pending):
                self.end(stream, f"connection ended: {event.error_code} {event.reason_phrase}")
        if isinstance(event, StreamReset) and event.stream_id in self.pending:
            self.end(event.stream_id, f"stream reset: {event.error_code}")
        for answer in self.http.handle_event(event) if self.http is not None else []:
            if answer.stream_id not in self.pending:
                continue
            if isinstance(answer, HeadersReceived):
                status = dict(answer.headers).get(b":status", b"200")
                if status != b"200":
                    self.end(answer.stream_id, f"status {status.decode()}")
                    continue
            elif isinstance(answer, DataReceived):
                self.pending[answer.stream_id][0].write(answer.data)
            if getattr(answer, "stream_ended", False):
                self.end(answer.stream_id)


async def fetch(arguments, paths, tickets):
    """`paths` over one connection, with the newest of `tickets`, to which new ones are added."""
    configuration = configure(arguments, is_client=True)
    configuration.server_name = NAME
    if arguments.ca:
        configuration.load_verify_locations(arguments.ca)
    else:
        configuration.verify_mode = ssl.CERT_NONE
    if arguments.cipher == "chacha20":
        configuration.cipher_suites = [CipherSuite.CHACHA20_POLY1305_SHA256]
    if tickets:
        configuration.session_ticket = tickets[-1]
    is_early = arguments.early and bool(tickets)
    async with connect(arguments.host, arguments.port, configuration=configuration, create_protocol=Client,
                       session_ticket_handler=tickets.append, wait_connected=not is_early) as client:
        waits = [client.get(path, Path(arguments.out, path.lstrip("/")), arguments.alpn) for path in paths]
        client.transmit()
        if arguments.key_update:
            await asyncio.sleep(0.1)
            client.request_key_update()
        await asyncio.wait_for(asyncio.gather(*waits), arguments.seconds)


async def run_client(arguments):
    tickets = []
    connections = [arguments.paths]
    if arguments.connections == "each":
        connections = [[path] for path in arguments.paths]
    elif arguments.connections == "two":
        connections = [arguments.paths[:1], arguments.paths[1:]]
    for paths in connections:
        kept = tickets if arguments.connections == "two" else []
        await fetch(arguments, paths, kept)


# ---- server


class Server(QuicConnectionProtocol):
    http = None
    root = None

    def quic_event_received(self, event):
        if isinstance(event, ProtocolNegotiated):
            self.http = H3Connection(self._quic) if event.alpn_protocol in H3_ALPN else H0Connection(self._quic)
        if isinstance(event, HandshakeCompleted) and self.update_keys:
            self.request_key_update()
        for request in self.http.handle_event(event) if self.http is not None else []:
            if isinstance(request, HeadersReceived):
                self.answer(request.stream_id, dict(request.headers)[b":path"].decode())
        self.transmit()

    def answer(self, stream, path):
        file = Path(self.root, path.lstrip("/"))
        is_there = file.resolve().is_relative_to(self.root) and file.is_file()
        if isinstance(self.http, H3Connection):
            self.http.send_headers(stream, [(b":status", b"200" if is_there else b"404")], end_stream=not is_there)
        elif not is_there:
            self._quic.reset_stream(stream, 404)
        if is_there:
            self.http.send_data(stream, file.read_bytes(), True)


async def run_server(arguments):
    configuration = configure(arguments, is_client=False)
    configuration.load_cert_chain(arguments.cert, arguments.key)
    tickets = {}
    Server.root = Path(arguments.root).resolve()
    Server.update_keys = arguments.key_update
    await serve(arguments.host, arguments.port, configuration=configuration, create_protocol=Server,
                retry=arguments.retry, session_ticket_fetcher=tickets.get,
                session_ticket_handler=lambda ticket: tickets.update({ticket.ticket: ticket}))
    print("ready", flush=True)
    await asyncio.Event().wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["client", "server"])
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("paths", nargs="*")
    parser.add_argument("--alpn", choices=["h3", "hq"], default="hq")
    parser.add_argument("--versions", choices=VERSIONS, default="1")
    parser.add_argument("--keylog", default=os.environ.get("SSLKEYLOGFILE"))
    parser.add_argument("--key-update", action="store_true")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--ca")
    parser.add_argument("--out")
    parser.add_argument("--cipher", choices=["all", "chacha20"], default="all")
    parser.add_argument("--connections", choices=["one", "two", "each"], default="one")
    parser.add_argument("--early", action="store_true", help="the second connection's requests as 0-RTT")
    parser.add_argument("--root")
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--retry", action="store_true")
    parser.add_argument("--paths-from", help="file with a path a line")
    arguments = parser.parse_args()
    if arguments.paths_from:
        arguments.paths += Path(arguments.paths_from).read_text(encoding="ascii").split()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run_client(arguments) if arguments.role == "client" else run_server(arguments))


if __name__ == "__main__":
    sys.exit(main())
