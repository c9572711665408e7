/*
 * fuzz/fuzz_frames_client.c - a hostile server, which has the keys, against the engine's client.
 *
 * The input and the properties are those of tests/support/peer_fuzz.h.
 */
#include "tests/support/peer_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    peer_fuzz_run(MR_CLIENT, data, size);
    return 0;
}
