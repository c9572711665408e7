/*
 * tests/support/peer_fuzz_app.h - what the input makes applications do: peer_fuzz.h.
 *
 * Owner: the fuzz target.  Threads: one.
 */
#ifndef MR_TESTS_SUPPORT_PEER_FUZZ_APP_H
#define MR_TESTS_SUPPORT_PEER_FUZZ_APP_H

#include "tests/support/peer_fuzz.h"

/* One call of the application of a side; of a connection and a stream that there are, mostly. */
void peer_fuzz_app(struct peer_fuzz *f, enum mr_role role);

/* The application of the endpoint under test reads all there is. */
void peer_fuzz_read_all(struct peer_fuzz *f);

#endif /* MR_TESTS_SUPPORT_PEER_FUZZ_APP_H */
