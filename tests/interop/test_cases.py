#!/usr/bin/env python3
"""Some cases of the interoperability matrix, each of another feature; tests/interop/runner runs all of them.

    tests/interop/test_cases.py [HALF]          of these all, or half 0 or 1, which can run side by side
"""
import sys

import cases
import implementations
import tap
from rig import Rig

# case, client, server
CHOSEN = [
    ("handshake", "millrace", "aioquic"),
    ("transfer", "millrace", "nginx"),
    ("multiplexing", "ngtcp2", "millrace"),
    ("retry", "aioquic", "millrace"),
    ("resumption", "millrace", "ngtcp2"),
    ("http3", "curl", "millrace"),
    ("keyupdate", "aioquic", "millrace"),
    ("ecn", "millrace", "ngtcp2"),
    ("amplificationlimit", "ngtcp2", "millrace"),
    ("transfercorruption", "aioquic", "millrace"),
    ("ipv6", "millrace", "caddy"),
    ("v2", "aioquic", "millrace"),
    ("rebind-port", "ngtcp2", "millrace"),
]


def test_of(name, client, server):
    def test(rig):
        by_name = implementations.BY_NAME
        reason = rig.run_case(cases.BY_NAME[name], by_name[client], by_name[server])
        tap.expect(reason is None, reason)
    test.__name__ = f"{name}, {client} to {server}"
    return test


def main():
    with Rig() as rig:
        mine = CHOSEN[int(sys.argv[1])::2] if len(sys.argv) > 1 else CHOSEN
        tap.run([test_of(*chosen) for chosen in mine], rig)


tap.main(main)
