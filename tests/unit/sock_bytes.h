/* tests/unit/sock_bytes.h - a pair of sockets (sock_pair.h) and a megabyte that goes through it. */
#ifndef MR_TESTS_UNIT_SOCK_BYTES_H
#define MR_TESTS_UNIT_SOCK_BYTES_H

#include <string.h>

#include "tests/unit/harness.h"
#include "tests/unit/sock_pair.h"

enum {
    BIG = 1 << 20,
    COMPACT = 2048 /* bytes that are copied at once, without being read */
};

static uint8_t out[BIG], in[BIG];
static size_t in_size;

static inline void fill(uint8_t *bytes, size_t size, uint32_t seed)
{
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1664525 + 1013904223;
        bytes[i] = (uint8_t)(seed >> 24);
    }
}

static inline void open_world(void)
{
    in_size = 0;
    fill(out, sizeof(out), 7);
    memset(in, 0, sizeof(in));
    open_pair();
}

static inline void block(struct mr_sock *sock, bool is_on)
{
    CU_ASSERT_EQUAL(mr_sock_set(sock, MR_SOCK_NONBLOCK, !is_on), 0);
}

/* Reacts: the peer reads whatever is there. */
static inline void drain(void)
{
    ssize_t size;

    while (in_size < BIG && (size = mr_sock_read(theirs, in + in_size, BIG - in_size)) > 0)
        in_size += (size_t)size;
}

#endif /* MR_TESTS_UNIT_SOCK_BYTES_H */
