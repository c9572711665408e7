"""Check qlog files strictly: RFC 7464's frame, and every name and field of the drafts.

    draft-ietf-quic-qlog-main-schema, draft-ietf-quic-qlog-quic-events, draft-ietf-quic-qlog-h3-events

A field that the drafts do not have is as wrong as one that is missing.  Types are written as in the drafts' CDDL:
"?name" is optional; a value is a type's name, a set of texts, a dict, or [type].
"""
import json
import re

HEX = re.compile(r"([0-9a-f]{2})*")
CRYPTO_ERROR = re.compile(r"crypto_error_0x1[0-9a-f][0-9a-f]")

RAW = {"?length": "uint", "?payload_length": "uint", "?data": "hex"}
TOKEN = {"?type": {"retry", "resumption"}, "?details": "any", "?raw": RAW}
END = {"?ip_v4": "text", "?port_v4": "uint16", "?ip_v6": "text", "?port_v6": "uint16", "?connection_ids": ["hex"]}
PACKET_TYPES = {"initial", "handshake", "0RTT", "1RTT", "retry", "version_negotiation", "stateless_reset", "unknown"}
SPACES = {"initial", "handshake", "application_data"}
TRANSPORT_ERRORS = {"no_error", "internal_error", "connection_refused", "flow_control_error", "stream_limit_error",
                    "stream_state_error", "final_size_error", "frame_encoding_error", "transport_parameter_error",
                    "connection_id_limit_error", "protocol_violation", "invalid_token", "application_error",
                    "crypto_buffer_exceeded", "key_update_error", "aead_limit_reached", "no_viable_path", "unknown"}
HEADER = {"packet_type": PACKET_TYPES, "?spin_bit": "bool", "?key_phase": "uint", "?packet_number_length": "uint8",
          "?packet_number": "uint", "?token": TOKEN, "?length": "uint16", "?version": "hex", "?scil": "uint8",
          "?dcil": "uint8", "?scid": "hex", "?dcid": "hex"}
STREAM_TYPE = {"unidirectional", "bidirectional"}
KEYS = {side + level for side in ("server_", "client_")
        for level in ("initial_secret", "handshake_secret", "0rtt_secret", "1rtt_secret")}
STATES = {"attempted", "handshake_started", "handshake_complete", "closed", "peer_validated", "early_write",
          "handshake_confirmed", "closing", "draining"}
STREAM_STATES = {"idle", "open", "closed", "half_closed_local", "half_closed_remote", "ready", "send", "data_sent",
                 "reset_sent", "reset_received", "receive", "size_known", "data_read", "reset_read", "data_received",
                 "destroyed"}

FRAMES = {
    "padding": {"?raw": RAW},
    "ping": {"?raw": RAW},
    "ack": {"?ack_delay": "float", "?acked_ranges": ["range"], "?ect1": "uint", "?ect0": "uint", "?ce": "uint",
            "?raw": RAW},
    "reset_stream": {"stream_id": "uint", "error": {"unknown"}, "?error_code": "uint", "final_size": "uint", "?raw": RAW},
    "reset_stream_at": {"stream_id": "uint", "error": {"unknown"}, "?error_code": "uint", "final_size": "uint",
                        "reliable_size": "uint", "?raw": RAW},
    "stop_sending": {"stream_id": "uint", "error": {"unknown"}, "?error_code": "uint", "?raw": RAW},
    "crypto": {"offset": "uint", "raw": RAW},
    "new_token": {"token": TOKEN, "?raw": RAW},
    "stream": {"stream_id": "uint", "?offset": "uint", "?fin": "bool", "?raw": RAW},
    "max_data": {"maximum": "uint", "?raw": RAW},
    "max_stream_data": {"stream_id": "uint", "maximum": "uint", "?raw": RAW},
    "max_streams": {"stream_type": STREAM_TYPE, "maximum": "uint", "?raw": RAW},
    "data_blocked": {"limit": "uint", "?raw": RAW},
    "stream_data_blocked": {"stream_id": "uint", "limit": "uint", "?raw": RAW},
    "streams_blocked": {"stream_type": STREAM_TYPE, "limit": "uint", "?raw": RAW},
    "new_connection_id": {"sequence_number": "uint", "retire_prior_to": "uint", "?connection_id_length": "uint8",
                          "connection_id": "hex", "?stateless_reset_token": "hex", "?raw": RAW},
    "retire_connection_id": {"sequence_number": "uint", "?raw": RAW},
    "path_challenge": {"?data": "hex", "?raw": RAW},
    "path_response": {"?data": "hex", "?raw": RAW},
    "connection_close": {"?error_space": {"transport", "application"}, "?error": "error", "?error_code": "uint",
                         "?reason": "text", "?reason_bytes": "hex", "?trigger_frame_type": "uint", "?raw": RAW},
    "handshake_done": {"?raw": RAW},
    "unknown": {"frame_type_bytes": "uint", "?raw": RAW},
    "datagram": {"?raw": RAW},
}

