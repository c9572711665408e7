#include "control/certificate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#define NAME_MAX_SIZE 253 /* bytes of a DNS name, RFC 1035, Section 2.3.4 */
#define HOUR          3600
#define DAY           86400
#define FOREVER       (INT64_C(100) * 365 * DAY) /* beyond this, dates lose their meaning */
#define FILE_SECRET   0600
#define FILE_PUBLIC   0644

/* What is under construction; freed as a whole. */
struct maker {
    EVP_PKEY *key;
    X509 *x509;
    char names[64 + MR_CERTIFICATE_NAMES_MAX * (NAME_MAX_SIZE + 8)]; /* "DNS:a,IP:b,..." */
};

/* ------------------------------------------------------------------ names */

static bool is_ip(const char *name)
{
    ASN1_OCTET_STRING *address = a2i_IPADDRESS(name);

    ASN1_OCTET_STRING_free(address);
    return address != NULL;
}

static bool is_dns_name(const char *name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.*_";
    size_t size = strlen(name);

    return size > 0 && size <= NAME_MAX_SIZE && strspn(name, allowed) == size;
}

/* Write the subject alternative names in OpenSSL's notation. */
static int list_names(struct maker *maker, const struct mr_certificate_options *options,
                      struct mr_fault *fault)
{
    int at = snprintf(maker->names, sizeof(maker->names), "DNS:localhost,IP:127.0.0.1,IP:::1");

    if (options->name_count > MR_CERTIFICATE_NAMES_MAX)
        return mr_fault_set(fault, EINVAL, "cannot make a certificate for %zu names; at most %d",
                            options->name_count, MR_CERTIFICATE_NAMES_MAX);
    for (size_t i = 0; i < options->name_count; i++) {
        const char *name = options->names[i];
        bool is_address = is_ip(name);

        if (!is_address && !is_dns_name(name))
            return mr_fault_set(fault, EINVAL,
                                "cannot make a certificate for '%s': neither a DNS name nor an IP "
                                "address; write it like www.example.com or 192.0.2.1",
                                name);
        at += snprintf(maker->names + at, sizeof(maker->names) - (size_t)at, ",%s:%s",
                       is_address ? "IP" : "DNS", name);
    }
    return 0;
}

/* ------------------------------------------------------------------ X.509 */

static bool set_serial(X509 *x509, void *library)
{
    uint64_t serial;

    return RAND_bytes_ex(library, (unsigned char *)&serial, sizeof(serial), 0) == 1 &&
           ASN1_INTEGER_set_uint64(X509_get_serialNumber(x509), serial >> 1 | 1) == 1;
}

static bool set_times(X509 *x509, const struct mr_certificate_options *options)
{
    int64_t begin = options->begins_in_seconds != 0 ? options->begins_in_seconds : -HOUR;
    int64_t end = options->ends_in_seconds != 0 ? options->ends_in_seconds : 13 * DAY;
    time_t given = (time_t)options->now_seconds;
    time_t *now = given != 0 ? &given : NULL;

    return begin > -FOREVER && begin < FOREVER && end > -FOREVER && end < FOREVER &&
           X509_time_adj(X509_getm_notBefore(x509), begin, now) != NULL &&
           X509_time_adj(X509_getm_notAfter(x509), end, now) != NULL;
}

static bool set_subject(X509 *x509)
{
    X509_NAME *name = X509_get_subject_name(x509);

    return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"millrace",
                                      -1, -1, 0) == 1 &&
           X509_set_issuer_name(x509, name) == 1;
}

static bool add_extension(X509 *x509, int nid, const char *value)
{
    X509V3_CTX context;

    X509V3_set_ctx(&context, x509, x509, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool is_added = extension != NULL && X509_add_ext(x509, extension, -1) == 1;

    X509_EXTENSION_free(extension);
    return is_added;
}

static bool sign(struct maker *maker, const struct mr_certificate_options *options)
{
    maker->key = EVP_PKEY_Q_keygen(options->library, NULL, "EC", "P-256");
    maker->x509 = X509_new_ex(options->library, NULL);
    if (maker->key == NULL || maker->x509 == NULL)
        return false;

    X509 *x509 = maker->x509;
    return X509_set_version(x509, X509_VERSION_3) == 1 && set_serial(x509, options->library) &&
           set_times(x509, options) && set_subject(x509) &&
           X509_set_pubkey(x509, maker->key) == 1 &&
           add_extension(x509, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(x509, NID_key_usage, "critical,digitalSignature") &&
           add_extension(x509, NID_ext_key_usage, "serverAuth") &&
           add_extension(x509, NID_subject_alt_name, maker->names) &&
           X509_sign(x509, maker->key, EVP_sha256()) > 0;
}

/* ------------------------------------------------------------------ PEM */

/* Move the text in `bio` to `dst`, NUL-terminated. */
static bool take_text(BIO *bio, char *dst)
{
    int size = BIO_read(bio, dst, MR_CERTIFICATE_PEM_MAX - 1);

    if (size <= 0 || BIO_pending(bio) > 0)
        return false;
    dst[size] = '\0';
    return true;
}

static bool write_pem(const struct maker *maker, struct mr_certificate *certificate)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    bool is_written = bio != NULL && PEM_write_bio_X509(bio, maker->x509) == 1 &&
                      take_text(bio, certificate->certificate_pem) &&
                      PEM_write_bio_PrivateKey(bio, maker->key, NULL, NULL, 0, NULL, NULL) == 1 &&
                      take_text(bio, certificate->key_pem);

    BIO_free(bio);
    return is_written;
}

int mr_certificate_make(struct mr_certificate *certificate,
                        const struct mr_certificate_options *options, struct mr_fault *fault)
{
    struct maker maker = {.key = NULL};
    int result = list_names(&maker, options, fault);

    if (result == 0 && !(sign(&maker, options) && write_pem(&maker, certificate)))
        result = mr_fault_set(fault, EINVAL, "cannot make a certificate: %s",
                              ERR_reason_error_string(ERR_peek_error()));
    EVP_PKEY_free(maker.key);
    X509_free(maker.x509);
    ERR_clear_error();
    return result;
}

void mr_certificate_wipe(struct mr_certificate *certificate)
{
    OPENSSL_cleanse(certificate, sizeof(*certificate));
}

/* ------------------------------------------------------------------ files */

static int write_all(int fd, const char *text)
{
    size_t size = strlen(text);

    while (size > 0) {
        ssize_t written = write(fd, text, size);

        if (written < 0)
            return errno;
        text += written;
        size -= (size_t)written;
    }
    return 0;
}

static int write_file(const char *path, const char *text, mode_t mode, struct mr_fault *fault)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    int error = fd < 0 ? errno : 0;

    if (error == 0 && fchmod(fd, mode) != 0) /* the file may have been there before */
        error = errno;
    if (error == 0)
        error = write_all(fd, text);
    if (fd >= 0 && close(fd) != 0 && error == 0)
        error = errno;
    if (error != 0)
        return mr_fault_set(fault, error, "cannot write %s: %s; choose a folder you may write to",
                            path, strerror(error));
    return 0;
}

int mr_certificate_write(const struct mr_certificate *certificate, const char *certificate_path,
                         const char *key_path, struct mr_fault *fault)
{
    int result = write_file(key_path, certificate->key_pem, FILE_SECRET, fault);

    if (result == 0)
        result = write_file(certificate_path, certificate->certificate_pem, FILE_PUBLIC, fault);
    return result;
}
