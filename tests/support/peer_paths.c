/* tests/support/peer_paths.c - see peer_paths.h. */
#include "tests/support/peer_paths.h"

#define CHALLENGE                                                                                  \
    "\x1a"                                                                                         \
    "12345678"

struct peer *peer_several(enum mr_role under_test, enum peer_stage stage)
{
    struct peer *p = peer_new(&(struct peer_options){.under_test = under_test,
                                                     .extensions = MR_EXTENSION_MULTIPATH,
                                                     .partner_extensions = MR_EXTENSION_MULTIPATH,
                                                     .paths_max = PEER_SEVERAL});

    peer_run(p, stage);
    for (int i = 0; stage == PEER_BOTH && i < 4; i++)
        peer_round_trip(p);
    peer_clear(p);
    return p;
}

struct mr_multipath *peer_paths(struct peer *p)
{
    return mr_multipath(peer_endpoint(p), peer_conn(p));
}

struct mr_path_record *peer_path_record(struct peer *p, uint64_t path)
{
    uint32_t record = mr_multipath_find(peer_endpoint(p), peer_paths(p), path);

    return record == MR_PATH_GONE ? NULL : mr_path_record_at(peer_endpoint(p), record);
}

struct mr_cid peer_path_cid(struct peer *p, uint64_t path, uint32_t slot)
{
    const struct mr_path_record *record = peer_path_record(p, path);
    struct mr_cid cid = {.size = MR_LOCAL_CID_SIZE};

    MR_ASSERT(record != NULL && record->issued.key[slot] != 0);
    memcpy(cid.bytes, &record->issued.key[slot], MR_LOCAL_CID_SIZE);
    return cid;
}

void peer_send_by(struct peer *p, uint32_t path, uint64_t pn, const void *frames, size_t size)
{
    struct mr_path_addr usual = p->path;
    struct mr_cid dcid = peer_path_cid(p, path, 0);

    p->path.remote.port = PEER_OTHER_PORT;
    peer_send_packet(p, &(struct peer_out){.type = MR_PACKET_ONE_RTT,
                                           .frames = frames,
                                           .size = size,
                                           .pn = pn,
                                           .dcid = &dcid,
                                           .path_id = path});
    p->path = usual;
}

bool peer_answer_by(struct peer *p, uint32_t path, uint64_t pn)
{
    uint8_t frame[1 + MR_PATH_DATA] = {MR_FRAME_PATH_RESPONSE};
    struct mr_reader r;

    if (peer_find(p, MR_FRAME_PATH_CHALLENGE, 0, &r) == NULL)
        return false;
    memcpy(frame + 1, mr_read_bytes(&r, MR_PATH_DATA), MR_PATH_DATA);
    peer_send_by(p, path, pn, frame, sizeof(frame));
    return true;
}

struct peer *peer_server_with_path(void)
{
    struct peer *p = peer_several(MR_SERVER, PEER_DONE);
    uint8_t padded[1150] = CHALLENGE;

    peer_send_by(p, 1, 0, padded, sizeof(padded));
    CU_ASSERT(peer_answer_by(p, 1, 1));
    CU_ASSERT_EQUAL(peer_path_record(p, 1)->life.state, MR_PATH_OPEN);
    peer_clear(p);
    return p;
}

uint64_t peer_bytes_by(const struct peer *p, uint32_t path)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < p->inbox_count; i++)
        bytes += p->inbox[i].path_id == path ? p->inbox[i].datagram_size : 0;
    return bytes;
}

int64_t peer_open_path(struct peer *p)
{
    struct mr_path_addr addr = {.local = peer_conn(p)->path.addr.local};

    addr.local.port = PEER_OTHER_PORT;
    int64_t path = mr_conn_path_open(peer_endpoint(p), p->conn, &addr, p->now);
    peer_drain(p);
    return path;
}
