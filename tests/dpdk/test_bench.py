#!/usr/bin/env python3
"""`millrace bench` over the in-memory wire: every kind runs, prints its figures, loses nothing.

    tests/dpdk/test_bench.py MILLRACE [--kinds | --long]          prints TAP; --kinds: what no clock judges

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
RUNS = 3              # of something that is judged by a clock: neighbours spoil one of them, not all
CEILING_RATIO = 0.35  # goodput to what sealing alone could do
KEPT = 0.70           # of the goodput that handshakes must leave to others
TLS_RATIO = 0.60      # the TLS library alone to the server's whole handshake
HAND_OVER = 3.0       # a message, one way, to a cache line of the writer's own; make bench judges the 2.5
RING_RATE = 5e6       # messages per second
SENDING_RATIO = 1.35   # the shard's time per packet, application attached to inline; make bench judges the 1.2
RECEIVING_RATIO = 2.2  # the same: a copy into memory that the other core has; 1.8 where all else takes 170 ns
ONE_CORE = 1.25       # times longer that a CPU takes beside another that works, if both are one core
FAR_NS = 100          # of a cache line's way from one CPU to the other, if they share no cache: 245, or 46 if they do
TURNS = "2"           # seconds: eight windows, for a median
CONNECTING = 2.5      # seconds until connections are being made, and before 3,000 are
YARDSTICK_US = 350000 # shorter than the thread that only spins has the server's core, after the requests
PAUSE = 15.5          # seconds; MR_HANDSHAKE_TIMEOUT is 15
FLOORS_APART = 1.5    # times the better of two floors, of a machine that is another before than after
LONG_WIRE_GBPS = 0.3  # over 20 ms: a window that does not grow gives 0.005

SHARES = {"server_cpu_share", "client_cpu_share"}
CEILING = {"ratio_to_ceiling", "ratio_to_ceiling_min", "ratio_to_ceiling_max"}
TLS = {"ratio_to_tls", "ratio_to_tls_min", "ratio_to_tls_max"}
TRANSFER = SHARES | CEILING | {
    "goodput_gbps", "packets_per_s", "server_ns_per_packet", "client_ns_per_packet", "server_stage_ns",
    "client_stage_ns", "floor_ns_per_packet", "floor_ns_before", "floor_ns_after", "ratio_to_floor", "not_judged", "aead_ceiling_gbps", "allocations_per_packet", "key_updates", "redirects_out", "redirects_in", "bad_bytes", "failed", "leaked_buffers"}
HANDSHAKE = SHARES | TLS | {
    "handshakes_per_s", "server_us_per_handshake", "tls_us_per_handshake", "server_stage_ns",
    "allocations_per_handshake", "resumed", "failed", "leaked_buffers"}
ESTABLISHED = SHARES | {
    "cores", "ceiling_gbps", "load_share", "tls_us_per_handshake", "tls_core_share", "goodput_kept", "goodput_kept_predicted",
    "kept_to_predicted", "not_judged", "failed", "leaked_buffers"}
REQUEST = SHARES | {
    "requests_per_s", "requests_per_packet", "latency_us", "machine_jitter", "server_ns_per_request", "client_ns_per_request",
    "server_stage_ns", "client_stage_ns",
    "allocations_per_request", "failed", "leaked_buffers"}
IDLE = SHARES | {
    "connections", "resumed", "seconds_to_connect", "handshakes_per_s", "bytes_per_idle_connection",
    "bytes_of_a_connection_object", "tls_bytes_per_connection", "bytes_last_to_first",
    "resident_bytes_each", "packet_ns_last_to_first", "idle_poll_ns_last_to_first", "at_connections",
    "handshakes_at_once_max", "handshakes_at_once", "handshake_state_bytes", "handshake_tls_bytes", "handshake_peak_bytes",
    "handshakes_peak_mib", "resident_bytes_both_sides", "held_seconds", "close_seconds", "server_left", "client_left",
    "bad_bytes", "failed", "last_error", "leaked_buffers"}
IDLE_ROW = {"seconds_to_connect", "bytes_per_idle_connection", "expanded_key_bytes", "idle_poll_ns", "requests",
            "packets_per_request", "server_ns_per_packet", "server_cpu_ns_per_packet", "server_ns_per_request",
            "keys_rebuilt_per_request", "server_stage_ns"}
IDLE_WAYS = ["random", "paced_32", "paced_1"]
IDLE_TURNS = {f"{way}_packet_ns_{of}" for way in IDLE_WAYS
              for of in ("few", "many", "many_to_few", "many_to_few_min", "many_to_few_max")}  # not of HTTP/3
IDLE_BYTES = 4096      # of a connection that idles, everything counted
SLEEPING_BYTES = 1536  # of one that sleeps
HTTP3_BYTES = 1900     # what HTTP/3 holds for one, asleep or not
HTTP3_STREAMS_BYTES = 2900  # of the streams that HTTP/3 keeps open, while it is awake
HTTP3_NUMBERS_BYTES = 48    # the same, while it sleeps
HANDSHAKE_BYTES = 81920  # of a handshake at the most, TLS included
IDLE_MEMORY_KIB = 70 << 20  # ten million take more
SPREAD = ("", "_min", "_max")
REDIRECTS = ("redirects_out", "redirects_in", "client_redirects_out", "client_redirects_in")
MODEL = {"model", "about", "is_measured", "connections", "threads", "wakes_per_message", "bytes_per_connection",
         "host_bytes_per_connection", "ring_bytes", "copies_in", "copies_out", "worker_cpu_share"} | {
             name + end for end in SPREAD for name in (
                 "messages_per_s", "total_ns_per_message", "shard_ns_per_message", "application_ns_per_message",
                 "overhead_over_inline_ns", "overhead_over_rings_ns")}
MODELS = ["inline", "rings", "events", "own", "readiness", "fibers", "coroutines", "blocking"]
ATTACHED = {"application", "direction", "offered_gbps", "inline_gbps", "attached_gbps", "is_rate_kept", "inline_bytes",
            "attached_bytes", "inline_server_stage_ns", "attached_server_stage_ns", "wakes_per_packet",
            "application_ns_per_packet", "copies_in", "copies_out", "worker_cpu_share", "application_has_core",
            "application_waits", "interrupted_turns",
            "bad_bytes", "failed", "leaked_buffers"} | {
                name + end for end in SPREAD for name in (
                    "inline_server_ns_per_packet", "attached_server_ns_per_packet", "ratio_to_inline")}
LATENCY = {"application", "cores", "inline_us_p50", "attached_us_p50", "attached_over_inline_us"}
RING = {"slices", "idle_turn_ns", "application_has_core", "ratio_to_cache_line", "ratio_to_shared_line", "messages_per_s",
        "worker_cpu_share", "leaked_buffers"} | {
            name + end for end in SPREAD for name in (
                "cache_line_ns", "shared_line_ns", "hand_over_ns", "batch_ns_per_message", "shard_ns_per_message")}
STAGES = {"rx", "lookup", "open", "frames", "app", "tls", "build", "seal", "tx", "other"}


def run_bench(program, *words):
    """The JSON object of one run, which is all that it prints."""
    command = [program, "bench", *words, "--json"]
    # Not as meson has it: allocations that are filled are resident, and weighed.
    environment = {name: value for name, value in os.environ.items() if name != "MALLOC_PERTURB_"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEADLINE, env=environment)
    tap.expect_equal(done.returncode, 0, f"{' '.join(words)}: {done.stderr.strip()[-400:]}\n{done.stdout}exit status:")
    result = json.loads(done.stdout)
    tap.expect(isinstance(result, dict), "not one JSON object:", done.stdout[:200])
    return result


def expect_keys(result, keys):
    missing = sorted(keys - result.keys())
    tap.expect(not missing, "keys that are missing:", ", ".join(missing))
    for key in (key for key in keys if key.endswith("_stage_ns")):
        tap.expect_equal(set(result[key]), STAGES, f"{key}:")


def expect_clean(result):
    for key in "bad_bytes", "failed", "leaked_buffers":
        tap.expect_equal(result.get(key, 0), 0, f"{key}:")


def run_transfer(program, *words, seconds="0.5"):
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


def judged(measure, judge):
    """A result that `judge` finds right, of up to RUNS: neighbours on the machine spoil one of them, not all.  What is
    wrong whoever has the cores, `measure` says at once."""
    wrong, spoiled = None, None
    for _ in range(RUNS):
        result = measure()
        try:
            judge(result)
            return result
        except AssertionError as why:
            wrong = why
        except tap.Skip as why:
            if spoiled:
                break  # they are here to stay
            spoiled = why
    raise wrong or spoiled


def expect_most_of_the_cores(result):
    """Skip what follows unless the threads had them."""
    share = min(result["server_cpu_share"], result["client_cpu_share"])
    if share < MOST_OF_A_CORE:
        raise tap.Skip(f"a polling thread had {share:.0%} of a core: speeds tell nothing")


# ------------------------------------------------------------------ transfer


def a_transfer_prints_every_figure_and_loses_nothing(program):
    result = run_bench(program, "transfer", "--seconds", "0.5")
    expect_keys(result, TRANSFER)
    expect_clean(result)
    floors = result["floor_ns_before"], result["floor_ns_after"]
    tap.expect_equal(result["floor_ns_per_packet"], min(floors), "the better floor:")
    is_judged = max(floors) <= FLOORS_APART * min(floors)
    tap.expect_equal((result["ratio_to_floor"] is not None, result["not_judged"] == ""), (is_judged, is_judged), floors)


def connections_are_told_as_they_were_made(program):
    """Each shard has as many: an odd number is rounded up."""
    for asked, made in ("1", 2), ("3", 4):
        result = run_transfer(program, "--shards", "2", "--connections", asked)
        tap.expect_equal((result["connections"], result["streams_served"]), (made, made), "connections, streams:")
        tap.expect(0 < result["fairness"] <= 1, "fairness:", result["fairness"])


def a_transfer_comes_near_the_sealing_ceiling(program):
    def measure():
        result = run_transfer(program, seconds=TURNS)
        expect_spread(result, "ratio_to_ceiling")
        return result

    def judge(result):
        expect_most_of_the_cores(result)
        if result["ratio_to_ceiling"] < CEILING_RATIO:
            skip_unless_cpus_are_near(program)
        tap.expect(result["ratio_to_ceiling"] >= CEILING_RATIO, "ratio to the ceiling:", result["ratio_to_ceiling"])

    judged(measure, judge)


def a_transfer_allocates_nothing_on_the_lcores(program):
    expect_no_allocations(run_transfer(program))


def a_hundred_transfers_share_evenly_and_allocate_nothing(program):
    result = run_transfer(program, "--connections", "100")
    expect_no_allocations(result)
    tap.expect_equal(result["streams_served"], 100)
    tap.expect(0.99 <= result["fairness"] <= 1, "fairness:", result["fairness"])
    tap.expect(8 < result["packets_per_burst"] <= 32, "packets per burst:", result["packets_per_burst"])


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


def acknowledgments_come_once_per_burst_or_for_every_second_packet(program):
    every_second = run_transfer(program, "--acks-every-second", seconds="0.3")
    tap.expect(1.5 < every_second["packets_per_ack"] < 2.5, "packets per ACK:", every_second["packets_per_ack"])
    per_burst = run_transfer(program, seconds="0.3")
    tap.expect(per_burst["packets_per_ack"] > 5, "packets per ACK:", per_burst["packets_per_ack"])
    tap.expect(per_burst["server_seconds_per_gb"] > 0, per_burst)


def a_wire_that_copies_works(program):
    result = run_transfer(program, "--copy", "--verify")
    tap.expect_equal(result["wire"], "copy-at-receiver")


def Q15_a_packet_is_handled_by_the_core_of_the_queue_it_came_to(program):
    """Two shards share the connections; --misdirect, below, shows that the counters would tell."""
    result = run_transfer(program, "--shards", "2", "--connections", "4", "--verify")
    for key in REDIRECTS:
        tap.expect_equal(result[key], 0, f"{key}, without a cause:")


def datagrams_that_arrive_at_the_wrong_shard_are_passed_on(program):
    def judge(result):  # half of the connections are misdirected; on two CPUs they may not have had a turn
        for key in REDIRECTS:
            tap.expect(result[key] > 0, f"{key}: none")

    for way in [], ["--up"]:
        judged(lambda way=way: run_transfer(program, "--shards", "2", "--connections", "4", "--misdirect", "--verify", *way,
                                            seconds="1"), judge)


def Q14_frames_are_moved_by_lcores_of_their_own(program):
    """Datapath and QUIC on separate lcores, and more of both; frames are steered: no shard passes one on."""
    for words in ["1"], ["1", "--up"], ["2", "--shards", "3", "--connections", "6"]:
        result = run_transfer(program, "--verify", "--io-lcores", *words)
        tap.expect_equal(result["io_lcores"], int(words[0]), "I/O lcores:")
        tap.expect(result["io_ns_per_packet"] > 0, "I/O lcores did nothing")
        for key in REDIRECTS[:2]:
            tap.expect_equal(result[key], 0, f"{words}: {key}:")


def the_window_grows_over_a_long_wire(program):
    def judge(result):
        share = min(result["server_cpu_share"], result["client_cpu_share"])
        tap.expect(result["goodput_gbps"] > LONG_WIRE_GBPS * min(1, share), "Gbit/s:", result["goodput_gbps"])

    judged(lambda: run_transfer(program, "--rtt-us", "20000", seconds="3"), judge)


def loss_is_repaired_and_compared_with_theory(program):
    result = run_transfer(program, "--rtt-us", "2000", "--loss", "1", "--verify")
    tap.expect(result["packets_lost"] > 0, "nothing was lost")
    tap.expect(result["cubic_theory_gbps"] > 0 and result["ratio_to_theory"] > 0, "no theory")


def samples_come_every_tenth_of_a_second(program):
    result = run_transfer(program, "--samples", seconds="1")
    tap.expect(6 <= len(result["goodput_samples_gbps"]) <= 10, "samples:", result["goodput_samples_gbps"])
    tap.expect_equal(len(result["key_updates_samples"]), len(result["goodput_samples_gbps"]))
    tap.expect_equal(result["ratio_to_ceiling_min"], result["ratio_to_ceiling_max"], "one window, undisturbed:")


# ------------------------------------------------------------------ the other kinds


def handshakes_are_made_and_compared_with_tls_alone(program):
    def measure():
        result = run_bench(program, "handshake", "--seconds", TURNS)
        expect_keys(result, HANDSHAKE)
        expect_clean(result)
        tap.expect(result["handshakes_per_s"] > 0, "no handshake")
        tap.expect_equal(result["resumed"], 0, "resumed without asking:")
        expect_spread(result, "ratio_to_tls")
        return result

    def judge(result):
        expect_most_of_the_cores(result)
        tap.expect(result["ratio_to_tls"] >= TLS_RATIO, "TLS alone to all:", result["ratio_to_tls"])

    judged(measure, judge)


def handshakes_are_resumed_with_requests_in_0_rtt(program):
    result = run_bench(program, "handshake", "--early-data", "--seconds", "0.5")
    expect_keys(result, HANDSHAKE)
    expect_clean(result)
    tap.expect(result["resumed"] > 0, "none was resumed")
    tap.expect(result["early_data_accepted"] > 0, "no 0-RTT was accepted")
    tap.expect(result["early_requests_answered"] >= result["early_data_accepted"] / 2, "answers:", result)


def helpers_compute_handshakes_while_the_lcore_goes_on(program):
    def measure():
        result = run_bench(program, "handshake", "--tls-helpers", "2", "--seconds", "0.5")
        expect_keys(result, HANDSHAKE)
        expect_clean(result)
        tap.expect_equal(result["tls_helpers"], 2, "helpers:")
        tap.expect(result["handshakes_per_s"] > 0, "no handshake")
        tap.expect_equal(result["ratio_to_tls"], None, "compared with TLS alone, which was elsewhere:")
        return result

    def judge(result):
        tap.expect(result["server_stage_ns"]["tls"] < result["server_tls_us_per_handshake"] * 1000,
                   "the lcore computed them:", result["server_stage_ns"]["tls"], result["server_tls_us_per_handshake"])

    judged(measure, judge)


def established_connections_keep_what_handshakes_leave(program):
    def measure():
        result = run_bench(program, "established", "--handshakes-per-second", "100", "--seconds", "1", "--warm-up", "0.2")
        expect_keys(result, ESTABLISHED)
        expect_clean(result)
        for key in "quiet", "visited":
            tap.expect(result[key]["goodput_gbps"] > 0, f"{key}: no data came")
            latency = result[key]["latency_us"]
            tap.expect(0 < latency["p50"] <= latency["p99"] <= latency["p999"], f"{key}:", latency)
        tap.expect(result["visited"]["handshakes_per_s"] > result["quiet"]["handshakes_per_s"], "nobody came:", result)
        tap.expect(result["tls_us_per_handshake"] > 0, "TLS took no time")
        tap.expect((result["goodput_kept"] is None) == (result["not_judged"] != ""), "judged or not:", result)
        return result

    def judge(result):
        expect_most_of_the_cores(result)
        if result["not_judged"]:
            raise tap.Skip(result["not_judged"])
        tap.expect(result["quiet"]["goodput_gbps"] < 0.75 * result["ceiling_gbps"], "more than half of the ceiling:", result)
        tap.expect(result["kept_to_predicted"] >= KEPT, "kept of what must be:", result)

    judged(measure, judge)


def with_few_cores_helpers_are_not_judged(program):
    if len(os.sched_getaffinity(0)) >= 4:
        raise tap.Skip("this machine has enough")
    result = run_bench(program, "established", "--tls-helpers", "1", "--seconds", "1", "--warm-up", "0")
    tap.expect("fewer than 4" in result["not_judged"], "not judged:", result["not_judged"])
    tap.expect_equal(result["kept_to_predicted"], None, "judged all the same:")
    expect_clean(result)


def requests_are_answered(program):
    result = run_bench(program, "request", "--connections", "20", "--bytes", "4000", "--request-bytes", "3000", "--seconds",
                       "0.5")
    expect_keys(result, REQUEST)
    expect_clean(result)
    tap.expect(0 < result["requests_per_packet"] < 1, "three packets each:", result["requests_per_packet"])
    jitter = result["machine_jitter"]
    tap.expect(0 <= jitter["p50_us"] <= jitter["p99_us"] <= 1.01 * jitter["max_us"] and 0 <= jitter["lost_percent"] < 100, jitter)
    tap.expect(result["requests_per_s"] > 0, "none was answered")
    latency = result["latency_us"]
    tap.expect(0 < latency["p50"] <= latency["p99"] <= latency["p999"], "latency:", latency)
    tap.expect(latency["p999"] < YARDSTICK_US, "what waited for the spinning thread is not late:", latency)


def requests_are_answered_over_http3(program):
    for words in ["--connections", "20", "--bytes", "4000"], ["--connections", "2", "--bytes", "300000", "--shards", "2"]:
        result = run_bench(program, "request", "--http3", "--verify", "--seconds", "0.5", *words)
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


def idle_connections_are_weighed_woken_and_given_back(program):
    result = run_bench(program, "idle", "--connections", "2000", "--wakes", "2000", "--seconds", "0.5", "--resume")
    expect_keys(result, IDLE | IDLE_TURNS)
    expect_clean(result)
    tap.expect_equal(result["connections"], 2000, "connections:")
    tap.expect_equal(result["resumed"], 1998, "resumed, all but the two that are alone:")
    tap.expect_equal((result["server_left"], result["client_left"]), (0, 0), "not given back:")
    rows = result["at_connections"]
    tap.expect_equal(list(rows), ["1000", "2000"], "numbers of connections:")
    for row in rows.values():
        expect_keys(row, IDLE_ROW)
        tap.expect_equal(row["requests"], 2000, "answered:")
        tap.expect_equal(list(row["paced"]), ["32", "1"], "requests in a burst:")
        for paced in row["paced"].values():
            tap.expect_equal(paced["requests"], 400, "answered, in turn:")
            tap.expect(paced["server_ns_per_packet"] > 0, "no time was taken:", paced)
            tap.expect(2.8 < paced["packets_per_request"] < 6, "acknowledgements and all:", paced["packets_per_request"])
        tap.expect(row["server_ns_per_packet"] > 0 and row["idle_poll_ns"] > 0, "no time was taken:", row)
        tap.expect(1 < row["packets_per_request"] < 6, "packets per request:", row["packets_per_request"])
        tap.expect(result["bytes_of_a_connection_object"] < row["bytes_per_idle_connection"] <= IDLE_BYTES,
                   "bytes:", row["bytes_per_idle_connection"])
    for way in IDLE_WAYS:
        few, many, ratio = (result[f"{way}_packet_ns_{of}"] for of in ("few", "many", "many_to_few"))
        tap.expect(few > 0 and many > 0, "in turns, no time was taken:", way, few, many)
        tap.expect(result[f"{way}_packet_ns_many_to_few_min"] <= ratio <= result[f"{way}_packet_ns_many_to_few_max"],
                   "many to few:", way, ratio)
    tap.expect(abs(result["bytes_last_to_first"] - 1) < 0.05, "bytes of the last to the first:", result["bytes_last_to_first"])
    tap.expect(result["held_seconds"] >= 0.5, "held:", result["held_seconds"])
    tap.expect(0 < result["handshakes_at_once"] <= result["handshakes_at_once_max"], "handshakes at once")
    if result["handshake_tls_bytes"] is not None:
        tap.expect(result["handshake_tls_bytes"] > 4096, "TLS took nothing:", result["handshake_tls_bytes"])
        tap.expect(result["handshake_state_bytes"] < result["handshake_peak_bytes"] < HANDSHAKE_BYTES,
                   "a handshake's most:", result["handshake_peak_bytes"])
        tap.expect(result["tls_bytes_per_connection"] < 64, "TLS keeps:", result["tls_bytes_per_connection"])


def more_connections_than_are_awake_sleep(program):
    result = run_bench(program, "idle", "--connections", "3000", "--awake", "600", "--wakes", "2000", "--seconds", "0.5")
    expect_keys(result, IDLE | {"asleep"})
    expect_clean(result)
    tap.expect_equal(result["connections"], 3000, "connections:")
    tap.expect(result["asleep"] > 2400, "asleep:", result["asleep"])
    for row in result["at_connections"].values():
        tap.expect_equal(row["requests"], 2000, "answered:")
        tap.expect(row["asleep"] > 0 and 0 < row["woken_per_request"] <= 1, "nobody slept, or woke, or some woke for nothing:", row)
        tap.expect(row["bytes_per_sleeping_connection"] <= SLEEPING_BYTES, "bytes:", row["bytes_per_sleeping_connection"])
        tap.expect(row["bytes_per_idle_connection"] <= IDLE_BYTES, "bytes:", row["bytes_per_idle_connection"])
    tap.expect_equal((result["server_left"], result["client_left"]), (0, 0), "not given back:")
    tap.expect(result["close_seconds"] < 20, "closed in:", result["close_seconds"])


def connections_of_http3_sleep(program):
    result = run_bench(program, "idle", "--http3", "--connections", "1500", "--awake", "400", "--wakes", "500", "--seconds", "1")
    expect_keys(result, IDLE | {"asleep", "http3_bytes_per_connection"})
    expect_clean(result)
    tap.expect_equal(result["connections"], 1500, "connections:")
    tap.expect(result["asleep"] >= 1100, "asleep:", result["asleep"])
    for row in result["at_connections"].values():
        tap.expect_equal(row["requests"], 500, "answered:")
        tap.expect(row["asleep"] > 0 and row["woken_per_request"] > 0, "nobody slept or woke:", row)
        tap.expect_equal(row["streams_per_connection"], 4, "streams that stay, HTTP/3's:")
        tap.expect(0 < row["http3_bytes_per_connection"] <= HTTP3_BYTES, "HTTP/3's bytes:", row["http3_bytes_per_connection"])
        tap.expect(0 < row["stream_bytes_awake"] <= HTTP3_STREAMS_BYTES, "of streams:", row["stream_bytes_awake"])
        tap.expect(row["bytes_per_sleeping_connection"] <= SLEEPING_BYTES + HTTP3_NUMBERS_BYTES + HTTP3_BYTES,
                   "bytes:", row["bytes_per_sleeping_connection"])
        tap.expect(row["bytes_per_idle_connection"] <= IDLE_BYTES + HTTP3_STREAMS_BYTES + HTTP3_BYTES,
                   "bytes:", row["bytes_per_idle_connection"])
    tap.expect_equal((result["server_left"], result["client_left"]), (0, 0), "not given back:")
    both = subprocess.run([program, "bench", "idle", "--http3", "--resume"], capture_output=True, text=True, timeout=20)
    tap.expect(both.returncode == 2 and "choose one" in both.stderr, "both were taken:", both.stderr)


def more_idle_connections_than_memory_are_refused(program):
    memory = int(next(line for line in Path("/proc/meminfo").read_text().splitlines() if "MemAvailable" in line).split()[1])
    if memory > IDLE_MEMORY_KIB:
        raise tap.Skip("this machine has room for ten million connections")
    done = subprocess.run([program, "bench", "idle", "--connections", "10000000"], capture_output=True, text=True,
                          check=False)
    tap.expect_equal(done.returncode, 1, "exit status:")
    tap.expect("are available; ask for fewer" in done.stderr, "no reason:", done.stderr)


# ------------------------------------------------------------------ attached applications


def expect_own_cores(result):
    """Skip what follows unless the application had a core, and the polling thread most of another."""
    if not result["application_has_core"]:
        raise tap.Skip("one core: the application has none of its own")
    if result["worker_cpu_share"] < MOST_OF_A_CORE:
        raise tap.Skip(f"the polling thread had {result['worker_cpu_share']:.0%} of a core: speeds tell nothing")


SPIN = """
import os, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
end, best = time.monotonic() + float(sys.argv[2]), 1
while time.monotonic() < end:
    began = time.perf_counter()
    sum(range(20000))
    best = min(best, time.perf_counter() - began)
