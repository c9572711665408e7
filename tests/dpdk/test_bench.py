#!/usr/bin/env python3
"""`millrace bench` over the in-memory wire: every kind runs, prints its figures, loses nothing.

    tests/dpdk/test_bench.py MILLRACE          prints TAP

Speeds are not judged here but as ratios within one run, of things that were measured in turns, and only if the polling
threads had most of their cores.
"""
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "interop"))
import tap  # noqa: E402

DEADLINE = 150        # seconds for one run, on a machine that has other things to do
MOST_OF_A_CORE = 0.8  # for a ratio to tell anything
CEILING_RATIO = 0.35  # goodput to what sealing alone could do
TLS_RATIO = 0.60      # the TLS library alone to the server's whole handshake
TURNS = "3"           # seconds: a dozen windows, for a median
CONNECTING = 2.5      # seconds until connections are being made, and before 3,000 are
PAUSE = 10.5          # seconds; MR_HANDSHAKE_TIMEOUT is 10
LONG_WIRE_GBPS = 0.3  # over 20 ms: a window that does not grow gives 0.005

SHARES = {"server_cpu_share", "client_cpu_share"}
CEILING = {"ratio_to_ceiling", "ratio_to_ceiling_min", "ratio_to_ceiling_max"}
TLS = {"ratio_to_tls", "ratio_to_tls_min", "ratio_to_tls_max"}
TRANSFER = SHARES | CEILING | {
    "goodput_gbps", "packets_per_s", "server_ns_per_packet", "client_ns_per_packet", "server_stage_ns",
    "client_stage_ns", "floor_ns_per_packet", "ratio_to_floor", "aead_ceiling_gbps", "allocations_per_packet", "key_updates", "redirects_out", "redirects_in", "bad_bytes", "failed", "leaked_buffers"}
HANDSHAKE = SHARES | TLS | {
    "handshakes_per_s", "server_us_per_handshake", "tls_us_per_handshake", "server_stage_ns",
    "allocations_per_handshake", "resumed", "failed", "leaked_buffers"}
REQUEST = SHARES | {
    "requests_per_s", "latency_us", "server_ns_per_request", "server_stage_ns", "allocations_per_request", "failed",
    "leaked_buffers"}
IDLE = {"connections", "bytes_per_idle_connection", "handshakes_per_s", "failed", "leaked_buffers"}
STAGES = {"rx", "lookup", "open", "frames", "app", "tls", "build", "seal", "tx", "other"}


def run_bench(program, *words):
    """The JSON object of one run, which is all that it prints."""
    command = [program, "bench", *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEADLINE)
    tap.expect_equal(done.returncode, 0, f"{' '.join(words)}: {done.stderr.strip()[-400:]}\n{done.stdout}exit status:")
    result = json.loads(done.stdout)
    tap.expect(isinstance(result, dict), "not one JSON object:", done.stdout[:200])
    return result


def expect_keys(result, keys):
    missing = sorted(keys - result.keys())
    tap.expect(not missing, "keys that are missing:", ", ".join(missing))
    for key in keys & {"server_stage_ns", "client_stage_ns"}:
        tap.expect_equal(set(result[key]), STAGES, f"{key}:")


def expect_clean(result):
    for key in "bad_bytes", "failed", "leaked_buffers":
        tap.expect_equal(result.get(key, 0), 0, f"{key}:")


def run_transfer(program, *words, seconds="1"):
    result = run_bench(program, "transfer", "--seconds", seconds, "--no-floor", *words)
    expect_keys(result, TRANSFER)
    expect_clean(result)
    tap.expect(result["goodput_gbps"] > 0, "no data came")
    tap.expect(result["packets_per_s"] > 0, "no packet was counted")
    return result


def expect_no_allocations(result):
    if result["allocations_per_packet"] is None:
        raise tap.Skip("this build does not count allocations")
    tap.expect_equal(result["allocations_per_packet"], 0, "allocations per packet:")


def expect_spread(result, name):
    """The median of the windows is between the least and the greatest."""
    least, median, greatest = result[f"{name}_min"], result[name], result[f"{name}_max"]
    tap.expect(0 <= least <= median <= greatest, f"{name}:", (least, median, greatest))


def expect_most_of_the_cores(result):
    """Skip what follows unless the threads had them."""
    share = min(result["server_cpu_share"], result["client_cpu_share"])
    if share < MOST_OF_A_CORE:
        raise tap.Skip(f"a polling thread had {share:.0%} of a core: speeds tell nothing")


# ------------------------------------------------------------------ transfer


def a_transfer_prints_every_figure_and_loses_nothing(program):
    result = run_bench(program, "transfer", "--seconds", "1")
    expect_keys(result, TRANSFER)
    expect_clean(result)
    tap.expect(result["floor_ns_per_packet"] > 0, "no floor")