FIELD = {"?name": "text", "?name_bytes": "hex", "?value": "text", "?value_bytes": "hex"}
SETTING = {"?name": {"settings_qpack_max_table_capacity", "settings_max_field_section_size",
                     "settings_qpack_blocked_streams", "settings_enable_connect_protocol", "settings_h3_datagram",
                     "reserved", "unknown"}, "?name_bytes": "uint", "value": "uint"}
HTTP3_FRAMES = {  # a frame may have members of its own: field_count is ours
    "data": {"?raw": RAW},
    "headers": {"headers": [FIELD], "?raw": RAW, "?field_count": "uint"},
    "cancel_push": {"push_id": "uint", "?raw": RAW},
    "settings": {"settings": [SETTING], "?raw": RAW},
    "goaway": {"id": "uint", "?raw": RAW},
    "max_push_id": {"push_id": "uint", "?raw": RAW},
    "reserved": {"frame_type_bytes": "uint", "?raw": RAW},
    "unknown": {"frame_type_bytes": "uint", "?raw": RAW},
    "priority_update": {"?stream_id": "uint", "?push_id": "uint", "priority_field_value": "text", "?raw": RAW},
}
HTTP3_FRAME = {"stream_id": "uint", "frame": "http3_frame"}
HTTP3_DATAGRAM = {"quarter_stream_id": "uint", "?raw": RAW}

PARAMETERS = {
    "?initiator": {"local", "remote"}, "?resumption_allowed": "bool", "?early_data_enabled": "bool",
    "?tls_cipher": "text", "?original_destination_connection_id": "hex", "?initial_source_connection_id": "hex",
    "?retry_source_connection_id": "hex", "?stateless_reset_token": "hex", "?disable_active_migration": "bool",
    "?max_idle_timeout": "uint", "?max_udp_payload_size": "uint", "?ack_delay_exponent": "uint",
    "?max_ack_delay": "uint", "?active_connection_id_limit": "uint", "?initial_max_data": "uint",
    "?initial_max_stream_data_bidi_local": "uint", "?initial_max_stream_data_bidi_remote": "uint",
    "?initial_max_stream_data_uni": "uint", "?initial_max_streams_bidi": "uint", "?initial_max_streams_uni": "uint",
    "?preferred_address": {"?ip_v4": "text", "?port_v4": "uint16", "?ip_v6": "text", "?port_v6": "uint16",
                           "connection_id": "hex", "stateless_reset_token": "hex"},
    "?unknown_parameters": [{"id": "uint", "?value": "hex"}], "?max_datagram_frame_size": "uint",
    "?grease_quic_bit": "bool", "?reset_stream_at": "bool",
}
PACKET = {"header": HEADER, "?frames": ["frame"], "?raw": RAW, "?is_mtu_probe_packet": "bool"}

