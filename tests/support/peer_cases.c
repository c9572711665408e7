/* tests/support/peer_cases.c - see peer_cases.h. */
#include "tests/support/peer_cases.h"

#include <stdio.h>

void peer_expect_alike(struct peer *a, struct peer *b)
{
    const struct mr_conn *x = peer_conn(a);
    const struct mr_conn *y = peer_conn(b);
    const struct mr_counters *c = peer_counters(a);
    const struct mr_counters *d = peer_counters(b);

    CU_ASSERT_EQUAL(x->state, y->state);
    CU_ASSERT_EQUAL(peer_close_error(a, NULL), peer_close_error(b, NULL));
    CU_ASSERT_EQUAL(x->app.received.count, y->app.received.count);
    CU_ASSERT_EQUAL(memcmp(x->app.received.range, y->app.received.range,
                           x->app.received.count * sizeof(x->app.received.range[0])),
                    0);
    CU_ASSERT_EQUAL(x->app.ecn.ce, y->app.ecn.ce);
    CU_ASSERT_EQUAL(x->app.ecn.ect0, y->app.ecn.ect0);
    CU_ASSERT_EQUAL(x->path.addr.remote.port, y->path.addr.remote.port);
    CU_ASSERT_EQUAL(x->key_state.open_failed_count, y->key_state.open_failed_count);
    CU_ASSERT_EQUAL(c->packets_received, d->packets_received);
    CU_ASSERT_EQUAL(c->dropped_duplicate, d->dropped_duplicate);
}

void peer_end(struct peer *p)
{
    CU_ASSERT_TRUE(peer_free(p));
}

void peer_expect_close(struct peer *p, const char *name, uint64_t error, uint64_t frame_type)
{
    uint64_t got_type = 0;
    uint64_t got = peer_close_error(p, &got_type);
    bool is_right = got == error && (error == PEER_NO_CLOSE || frame_type == PEER_ANY_FRAME ||
                                     got_type == frame_type);

    if (!is_right)
        fprintf(stderr, "# %s: error 0x%llx of frame 0x%llx came, 0x%llx of 0x%llx is right\n",
                name, (unsigned long long)got, (unsigned long long)got_type,
                (unsigned long long)error, (unsigned long long)frame_type);
    CU_ASSERT_TRUE(is_right);
    bool is_alive = mr_conn_is_alive(peer_conn(p));
    if (is_alive != (error == PEER_NO_CLOSE))
        fprintf(stderr, "# %s: the connection is %s\n", name, is_alive ? "alive" : "over");
    CU_ASSERT_EQUAL(is_alive, error == PEER_NO_CLOSE);
}

void peer_run_cases(const struct peer_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct peer_case *c = &cases[i];
        struct peer *p = peer_at(c->under_test, c->stage);

        peer_clear(p);
        peer_send(p, c->type, c->frames, c->size);
        peer_expect_close(p, c->name, c->error, c->frame_type);
        peer_end(p);
    }
}

const struct peer_packet *peer_challenge_here(const struct peer *p, uint32_t nth,
                                              struct mr_reader *r)
{
    const struct peer_packet *packet;

    for (uint32_t i = 0; (packet = peer_find(p, MR_FRAME_PATH_CHALLENGE, i, r)) != NULL; i++) {
        if (mr_path_addr_equal(&packet->path, &p->path) && nth-- == 0)
            return packet;
    }
    return NULL;
}

bool peer_answer_challenge(struct peer *p, uint32_t nth)
{
    uint8_t frame[9] = {0x1b};
    struct mr_reader r;

    if (peer_challenge_here(p, nth, &r) == NULL)
        return false;
    memcpy(frame + 1, r.at, 8);
    peer_send(p, MR_PACKET_ONE_RTT, frame, sizeof(frame));
    return true;
}

struct peer *peer_sender(mr_handle *stream_out)
{
    struct peer *p = peer_at(MR_SERVER, PEER_DONE);

    PEER_SEND(p, "\x08\x00hello");
    const struct peer_event *event = peer_event(p, MR_EVENT_STREAM_OPENED);
    CU_ASSERT_PTR_NOT_NULL_FATAL(event);
    *stream_out = event->event.stream;
    peer_advance(p, 100 * MR_MS); /* the pacer's bucket is full */
    peer_clear(p);
    return p;
}
