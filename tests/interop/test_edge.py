#!/usr/bin/env python3
"""`millrace edge` behind a TAP or a packet socket, as curl, ngtcp2 and aioquic see it.

    test_edge.py [--mib N] [--port KIND]     size of the large file, 1024 unless told; tap, or af_packet on a veth pair

Behind a packet socket only what depends on the port is tried.
"""
import argparse
import os
import time

import millrace
import tap
from peers import HERE, MILLRACE_IP, Stage, sha256_of, wait_until, write_random_file

BASE = f"https://{MILLRACE_IP}"
SECRET = "this must never leave the machine"
PARALLEL_CLIENTS = 100
PARALLEL_BYTES = 1 << 20
SLOWEST_BYTES_PER_SECOND = 2 << 20  # of any client with the large file
LONG_MIB = 1024  # of `make test-long`
REAP_SECONDS = 60  # twice the idle timeout
TEXT = b"0123456789abcdefghijklmnopqrstuvwxyz\n"

CONTENT_TYPES = {
    "page.html": "text/html",
    "style.css": "text/css",
    "script.js": "javascript",
    "data.json": "application/json",
    "image.svg": "image/svg+xml",
    "image.png": "image/png",
    "notes.txt": "text/plain",
    "unknown.zzz": "application/octet-stream",
}


# ---- what is served


def make_site(stage, mib):
    """The folder that edge serves, and beside it what it must not serve."""
    site = stage.folder / "site"
    site.mkdir()
    (site / "index.html").write_text("<title>home</title>\n")
    (site / "sub").mkdir()
    (site / "sub" / "index.html").write_text("<title>below</title>\n")
    (site / "text.txt").write_bytes(TEXT)
    (site / "a b%.txt").write_bytes(TEXT)
    (site / "empty").touch()
    for name in CONTENT_TYPES:
        (site / name).write_bytes(TEXT)
    (stage.folder / "secret").write_text(SECRET)
    (site / "link").symlink_to("../secret")
    (site / "linked-folder").symlink_to("..")
    stage.site = site
    stage.big_bytes = mib << 20
    stage.big_digest = write_random_file(site / "big", stage.big_bytes)
    stage.small_digest = write_random_file(site / "small", PARALLEL_BYTES, seed=2)


# ---- asking with curl


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body


def curl_command(*options):
    return ["curl", "-sS", "--http3-only", "--path-as-is", "--cacert", "/srv/millrace/ca.pem", *options]


def fetch(stage, path, *options):
    """Ask for `path`: status, headers and body."""
    head, body = stage.folder / "answer.head", stage.folder / "answer.body"
    body.unlink(missing_ok=True)
    status, log = stage.run_peer(*curl_command("-D", "/srv/millrace/answer.head", "-o", "/srv/millrace/answer.body",
                                               *options, BASE + path))
    tap.expect_equal(status, 0, f"curl {path}: {log}")
    first, *lines = head.read_text().strip().splitlines()
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Answer(int(first.split()[1]), headers, body.read_bytes() if body.exists() else b"")


def expect_refused(stage, path):
    answer = fetch(stage, path)
    tap.expect(answer.status in (400, 403, 404), path, "was answered with", answer.status)
    tap.expect(SECRET.encode() not in answer.body, path, "gave the secret away")


def big_file_seconds(stage):
    return 30 + stage.big_bytes // SLOWEST_BYTES_PER_SECOND


# ---- tests: whole files


def curl_downloads_the_large_file(stage):
    status, log = stage.run_peer(*curl_command("-o", "/srv/millrace/fetched", f"{BASE}/big"),
                                 seconds=big_file_seconds(stage))
    tap.expect_equal(status, 0, log)
    tap.expect_equal(sha256_of(stage.folder / "fetched"), stage.big_digest)


def ngtcp2_downloads_the_large_file(stage):
    status, log = stage.run_peer("gtlsclient", "-q", "--exit-on-all-streams-close", "--download", "/srv/millrace",
                                 "--sni", "millrace.test", MILLRACE_IP, str(millrace.PORT), f"{BASE}/big",
                                 seconds=big_file_seconds(stage))
    tap.expect_equal(status, 0, log)
    tap.expect_equal(sha256_of(stage.folder / "big"), stage.big_digest)


