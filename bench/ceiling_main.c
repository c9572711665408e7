/*
 * ceiling - print the ceilings of bench/aead_ceiling.h and bench/tls_ceiling.h as tables.
 *
 *     build/bench/ceiling [SECONDS per point, default 0.5]
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/compiler.h"
#include "bench/aead_ceiling.h"
#include "bench/tls_ceiling.h"

#define COLD_BYTES ((size_t)256 << 20)
#define TLS_TIMES  4 /* handshakes vary more: as many times longer */

static const uint32_t packet_sizes[] = {1200, 1350, 1452, 4096, 8900};
static const char *const cipher_names[MR_CIPHERS] = {"AES-128-GCM", "AES-256-GCM",
                                                     "ChaCha20-Poly1305"};

static void print_aead_head(void)
{
    printf("%-10s %-18s", "seal", "ns (Gbit/s)");
    for (size_t i = 0; i < MR_COUNT_OF(packet_sizes); i++)
        printf("%16u", packet_sizes[i]);
    printf("\n");
}

static void print_aead(enum mr_aead_backend backend, double seconds)
{
    struct mr_aead *aead = mr_aead_open(backend);

    if (aead == NULL)
        return;
    for (int cipher = 0; cipher < MR_CIPHERS; cipher++) {
        printf("%-10s %-18s", mr_aead_name(aead), cipher_names[cipher]);
        for (size_t i = 0; i < MR_COUNT_OF(packet_sizes); i++) {
            double ns = mr_aead_ceiling_ns(aead, (enum mr_cipher)cipher, packet_sizes[i],
                                           COLD_BYTES, seconds);

            printf("%9.0f (%4.0f)", ns, packet_sizes[i] * 8 / ns);
            fflush(stdout);
        }
        printf("\n%-10s %-18s", "", "  open, in cache");
        for (size_t i = 0; i < MR_COUNT_OF(packet_sizes); i++) {
            double ns =
                mr_aead_open_ceiling_ns(aead, (enum mr_cipher)cipher, packet_sizes[i], seconds);

            printf("%9.0f (%4.0f)", ns, packet_sizes[i] * 8 / ns);
            fflush(stdout);
        }
        printf("\n");
    }
    mr_aead_close(aead);
}

static int print_tls(const char *name, struct mr_tls_ceiling_options options, double seconds)
{
    struct mr_fault fault = {{0}};
    double ns;

    if (mr_tls_handshake_ns(&options, seconds, &ns, &fault) != 0) {
        fprintf(stderr, "ceiling: %s\n", fault.text);
        return 1;
    }
    printf("%-36s %8.1f us  %8.0f /s\n", name, ns / 1000, 1e9 / ns);
    return 0;
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? atof(argv[1]) : 0.5;
    int result = 0;

    if (seconds <= 0) {
        fprintf(stderr, "usage: ceiling [SECONDS per point]\n");
        return 2;
    }
    print_aead_head();
    print_aead(MR_AEAD_OPENSSL, seconds);
    print_aead(MR_AEAD_IPSEC_MB, seconds);
    printf("\nhandshakes, server's core\n");
    result |= print_tls("full, X25519, ECDSA P-256", (struct mr_tls_ceiling_options){0},
                        seconds * TLS_TIMES);
    result |= print_tls("resumed, X25519", (struct mr_tls_ceiling_options){.is_resumed = true},
                        seconds * TLS_TIMES);
    result |=
        print_tls("full, X25519MLKEM768",
                  (struct mr_tls_ceiling_options){.groups = "X25519MLKEM768"}, seconds * TLS_TIMES);
    return result;
}
