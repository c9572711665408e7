/*
 * tests/support/peer_paths.h - a hand-made peer that speaks on several paths of a connection
 * (draft-ietf-quic-multipath): path 0 from its usual address, others from PEER_OTHER_PORT.
 *
 * As tests/support/peer.h.
 */
#ifndef MR_TESTS_SUPPORT_PEER_PATHS_H
#define MR_TESTS_SUPPORT_PEER_PATHS_H

#include "quic/conn_multipath.h"
#include "tests/support/peer_cases.h"

#define PEER_SEVERAL    4 /* path IDs 0 to 3 */
#define PEER_OTHER_PORT 7001

/* A peer of an endpoint that has agreed on multipath, with an empty inbox; at PEER_BOTH with the
 * connection IDs of all paths. */
struct peer *peer_several(enum mr_role under_test, enum peer_stage stage);

struct mr_multipath *peer_paths(struct peer *p);

/* Of a further path; NULL: it has none. */
struct mr_path_record *peer_path_record(struct peer *p, uint64_t path);

/* Number `slot` of the connection IDs that the endpoint under test has given for the path. */
struct mr_cid peer_path_cid(struct peer *p, uint64_t path, uint32_t slot);

/* A packet of the further path `path`. */
void peer_send_by(struct peer *p, uint32_t path, uint64_t pn, const void *frames, size_t size);

/* Answer the challenge that is in the inbox, by `path`.  False: there is none. */
bool peer_answer_by(struct peer *p, uint32_t path, uint64_t pn);

/* A server that has path 1, validated, with packets 0 and 1 received. */
struct peer *peer_server_with_path(void);

/* A path of the client under test, from PEER_OTHER_PORT of its address: as mr_conn_path_open(). */
int64_t peer_open_path(struct peer *p);

/* Bytes of datagrams in the inbox that came by the path. */
uint64_t peer_bytes_by(const struct peer *p, uint32_t path);

#endif /* MR_TESTS_SUPPORT_PEER_PATHS_H */
