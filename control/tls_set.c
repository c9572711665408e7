#include "control/tls_set.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "base/crossing.h"
#include "base/log.h"
#include "control/ocsp.h"
#include "control/ticket_keys.h"
#include "control/tls_offers.h"
#include "quic/tls_internal.h"

#define SECOND         UINT64_C(1000000000)
#define IV_SIZE        16
#define SUBKEY         32 /* bytes of the keys behind a ticket key's name */
#define TICKET_OK      1  /* what OpenSSL's callback returns */
#define TICKET_OLD     2  /* the same, with an earlier key: another ticket is wanted */
#define TICKET_UNKNOWN 0
#define TICKET_ERROR   (-1)

/* What shows that a file is another one. */
struct identity {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified;
    struct timespec changed;
};

_Static_assert(sizeof(struct identity) == 3 * 8 + 2 * 16, "compared as bytes: no padding");

/* One certificate, and the names that it is for. */
struct site {
    SSL_CTX *ctx;
    uint32_t name_count;
    char names[MR_CONFIG_NAMES][MR_LISTENER_SERVER];
    uint32_t alpn_count; /* 0: whatever the client offers; else one of these */
    char alpn[MR_CONFIG_ALPN][MR_ATTACH_NAME];
    bool has_early_data;
    int64_t ocsp_until_s;     /* its response is stapled until then; 0: none is */
    struct identity files[3]; /* certificate, key and response, as they were last read */
};

/* Never changes once it is published. */
struct version {
    struct version *next; /* of those replaced */
    uint8_t unknown_name;
    struct mr_tls_protocols protocols;
    uint32_t site_count;
    struct site sites[MR_CONFIG_CERTIFICATES];
};

struct keys_version {
    struct keys_version *next;
    struct mr_ticket_keys keys;
};

struct mr_tls_set {
    struct mr_tls_context front; /* what endpoints have */
    _Atomic(struct version *) current;
    _Atomic(struct keys_version *) keys;
    atomic_uint readers; /* threads between enter() and leave() */
    struct version *retired;
    struct keys_version *retired_keys;
    EVP_CIPHER *ticket_cipher;
    struct mr_tls_set_config config; /* its pointers are to the two below, or NULL */
    struct mr_config_tls tls;
    struct mr_handoff handoff;
    struct identity key_file;
    int64_t rotated_s;  /* when the newest key was made */
    int64_t watched_s;  /* when files were last looked at */
    int64_t old_ocsp_s; /* responses that ended before have been warned of */
};

/* ------------------------------------------------------------------ readers */

/*
 * Between enter() and leave() nothing that `current` and `keys` point at is freed.  All of this is
 * sequentially consistent: whoever enters after the control thread saw no reader reads a pointer
 * that was published before.
 */
static void enter(struct mr_tls_set *set)
{
    MR_CROSSING(exchanges, 1);
    atomic_fetch_add(&set->readers, 1); /* pairs with the load in free_retired() */
}

static void leave(struct mr_tls_set *set)
{
    MR_CROSSING(exchanges, 1);
    atomic_fetch_sub(&set->readers, 1);
}

/* By its own name: a suppression of the thread sanitizer in tests/unit/test_tls_set.c. */
MR_COLD static void free_sites(struct version *version)
{
    for (uint32_t i = 0; i < version->site_count; i++) {
        struct mr_tls_context context = {.ssl_ctx = version->sites[i].ctx};

        mr_tls_context_free(&context);
    }
}

static void free_version(struct version *version)
{
    if (version != NULL)
        free_sites(version);
    free(version);
}

static void free_keys(struct keys_version *keys)
{
    if (keys != NULL)
        mr_ticket_keys_wipe(&keys->keys);
    free(keys);
}

/* Free what was replaced, unless somebody may still read it. */
static void free_retired(struct mr_tls_set *set)
{
    if (atomic_load(&set->readers) != 0) /* pairs with enter() */
        return;
    while (set->retired != NULL) {
        struct version *next = set->retired->next;

        free_version(set->retired);
        set->retired = next;
    }
    while (set->retired_keys != NULL) {
        struct keys_version *next = set->retired_keys->next;

        free_keys(set->retired_keys);
        set->retired_keys = next;
    }
}