print(best)
"""


def slowed_by_the_other_cpu():
    """How many times longer the first CPU takes for the same while the second is busy: two threads of one core slow each other,
    and a virtual machine may have such for minutes, whatever it says of itself."""
    def spin(cpu, seconds):
        return subprocess.Popen([sys.executable, "-c", SPIN, str(cpu), str(seconds)], stdout=subprocess.PIPE, text=True)

    first, second = sorted(os.sched_getaffinity(0))[:2]
    alone = float(spin(first, 0.3).communicate()[0])
    other = spin(second, 1)
    beside = float(spin(first, 0.3).communicate()[0])
    other.communicate()
    return beside / alone


def skip_unless_cpus_are_near(program):
    """What two CPUs do together takes twice as long if they are one core's threads, or share no cache: a virtual machine may have
    such for minutes, or seconds."""
    line_ns = run_bench(program, "ring", "--seconds", "0.3")["cache_line_ns_min"]
    if line_ns is not None and line_ns > FAR_NS:
        raise tap.Skip(f"the two CPUs share no cache: a line takes {line_ns:.0f} ns from one to the other")
    slowed = slowed_by_the_other_cpu()
    if slowed > ONE_CORE:
        raise tap.Skip(f"the two CPUs are one core's threads: each is {slowed:.2f} times as slow while the other works")


def a_ring_hands_over_within_three_cache_lines_and_carries_five_million_a_second(program):
    def measure():
        result = run_bench(program, "ring", "--seconds", "0.5")
        if result["ratio_to_cache_line"] is None:
            raise tap.Skip(result["cores"])
        expect_keys(result, RING)
        for name in "cache_line_ns", "shared_line_ns", "hand_over_ns", "batch_ns_per_message", "shard_ns_per_message":
            expect_spread(result, name)
        tap.expect(result["idle_turn_ns"] > 0 and result["shard_ns_per_message"] > 0, "no time:", result)
        tap.expect(abs(result["messages_per_s"] * result["batch_ns_per_message"] / 1e9 - 1) < 0.01, "rate and time differ")
        tap.expect_equal(result["leaked_buffers"], 0)
        return result

    def judge(result):
        expect_own_cores(result)
        tap.expect(result["ratio_to_cache_line"] <= HAND_OVER, "hand-over to cache line:", result["ratio_to_cache_line"])
        tap.expect(result["messages_per_s"] >= RING_RATE, "messages per second:", result["messages_per_s"])

    judged(measure, judge)


def expect_row(name, row):
    """A model's figures, as far as no clock decides them."""
    expect_keys(row, MODEL)
    expect_spread(row, "messages_per_s")
    tap.expect(row["messages_per_s"] > 0 and row["total_ns_per_message"] > 0, f"{name}: nothing came back")
    tap.expect_equal(row["connections"], 16 if name == "blocking" else 40, f"{name}, connections:")
    tap.expect_equal(row["threads"], {"inline": 0, "blocking": 16}.get(name, 1), f"{name}, threads:")
    copied_by_calls = name in ("readiness", "fibers", "blocking")
    copies = [0, 1] if name == "inline" else [2, 2] if copied_by_calls else [1, 1]
    tap.expect_equal([row["copies_in"], row["copies_out"]], copies, f"{name}, copies:")