def a_transfer_comes_near_the_sealing_ceiling(program):
    result = run_transfer(program, seconds=TURNS)
    expect_spread(result, "ratio_to_ceiling")
    expect_most_of_the_cores(result)
    tap.expect(result["ratio_to_ceiling"] >= CEILING_RATIO, "ratio to the ceiling:", result["ratio_to_ceiling"])


def a_transfer_allocates_nothing_on_the_lcores(program):
    expect_no_allocations(run_transfer(program))


def a_hundred_transfers_allocate_nothing_on_the_lcores(program):
    expect_no_allocations(run_transfer(program, "--connections", "100"))


def every_byte_that_comes_down_is_right(program):
    tap.expect(run_transfer(program, "--verify")["is_verified"], "nothing was verified")


def every_byte_that_goes_up_is_right(program):
    run_transfer(program, "--up", "--verify")


def openssl_protects_packets_too(program):
    run_transfer(program, "--crypto", "openssl", "--verify")


def the_other_ciphers_work(program):
    for cipher in "aes256", "chacha20":
        run_transfer(program, "--cipher", cipher, "--verify")


def small_packets_and_many_streams_work(program):
    run_transfer(program, "--payload", "1200", "--streams", "16", "--verify")


def a_wire_that_copies_works(program):
    result = run_transfer(program, "--copy", "--verify")
    tap.expect_equal(result["wire"], "copy-at-receiver")


def two_shards_share_the_connections(program):
    result = run_transfer(program, "--shards", "2", "--connections", "4", "--verify")
    tap.expect_equal(result["redirects_out"], 0, "redirects without a cause:")


def datagrams_that_arrive_at_the_wrong_shard_are_passed_on(program):
    for way in [], ["--up"]:
        result = run_transfer(program, "--shards", "2", "--connections", "4", "--misdirect", "--verify", *way)
        for key in "redirects_out", "redirects_in", "client_redirects_out", "client_redirects_in":
            tap.expect(result[key] > 0, f"{key}: none")


def the_window_grows_over_a_long_wire(program):
    result = run_transfer(program, "--rtt-us", "20000", seconds="3")
    share = min(result["server_cpu_share"], result["client_cpu_share"])
    tap.expect(result["goodput_gbps"] > LONG_WIRE_GBPS * min(1, share), "Gbit/s:", result["goodput_gbps"])


def loss_is_repaired_and_compared_with_theory(program):
    result = run_transfer(program, "--rtt-us", "2000", "--loss", "1", "--verify")
    tap.expect(result["packets_lost"] > 0, "nothing was lost")
    tap.expect(result["cubic_theory_gbps"] > 0 and result["ratio_to_theory"] > 0, "no theory")


def samples_come_every_tenth_of_a_second(program):
    result = run_transfer(program, "--samples")
    tap.expect(6 <= len(result["goodput_samples_gbps"]) <= 10, "samples:", result["goodput_samples_gbps"])
    tap.expect_equal(len(result["key_updates_samples"]), len(result["goodput_samples_gbps"]))
    tap.expect_equal(result["ratio_to_ceiling_min"], result["ratio_to_ceiling_max"], "one window, undisturbed:")


# ------------------------------------------------------------------ the other kinds


def handshakes_are_made_and_compared_with_tls_alone(program):
    result = run_bench(program, "handshake", "--seconds", TURNS)
    expect_keys(result, HANDSHAKE)
    expect_clean(result)
    tap.expect(result["handshakes_per_s"] > 0, "no handshake")
    tap.expect_equal(result["resumed"], 0, "resumed without asking:")
    expect_spread(result, "ratio_to_tls")
    expect_most_of_the_cores(result)
    tap.expect(result["ratio_to_tls"] >= TLS_RATIO, "TLS alone to all:", result["ratio_to_tls"])


def handshakes_are_resumed(program):
    result = run_bench(program, "handshake", "--resume", "--seconds", "1")
    expect_keys(result, HANDSHAKE)
    expect_clean(result)
    tap.expect(result["resumed"] > 0, "none was resumed")


def requests_are_answered(program):
    result = run_bench(program, "request", "--connections", "20", "--bytes", "4000", "--seconds", "0.5")
    expect_keys(result, REQUEST)
    expect_clean(result)
    tap.expect(result["requests_per_s"] > 0, "none was answered")
    latency = result["latency_us"]
    tap.expect(0 < latency["p50"] <= latency["p99"] <= latency["p999"], "latency:", latency)


