#!/usr/bin/env python3
"""scripts/run-bench tells a bound that does not hold, a run that others disturbed, and a program that measured nothing.

    tests/link/run_bench_test.py RUN_BENCH    with programs that only pretend
"""
import json
import os
import subprocess
import sys
import tempfile

ROW = "packets of 9,000"  # goodput >= 45, and server_ns_per_packet
GOOD = {"goodput_gbps": 50, "server_ns_per_packet": 1000, "server_cpu_share": 1, "floor_ns_per_packet": 900}
LOSSES = ["--only", "transfer, 20 ms, 0.1 % loss", "--seconds", "1"]
# Losses: ten, and one for each second that it was asked to last.
LASTS = ("while [ $1 != --seconds ]; do shift; done; echo '{\"goodput_gbps\": 1, \"cubic_theory_gbps\": 1, \"ratio_to_theory\": 1, "
         "\"packets_lost\": '$((${2%.*} + 10))'}'")
SLOW = {**GOOD, "goodput_gbps": 20, "floor_ns_per_packet": 1400}
FAR = '{"cache_line_ns_min": 245}'
# Near at the first eight looks and at last, far after the first run, which is a slow one; the second begins far.
FAR_ONCE = (f"touch $0.ways; case $3 in ring) echo >>$0.ways; [ $(wc -l <$0.ways) = 9 ] && echo '{FAR}' || echo '{{\"cache_line_ns_min\": 46}}';; "
            f"*) [ $(wc -l <$0.ways) = 8 ] && echo '{json.dumps(SLOW)}' || echo '{json.dumps(GOOD)}';; esac")

# Others have half of the core in the first two runs.
DISTURBED_TWICE = (f"[ $3 = ring ] && echo '{{}}' && exit; echo >>$0.runs; [ $(wc -l <$0.runs) -le 2 ] && "
                   f"echo '{json.dumps({**GOOD, 'server_cpu_share': 0.5})}' || echo '{json.dumps(GOOD)}'")
CHANGED = {**GOOD, "floor_ns_before": 400, "floor_ns_after": 900}
SHARED = {**GOOD, "connections": 1024, "fairness": 1, "packets_per_burst": 12}
# A server that has the name of a polling thread, and shares its CPU with another process, or not; a client that works for a second.
OVER_MEMIF = """
[ "$2" = server ] || [ "$2" = client ] || { echo '{}'; exit; }
printf rte-worker-0 >/proc/self/comm
if [ "$2" = server ]; then
    while :; do :; done & other=$!
    %s
    trap 'kill $other; exit' TERM
    wire=${4#*socket=}; : >$wire
    while :; do :; done
fi
until [ $(( $(date +%%s%%N) - ${began:=$(date +%%s%%N)} )) -gt 700000000 ]; do i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done; done
echo '{"down_bps": 30e9}'"""
MEMIF = ["--only", "memif", "--seconds", "1"]

# What the program prints, or does in a shell, and ends with; options, what run-bench ends with and says.
CASES = [
    ("a bound that holds", GOOD, 0, [], 0, "holds"),
    ("a bound that does not hold", {**GOOD, "goodput_gbps": 40}, 0, [], 1, "DOES NOT HOLD"),
    ("a run that others disturbed does not count", {**GOOD, "server_cpu_share": 0.5}, 0, [], 3,
     "4 of 4 runs do not count"),
    ("what was not measured is counted", {**GOOD, "server_cpu_share": 0.5}, 0, [], 3, "0 bounds hold, 0 do not, 1 not measured"),
    ("a row of which no run counted is repeated", DISTURBED_TWICE, 0, [], 0, "2 of 3 runs do not count"),
    ("a machine that changes during a run", CHANGED, 0, [], 3, "the floor took 400 ns a packet before, 900 ns after"),
    ("what holds is counted", GOOD, 0, [], 0, "1 bounds hold, 0 do not, 0 not measured"),
    ("what does not hold is counted", {**GOOD, "goodput_gbps": 40}, 0, [], 1, "0 bounds hold, 1 do not, 0 not measured"),
    ("bursts that are not full", SHARED, 0, ["--only", "1,024"], 1, ">= 24: DOES NOT HOLD"),
    ("two rows are compared", GOOD, 0, ["--only", "upwards"], 0, "'transfer' was not asked for"),
    ("a figure that could not be told", {**GOOD, "goodput_gbps": None}, 0, [], 3, "NOT JUDGED"),
    ("why it could not is said", {**GOOD, "goodput_gbps": None, "not_judged": "too few"}, 0, [], 3, "runs cannot be judged: too few"),
    ("a figure that the program does not know any more", {"server_ns_per_packet": 1000}, 0, [], 1, "has no 'goodput_gbps'"),
    ("a run of a slow machine does not count",
     f"[ $3 = ring ] && echo '{{}}' && exit; [ -e $0.2 ] && echo '{json.dumps(GOOD)}' || echo '{json.dumps(SLOW)}'; touch $0.2", 0, ["--runs", "2"], 0, "1 of 2 runs do not count: the machine was slow"),
    ("a run of CPUs that are far apart does not count, and is repeated", FAR_ONCE, 0, [], 0,
     "2 of 3 runs do not count: the CPUs were far apart: a line took 245 ns"),
    ("a machine whose CPUs are always far apart is measured", f"case $3 in ring) echo '{FAR}';; *) echo '{json.dumps(GOOD)}';; esac", 0, [], 0,
     "holds"),
    ("a program that fails", GOOD, 3, [], 1, "ended with 3 and said: it broke"),
    ("a row that there is not", GOOD, 0, ["--only", "no such row"], 2, "no row has 'no such row'"),
    ("a row lasts as long as its losses need, however short the others are", LASTS, 0, LOSSES, 0, "holds"),
    ("no runs", GOOD, 0, ["--runs", "0"], 2, "more than nothing"),
]


if len(os.sched_getaffinity(0)) > 1:
    CASES += [
        ("a run over a memif in which a server shares its core does not count", OVER_MEMIF % ":", 0, MEMIF, 3, "others had the cores"),
        ("more cores than there are", GOOD, 0, ["--only", "two shards"], 0, "not measured here: transfer, two shards (4 cores)")
        if len(os.sched_getaffinity(0)) < 4 else ("two shards", GOOD, 0, ["--only", "two shards"], 0, "was not asked for"),
    ]


def run(run_bench, folder, options):
    done = subprocess.run([run_bench, folder, "--runs", "1", "--only", ROW, *options], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def main():
    run_bench = sys.argv[1]
    is_all_well = True
    print(f"1..{len(CASES) + 1}")
    with tempfile.TemporaryDirectory() as folder:
        told = [("a folder without the program", run(run_bench, folder, []), 2, "is not there: make")]
        for name, printed, code, options, wanted, said in CASES:
            with open(f"{folder}/millrace", "w", encoding="utf-8") as program:
                prints = printed if isinstance(printed, str) else f"echo '{json.dumps(printed)}'"
                program.write(f"#!/bin/sh\n{prints}\necho it broke >&2\nexit {code}\n")
            os.chmod(f"{folder}/millrace", 0o755)
            told.append((name, run(run_bench, folder, options), wanted, said))
    for number, (name, (code, text), wanted, said) in enumerate(told, 1):
        is_well = code == wanted and said in text
        is_all_well &= is_well
        print(f"{'ok' if is_well else 'not ok'} {number} - {name}")
        if not is_well:
            print(f"# {code}, wanted {wanted} and {said!r}: {text.strip()[-500:]}")
    sys.exit(not is_all_well)


main()
