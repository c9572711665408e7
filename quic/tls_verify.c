/*
 * Why a certificate was refused, in words that name the certificate and what was asked of it.
 */
#include <stdio.h>

#include <openssl/x509v3.h>

#include "quic/tls_internal.h"

#define ADDRESS_TEXT 40  /* bytes of an address in words */
#define NAMES_SHOWN  3   /* of a certificate; it may carry hundreds */
#define NAMES_ROOM   128 /* bytes of their list */

static size_t append(char *text, size_t at, size_t room, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size && at + 1 < room; i++)
        text[at++] = bytes[i];
    text[at] = '\0';
    return at;
}

/* "192.0.2.7", "fd00:0:0:0:0:0:0:2". */
static void write_address(const uint8_t *bytes, size_t size, char text[ADDRESS_TEXT])
{
    int at = 0;

    for (size_t i = 0; i < size; i += size == 4 ? 1 : 2)
        at += size == 4 ? snprintf(text + at, ADDRESS_TEXT - (size_t)at, "%s%u", i > 0 ? "." : "",
                                   bytes[i])
                        : snprintf(text + at, ADDRESS_TEXT - (size_t)at, "%s%x", i > 0 ? ":" : "",
                                   bytes[i] << 8 | bytes[i + 1]);
}

/* The text of a name that a client may ask for; `room` is for an address.  0: it is of another
 * kind. */
static size_t text_of(const GENERAL_NAME *name, char room[ADDRESS_TEXT], const char **text_out)
{
    const ASN1_STRING *string = name->type == GEN_DNS     ? name->d.dNSName
                                : name->type == GEN_IPADD ? name->d.iPAddress
                                                          : NULL;
    size_t size = string == NULL ? 0 : (size_t)ASN1_STRING_length(string);

    if (size == 0)
        return 0;
    *text_out = (const char *)ASN1_STRING_get0_data(string);
    if (name->type == GEN_DNS)
        return size;
    if (size != 4 && size != 16)
        return 0;
    write_address((const uint8_t *)*text_out, size, room);
    *text_out = room;
    return strlen(room);
}

/* A list of names as it is written: "a, b, ...". */
struct list {
    char *text;
    size_t at;
    size_t room;
    int shown;
};

/* Add the certificate's names of `type`, as far as NAMES_SHOWN allows. */
static void add_names(struct list *list, const GENERAL_NAMES *names, int type)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && list->shown <= NAMES_SHOWN; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        char address[ADDRESS_TEXT];
        const char *text = NULL;
        size_t size = name->type == type ? text_of(name, address, &text) : 0;

        if (size == 0)
            continue;
        if (list->shown > 0)
            list->at = append(list->text, list->at, list->room, ", ", 2);
        if (list->shown++ == NAMES_SHOWN)
            list->at = append(list->text, list->at, list->room, "...", 3);
        else
            list->at = append(list->text, list->at, list->room, text, size);
    }
}

/* Write the first names and addresses of `certificate`, those of the kind that was asked for
 * first. */
static void list_names(X509 *certificate, bool is_address, char *text, size_t room)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    struct list list = {.text = text, .room = room};

    append(text, 0, room, "", 0);
    add_names(&list, names, is_address ? GEN_IPADD : GEN_DNS);
    add_names(&list, names, is_address ? GEN_DNS : GEN_IPADD);
    GENERAL_NAMES_free(names);
    if (list.shown == 0)
        append(text, 0, room, "no name", 7);
}

static void explain_name(struct mr_tls *tls, X509 *certificate, bool is_address)
{
    char names[NAMES_ROOM];

    list_names(certificate, is_address, names, sizeof(names));
    mr_tls_explain(tls, MR_TLS_OTHER_NAME "%s, not for %s", names, tls->name);
}

/* The reason is `prefix` and the time. */
static void explain_time(struct mr_tls *tls, const char *prefix, const ASN1_TIME *when)
{
    struct tm tm;

    if (ASN1_TIME_to_tm(when, &tm) == 1)
        mr_tls_explain(tls, "%s%04d-%02d-%02d %02d:%02d UTC", prefix, tm.tm_year + 1900,
                       tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min);
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
        explain_name(tls, certificate, error == X509_V_ERR_IP_ADDRESS_MISMATCH);
        break;
    case X509_V_ERR_CERT_HAS_EXPIRED:
        explain_time(tls, MR_TLS_EXPIRED, X509_get0_notAfter(certificate));
        break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        explain_time(tls, MR_TLS_TOO_EARLY, X509_get0_notBefore(certificate));
        break;
    default:
        mr_tls_explain(tls, "certificate verify failed: %s", X509_verify_cert_error_string(error));
        break;
    }
    return is_right;
}
