#include "control/tls_context.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "control/early_data.h"

#define VERSION_NEEDED 0x30500000UL /* 3.5.0: the first with SSL_set_quic_tls_cbs() */
#define PEM_FILE_MAX   (4u << 20)   /* bytes; system bundles are 0.2 MB */
#define FLIGHT_REST    4096         /* bytes of a server's flight besides its certificates */
#define TICKETS_MAX    4

/* A PEM text and what to call it in messages. */
struct pem {
    const char *name;
    const char *text;
    char *file;    /* the text, when it came from a file: wiped and freed */
    void *library; /* that a key is to be read for */
};

int mr_tls_library_check(struct mr_fault *fault)
{
    if (OpenSSL_version_num() >= VERSION_NEEDED)
        return 0;
    return mr_fault_set(fault, ENOTSUP,
                        "this process runs with %s, which has no QUIC interface; install OpenSSL "
                        "3.5 or newer, or build millrace with its own (scripts/deps)",
                        OpenSSL_version(OPENSSL_VERSION));
}

void *mr_tls_library_new(void)
{
    return OSSL_LIB_CTX_new();
}

void mr_tls_library_free(void *library)
{
    OSSL_LIB_CTX_free(library);
}

/* The first cause on OpenSSL's error queue. */
static const char *cause(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_error());

    return reason != NULL ? reason : "no reason given";
}

/* ------------------------------------------------------------------ files */

/* Open a regular file: what comes from a pipe or a device might never come. */
static FILE *open_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat info;

    if (fd >= 0 && fstat(fd, &info) == 0 && !S_ISREG(info.st_mode)) {
        close(fd);
        errno = S_ISDIR(info.st_mode) ? EISDIR : ESPIPE;
        return NULL;
    }
    return fd < 0 ? NULL : fdopen(fd, "r");
}

static const char *remedy_of(int error)
{
    return error == EACCES                      ? "give this user the right to read it"
           : error == EISDIR || error == ESPIPE ? "it must be a PEM file, no pipe or device"
                                                : "check the path";
}

static int read_file(struct pem *pem, const char *path, struct mr_fault *fault)
{
    FILE *file = open_file(path);

    *pem = (struct pem){.name = path};
    if (file == NULL)
        return mr_fault_set(fault, errno, "cannot read %s: %s; %s", path,
                            errno == ESPIPE ? "no regular file" : strerror(errno),
                            remedy_of(errno));
    pem->file = calloc(1, PEM_FILE_MAX + 1);
    size_t size = pem->file == NULL ? 0 : fread(pem->file, 1, PEM_FILE_MAX, file);
    int error = pem->file == NULL      ? ENOMEM
                : ferror(file) != 0    ? EIO
                : size == PEM_FILE_MAX ? EFBIG
                                       : 0;

    fclose(file);
    pem->text = pem->file;
    if (error == 0)
        return 0;
    free(pem->file);
    pem->file = NULL;
    return mr_fault_set(fault, error, "cannot read %s: %s; it must be a PEM file", path,
                        strerror(error));
}

static int open_pem(struct pem *pem, const char *path, const char *text, const char *what,
                    struct mr_fault *fault)
{
    *pem = (struct pem){.name = what, .text = text};
    if (text != NULL)
        return 0;
    if (path == NULL)
        return mr_fault_set(fault, EINVAL, "no %s given; name its PEM file", what);
    return read_file(pem, path, fault);
}

static void close_pem(struct pem *pem)
{
    if (pem->file != NULL)
        OPENSSL_cleanse(pem->file, strlen(pem->file));
    free(pem->file);
}

/* ------------------------------------------------------------------ what both sides set */

static int set_lists(SSL_CTX *ctx, const char *groups, const char *ciphers, struct mr_fault *fault)
{
    groups = groups != NULL ? groups : MR_TLS_GROUPS;
    ciphers = ciphers != NULL ? ciphers : MR_TLS_CIPHERS;
    if (SSL_CTX_set1_groups_list(ctx, groups) != 1)
        return mr_fault_set(fault, EINVAL,
                            "TLS groups '%s': one is unknown; use names like X25519, P-256 or "
                            "X25519MLKEM768, with colons between",
                            groups);
    if (SSL_CTX_set_ciphersuites(ctx, ciphers) != 1)
        return mr_fault_set(fault, EINVAL, "TLS ciphers '%s': one is unknown; use some of %s",
                            ciphers, MR_TLS_CIPHERS);
    return 0;
}