def aioquic_downloads_the_large_file(stage):
    (stage.folder / "aioquic_get.py").write_bytes((HERE / "aioquic_get.py").read_bytes())
    status, log = stage.run_peer("python3", "/srv/millrace/aioquic_get.py", f"{BASE}:{millrace.PORT}/big",
                                 "/srv/millrace/ca.pem", "/srv/millrace/fetched", seconds=big_file_seconds(stage))
    tap.expect_equal((status, log.strip()), (0, "200"))
    tap.expect_equal(sha256_of(stage.folder / "fetched"), stage.big_digest)


def an_empty_file_is_empty(stage):
    answer = fetch(stage, "/empty")
    tap.expect_equal((answer.status, answer.headers["content-length"], answer.body), (200, "0", b""))


# ---- tests: HTTP


def a_folder_answers_with_its_index_page(stage):
    for path, title in ("/", b"home"), ("/sub/", b"below"):
        answer = fetch(stage, path)
        tap.expect_equal((answer.status, title in answer.body), (200, True), path)
        tap.expect(answer.headers["content-type"].startswith("text/html"), answer.headers)


def a_file_that_is_not_there_is_a_404(stage):
    tap.expect_equal(fetch(stage, "/nothing").status, 404)
    tap.expect_equal(fetch(stage, "/text.txt/below").status, 404)


def head_has_the_headers_of_get_and_no_body(stage):
    answer = fetch(stage, "/text.txt", "--head")
    tap.expect_equal((answer.status, answer.headers["content-length"]), (200, str(len(TEXT))))


def a_method_other_than_get_and_head_is_a_405(stage):
    tap.expect_equal(fetch(stage, "/text.txt", "-X", "DELETE").status, 405)


def a_range_is_a_206_with_just_its_bytes(stage):
    for wanted, first, last in ("5-9", 5, 9), ("30-", 30, len(TEXT) - 1), ("-4", len(TEXT) - 4, len(TEXT) - 1):
        answer = fetch(stage, "/text.txt", "-H", f"Range: bytes={wanted}")
        tap.expect_equal((answer.status, answer.body), (206, TEXT[first:last + 1]), wanted)
        tap.expect_equal(answer.headers["content-range"], f"bytes {first}-{last}/{len(TEXT)}")


def a_range_deep_in_the_large_file_is_right(stage):
    first = stage.big_bytes // 2 + 12345
    answer = fetch(stage, "/big", "-r", f"{first}-{first + 99999}")
    with open(stage.site / "big", "rb") as file:
        file.seek(first)
        tap.expect_equal((answer.status, answer.body == file.read(100000)), (206, True))


def a_range_behind_the_end_is_a_416(stage):
    answer = fetch(stage, "/text.txt", "-H", "Range: bytes=1000-")
    tap.expect_equal((answer.status, answer.headers["content-range"]), (416, f"bytes */{len(TEXT)}"))


def an_etag_that_still_matches_is_a_304(stage):
    first = fetch(stage, "/text.txt")
    tag = first.headers["etag"]
    answer = fetch(stage, "/text.txt", "-H", f"If-None-Match: {tag}")
    tap.expect_equal((answer.status, answer.body, answer.headers["etag"]), (304, b"", tag))
    tap.expect_equal(fetch(stage, "/text.txt", "-H", 'If-None-Match: "other"').status, 200)


def a_changed_file_has_another_etag_and_its_new_content(stage):
    path = stage.site / "changing"
    path.write_text("before")
    tag = fetch(stage, "/changing").headers["etag"]
    path.write_text("and after")
    deadline = time.monotonic() + 10  # the cache may be that stale
    while (answer := fetch(stage, "/changing")).body != b"and after" and time.monotonic() < deadline:
        time.sleep(0.5)
    tap.expect_equal((answer.body, answer.headers["etag"] != tag), (b"and after", True))


def content_types_follow_the_names(stage):
    for name, wanted in CONTENT_TYPES.items():
        got = fetch(stage, f"/{name}").headers["content-type"]
        tap.expect(wanted in got, name, "is", got, "and not", wanted)


def percent_encoding_is_decoded_once(stage):
    answer = fetch(stage, "/a%20b%25.txt")
    tap.expect_equal((answer.status, answer.body), (200, TEXT))
    tap.expect_equal(fetch(stage, "/a%2520b%2525.txt").status, 404)


# ---- tests: what must not be served


def no_path_leads_out_of_the_root(stage):
    for path in ("/../secret", "/sub/../../secret", "/%2e%2e/secret", "/..%2fsecret", "/.%2e/secret", "/sub/..%2f..%2fsecret",
                 "//../secret", "/./../secret", "/sub/%2e%2e/%2e%2e/secret", "/..\\secret", "/..%5csecret",
                 f"/{stage.folder}/secret", "/" + f"{stage.folder}/secret".replace("/", "%2f")):
        expect_refused(stage, path)