def requests_are_answered_over_http3(program):
    for words in ["--connections", "20", "--bytes", "4000"], ["--connections", "2", "--bytes", "300000", "--shards", "2"]:
        result = run_bench(program, "request", "--http3", "--verify", "--seconds", "1", *words)
        expect_keys(result, REQUEST)
        expect_clean(result)
        tap.expect_equal(result["protocol"], "HTTP/3")
        tap.expect(result["requests_per_s"] > 0, "none was answered")
        if result["allocations_per_request"] is not None:
            tap.expect_equal(result["allocations_per_request"], 0, "allocations per request:")


def one_request_at_a_time_takes_microseconds(program):
    result = run_bench(program, "latency", "--seconds", "0.5")
    expect_keys(result, REQUEST)
    expect_clean(result)
    tap.expect(0 < result["latency_us"]["p50"] < 10000, "latency:", result["latency_us"])


def idle_connections_stay_and_are_weighed(program):
    result = run_bench(program, "idle", "--connections", "2000")
    expect_keys(result, IDLE)
    expect_clean(result)
    tap.expect_equal(result["connections"], 2000, "connections:")
    few = run_bench(program, "idle", "--connections", "20")
    for run in few, result:  # whatever else the process's memory does
        weight = run["bytes_per_idle_connection"]
        tap.expect(run["bytes_of_a_connection_object"] < weight < 3 * run["bytes_of_a_connection_object"], "weight:", weight)
        seconds = run["seconds_to_connect"]
        tap.expect(0 < seconds < DEADLINE and abs(run["connections"] / seconds / run["handshakes_per_s"] - 1) < 0.01,
                   "seconds to connect:", seconds)
    tap.expect(few["seconds_to_connect"] % 1 != 0, "whole seconds:", few["seconds_to_connect"])


def lcores_that_share_cpus_are_told_of(program):
    words = [program, "bench", "transfer", "--shards", "2", "--connections", "2", "--seconds", "0.2", "--no-floor"]
    cpus = sorted(os.sched_getaffinity(0))[:1]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=DEADLINE,
                          preexec_fn=lambda: os.sched_setaffinity(0, cpus))
    tap.expect("4 lcores take turns on 1 CPUs" in done.stderr, "no warning:", done.stderr)
    tap.expect("not measured: 1 cores" in done.stdout, done.stdout)
    result = run_bench(program, "latency", "--seconds", "0.2")
    tap.expect_equal(result["cores_shared"], len(os.sched_getaffinity(0)) < 2, "cores shared:")


def a_long_pause_of_the_process_loses_no_connection(program):
    """Handshakes in flight outlive it, though it is longer than a handshake may take."""
    command = [program, "bench", "idle", "--connections", "3000", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as bench:
        try:
            time.sleep(CONNECTING)
            bench.send_signal(signal.SIGSTOP)
            time.sleep(PAUSE)
            bench.send_signal(signal.SIGCONT)
            stdout, stderr = bench.communicate(timeout=DEADLINE)
        finally:
            bench.kill()
    tap.expect_equal(bench.returncode, 0, f"{stderr.strip()[-400:]}\n{stdout}exit status:")
    result = json.loads(stdout)
    expect_clean(result)
    tap.expect_equal(result["connections"], 3000, "connections:")


def a_wrong_option_is_named(program):
    done = subprocess.run([program, "bench", "transfer", "--misdirect"], capture_output=True, text=True, check=False)
    tap.expect_equal((done.returncode, done.stdout), (2, ""))
    tap.expect("--shards" in done.stderr, "no remedy:", done.stderr)


TESTS = [
    a_transfer_prints_every_figure_and_loses_nothing,
    a_transfer_comes_near_the_sealing_ceiling,
    a_transfer_allocates_nothing_on_the_lcores,
    a_hundred_transfers_allocate_nothing_on_the_lcores,
    every_byte_that_comes_down_is_right,
    every_byte_that_goes_up_is_right,
    openssl_protects_packets_too,
    the_other_ciphers_work,
    small_packets_and_many_streams_work,
    a_wire_that_copies_works,
    two_shards_share_the_connections,
    datagrams_that_arrive_at_the_wrong_shard_are_passed_on,
    the_window_grows_over_a_long_wire,
    loss_is_repaired_and_compared_with_theory,
    samples_come_every_tenth_of_a_second,
    handshakes_are_made_and_compared_with_tls_alone,
    handshakes_are_resumed,
    requests_are_answered,
    requests_are_answered_over_http3,
    one_request_at_a_time_takes_microseconds,
    idle_connections_stay_and_are_weighed,
    lcores_that_share_cpus_are_told_of,
    a_long_pause_of_the_process_loses_no_connection,
    a_wrong_option_is_named,
]

if __name__ == "__main__":
    tap.main(lambda: tap.run(TESTS, sys.argv[1]))
