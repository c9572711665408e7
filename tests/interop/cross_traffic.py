"""A TCP flow as fast as it gets, with CUBIC, for as long as it runs: what other traffic does to a transfer.

    cross_traffic.py sink ADDRESS       takes it
    cross_traffic.py source ADDRESS     sends it there
"""
import socket
import sys

PORT = 5201
CHUNK = bytes(1 << 16)
CONNECT_SECONDS = 10


def sink(address):
    with socket.create_server((address, PORT)) as listener:
        print("ready", flush=True)
        connection, _ = listener.accept()
        while connection.recv(len(CHUNK)):
            pass


def source(address):
    with socket.socket() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
        connection.settimeout(CONNECT_SECONDS)
        connection.connect((address, PORT))
        connection.settimeout(None)
        print("ready", flush=True)
        while True:
            connection.sendall(CHUNK)


if __name__ == "__main__":
    {"sink": sink, "source": source}[sys.argv[1]](sys.argv[2])
