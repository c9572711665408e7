/*
 * fuzz/fuzz_ocsp.c - property test of control/ocsp.h.
 *
 * The input is what is in a file and what time it is: bytes as they are, or one of some responses
 * that were really signed, changed here and there.  Properties:
 *   1. a response is taken whole or refused with a reason;
 *   2. one that nobody changed is taken if, and only if, it is about the certificate, says that it
 *      is good, is signed by its issuer, and is of now; until it says;
 *   3. what is taken has in it what the issuer has signed, in every bit, whatever stands around;
 *   4. what is refused leaves the context as it was.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/ocsp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "control/ocsp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    RESPONSES = 16,
    DER_MAX = 2048,
    FROM_S = 1800000000, /* when they begin to count; certificates are of the process's time */
    LIFE_S = 86400,
    SKEW_S = 300,
};

struct pair {
    X509 *certificate;
    EVP_PKEY *key;
};

static struct response {
    bool is_good, is_about, is_signed, has_end;
    size_t size;
    size_t signed_size; /* what the signature is over */
    uint8_t der[DER_MAX];
    uint8_t signed_der[DER_MAX];
} responses[RESPONSES];

static struct pair site;

/* Signed by itself. */
static struct pair make_pair(const char *name, long serial)
{
    struct pair p = {.certificate = X509_new(), .key = EVP_EC_gen("P-256")};
    X509_NAME *names = X509_get_subject_name(p.certificate);

    X509_set_version(p.certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(p.certificate), serial);
    X509_gmtime_adj(X509_getm_notBefore(p.certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(p.certificate), 100 * 86400L);
    X509_set_pubkey(p.certificate, p.key);
    X509_NAME_add_entry_by_txt(names, "CN", MBSTRING_ASC, (const uint8_t *)name, -1, -1, 0);
    X509_set_issuer_name(p.certificate, names);
    MR_ASSERT(X509_sign(p.certificate, p.key, EVP_sha256()) > 0);
    return p;
}

static void make_response(struct response *r, const struct pair *about, const struct pair *by)
{
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), about->certificate, site.certificate);
    ASN1_TIME *from = ASN1_TIME_set(NULL, FROM_S);
    ASN1_TIME *until = r->has_end ? ASN1_TIME_set(NULL, FROM_S + LIFE_S) : NULL;
    int status = r->is_good ? V_OCSP_CERTSTATUS_GOOD : V_OCSP_CERTSTATUS_UNKNOWN;
    uint8_t *at = r->der;
    uint8_t *signed_at = r->signed_der;

    OCSP_basic_add1_status(basic, id, status, 0, NULL, from, until);
    MR_ASSERT(OCSP_basic_sign(basic, by->certificate, by->key, EVP_sha256(), NULL, 0) == 1);
    OCSP_RESPONSE *response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    MR_ASSERT(i2d_OCSP_RESPONSE(response, NULL) <= DER_MAX);
    r->size = (size_t)i2d_OCSP_RESPONSE(response, &at);
    r->signed_size =
        (size_t)i2d_OCSP_RESPDATA((OCSP_RESPDATA *)OCSP_resp_get0_respdata(basic), &signed_at);
    MR_ASSERT(memmem(r->der, r->size, r->signed_der, r->signed_size) != NULL);
    OCSP_RESPONSE_free(response);
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
}

static void make_responses(void)
{
    static struct pair other;

    if (site.certificate != NULL)
        return;
    site = make_pair("a.test", 1);
    other = make_pair("b.test", 2);
    for (uint32_t i = 0; i < RESPONSES; i++) {
        struct response *r = &responses[i];
        r->is_good = (i & 1) == 0;
        r->is_about = (i & 2) == 0;
        r->is_signed = (i & 4) == 0;
        r->has_end = (i & 8) == 0;
        make_response(r, r->is_about ? &site : &other, r->is_signed ? &site : &other);
    }
}

static struct mr_tls_context fresh_context(void)
{
    struct mr_tls_context context = {.ssl_ctx = SSL_CTX_new(TLS_server_method())};

    MR_ASSERT(SSL_CTX_use_certificate(context.ssl_ctx, site.certificate) == 1);
    return context;
}

/* Whether it was taken. */
static bool staple(const uint8_t *der, size_t size, int64_t now_s, int64_t *until_s_out)
{
    static struct mr_tls_context context; /* which has none yet */
    int (*callback)(SSL *, void *) = NULL;
    struct mr_fault fault = {0};
    char path[64];
    int fd = memfd_create("ocsp", MFD_CLOEXEC);

    MR_ASSERT(fd >= 0);
    MR_ASSERT(size == 0 || write(fd, der, size) == (ssize_t)size);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (context.ssl_ctx == NULL)
        context = fresh_context();
    int result = mr_ocsp_staple(&context, path, now_s, until_s_out, &fault);
    close(fd);
    MR_ASSERT(result <= 0 && (result == 0) == (fault.text[0] == '\0'));
    SSL_CTX_get_tlsext_status_cb(context.ssl_ctx, &callback);
    MR_ASSERT((callback != NULL) == (result == 0));
    if (result == 0) {
        SSL_CTX_free(context.ssl_ctx);
        context.ssl_ctx = NULL;
    }
    return result == 0;
}

static void check_unchanged(const struct response *r, int64_t now_s)
{
    int64_t end_s = r->has_end ? FROM_S + LIFE_S : INT64_MAX;
    int64_t until_s = 0;
    bool is_right = r->is_good && r->is_about && r->is_signed;

    bool is_taken = staple(r->der, r->size, now_s, &until_s);
    MR_ASSERT(is_taken == (is_right && now_s >= FROM_S - SKEW_S && now_s < end_s));
    MR_ASSERT(!is_taken || until_s == end_s);
}

/* Up to eight bytes are others, or its end is. */
static void check_changed(const struct response *r, const uint8_t *change, size_t size)
{
    uint8_t der[DER_MAX + 8];
    size_t der_size = r->size;
    int64_t until_s;

    memcpy(der, r->der, sizeof(r->der));
    for (size_t i = 1; i + 3 <= size && i < 4 + change[0] % 24u; i += 3)
        der[(size_t)(change[i] << 8 | change[i + 1]) % r->size] = change[i + 2];
    if (change[0] >= 224) {
        der_size = change[0] % 2 == 0 ? r->size + change[0] % 8 : r->size * (change[0] % 32u) / 32;
        if (der_size > r->size)
            memset(der + r->size, change[0], der_size - r->size);
    }
    if (!staple(der, der_size, FROM_S, &until_s))
        return;
    MR_ASSERT(r->is_good && r->is_about && r->is_signed);
    MR_ASSERT(until_s == (r->has_end ? FROM_S + LIFE_S : INT64_MAX));
    MR_ASSERT(memmem(der, der_size, r->signed_der, r->signed_size) != NULL);
    MR_ASSERT(der_size <= r->size); /* nothing behind it */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int32_t times[] = {0, -SKEW_S - 1, -SKEW_S, LIFE_S - 1, LIFE_S, -LIFE_S, 60, 9000};
    int64_t until_s;

    make_responses();
    (void)staple(data, MR_MIN(size, 4096u), FROM_S, &until_s);
    if (size < 8)
        return 0;
    check_unchanged(&responses[data[0] % RESPONSES], FROM_S + times[data[1] % 8]);
    check_changed(&responses[data[2] % 4 == 0 ? data[2] / 4 % RESPONSES : data[2] & 8], data + 3,
                  size - 3);
    return 0;
}