EVENTS = {
    "quic:connection_started": {"local": END, "remote": END},
    "quic:connection_closed": {"?initiator": {"local", "remote"}, "?connection_error": "error",
                               "?application_error": {"unknown"}, "?error_code": "uint", "?internal_code": "uint",
                               "?reason": "text",
                               "?trigger": {"idle_timeout", "application", "error", "version_mismatch",
                                            "stateless_reset", "aborted", "unspecified"}},
    "quic:connection_state_updated": {"?old": STATES, "new": STATES},
    "quic:tuple_assigned": {"tuple_id": "text", "?tuple_remote": END, "?tuple_local": END},
    "quic:mtu_updated": {"?old": "uint", "new": "uint", "?done": "bool"},
    "quic:version_information": {"?server_versions": ["hex"], "?client_versions": ["hex"], "?chosen_version": "hex"},
    "quic:alpn_information": {"?chosen_alpn": {"?byte_value": "hex", "?string_value": "text"}},
    "quic:parameters_set": PARAMETERS,
    "quic:parameters_restored": {"?initial_max_data": "uint", "?initial_max_stream_data_bidi_local": "uint",
                                 "?initial_max_stream_data_bidi_remote": "uint",
                                 "?initial_max_stream_data_uni": "uint", "?initial_max_streams_bidi": "uint",
                                 "?initial_max_streams_uni": "uint", "?max_datagram_frame_size": "uint"},
    "quic:spin_bit_updated": {"state": "bool"},
    "quic:packet_sent": PACKET,
    "quic:packet_received": {**PACKET, "?trigger": {"keys_available"}},
    "quic:packet_dropped": {"?header": HEADER, "?raw": RAW,
                            "?trigger": {"internal_error", "rejected", "unsupported", "invalid", "duplicate",
                                         "connection_unknown", "decryption_failure", "key_unavailable", "general"}},
    "quic:packet_buffered": {"?header": HEADER, "?raw": RAW, "?trigger": {"backpressure", "keys_unavailable"}},
    "quic:stream_state_updated": {"stream_id": "uint", "?stream_type": STREAM_TYPE, "?old": STREAM_STATES,
                                  "new": STREAM_STATES, "stream_side": {"sending", "receiving"}},
    "quic:timer_updated": {"?timer_type": {"ack", "pto", "loss_timeout", "path_validation", "handshake_timeout",
                                           "idle_timeout"},
                           "?packet_number_space": SPACES, "event_type": {"set", "expired", "cancelled"},
                           "?delta": "float"},
    "quic:key_updated": {"key_type": KEYS, "?key_phase": "uint", "?trigger": {"tls", "remote_update", "local_update"}},
    "quic:key_discarded": {"key_type": KEYS, "?key_phase": "uint",
                           "?trigger": {"tls", "remote_update", "local_update"}},
    "quic:recovery_parameters_set": {"?reordering_threshold": "uint16", "?time_threshold": "float",
                                     "timer_granularity": "uint16", "?initial_rtt": "float",
                                     "?max_datagram_size": "uint", "?initial_congestion_window": "uint",
                                     "?minimum_congestion_window": "uint", "?loss_reduction_factor": "float",
                                     "?persistent_congestion_threshold": "uint16"},
    "quic:recovery_metrics_updated": {"?min_rtt": "float", "?smoothed_rtt": "float", "?latest_rtt": "float",
                                      "?rtt_variance": "float", "?pto_count": "uint16", "?congestion_window": "uint",
                                      "?bytes_in_flight": "uint", "?ssthresh": "uint", "?packets_in_flight": "uint",
                                      "?pacing_rate": "uint"},
    "quic:ecn_state_updated": {"?old": {"testing", "unknown", "failed", "capable"},
                               "new": {"testing", "unknown", "failed", "capable"}},
    "quic:congestion_state_updated": {"?old": "text", "new": "text", "?trigger": "text"},
    "quic:packet_lost": {"?header": HEADER, "?frames": ["frame"], "?is_mtu_probe_packet": "bool",
                         "?trigger": {"reordering_threshold", "time_threshold", "pto_expired"}},
    "http3:parameters_set": {"?initiator": {"local", "remote"}, "?max_field_section_size": "uint",
                             "?max_table_capacity": "uint", "?blocked_streams_count": "uint",
                             "?extended_connect": "uint16", "?h3_datagram": "uint16", "?waits_for_settings": "bool"},
    "http3:stream_type_set": {"?initiator": {"local", "remote"}, "stream_id": "uint",
                              "stream_type": {"request", "control", "push", "reserved", "unknown", "qpack_encode",
                                              "qpack_decode"},
                              "?stream_type_bytes": "uint", "?associated_push_id": "uint"},
    "http3:priority_updated": {"?stream_id": "uint", "?push_id": "uint", "?old": "text", "new": "text",
                               "?trigger": {"client_signal_received", "local", "other"},
                               "?reason": {"client_signal_only", "client_server_merged", "local_policy", "other"}},
    "http3:frame_created": HTTP3_FRAME,
    "http3:frame_parsed": HTTP3_FRAME,
    "http3:datagram_created": HTTP3_DATAGRAM,
    "http3:datagram_parsed": HTTP3_DATAGRAM,
    "loglevel:warning": {"?code": "uint", "?message": "text"},
    "loglevel:info": {"?code": "uint", "?message": "text"},
}

