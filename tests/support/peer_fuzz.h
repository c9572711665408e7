/*
 * tests/support/peer_fuzz.h - a hostile partner with the right keys: what fuzz_frames_client.c and
 * fuzz_frames_server.c share.
 *
 *     endpoint under test <--packets-- tap: opens, changes frames, seals again <-- real partner
 *                         <--packets of any frames--  the input, in its partner's place, from some
 *                                                     moment on
 *
 * The input is a program.  Its first bytes choose what both endpoints offer, how often the
 * handshake and the connection go round before the partner falls silent, and whether all is traced;
 * the rest are steps: frames, time, and what the application of the endpoint under test does.
 * Properties:
 *   1. the endpoint survives (assertions, ASan, UBSan), and what it tells its tracer is qlog;
 *   2. its invariants hold after every step (mr_endpoint_check, which peer.h calls);
 *   3. once it is told to close, all its connections are over in time;
 *   4. at the end every buffer has come back.
 *
 * Everything is virtual or seeded, the time of day too: what a process does with its first input is
 * the same in every run.  TLS of later ones may depend on what was computed before (tls_memo.h).
 *
 * Owner: the fuzz target.  Threads: one.
 */
#ifndef MR_TESTS_SUPPORT_PEER_FUZZ_H
#define MR_TESTS_SUPPORT_PEER_FUZZ_H

#include "tests/support/peer.h"

#define PEER_FUZZ_STREAMS 16 /* whose offsets are known */
#define PEER_FUZZ_CIDS    8  /* of the endpoint under test, that are known */
#define PEER_FUZZ_PATHS   4  /* of a connection, at most */

/* A connection ID of the endpoint under test. */
struct peer_fuzz_cid {
    struct mr_cid cid;
    uint32_t path_id;
};

/* The rest of the input; zeros behind its end. */
struct peer_fuzz_input {
    const uint8_t *data;
    size_t size;
};

struct peer_fuzz {
    struct peer_fuzz_input input;
    struct peer *p;
    struct mr_tracer *tracer;
    struct peer_key tap[MR_SPACES]; /* to open what the partner seals */
    struct peer_key early_tap;
    uint64_t tap_pn[MR_SPACES];
    uint64_t tap_path_pn[PEER_PATHS];   /* of further paths */
    uint64_t offset[PEER_FUZZ_STREAMS]; /* where our data goes on */
    uint32_t ended;                     /* a bit for each of them: it has a final size */
    uint64_t crypto_offset;
    uint64_t stream; /* of the frame that is being written, and its final size */
    uint64_t final_size;
    uint64_t cid_next[PEER_FUZZ_PATHS]; /* sequence number of connection IDs of ours */
    uint64_t path_pn[PEER_FUZZ_PATHS];  /* of what we send on further paths */
    uint64_t path_id;                   /* of the frame that is being written */
    uint64_t sequence;                  /* of extensions' frames */
    uint8_t challenge[MR_PATH_DATA];    /* the last one that came */
    struct peer_fuzz_cid cids[PEER_FUZZ_CIDS];
    uint32_t cid_count;
    uint8_t tap_rate; /* of 256 datagrams, changed while the partner speaks */
    uint8_t tame;     /* of 256 values, as they should be */
    bool is_reader;   /* the application reads whenever something has come */
};

/* Run an input against an endpoint in role `under_test`. */
void peer_fuzz_run(enum mr_role under_test, const uint8_t *data, size_t size);

/* ---- peer_fuzz_frames.c: frames that are right but for what the input puts in ---- */

uint8_t peer_fuzz_take(struct peer_fuzz *f);
uint64_t peer_fuzz_take_word(struct peer_fuzz *f);

/* Mostly `bound`, or near it, or an edge of the encoding; <= 2^62 - 1. */
uint64_t peer_fuzz_near(struct peer_fuzz *f, uint64_t bound);

/* Write frames for a packet number space, as many as the input wants. */
void peer_fuzz_write_frames(struct peer_fuzz *f, enum mr_space space, struct mr_writer *w);

/* Change frames in place: `size` bytes of them, with room for `room`.  How many there are now. */
size_t peer_fuzz_change_frames(struct peer_fuzz *f, enum mr_space space, uint8_t *frames,
                               size_t size, size_t room);

#endif /* MR_TESTS_SUPPORT_PEER_FUZZ_H */