def no_link_leads_out_of_the_root(stage):
    expect_refused(stage, "/link")
    expect_refused(stage, "/linked-folder/secret")


def a_nul_in_a_path_is_refused(stage):
    expect_refused(stage, "/text.txt%00")
    expect_refused(stage, "/text.txt%00.html")


def malformed_percent_encoding_is_refused(stage):
    for path in "/%", "/%2", "/%zz", "/text.txt%g0":
        expect_refused(stage, path)


# ---- tests: many clients, bad clients


def a_hundred_clients_at_once_each_get_their_file(stage):
    folder = stage.folder / "many"
    folder.mkdir()
    script = (f"for i in $(seq {PARALLEL_CLIENTS}); do "
              f"curl -sS --http3-only --cacert /srv/millrace/ca.pem -o /srv/millrace/many/$i {BASE}/small & done; wait")
    _, log = stage.run_peer("sh", "-c", script, seconds=120)
    digests = [sha256_of(path) for path in folder.iterdir()]
    tap.expect_equal(digests.count(stage.small_digest), PARALLEL_CLIENTS, log)


def a_client_killed_in_mid_transfer_is_reaped(stage):
    client = stage.start_peer(*curl_command("--limit-rate", "200k", "-o", "/srv/millrace/slow", f"{BASE}/big"))
    slow = stage.folder / "slow"
    wait_until(lambda: slow.exists() and slow.stat().st_size > 0, 20, "the first bytes")
    wait_until(lambda: millrace.open_connections(stage.edge) == 1, REAP_SECONDS, "only its connection")
    client.kill()
    tap.expect_equal(fetch(stage, "/text.txt").body, TEXT)
    wait_until(lambda: millrace.open_connections(stage.edge) == 0, REAP_SECONDS, "the end of its connection")


def the_server_ends_when_asked_with_every_buffer_back(stage):
    tap.expect(stage.edge.is_running(), "it has ended:", stage.edge.log())
    tap.expect_equal(stage.edge.stop(20), 0, stage.edge.log())
    tap.expect("mbufs lost: 0" in stage.edge.log(), stage.edge.log())


TESTS = [
    curl_downloads_the_large_file,
    ngtcp2_downloads_the_large_file,
    aioquic_downloads_the_large_file,
    an_empty_file_is_empty,
    a_folder_answers_with_its_index_page,
    a_file_that_is_not_there_is_a_404,
    head_has_the_headers_of_get_and_no_body,
    a_method_other_than_get_and_head_is_a_405,
    a_range_is_a_206_with_just_its_bytes,
    a_range_deep_in_the_large_file_is_right,
    a_range_behind_the_end_is_a_416,
    an_etag_that_still_matches_is_a_304,
    a_changed_file_has_another_etag_and_its_new_content,
    content_types_follow_the_names,
    percent_encoding_is_decoded_once,
    no_path_leads_out_of_the_root,
    no_link_leads_out_of_the_root,
    a_nul_in_a_path_is_refused,
    malformed_percent_encoding_is_refused,
    a_hundred_clients_at_once_each_get_their_file,
    a_client_killed_in_mid_transfer_is_reaped,
    the_server_ends_when_asked_with_every_buffer_back,
]


PORT_TESTS = [  # what depends on how frames come and go
    curl_downloads_the_large_file,
    ngtcp2_downloads_the_large_file,
    aioquic_downloads_the_large_file,
    a_range_deep_in_the_large_file_is_right,
    a_hundred_clients_at_once_each_get_their_file,
    the_server_ends_when_asked_with_every_buffer_back,
]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=int(os.environ.get("MILLRACE_TEST_MIB", "1024")))
    parser.add_argument("--port", choices=["tap", "af_packet"], default="tap")
    parser.add_argument("--io-lcores", type=int, default=0)
    arguments = parser.parse_args()
    with Stage() as stage:
        make_site(stage, arguments.mib)
        stage.edge = millrace.start_edge(stage, stage.site, "--io-lcores", str(arguments.io_lcores), kind=arguments.port)
        is_plain = arguments.port == "tap" and arguments.io_lcores == 0
        tests = TESTS if is_plain else PORT_TESTS
        if arguments.mib < LONG_MIB:  # waits for an idle timeout
            tests = [test for test in tests if test is not a_client_killed_in_mid_transfer_is_reaped]
        tap.run(tests, stage)


tap.main(main)
