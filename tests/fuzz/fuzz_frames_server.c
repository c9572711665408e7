/*
 * fuzz/fuzz_frames_server.c - a hostile client, which has the keys, against the engine's server.
 *
 * The input and the properties are those of tests/support/peer_fuzz.h.
 */
#include "tests/support/peer_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    peer_fuzz_run(MR_SERVER, data, size);
    return 0;
}