static SSL_CTX *new_ctx(void *library, const SSL_METHOD *method, struct mr_fault *fault)
{
    SSL_CTX *ctx = SSL_CTX_new_ex(library, NULL, method);

    if (ctx != NULL && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1)
        return ctx;
    mr_fault_set(fault, ENOMEM, "OpenSSL cannot make a TLS context: %s", cause());
    SSL_CTX_free(ctx);
    return NULL;
}

void mr_tls_context_free(struct mr_tls_context *context)
{
    SSL_CTX_free(context->ssl_ctx);
    *context = (struct mr_tls_context){.ssl_ctx = NULL};
}

/* ------------------------------------------------------------------ server: certificate and key */

/* "2026-01-31 12:00 UTC", or "an unknown date". */
static const char *date(const ASN1_TIME *when, char *text, size_t room)
{
    struct tm tm;

    if (ASN1_TIME_to_tm(when, &tm) != 1)
        return "an unknown date";
    snprintf(text, room, "%04d-%02d-%02d %02d:%02d UTC", tm.tm_year + 1900, tm.tm_mon + 1,
             tm.tm_mday, tm.tm_hour, tm.tm_min);
    return text;
}

static int check_dates(X509 *certificate, const struct pem *pem, struct mr_fault *fault)
{
    char text[64];

    if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
        return mr_fault_set(fault, EINVAL, "%s: the certificate expired on %s; renew it", pem->name,
                            date(X509_get0_notAfter(certificate), text, sizeof(text)));
    if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)
        return mr_fault_set(
            fault, EINVAL, "%s: the certificate is not valid before %s; check this machine's clock",
            pem->name, date(X509_get0_notBefore(certificate), text, sizeof(text)));
    return 0;
}

/* A key on another curve could be loaded, and would fail every handshake (RFC 8446, Section 4.2.3;
 * RFC 8734). */
static int check_curve(X509 *certificate, const struct pem *pem, struct mr_fault *fault)
{
    static const char *const known[] = {"prime256v1",      "secp384r1",       "secp521r1",
                                        "brainpoolP256r1", "brainpoolP384r1", "brainpoolP512r1"};
    const EVP_PKEY *key = X509_get0_pubkey(certificate);
    char curve[64] = "";

    if (key == NULL || EVP_PKEY_get_base_id(key) != EVP_PKEY_EC)
        return 0;
    (void)EVP_PKEY_get_group_name(key, curve, sizeof(curve), NULL);
    for (size_t i = 0; i < MR_COUNT_OF(known); i++) {
        if (strcmp(curve, known[i]) == 0)
            return 0;
    }
    return mr_fault_set(fault, EINVAL,
                        "%s: TLS 1.3 has no signatures with a key on the curve %s; use ECDSA P-256 "
                        "or RSA of 2048 bits or more",
                        pem->name, curve[0] != '\0' ? curve : "that it names by its parameters");
}

/* Did the reader find what begins as it should, but cannot be read on? */
static bool is_damaged(void)
{
    unsigned long error = ERR_peek_last_error();

    return ERR_GET_LIB(error) != ERR_LIB_PEM || ERR_GET_REASON(error) != PEM_R_NO_START_LINE;
}

static int say_damaged(const struct pem *pem, const char *which, struct mr_fault *fault)
{
    return mr_fault_set(fault, EINVAL, "%s: the %s is damaged: %s; copy it again, as a whole",
                        pem->name, which, cause());
}

/* Use the first certificate in `bio`. */
static int use_leaf(SSL_CTX *ctx, BIO *bio, const struct pem *pem, bool allows_expired,
                    size_t *size_out, struct mr_fault *fault)
{
    X509 *certificate = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL);
    int result = 0;

    if (certificate == NULL && is_damaged())
        return say_damaged(pem, "certificate", fault);
    if (certificate == NULL)
        return mr_fault_set(fault, EINVAL,
                            "%s: holds no certificate in PEM form; it must begin with -----BEGIN "
                            "CERTIFICATE-----",
                            pem->name);
    if (!allows_expired)
        result = check_dates(certificate, pem, fault);
    if (result == 0)
        result = check_curve(certificate, pem, fault);
    if (result == 0 && SSL_CTX_use_certificate(ctx, certificate) != 1)
        result = mr_fault_set(fault, EINVAL,
                              "%s: OpenSSL refuses the certificate: %s; use ECDSA P-256 or RSA of "
                              "2048 bits or more",
                              pem->name, cause());
    *size_out = (size_t)i2d_X509(certificate, NULL);
    X509_free(certificate);
    return result;
}