def every_model_sends_messages_back_and_a_thread_for_each_connection_costs_most(program):
    def measure():
        result = run_bench(program, "models", "--seconds", "0.3", "--connections", "40")
        expect_clean(result)
        tap.expect_equal([row["model"] for row in result["models"]], MODELS)
        rows = {row["model"]: row for row in result["models"] if row["is_measured"]}
        tap.expect(set(MODELS) - rows.keys() <= {"coroutines"}, "not measured:", set(MODELS) - rows.keys())
        for name, row in rows.items():
            expect_row(name, row)
        # what a connection takes: nothing inline, little over rings, a stack in a fiber, a loop in a thread
        weight = {name: row["bytes_per_connection"] for name, row in rows.items()}
        tap.expect(weight["inline"] == 0 and weight["rings"] < 1024 and weight["events"] < 4096, "weight:", weight)
        tap.expect(4096 < weight["fibers"] < 65536 < weight["blocking"] < 4 << 20, "weight:", weight)
        return result | rows

    def judge(result):
        expect_own_cores(result | result["blocking"])
        costs = [result[name]["total_ns_per_message"] for name in ("inline", "events", "blocking")]
        tap.expect(costs[0] < costs[1] < costs[2] / 2, "inline, events, threads, ns per message:", costs)

    judged(measure, judge)


