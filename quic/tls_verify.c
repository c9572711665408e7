/*
 * Why a certificate was refused, in words that name the certificate and what was asked of it.
 */
#include <openssl/x509v3.h>

#include "quic/tls_internal.h"

#define NAMES_SHOWN 3   /* of a certificate; it may carry hundreds */
#define NAMES_ROOM  128 /* bytes of their list */

static size_t append(char *text, size_t at, size_t room, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size && at + 1 < room; i++)
        text[at++] = bytes[i];
    text[at] = '\0';
    return at;
}

/* Write the first DNS names of `certificate` as "a, b, ...". */
static void list_names(X509 *certificate, char *text, size_t room)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    int shown = 0;
    size_t at = append(text, 0, room, "", 0);

    for (int i = 0; i < sk_GENERAL_NAME_num(names) && shown <= NAMES_SHOWN; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

        if (name->type != GEN_DNS)
            continue;
        if (shown > 0)
            at = append(text, at, room, ", ", 2);
        if (shown++ == NAMES_SHOWN)
            at = append(text, at, room, "...", 3);
        else
            at = append(text, at, room, (const char *)ASN1_STRING_get0_data(name->d.dNSName),
                        (size_t)ASN1_STRING_length(name->d.dNSName));
    }
    GENERAL_NAMES_free(names);
    if (shown == 0)
        append(text, at, room, "no name", 7);
}

static void explain_name(struct mr_tls *tls, X509 *certificate)
{
    char names[NAMES_ROOM];

    list_names(certificate, names, sizeof(names));
    mr_tls_explain(tls, "certificate verify failed: it is for %s, not for %s", names, tls->name);
}

/* `what` happened at `when`. */
static void explain_time(struct mr_tls *tls, const char *what, const ASN1_TIME *when)
{
    struct tm tm;

    if (ASN1_TIME_to_tm(when, &tm) == 1)
        mr_tls_explain(tls, "certificate verify failed: %s %04d-%02d-%02d %02d:%02d UTC", what,
                       tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min);
    else
        mr_tls_explain(tls, "certificate verify failed: its dates are unreadable");
}

int mr_tls_verify(int is_right, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct mr_tls *tls = SSL_get_app_data(ssl);
    X509 *certificate = X509_STORE_CTX_get_current_cert(store);
    int error = X509_STORE_CTX_get_error(store);

    if (is_right)
        return is_right;
    switch (certificate == NULL ? X509_V_ERR_UNSPECIFIED : error) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        explain_name(tls, certificate);
        break;
    case X509_V_ERR_CERT_HAS_EXPIRED:
        explain_time(tls, "it expired on", X509_get0_notAfter(certificate));
        break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        explain_time(tls, "it is not valid before", X509_get0_notBefore(certificate));
        break;
    default:
        mr_tls_explain(tls, "certificate verify failed: %s", X509_verify_cert_error_string(error));
        break;
    }
    return is_right;
}