/* Add the other certificates in `bio`. */
static int use_chain(SSL_CTX *ctx, BIO *bio, const struct pem *pem, size_t size,
                     struct mr_fault *fault)
{
    X509 *certificate;

    while ((certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        size += (size_t)i2d_X509(certificate, NULL);
        if (SSL_CTX_add0_chain_cert(ctx, certificate) != 1) {
            X509_free(certificate);
            return mr_fault_set(fault, EINVAL, "%s: OpenSSL refuses the chain: %s; check it",
                                pem->name, cause());
        }
    }
    if (is_damaged())
        return say_damaged(pem, "chain behind the first certificate", fault);
    ERR_clear_error(); /* the end of the text is an error to the reader */
    if (size > MR_TLS_OUTPUT_MAX - FLIGHT_REST)
        return mr_fault_set(fault, EINVAL,
                            "%s: the certificates are %zu bytes, too much for one flight of %d; "
                            "leave the root certificate out",
                            pem->name, size, MR_TLS_OUTPUT_MAX - FLIGHT_REST);
    return 0;
}

static int use_certificates(SSL_CTX *ctx, const struct pem *pem, bool allows_expired,
                            struct mr_fault *fault)
{
    BIO *bio = BIO_new_mem_buf(pem->text, -1);
    size_t size = 0;
    int result = bio == NULL ? mr_fault_set(fault, ENOMEM, "%s: out of memory", pem->name)
                             : use_leaf(ctx, bio, pem, allows_expired, &size, fault);

    if (result == 0)
        result = use_chain(ctx, bio, pem, size, fault);
    BIO_free(bio);
    return result;
}

/* OpenSSL asks for a passphrase: note it, and give none. */
static int on_passphrase(char *dst, int room, int is_writing, void *asked)
{
    (void)dst;
    (void)room;
    (void)is_writing;
    *(bool *)asked = true;
    return -1;
}

static EVP_PKEY *read_key(const struct pem *pem, struct mr_fault *fault)
{
    BIO *bio = BIO_new_mem_buf(pem->text, -1);
    bool was_asked = false;
    EVP_PKEY *key = bio == NULL ? NULL
                                : PEM_read_bio_PrivateKey_ex(bio, NULL, on_passphrase, &was_asked,
                                                             pem->library, NULL);

    BIO_free(bio);
    if (key == NULL && was_asked)
        mr_fault_set(
            fault, EINVAL,
            "%s: the key is protected by a passphrase; remove it: openssl pkey -in %s -out "
            "NEW",
            pem->name, pem->name);
    else if (key == NULL)
        mr_fault_set(fault, EINVAL,
                     "%s: holds no private key in PEM form; it must begin with -----BEGIN PRIVATE "
                     "KEY-----",
                     pem->name);
    return key;
}

static int use_key(SSL_CTX *ctx, const struct pem *pem, const struct pem *certificate,
                   struct mr_fault *fault)
{
    EVP_PKEY *key = read_key(pem, fault);
    int result = key == NULL ? -EINVAL : 0;

    if (key != NULL &&
        (SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1))
        result = mr_fault_set(fault, EINVAL,
                              "%s: the key does not belong to the certificate in %s; give the pair "
                              "that was made together",
                              pem->name, certificate->name);
    EVP_PKEY_free(key);
    return result;
}

static int use_pair(SSL_CTX *ctx, const struct mr_tls_server_config *config, struct mr_fault *fault)
{
    const struct mr_certificate *made = config->certificate;
    struct pem certificate = {.name = NULL};
    struct pem key = {.name = NULL};
    int result = open_pem(&certificate, config->certificate_path,
                          made != NULL ? made->certificate_pem : NULL, "certificate", fault);

    if (result == 0)
        result = open_pem(&key, config->key_path, made != NULL ? made->key_pem : NULL,
                          "private key", fault);
    key.library = config->library;
    if (result == 0)
        result = use_certificates(ctx, &certificate, config->allows_expired, fault);
    if (result == 0)
        result = use_key(ctx, &key, &certificate, fault);
    close_pem(&certificate);
    close_pem(&key);
    return result;
}

/* ------------------------------------------------------------------ server */

/* Copy the protocols, if they are a list in wire form. */
static int set_alpn(struct mr_tls_context *context, const struct mr_tls_server_config *config,
                    struct mr_fault *fault)
{
    size_t at = 0;