def run_attached(program, *words):
    result = run_bench(program, "transfer", "--attached", "--seconds", "0.8", *words)
    expect_keys(result, ATTACHED)
    expect_clean(result)
    expect_spread(result, "ratio_to_inline")
    tap.expect(result["inline_bytes"] > 0 and result["attached_bytes"] > 0, "no data came")
    return result


def between_processes_a_byte_is_copied_once_and_costs_the_shard_little_more_than_inline(program):
    def measure(*words):
        result = run_attached(program, *words)
        tap.expect_equal(result["application"], "another process")
        tap.expect_equal([result["copies_in"], result["copies_out"]], [1, 0] if words else [1, 1], "copies:")
        tap.expect_equal(result["wakes_per_packet"], 0, "an application that polls was woken:")
        return result

    def judge(result):
        expect_own_cores(result)
        most = SENDING_RATIO if result["direction"] == "down" else RECEIVING_RATIO
        if result["ratio_to_inline"] > most:
            skip_unless_cpus_are_near(program)
        tap.expect(result["ratio_to_inline"] <= most, "attached to inline:", result["direction"], result["ratio_to_inline"])

    judged(measure, judge)
    judged(lambda: measure("--up"), judge)


def in_one_process_nothing_is_copied(program):
    for words in ["--verify"], ["--up", "--verify"]:
        result = run_attached(program, "--by-reference", *words)
        tap.expect_equal([result["copies_in"], result["copies_out"]], [0, 0], words)


