/*
 * control/ocsp.h - a certificate's OCSP response (RFC 6960) that a server sends along to clients
 * who ask for it (RFC 8446, Section 4.4.2.1): "stapling".
 *
 *     file in DER --checked--> kept by the TLS context --> handshakes, until its nextUpdate
 *
 * A response is checked before it is sent: it is about this certificate, says "good", is signed for
 * the certificate's issuer, which must be in the chain, and is of now.  A wrong one would have
 * clients refuse a server that they would take without.
 *
 * Threads: the control thread's; handshakes on any.
 */
#ifndef MR_CONTROL_OCSP_H
#define MR_CONTROL_OCSP_H

#include <stdint.h>

#include "base/fault.h"
#include "control/tls_context.h"

#define MR_OCSP_FILE_MAX 65536 /* bytes */

/*
 * Have a server's context staple the response in the file.  `now_s`: seconds since 1970.  0 with
 * the time from which on it is not sent any more in *until_s_out; -errno with the reason in
 * `fault`: nothing is stapled.
 */
int mr_ocsp_staple(const struct mr_tls_context *context, const char *path, int64_t now_s,
                   int64_t *until_s_out, struct mr_fault *fault);

#endif /* MR_CONTROL_OCSP_H */