    while (at < config->alpn_size && config->alpn[at] != 0)
        at += 1u + config->alpn[at];
    if (at != config->alpn_size || at == 0 || at > MR_TLS_ALPN_MAX)
        return mr_fault_set(fault, EINVAL,
                            "the list of protocols (ALPN) is malformed; write each as a length "
                            "byte and its name, 255 bytes in all");
    memcpy(context->alpn, config->alpn, at);
    context->alpn_size = (uint8_t)at;
    return 0;
}

/*
 * Tickets hold all a server needs, so that any process with the keys can resume.  Anti-replay would
 * make them entries of one context's cache instead.
 */
static int set_tickets(SSL_CTX *ctx, const struct mr_tls_server_config *config,
                       struct mr_fault *fault)
{
    static const unsigned char name[] = "millrace";
    unsigned char keys[MR_TICKET_KEYS_SIZE];

    SSL_CTX_set_options(ctx, SSL_OP_NO_ANTI_REPLAY);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_session_id_context(ctx, name, sizeof(name) - 1);
    if (config->tickets > TICKETS_MAX)
        return mr_fault_set(fault, EINVAL, "%u tickets per handshake are too many; at most %d",
                            config->tickets, TICKETS_MAX);
    SSL_CTX_set_num_tickets(ctx, config->tickets);
    if (config->has_early_data)
        SSL_CTX_set_max_early_data(ctx, UINT32_MAX); /* RFC 9001, Section 4.6.1 */
    if (config->ticket_keys == NULL)
        return 0;

    memcpy(keys, config->ticket_keys, sizeof(keys));
    long is_set = SSL_CTX_set_tlsext_ticket_keys(ctx, keys, sizeof(keys));
    OPENSSL_cleanse(keys, sizeof(keys));
    return is_set == 1
               ? 0
               : mr_fault_set(fault, EINVAL, "OpenSSL refuses the ticket keys: %s", cause());
}

int mr_tls_context_server(struct mr_tls_context *context, const struct mr_tls_server_config *config,
                          struct mr_fault *fault)
{
    ERR_clear_error();
    SSL_CTX *ctx = new_ctx(config->library, TLS_server_method(), fault);

    *context = (struct mr_tls_context){
        .ssl_ctx = ctx,
        .role = MR_SERVER,
        .has_keylog = config->has_keylog,
        .has_early_data = config->has_early_data,
        .replay = config->replay,
        .clock = mr_early_data_clock,
    };
    if (ctx == NULL)
        return -ENOMEM;

    int result = set_lists(ctx, config->groups, config->ciphers, fault);
    if (result == 0)
        result = set_alpn(context, config, fault);
    if (result == 0)
        result = use_pair(ctx, config, fault);
    if (result == 0)
        result = set_tickets(ctx, config, fault);
    if (result == 0)
        mr_tls_context_attach(context);
    else
        mr_tls_context_free(context);
    ERR_clear_error();
    return result;
}

void mr_tls_context_fingerprint(const struct mr_tls_context *context,
                                char text_out[MR_FINGERPRINT_TEXT])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    const X509 *certificate = SSL_CTX_get0_certificate(context->ssl_ctx);

    if (certificate == NULL || X509_digest(certificate, EVP_sha256(), digest, &size) != 1)
        size = 0;
    for (unsigned int i = 0; i < size; i++) {
        text_out[2 * i] = digits[digest[i] >> 4];
        text_out[2 * i + 1] = digits[digest[i] & 15];
    }
    text_out[2 * size] = '\0';
}

/* ------------------------------------------------------------------ client */

