"""Open TLS connections, say `ready`, and hold them: hold_tls.py ADDRESS PORT COUNT."""
import resource
import socket
import ssl
import sys
import time

SPARE = 64  # descriptors that are no connections


def main(address, port, count):
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], count + SPARE), max(limits[1], count + SPARE)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    held = [context.wrap_socket(socket.create_connection((address, port))) for _ in range(count)]
    print("ready", len(held), flush=True)
    while True:
        time.sleep(60)


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