static void publish(struct mr_tls_set *set, struct version *version)
{
    struct version *old = atomic_exchange(&set->current, version);

    if (old != NULL) {
        old->next = set->retired;
        set->retired = old;
    }
    free_retired(set);
}

static void publish_keys(struct mr_tls_set *set, struct keys_version *keys)
{
    struct keys_version *old = atomic_exchange(&set->keys, keys);

    if (old != NULL) {
        old->next = set->retired_keys;
        set->retired_keys = old;
    }
    free_retired(set);
}

uint32_t mr_tls_set_retired_count(const struct mr_tls_set *set)
{
    uint32_t count = 0;

    for (const struct version *v = set->retired; v != NULL; v = v->next)
        count++;
    for (const struct keys_version *k = set->retired_keys; k != NULL; k = k->next)
        count++;
    return count;
}

/* ------------------------------------------------------------------ in handshakes: the site */

static bool is_offered(SSL *ssl, const struct site *site)
{
    bool is_any = site->alpn_count == 0;

    for (uint32_t i = 0; i < site->alpn_count && !is_any; i++)
        is_any = mr_tls_client_offers(ssl, site->alpn[i]);
    return is_any;
}

/* The first site of a name whose protocols the client offers; NULL: there is none. */
static const struct site *find_site(SSL *ssl, const struct version *version, const char *name)
{
    const struct site *wildcard = NULL;

    for (uint32_t s = 0; s < version->site_count; s++) {
        const struct site *site = &version->sites[s];

        for (uint32_t n = 0; n < site->name_count; n++) {
            bool is_exact = strcasecmp(site->names[n], name) == 0;

            if ((!is_exact &&
                 (wildcard != NULL || !mr_server_name_matches(site->names[n], name))) ||
                !is_offered(ssl, site))
                continue;
            if (is_exact)
                return site;
            wildcard = site;
        }
    }
    return wildcard;
}

static bool use_site(SSL *ssl, const struct site *site)
{
    if (!site->has_early_data) /* its tickets offer no 0-RTT, and none is taken */
        SSL_set_max_early_data(ssl, 0);
    return SSL_set_SSL_CTX(ssl, site->ctx) != NULL;
}

/* OpenSSL has got a ClientHello. */
static int on_client_hello(SSL *ssl, int *alert, void *argument)
{
    mr_tls_note_offers(ssl);
    return mr_tls_on_client_hello(ssl, alert, argument);
}