def an_application_that_sleeps_is_woken(program):
    result = run_attached(program, "--sleeps")
    tap.expect_equal(result["application_waits"], "in the kernel")
    tap.expect(0 < result["wakes_per_packet"] < 1, "wakes per packet:", result["wakes_per_packet"])


def latency_through_a_ring_needs_three_cores(program):
    cpus = sorted(os.sched_getaffinity(0))
    result = run_bench(program, "latency", "--attached", "--seconds", "0.5")
    expect_keys(result, LATENCY)
    if len(cpus) < 3:
        tap.expect_equal(result["cores"], f"not measured: {len(cpus)} cores")
        tap.expect_equal([result[key] for key in sorted(LATENCY) if "_us" in key], [None] * 3)
        return
    expect_clean(result)
    tap.expect(0 < result["inline_us_p50"] and 0 < result["attached_us_p50"], result)


# ------------------------------------------------------------------ what machines lack, what users mistype


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
    for words, remedy in ((["transfer", "--misdirect"], "--shards"),
                          (["transfer", "--by-reference"], "--attached"),
                          (["latency", "--sleeps"], "--attached"), (["established", "--connections", "65"], "64"),
                          (["request", "--http3", "--request-bytes", "64"], "as long as"), (["transfer", "--attached", "--rtt-us", "5"], "--up"),
                          (["models", "--bytes", "0"], "16384"), (["models", "--bytes", "16385"], "16384")):
        done = subprocess.run([program, "bench", *words], capture_output=True, text=True, check=False)
        tap.expect_equal((done.returncode, done.stdout), (2, ""), words)
        tap.expect(remedy in done.stderr, "no remedy:", words, done.stderr)