FILE = {
    "file_schema": {"urn:ietf:params:qlog:file:sequential"},
    "serialization_format": {"application/qlog+json-seq"},
    "?title": "text", "?description": "text",
    "trace": {
        "?common_fields": {"?time_format": {"relative_to_epoch", "relative_to_previous_event"}, "?group_id": "text",
                           "?reference_time": {"clock_type": {"system", "monotonic"}, "epoch": "text",
                                               "?wall_clock_time": "text"}},
        "?vantage_point": {"?name": "text", "type": {"client", "server", "network", "unknown"}},
        "event_schemas": ["text"],
    },
    "qlog_version": {"0.3"}, "qlog_format": {"JSON-SEQ"},  # for qvis
}


for name in ("stream", "crypto"):
    FRAMES[name]["length"] = "uint"  # for qvis: as an earlier draft had it
EVENTS["recovery:metrics_updated"] = EVENTS["quic:recovery_metrics_updated"]  # for qvis: an earlier draft's name


class Wrong(Exception):
    pass


def is_uint(value, bits=64):
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << bits


PLAIN = {
    "uint": is_uint,
    "uint8": lambda value: is_uint(value, 8),
    "uint16": lambda value: is_uint(value, 16),
    "float": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0,
    "bool": lambda value: isinstance(value, bool),
    "text": lambda value: isinstance(value, str),
    "hex": lambda value: isinstance(value, str) and HEX.fullmatch(value) is not None,
    "error": lambda value: value in TRANSPORT_ERRORS or CRYPTO_ERROR.fullmatch(value) is not None,
    "range": lambda value: isinstance(value, list) and 1 <= len(value) <= 2 and all(map(is_uint, value)) and
    value == sorted(set(value)),
    "any": lambda value: True,
}


def check(value, kind, where):
    if isinstance(kind, dict):
        check_object(value, kind, where)
    elif isinstance(kind, list):
        if not isinstance(value, list):
            raise Wrong(f"{where}: no list: {value!r}")
        for index, one in enumerate(value):
            check(one, kind[0], f"{where}[{index}]")
    elif isinstance(kind, set):
        if value not in kind:
            raise Wrong(f"{where}: {value!r} is none of {sorted(kind)}")
    elif kind in ("frame", "http3_frame"):
        name, frames = value.get("frame_type"), FRAMES if kind == "frame" else HTTP3_FRAMES
        if name not in frames:
            raise Wrong(f"{where}: there is no {kind} {name!r}")
        check_object(value, {"frame_type": {name}, **frames[name]}, f"{where}.{name}")
    elif not PLAIN[kind](value):
        raise Wrong(f"{where}: {value!r} is no {kind}")


def check_object(value, kind, where):
    if not isinstance(value, dict):
        raise Wrong(f"{where}: no object: {value!r}")
    kinds = {name.lstrip("?"): one for name, one in kind.items()}
    for name, member in value.items():
        if name not in kinds:
            raise Wrong(f"{where}: there is no field {name!r}")
        check(member, kinds[name], f"{where}.{name}")
    for name in kind:
        if not name.startswith("?") and name not in value:
            raise Wrong(f"{where}: {name} is missing")


def unique(pairs):
    names = [name for name, _ in pairs]
    if len(names) != len(set(names)):
        raise Wrong(f"a member is there twice: {names}")
    return dict(pairs)