/* Trust every certificate in `pem`. */
static int trust_text(SSL_CTX *ctx, const struct pem *pem, struct mr_fault *fault)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    BIO *bio = BIO_new_mem_buf(pem->text, -1);
    X509 *certificate;
    uint32_t count = 0;

    while (bio != NULL && (certificate = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL)) != NULL) {
        count += X509_STORE_add_cert(store, certificate) == 1;
        X509_free(certificate);
    }
    BIO_free(bio);
    ERR_clear_error();
    if (count == 0)
        return mr_fault_set(fault, EINVAL,
                            "%s: holds no certificate in PEM form; it must contain -----BEGIN "
                            "CERTIFICATE-----",
                            pem->name);
    return 0;
}

/* "0123abcd.0": how OpenSSL finds a certificate in a folder. */
static bool is_hashed_name(const char *name)
{
    return strspn(name, "0123456789abcdef") == 8 && name[8] == '.' && name[9] >= '0' &&
           name[9] <= '9';
}

/* Is there a certificate that OpenSSL would find in the folder? */
static bool has_hashed_name(const char *path)
{
    DIR *dir = opendir(path);
    bool is_found = false;

    for (const struct dirent *entry; dir != NULL && !is_found && (entry = readdir(dir)) != NULL;)
        is_found = is_hashed_name(entry->d_name);
    if (dir != NULL)
        closedir(dir);
    return is_found;
}

static int trust_path(SSL_CTX *ctx, const char *path, struct mr_fault *fault)
{
    struct stat info;
    struct pem pem;

    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        if (!has_hashed_name(path))
            return mr_fault_set(fault, EINVAL,
                                "%.80s: a directory without certificates under hashed names; name "
                                "a PEM file, or run: openssl rehash %.80s",
                                path, path);
        if (X509_STORE_load_path(SSL_CTX_get_cert_store(ctx), path) == 1)
            return 0;
        return mr_fault_set(fault, EINVAL, "%s: OpenSSL cannot use this folder: %s", path, cause());
    }
    int result = read_file(&pem, path, fault);
    if (result == 0)
        result = trust_text(ctx, &pem, fault);
    close_pem(&pem);
    return result;
}

/* Where distributions keep the certificates they trust; a static OpenSSL knows only its own prefix.
 */
static int trust_system(SSL_CTX *ctx, struct mr_fault *fault)
{
    const char *const places[] = {
        getenv("SSL_CERT_FILE"),              /* OpenSSL's own convention */
        getenv("SSL_CERT_DIR"),               /* ditto */
        "/etc/ssl/certs/ca-certificates.crt", /* Debian, Ubuntu, Arch */
        "/etc/pki/tls/certs/ca-bundle.crt",   /* Fedora, RHEL */
        "/etc/ssl/ca-bundle.pem",             /* SUSE */
        "/etc/ssl/cert.pem",                  /* Alpine */
    };

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        if (places[i] != NULL && access(places[i], R_OK) == 0)
            return trust_path(ctx, places[i], fault);
    return mr_fault_set(fault, ENOENT,
                        "this system has no list of trusted certificates; install the package "
                        "ca-certificates, or name a file of certificates to trust");
}

static int trust(SSL_CTX *ctx, const struct mr_tls_client_config *config, struct mr_fault *fault)
{
    const struct pem text = {.name = "trusted certificates", .text = config->ca_pem};

    if (config->ca_path != NULL)
        return trust_path(ctx, config->ca_path, fault);
    if (config->ca_pem != NULL)
        return trust_text(ctx, &text, fault);
    if (config->is_insecure)
        return 0;
    return trust_system(ctx, fault);
}

int mr_tls_context_client(struct mr_tls_context *context, const struct mr_tls_client_config *config,
                          struct mr_fault *fault)
{
    ERR_clear_error();
    SSL_CTX *ctx = new_ctx(config->library, TLS_client_method(), fault);

    *context = (struct mr_tls_context){
        .ssl_ctx = ctx,
        .role = MR_CLIENT,
        .has_keylog = config->has_keylog,
        .has_early_data = config->has_early_data,
    };
    if (ctx == NULL)
        return -ENOMEM;

    int result = set_lists(ctx, config->groups, config->ciphers, fault);
    if (result == 0)
        result = trust(ctx, config, fault);
    if (result == 0)
        mr_tls_context_attach(context);
    else
        mr_tls_context_free(context);
    ERR_clear_error();
    return result;
}
