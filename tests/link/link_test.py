#!/usr/bin/env python3
"""An attached application has neither DPDK nor OpenSSL in it, nor anything of the datapath's.

    tests/link/link_test.py PROGRAM
"""
import re
import subprocess
import sys

LIBRARIES = re.compile(r"lib(rte_|ssl|crypto|numa|IPSec)")
SYMBOLS = re.compile(r"\b(rte_\w+|SSL_\w+|EVP_\w+|OPENSSL_\w+|mr_conn_new|mr_shard_\w+|mr_app_host_\w+)\b")


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main():
    program = sys.argv[1]
    libraries = [line.strip() for line in output_of("ldd", program).splitlines() if LIBRARIES.search(line)]
    symbols = output_of("nm", program)
    found = sorted(set(SYMBOLS.findall(symbols)))
    results = [("an attached application needs no library of DPDK's or OpenSSL's", libraries),
               ("an attached application has no symbol of theirs, or of the datapath's", found),
               ("B13 an attached application has the rings and HTTP/3",
                [name for name in ("mr_attach", "mr_ring_transport_poll", "mr_h3_server_new")
                 if f" T {name}\n" not in symbols])]
    print(f"1..{len(results)}")
    for number, (name, wrong) in enumerate(results, 1):
        print(f"{'not ok' if wrong else 'ok'} {number} - link: {name}")
        for line in wrong:
            print(f"# {line}")
    return any(wrong for _, wrong in results)


if __name__ == "__main__":
    sys.exit(main())