# What a clock judges, or who had a core and when.
TESTS = [
    a_transfer_comes_near_the_sealing_ceiling,
    a_hundred_transfers_share_evenly_and_allocate_nothing,
    acknowledgments_come_once_per_burst_or_for_every_second_packet,
    datagrams_that_arrive_at_the_wrong_shard_are_passed_on,
    the_window_grows_over_a_long_wire,
    samples_come_every_tenth_of_a_second,
    handshakes_are_made_and_compared_with_tls_alone,
    handshakes_are_resumed_with_requests_in_0_rtt,
    helpers_compute_handshakes_while_the_lcore_goes_on,
    established_connections_keep_what_handshakes_leave,
    requests_are_answered,
    one_request_at_a_time_takes_microseconds,
    connections_of_http3_sleep,
    a_ring_hands_over_within_three_cache_lines_and_carries_five_million_a_second,
    every_model_sends_messages_back_and_a_thread_for_each_connection_costs_most,
    between_processes_a_byte_is_copied_once_and_costs_the_shard_little_more_than_inline,
]
# What is as true on a machine that does other things, too.
KINDS = [
    a_transfer_prints_every_figure_and_loses_nothing,
    connections_are_told_as_they_were_made,
    a_transfer_allocates_nothing_on_the_lcores,
    every_byte_that_comes_down_is_right,
    every_byte_that_goes_up_is_right,
    openssl_protects_packets_too,
    the_other_ciphers_work,
    small_packets_and_many_streams_work,
    a_wire_that_copies_works,
    Q14_frames_are_moved_by_lcores_of_their_own,
    Q15_a_packet_is_handled_by_the_core_of_the_queue_it_came_to,
    loss_is_repaired_and_compared_with_theory,
    with_few_cores_helpers_are_not_judged,
    requests_are_answered_over_http3,
    idle_connections_are_weighed_woken_and_given_back,
    more_connections_than_are_awake_sleep,
    more_idle_connections_than_memory_are_refused,
    in_one_process_nothing_is_copied,
    an_application_that_sleeps_is_woken,
    latency_through_a_ring_needs_three_cores,
    lcores_that_share_cpus_are_told_of,
    a_wrong_option_is_named,
]
LONG_TESTS = [a_long_pause_of_the_process_loses_no_connection]


def chosen():
    for word, tests in ("--long", LONG_TESTS), ("--kinds", KINDS):
        if word in sys.argv[2:]:
            return tests
    return TESTS


if __name__ == "__main__":
    tap.main(lambda: tap.run(chosen(), sys.argv[1]))