/* OpenSSL has read a ClientHello's server name, or found none. */
static int on_server_name(SSL *ssl, int *alert, void *argument)
{
    struct mr_tls_set *set = argument;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    int result = SSL_TLSEXT_ERR_OK;

    enter(set);
    const struct version *version = atomic_load(&set->current);
    const struct site *site = name != NULL ? find_site(ssl, version, name) : NULL;

    if (site == NULL && version->unknown_name != 0) {
        mr_tls_explain(SSL_get_app_data(ssl), "no certificate for the server name \"%s\"",
                       name != NULL ? name : "");
        *alert = SSL_AD_UNRECOGNIZED_NAME;
        result = SSL_TLSEXT_ERR_ALERT_FATAL;
    } else if (!use_site(ssl, site != NULL ? site : &version->sites[0])) {
        *alert = SSL_AD_INTERNAL_ERROR;
        result = SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    leave(set);
    return result;
}

/* ------------------------------------------------------------------ in handshakes: the protocol */

static int on_alpn(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_size,
                   const unsigned char *offers, unsigned offers_size, void *argument)
{
    struct mr_tls_set *set = argument;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    const unsigned char *offer;

    enter(set);
    offer = mr_tls_choose_offer(&atomic_load(&set->current)->protocols, name != NULL ? name : "",
                                offers, offers_size);
    leave(set);
    if (offer == NULL) {
        mr_tls_explain(SSL_get_app_data(ssl),
                       "the client offers no protocol that this server name speaks (ALPN)");
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *chosen = offer + 1;
    *chosen_size = *offer;
    return SSL_TLSEXT_ERR_OK;
}

/* ------------------------------------------------------------------ in handshakes: tickets */

static bool use_mac_key(EVP_MAC_CTX *mac, uint8_t *key)
{
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key, SUBKEY),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

static int seal_ticket(const struct mr_tls_set *set, const struct mr_ticket_keys *keys,
                       unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                       EVP_MAC_CTX *mac)
{
    uint8_t key[MR_TICKET_KEYS_SIZE];

    memcpy(key, keys->key[0], sizeof(key));
    memcpy(name, key, MR_TICKET_KEY_NAME);
    bool is_set = RAND_bytes(iv, IV_SIZE) == 1 && use_mac_key(mac, key + MR_TICKET_KEY_NAME) &&
                  EVP_EncryptInit_ex2(cipher, set->ticket_cipher, key + MR_TICKET_KEY_NAME + SUBKEY,
                                      iv, NULL) == 1;
    OPENSSL_cleanse(key, sizeof(key));
    return is_set ? TICKET_OK : TICKET_ERROR;
}

static int open_ticket(const struct mr_tls_set *set, const struct mr_ticket_keys *keys,
                       const unsigned char *name, const unsigned char *iv, EVP_CIPHER_CTX *cipher,
                       EVP_MAC_CTX *mac)
{
    uint32_t number = mr_ticket_keys_find(keys, name);
    uint8_t key[MR_TICKET_KEYS_SIZE];

    if (number == MR_TICKET_KEYS_MAX)
        return TICKET_UNKNOWN;
    memcpy(key, keys->key[number], sizeof(key));
    bool is_set = use_mac_key(mac, key + MR_TICKET_KEY_NAME) &&
                  EVP_DecryptInit_ex2(cipher, set->ticket_cipher, key + MR_TICKET_KEY_NAME + SUBKEY,
                                      iv, NULL) == 1;
    OPENSSL_cleanse(key, sizeof(key));
    return !is_set ? TICKET_ERROR : number == 0 ? TICKET_OK : TICKET_OLD;
}

/* Both directions of a ticket; what is returned is OpenSSL's. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int is_sealing)
{
    const struct mr_tls *tls = SSL_get_app_data(ssl);
    struct mr_tls_set *set = MR_CONTAINER_OF((uintptr_t)tls->context, struct mr_tls_set, front);

    enter(set);
    const struct mr_ticket_keys *keys = &atomic_load(&set->keys)->keys;
    int result = is_sealing ? seal_ticket(set, keys, name, iv, cipher, mac)
                            : open_ticket(set, keys, name, iv, cipher, mac);
    leave(set);
    return result;
}

/* ------------------------------------------------------------------ making sites */

static void read_identity(const char *path, struct identity *out)
{
    struct stat info;

    memset(out, 0, sizeof(*out));
    if (stat(path, &info) != 0)
        return;
    out->device = info.st_dev;
    out->inode = info.st_ino;
    out->size = info.st_size;
    out->modified = info.st_mtim;
    out->changed = info.st_ctim;
}

/* Build the context of certificate `number` of the configuration. */
static bool make_context(struct mr_tls_set *set, const struct mr_tls_set_config *config,
                         uint32_t number, struct mr_tls_context *context_out,
                         struct mr_fault *fault)
{
    uint8_t alpn[MR_TLS_ALPN_MAX];
    const struct mr_config_certificate *certificate = &config->tls->certificates[number];
    bool is_made = config->tls->certificate_count == 0;
    struct mr_tls_server_config server = {
        .certificate_path = is_made ? NULL : certificate->certificate,
        .key_path = is_made ? NULL : certificate->key,
        .certificate = is_made ? config->made : NULL,
        .alpn = alpn,
        .alpn_size = mr_tls_protocols_wire(config->handoff, alpn),
        .tickets = config->tls->tickets,
        .allows_expired = config->allows_expired,
        .has_early_data = config->has_early_data,
        .replay = config->replay,
        .has_keylog = config->has_keylog,
    };

    if (server.alpn_size == 0) {
        mr_fault_set(fault, EINVAL, "no listener names a protocol (ALPN); give one, like alpn: h3");
        return false;
    }
    if (mr_tls_context_server(context_out, &server, fault) != 0)
        return false;
    SSL_CTX_set_alpn_select_cb(context_out->ssl_ctx, on_alpn, set);
    return true;
}

/* A response that cannot be stapled is no reason to serve nobody. */
static void staple(const struct mr_tls_context *context, const char *path, struct site *site)
{
    struct mr_fault fault = {0};

    site->ocsp_until_s = 0;
    if (mr_ocsp_staple(context, path, (int64_t)time(NULL), &site->ocsp_until_s, &fault) != 0)
        mr_log(MR_LOG_WARN, "no OCSP response is stapled: %s", fault.text);
}

/* Read a certificate into a site that has its names. */
static bool fill_site(struct mr_tls_set *set, const struct mr_tls_set_config *config,
                      uint32_t number, struct site *site, struct mr_fault *fault)
{
    const struct mr_config_certificate *certificate = &config->tls->certificates[number];
    struct mr_tls_context context;

    if (config->tls->certificate_count > 0) { /* before it is read: what changes then is seen */
        read_identity(certificate->certificate, &site->files[0]);
        read_identity(certificate->key, &site->files[1]);
        read_identity(certificate->ocsp, &site->files[2]);
    }
    if (!make_context(set, config, number, &context, fault))
        return false;
    site->ctx = context.ssl_ctx;
    if (config->tls->certificate_count > 0 && certificate->ocsp[0] != '\0')
        staple(&context, certificate->ocsp, site);
    return true;
}

static struct version *new_version(const struct mr_config_tls *tls,
                                   const struct mr_handoff *handoff)
{
    struct version *version = calloc(1, sizeof(*version));

    if (version == NULL)
        return NULL;
    version->unknown_name = tls->unknown_name;
    mr_tls_protocols_list(handoff, &version->protocols);
    version->site_count = MR_MAX(tls->certificate_count, 1u);
    version->sites[0].has_early_data = true; /* of one that was made; else the table says it */
    for (uint32_t i = 0; i < tls->certificate_count; i++) {
        version->sites[i].name_count = tls->certificates[i].name_count;
        memcpy(version->sites[i].names, tls->certificates[i].names,
               sizeof(version->sites[i].names));
        version->sites[i].alpn_count = tls->certificates[i].alpn_count;
        memcpy(version->sites[i].alpn, tls->certificates[i].alpn, sizeof(version->sites[i].alpn));
        version->sites[i].has_early_data = tls->certificates[i].has_early_data;
    }
    return version;
}

static struct version *make_version(struct mr_tls_set *set, const struct mr_tls_set_config *config,
                                    struct mr_fault *fault)
{
    struct version *version = new_version(config->tls, config->handoff);
    bool is_good = version != NULL;

    if (!is_good)
        mr_fault_set(fault, ENOMEM, "out of memory for TLS contexts");
    for (uint32_t i = 0; is_good && i < version->site_count; i++)
        is_good = fill_site(set, config, i, &version->sites[i], fault);
    if (is_good)
        return version;
    free_version(version);
    return NULL;
}

/* ------------------------------------------------------------------ keys of tickets */

static bool set_keys(struct mr_tls_set *set, const struct mr_ticket_keys *keys,
                     struct mr_fault *fault)
{
    struct keys_version *fresh = calloc(1, sizeof(*fresh));

    if (fresh == NULL) {
        mr_fault_set(fault, ENOMEM, "out of memory for keys of tickets");
        return false;
    }
    fresh->keys = *keys;
    publish_keys(set, fresh);
    return true;
}

/* Take the file's keys if it is another file than it was. */
static bool read_key_file(struct mr_tls_set *set, struct mr_fault *fault)
{
    struct mr_ticket_keys keys = {0};
    struct identity now;

    read_identity(set->tls.ticket_key_file, &now);
    if (memcmp(&now, &set->key_file, sizeof(now)) == 0)
        return true;
    set->key_file = now; /* a broken one is complained of once */
    set->rotated_s = now.modified.tv_sec;
    bool is_good = mr_ticket_keys_read(&keys, set->tls.ticket_key_file, fault) == 0 &&
                   set_keys(set, &keys, fault);
    mr_ticket_keys_wipe(&keys);
    return is_good;
}

/* A new key in the file, if that is older than `since_s`; and whatever keys are there now. */
static bool renew_key_file(struct mr_tls_set *set, int64_t since_s, struct mr_fault *fault)
{
    struct mr_ticket_keys keys = {0};
    int result = mr_ticket_keys_renew(&keys, set->tls.ticket_key_file, set->tls.ticket_keys_kept,
                                      since_s, fault);

    mr_ticket_keys_wipe(&keys);
    return result >= 0 && read_key_file(set, fault);
}

static bool rotate_in_memory(struct mr_tls_set *set, struct mr_fault *fault, int64_t now_s)
{
    const struct keys_version *old = atomic_load(&set->keys);
    struct mr_ticket_keys keys = old != NULL ? old->keys : (struct mr_ticket_keys){0};
    bool is_good = mr_ticket_keys_rotate(&keys, set->tls.ticket_keys_kept, fault) == 0 &&
                   set_keys(set, &keys, fault);

    mr_ticket_keys_wipe(&keys);
    set->rotated_s = now_s;
    return is_good;
}

bool mr_tls_set_rotate(struct mr_tls_set *set, struct mr_fault *fault, int64_t now_s)
{
    if (set->tls.ticket_key_file[0] == '\0')
        return rotate_in_memory(set, fault, now_s);
    return renew_key_file(set, INT64_MAX, fault);
}

/* The keys to begin with. */
static bool make_keys(struct mr_tls_set *set, struct mr_fault *fault, int64_t now_s)
{
    if (set->tls.ticket_key_file[0] == '\0')
        return rotate_in_memory(set, fault, now_s);
    if (!renew_key_file(set, INT64_MIN, fault))
        return false;
    if (atomic_load(&set->keys) != NULL)
        return true;
    mr_fault_set(fault, EAGAIN, "%s: another process is making it; try again",
                 set->tls.ticket_key_file);
    return false;
}

static bool poll_keys(struct mr_tls_set *set, struct mr_fault *fault, int64_t now_s)
{
    int64_t interval_s = (int64_t)(set->tls.ticket_rotation_ns / SECOND);
    bool has_file = set->tls.ticket_key_file[0] != '\0';

    if (has_file && !read_key_file(set, fault))
        return false;
    if (set->tls.ticket_rotation_ns == 0 || now_s - set->rotated_s < interval_s)
        return true;
    return has_file ? renew_key_file(set, now_s - interval_s + 1, fault)
                    : rotate_in_memory(set, fault, now_s);
}

/* ------------------------------------------------------------------ life */

/* Copy what the configuration points at. */
static void keep_config(struct mr_tls_set *set, const struct mr_tls_set_config *config)
{
    set->tls = *config->tls;
    set->handoff = *config->handoff;
    set->config.tls = &set->tls;
    set->config.handoff = &set->handoff;
    set->config.allows_expired = config->allows_expired;
}

/* What endpoints get: everything but the choice of a site, which its callback makes. */
static bool make_front(struct mr_tls_set *set, const struct mr_tls_set_config *config,
                       struct mr_fault *fault)
{
    set->ticket_cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    if (set->ticket_cipher == NULL) {
        mr_fault_set(fault, ENOMEM, "out of memory for TLS contexts");
        return false;
    }
    if (!make_context(set, config, 0, &set->front, fault))
        return false;

    SSL_CTX *ctx = set->front.ssl_ctx;
    SSL_CTX_set_client_hello_cb(ctx, on_client_hello, NULL);
    SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
    SSL_CTX_set_tlsext_servername_arg(ctx, set);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
    return true;
}

struct mr_tls_set *mr_tls_set_make(const struct mr_tls_set_config *config, struct mr_fault *fault,
                                   int64_t now_s)
{
    struct mr_tls_set *set = calloc(1, sizeof(*set));
    struct version *version;

    if (set == NULL) {
        mr_fault_set(fault, ENOMEM, "out of memory for TLS contexts");
        return NULL;
    }
    set->config = *config;
    keep_config(set, config);
    set->config.made = NULL;
    set->watched_s = now_s;
    if (make_front(set, config, fault) && make_keys(set, fault, now_s)) {
        version = make_version(set, config, fault);
        if (version != NULL) {
            publish(set, version);
            return set;
        }
    }
    mr_tls_set_free(set);
    return NULL;
}

void mr_tls_set_free(struct mr_tls_set *set)
{
    if (set == NULL)
        return;
    MR_ASSERT(atomic_load(&set->readers) == 0);
    free_retired(set);
    free_version(atomic_load(&set->current));
    free_keys(atomic_load(&set->keys));
    mr_tls_context_free(&set->front);
    EVP_CIPHER_free(set->ticket_cipher);
    free(set);
}

const struct mr_tls_context *mr_tls_set_context(const struct mr_tls_set *set)
{
    return &set->front;
}

uint32_t mr_tls_set_count(const struct mr_tls_set *set)
{
    return atomic_load(&set->current)->site_count;
}

void mr_tls_set_fingerprint(const struct mr_tls_set *set, uint32_t index,
                            char text_out[MR_FINGERPRINT_TEXT])
{
    const struct version *version = atomic_load(&set->current);
    const struct mr_tls_context context = {.ssl_ctx = version->sites[index].ctx};

    MR_ASSERT(index < version->site_count);
    mr_tls_context_fingerprint(&context, text_out);
}

/* ------------------------------------------------------------------ reload */

static bool has_changed(const struct mr_config_certificate *certificate, const struct site *site)
{
    struct identity now[3];

    read_identity(certificate->certificate, &now[0]);
    read_identity(certificate->key, &now[1]);
    read_identity(certificate->ocsp, &now[2]);
    return memcmp(now, site->files, sizeof(now)) != 0;
}

/* Make site `number` of the next version: read again, or as it was. */
static bool reload_site(struct mr_tls_set *set, uint32_t number, const struct site *old,
                        struct site *site, struct mr_fault *fault)
{
    const struct mr_config_certificate *certificate = &set->tls.certificates[number];

    if (fill_site(set, &set->config, number, site, fault)) /* notes the files even if it fails */
        return true;
    mr_fault_add_context(fault, 0, "%s stays as it was", certificate->certificate);
    SSL_CTX_up_ref(old->ctx);
    site->ctx = old->ctx;
    site->ocsp_until_s = old->ocsp_until_s;
    return false;
}

bool mr_tls_set_reload(struct mr_tls_set *set, bool is_forced, struct mr_tls_reload *result_out,
                       struct mr_fault *fault)
{
    const struct version *old = atomic_load(&set->current);
    struct mr_fault later;
    struct version *version;

    *result_out = (struct mr_tls_reload){0};
    if (set->tls.certificate_count == 0)
        return true;
    version = new_version(&set->tls, &set->handoff);
    if (version == NULL) {
        mr_fault_set(fault, ENOMEM, "out of memory for TLS contexts");
        return false;
    }
    for (uint32_t i = 0; i < version->site_count; i++) {
        struct site *site = &version->sites[i];

        if (!is_forced && !has_changed(&set->tls.certificates[i], &old->sites[i])) {
            SSL_CTX_up_ref(old->sites[i].ctx);
            *site = old->sites[i];
        } else if (reload_site(set, i, &old->sites[i], site,
                               result_out->failed == 0 ? fault : &later)) {
            result_out->replaced++;
        } else {
            result_out->failed++;
        }
    }
    if (result_out->replaced + result_out->failed > 0)
        publish(set, version);
    else
        free_version(version);
    return result_out->failed == 0;
}

bool mr_tls_set_update(struct mr_tls_set *set, const struct mr_tls_set_config *config,
                       struct mr_fault *fault)
{
    struct mr_tls_set_config next = set->config;
    struct version *version;

    next.tls = config->tls;
    next.handoff = config->handoff;
    next.allows_expired = config->allows_expired;
    if (config->tls->certificate_count == 0) {
        mr_fault_set(fault, EINVAL, "no certificate is left; name one, or start again");
        return false;
    }
    version = make_version(set, &next, fault);
    if (version == NULL)
        return false;
    keep_config(set, config);
    publish(set, version);
    return true;
}

/* Said once of each. */
static void warn_of_old_responses(struct mr_tls_set *set, int64_t now_s)
{
    const struct version *version = atomic_load(&set->current);

    for (uint32_t i = 0; i < version->site_count; i++) {
        int64_t until_s = version->sites[i].ocsp_until_s;

        if (until_s != 0 && until_s <= now_s && until_s > set->old_ocsp_s)
            mr_log(MR_LOG_WARN, "%s: is too old, and not stapled any more; fetch a new one",
                   set->tls.certificates[i].ocsp);
    }
    set->old_ocsp_s = now_s;
}

bool mr_tls_set_poll(struct mr_tls_set *set, struct mr_fault *fault, int64_t now_s)
{
    struct mr_tls_reload result;
    bool is_good;

    free_retired(set);
    is_good = poll_keys(set, fault, now_s);
    if (set->tls.watch_ns == 0 ||
        now_s - set->watched_s < (int64_t)((set->tls.watch_ns + SECOND - 1) / SECOND))
        return is_good;
    set->watched_s = now_s;
    warn_of_old_responses(set, now_s);
    return mr_tls_set_reload(set, false, &result, fault) && is_good;
}