def read(path):
    """The header and the events of a file, checked; raises Wrong."""
    data = path.read_bytes()
    if b'"file_schema"' not in data[:256] or b'"serialization_format"' not in data[:256]:
        raise Wrong(f"{path}: does not say what it is in its first 256 bytes")
    records = []
    for number, text in enumerate(data.split(b"\x1e")):
        if number == 0:
            if text != b"":
                raise Wrong(f"{path}: does not begin with a record separator")
            continue
        if not text.endswith(b"\n") or text.count(b"\n") != 1:
            raise Wrong(f"{path}: record {number} does not end with its only line feed")
        records.append(json.loads(text.decode("utf-8"), object_pairs_hook=unique))
    check(records[0], FILE, f"{path}: file")
    before = 0
    for number, event in enumerate(records[1:], 1):
        where = f"{path}: record {number}"
        check_object({name: event[name] for name in event if name != "category"},
                     {"time": "float", "name": set(EVENTS), "data": "any"}, where)
        check(event["data"], EVENTS[event["name"]], f"{where}: {event['name']}")
        if event["time"] < before:
            raise Wrong(f"{where}: is earlier than the one before")
        before = event["time"]
    return records[0], records[1:]


def qvis(path):
    """What qvis's loader for .sqlog and its congestion graph take of a file; raises Wrong where they take nothing.

    It splits at record separators, wants qlog_version, qlog_format and trace in the first record, takes an event's
    `category` and the name behind the colon, and draws packets by raw.length, windows of recovery metrics_updated, streams
    by their frames' offset and length.
    """
    records = [json.loads(text) for text in path.read_text().split("\x1e") if text.strip()]
    header, events = records[0], records[1:]
    if path.suffix not in (".sqlog", ".qlogseq") or header.get("qlog_format") != "JSON-SEQ" or "trace" not in header:
        raise Wrong(f"{path}: qvis does not take it for JSON-SEQ")
    if header.get("qlog_version") not in ("draft-02", "draft-02-RC1", "qlog-03-WIP", "0.3"):
        raise Wrong(f"{path}: qvis does not know its version")
    found = {}
    for event in events:
        found.setdefault((event["category"], event["name"].split(":")[1]), []).append(event["data"])
    sent = {}
    for data in found.get(("transport", "packet_sent"), []):
        if data["raw"]["length"] > 0:
            sent[data["header"]["packet_type"], data["header"]["packet_number"]] = data
    acked = [(data["header"]["packet_type"], one) for data in found.get(("transport", "packet_received"), [])
             for frame in data["frames"] if frame["frame_type"] == "ack"
             for first, *last in frame["acked_ranges"] for one in range(first, (last or [first])[0] + 1)]
    lost = [(data["header"]["packet_type"], data["header"]["packet_number"])
            for data in found.get(("recovery", "packet_lost"), [])]
    for packet in acked + lost:
        if packet not in sent:
            raise Wrong(f"{path}: qvis does not find the packet {packet}")
    # Its graph of streams: of what a server sends, a client receives, each byte's place.
    ends = {}
    kind = "packet_sent" if header["trace"]["vantage_point"]["type"] == "server" else "packet_received"
    for data in found.get(("transport", kind), []):
        for frame in data["frames"]:
            if frame["frame_type"] == "stream":
                begin, size = int(frame["offset"]), int(frame["length"])
                ends[frame["stream_id"]] = max(ends.get(frame["stream_id"], 0), begin + size)
    if not any(ends.values()):
        raise Wrong(f"{path}: qvis draws no stream")
    metrics = found.get(("recovery", "metrics_updated"), [])
    lines = {line: [data[line] for data in metrics if line in data]
             for line in ("congestion_window", "bytes_in_flight", "min_rtt", "smoothed_rtt", "latest_rtt")}
    for line, points in {"packets": sent, "acknowledgments": acked, **lines}.items():
        if not points:
            raise Wrong(f"{path}: qvis draws no {line}")
    return lines


def packets(events, name, packet_type="1RTT"):
    """Number -> frames of the packets that `name` tells of."""
    found = {}
    for event in events:
        header = event["data"].get("header", {})
        if event["name"] == name and header["packet_type"] == packet_type:
            found[header["packet_number"]] = event["data"]["frames"]
    return found
