/*
 * control/routing.h - the key of connection IDs that load balancers route by (quic/cid_cipher.h).
 */
#ifndef MR_CONTROL_ROUTING_H
#define MR_CONTROL_ROUTING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"

#define MR_ROUTING_KEY 16 /* bytes */

/*
 * Read a key from the file at `path`: 32 hexadecimal digits, and a line's end.  `path` "": none,
 * true.  False with `fault` set; then `key` is as it was.
 */
bool mr_routing_key_read(const char *path, uint8_t key[MR_ROUTING_KEY], struct mr_fault *fault);

#endif /* MR_CONTROL_ROUTING_H */
