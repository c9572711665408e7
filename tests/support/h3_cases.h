/*
 * tests/support/h3_cases.h - cases for a server under test: bytes that a raw client sends, and what
 * must come of them.
 *
 *     h3_begin_bytes(); raw_put_get(&h3_section, "/"); raw_put_headers(&h3_bytes, &h3_section);
 * h3_expect_status(200);
 *
 * For tests only; one thread.
 */
#ifndef MR_TESTS_SUPPORT_H3_CASES_H
#define MR_TESTS_SUPPORT_H3_CASES_H

#include "tests/support/raw_h3.h"

enum {
    H3_STEPS = 200000,
};

extern struct raw_bytes h3_bytes;   /* what is being sent */
extern struct raw_bytes h3_section; /* a field section */

/* Empty both. */
void h3_begin_bytes(void);

/* A server with which the peer has exchanged SETTINGS. */
struct raw_server_test *h3_new_server(void);

/* Send h3_bytes on a fresh stream and run; the stream's index. */
int h3_send_new(struct raw_server_test *test, bool is_uni, bool is_last);

/* The connection is still of use: a request on it is answered. */
void h3_check_serves(struct raw_server_test *test);
void h3_check_closed(const struct raw_server_test *test, uint64_t code);

/* Send h3_bytes on a fresh stream of a fresh connection: it must be closed with `code`. */
void h3_expect_close(bool is_uni, bool is_last, uint64_t code);

/* Send h3_bytes as the peer's control stream: likewise. */
void h3_expect_control_close(uint64_t code);

/* Send h3_bytes as a request: the stream must be reset with `code`, and the connection live on. */
void h3_expect_reset(uint64_t code);

/* Send h3_section as a request without content: likewise. */
void h3_expect_section_reset(uint64_t code);

/* Send h3_bytes as a request: it must be answered with `status`, and the connection live on. */
void h3_expect_status(unsigned status);

/* ---- the same for a client ---- */

void h3_client_run(struct raw_client_test *test);

/* Begin h3_bytes with a head of this :status in h3_section; put_headers is the caller's. */
void h3_put_response(const char *status);

/* Send h3_bytes as a fresh unidirectional stream of the raw server, which stays open; its index. */
int h3_client_uni(struct raw_client_test *test);

/* Send h3_bytes as the answer to the client's request. */
void h3_client_answer(struct raw_client_test *test, bool is_last);

/* The client has closed with `code`, and its user knows. */
void h3_client_check_closed(const struct raw_client_test *test, uint64_t code);

/* Send h3_bytes to a fresh client, as a unidirectional stream or as the answer to its request: it
 * must close with `code`. */
void h3_client_expect_uni_close(uint64_t code);
void h3_client_expect_close(bool is_last, uint64_t code);

#endif /* MR_TESTS_SUPPORT_H3_CASES_H */
