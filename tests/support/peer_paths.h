/*
 * tests/support/peer_paths.h - a peer that uses several paths: which there are, and packets of
 * each.
 */
#ifndef MR_TESTS_SUPPORT_PEER_PATHS_H
#define MR_TESTS_SUPPORT_PEER_PATHS_H

#include "quic/conn_multipath.h"
#include "tests/support/peer.h"

#define PEER_PATH_IDS   4    /* that both sides allow: 0 to 3 */
#define PEER_OTHER_PORT 7001 /* of ours, where path 1 is */

/* A peer of the endpoint in role `under_test`, at `stage`; both take several paths. */
struct peer *peer_with_paths(enum mr_role under_test, enum peer_stage stage);

/* A server under test that has path 1 as well, validated. */
struct peer *peer_server_with_path(void);

/* What the endpoint under test knows of the paths; NULL: it has none with that ID. */
struct mr_multipath *peer_paths(struct peer *p);
struct mr_path_record *peer_path_record(struct peer *p, uint64_t path);

/* A connection ID that the endpoint under test has given for the path. */
struct mr_cid peer_path_cid(struct peer *p, uint64_t path, uint32_t slot);

/* A packet of the path, from PEER_OTHER_PORT. */
void peer_send_by(struct peer *p, uint32_t path, uint64_t pn, const void *frames, size_t size);

/* Answer the challenge that is in the inbox, on its path.  False: there is none. */
bool peer_answer_by(struct peer *p, uint32_t path, uint64_t pn);

#endif /* MR_TESTS_SUPPORT_PEER_PATHS_H */
