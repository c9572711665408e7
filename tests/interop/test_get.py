#!/usr/bin/env python3
"""`millrace get` behind a TAP or a packet socket, from nginx, Caddy and ngtcp2's server.

    test_get.py [--mib N] [--port KIND]      size of the large file, 1024 unless told; tap, or af_packet on a veth pair
"""
import argparse
import os

import millrace
import servers
import tap
from peers import PEER_IP, Stage, sha256_of, write_random_file

SLOWEST_BYTES_PER_SECOND = 2 << 20


def get(stage, port, *options, path="big", seconds=None):
    """(exit code, output) of `millrace get`; the file is stage.folder / "got"."""
    (stage.folder / "got").unlink(missing_ok=True)
    return millrace.run_get(stage, f"https://{PEER_IP}:{port}/{path}", stage.folder / "got", *options, kind=stage.port,
                            seconds=seconds or 60 + stage.big_bytes // SLOWEST_BYTES_PER_SECOND)


def expect_big_file(stage, port, *options):
    status, log = get(stage, port, *options)
    tap.expect_equal(status, 0, log)
    tap.expect_equal(sha256_of(stage.folder / "got"), stage.big_digest)


def expect_error(stage, words, port, *options, path="big"):
    """It fails, says why in these words, and leaves no file."""
    status, log = get(stage, port, *options, path=path)
    tap.expect(status != 0, "it should have failed:", log)
    for word in words:
        tap.expect(word in log.lower(), f"{word!r} is missing in:", log)
    tap.expect(not (stage.folder / "got").exists(), "a file was left")


def authority(stage):
    return "--ca", stage.folder / "ca.pem"


def it_fetches_from_nginx_and_verifies_it(stage):
    expect_big_file(stage, servers.NGINX_PORT, *authority(stage))


def it_fetches_from_caddy_and_verifies_it(stage):
    expect_big_file(stage, servers.CADDY_PORT, *authority(stage))


def it_fetches_from_ngtcp2_and_verifies_it(stage):
    expect_big_file(stage, servers.NGTCP2_PORT, *authority(stage))


def insecure_fetches_from_a_server_nobody_vouches_for(stage):
    expect_big_file(stage, servers.NGINX_PORT, "--insecure")


def an_unknown_authority_is_an_error_that_names_it(stage):
    expect_error(stage, ["certificate", "--insecure"], servers.NGINX_PORT)


def a_certificate_for_another_name_is_an_error_that_names_it(stage):
    expect_error(stage, ["certificate", PEER_IP], servers.NGINX_PORT + 100, *authority(stage))


def a_404_is_an_error_and_leaves_no_file(stage):
    expect_error(stage, ["404"], servers.NGINX_PORT, *authority(stage), path="nothing")


def no_server_is_an_error_within_reason(stage):
    expect_error(stage, [PEER_IP], servers.NGINX_PORT + 200, *authority(stage))


TESTS = [
    it_fetches_from_nginx_and_verifies_it,
    it_fetches_from_caddy_and_verifies_it,
    it_fetches_from_ngtcp2_and_verifies_it,
    insecure_fetches_from_a_server_nobody_vouches_for,
    an_unknown_authority_is_an_error_that_names_it,
    a_certificate_for_another_name_is_an_error_that_names_it,
    a_404_is_an_error_and_leaves_no_file,
    no_server_is_an_error_within_reason,
]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=int(os.environ.get("MILLRACE_TEST_MIB", "1024")))
    parser.add_argument("--port", choices=["tap", "af_packet"], default="tap")
    arguments = parser.parse_args()
    with Stage() as stage:
        stage.port = arguments.port
        (stage.folder / "www").mkdir()
        stage.big_bytes = arguments.mib << 20
        stage.big_digest = write_random_file(stage.folder / "www" / "big", stage.big_bytes)
        servers.start_nginx(stage)
        servers.start_nginx(stage, "other", servers.NGINX_PORT + 100)
        servers.start_caddy(stage)
        servers.start_ngtcp2(stage)
        tap.run(TESTS, stage)


tap.main(main)
