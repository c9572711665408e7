/*
 * tests/unit/test_tls_policy.c - what the table of certificates says, by handshakes with OpenSSL's
 * client: by name and protocol, with 0-RTT or without, with an OCSP response or without.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/log.h"
#include "control/ocsp.h"
#include "control/tls_set.h"
#include "tests/tls_pair.h"
#include "tests/unit/harness.h"

#define SITES 3

/* A certificate of a test's, and who has signed it. */
struct pair {
    X509 *certificate;
    EVP_PKEY *key;
};

static char folder[64];
static struct pair authority;
static struct pair site[SITES];
static struct mr_config_tls tls;
static struct mr_handoff handoff;
static struct mr_tls_set *set;
static struct mr_fault fault;

/* ------------------------------------------------------------------ certificates */

static void set_name(X509_NAME *name, const char *text)
{
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)text, -1, -1, 0);
}

static void add_extension(X509 *certificate, int kind, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, kind, value);

    CU_ASSERT_PTR_NOT_NULL_FATAL(extension);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

/* Signed by `by`; NULL: by itself. */
static struct pair make_pair(const char *name, const struct pair *by, long serial)
{
    struct pair p = {.certificate = X509_new(), .key = EVP_EC_gen("P-256")};
    char names[128];

    X509_set_version(p.certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(p.certificate), serial);
    X509_gmtime_adj(X509_getm_notBefore(p.certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(p.certificate), 86400);
    X509_set_pubkey(p.certificate, p.key);
    set_name(X509_get_subject_name(p.certificate), name);
    X509_set_issuer_name(p.certificate,
                         X509_get_subject_name(by != NULL ? by->certificate : p.certificate));
    snprintf(names, sizeof(names), "DNS:%s", name);
    add_extension(p.certificate, NID_basic_constraints, by == NULL ? "CA:TRUE" : "CA:FALSE");
    add_extension(p.certificate, NID_subject_alt_name, names);
    CU_ASSERT_FATAL(X509_sign(p.certificate, by != NULL ? by->key : p.key, EVP_sha256()) > 0);
    return p;
}

static void free_pair(struct pair *p)
{
    X509_free(p->certificate);
    EVP_PKEY_free(p->key);
}

static void path_of(int number, const char *ending, char text[MR_CONFIG_PATH])
{
    snprintf(text, MR_CONFIG_PATH, "%s/%d.%s", folder, number, ending);
}

/* The site's files; `has_chain`: its issuer is in them. */
static void write_pair(int number, bool has_chain)
{
    struct mr_config_certificate *c = &tls.certificates[number];

    path_of(number, "pem", c->certificate);
    path_of(number, "key", c->key);
    FILE *file = fopen(c->certificate, "w");
    PEM_write_X509(file, site[number].certificate);
    if (has_chain)
        PEM_write_X509(file, authority.certificate);
    fclose(file);
    file = fopen(c->key, "w");
    PEM_write_PrivateKey(file, site[number].key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
}

/* ------------------------------------------------------------------ OCSP responses */

struct answer {
    const struct pair *about;
    const struct pair *by; /* who signs */
    int status;
    long from_s; /* relative to now */
    long until_s;
};

static void write_answer(int number, const struct answer *a)
{
    char path[MR_CONFIG_PATH];
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), a->about->certificate, authority.certificate);
    ASN1_TIME *from = X509_gmtime_adj(NULL, a->from_s);
    ASN1_TIME *until = X509_gmtime_adj(NULL, a->until_s);
    ASN1_TIME *revoked = a->status == V_OCSP_CERTSTATUS_REVOKED ? X509_gmtime_adj(NULL, -9) : NULL;
    unsigned char *der = NULL;

    OCSP_basic_add1_status(basic, id, a->status, 0, revoked, from, until);
    CU_ASSERT_EQUAL_FATAL(
        OCSP_basic_sign(basic, a->by->certificate, a->by->key, EVP_sha256(), NULL, 0), 1);
    OCSP_RESPONSE *response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    int size = i2d_OCSP_RESPONSE(response, &der);
    path_of(number, "ocsp", path);
    char fresh[MR_CONFIG_PATH + 8];
    snprintf(fresh, sizeof(fresh), "%s.new", path);
    FILE *file = fopen(fresh, "w");
    CU_ASSERT_EQUAL_FATAL(fwrite(der, 1, (size_t)size, file), (size_t)size);
    fclose(file);
    rename(fresh, path);
    memcpy(tls.certificates[number].ocsp, path, sizeof(path));
    OPENSSL_free(der);
    OCSP_RESPONSE_free(response);
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    ASN1_TIME_free(revoked);
}

static struct answer good_answer(int number)
{
    return (struct answer){.about = &site[number],
                           .by = &authority,
                           .status = V_OCSP_CERTSTATUS_GOOD,
                           .from_s = -60,
                           .until_s = 3600};
}

/* ------------------------------------------------------------------ the world */

static void add_name(int number, const char *name)
{
    struct mr_config_certificate *c = &tls.certificates[number];

    memcpy(c->names[c->name_count++], name, strlen(name));
}

static void add_alpn(int number, const char *alpn)
{
    struct mr_config_certificate *c = &tls.certificates[number];

    memcpy(c->alpn[c->alpn_count++], alpn, strlen(alpn));
}

static void prepare(void)
{
    static const char *const alpns[] = {"h3", "kv", "hq"};

    memset(&tls, 0, sizeof(tls));
    memset(&handoff, 0, sizeof(handoff));
    strcpy(folder, "/tmp/mr-policy-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
    authority = make_pair("authority.test", NULL, 1);
    tls.certificate_count = SITES;
    tls.tickets = 1;
    tls.ticket_keys_kept = 2;
    for (int i = 0; i < SITES; i++) {
        site[i] = make_pair("a.test", &authority, 10 + i);
        write_pair(i, true);
    }
    for (size_t i = 0; i < MR_COUNT_OF(alpns); i++)
        memcpy(handoff.listener[handoff.listener_count++].alpn, alpns[i], strlen(alpns[i]));
}

static void make_set(bool has_early_data)
{
    const struct mr_tls_set_config config = {
        .tls = &tls, .handoff = &handoff, .has_early_data = has_early_data};

    set = mr_tls_set_make(&config, &fault, time(NULL));
    CU_ASSERT_PTR_NOT_NULL_FATAL(set);
}

static void finish(void)
{
    static const char *const endings[] = {"pem", "key", "ocsp"};
    char path[MR_CONFIG_PATH];

    mr_tls_set_free(set);
    for (int i = 0; i < SITES; i++) {
        for (size_t e = 0; e < MR_COUNT_OF(endings); e++) {
            path_of(i, endings[e], path);
            unlink(path);
        }
        free_pair(&site[i]);
    }
    free_pair(&authority);
    CU_ASSERT_EQUAL(rmdir(folder), 0);
}

/* One handshake, and what the client saw. */
struct attempt {
    const char *name;
    const char *alpn; /* wire form */
    const uint8_t *ticket;
    size_t ticket_size;
    int site;         /* whose certificate came; -1: none */
    bool has_staple;  /* an OCSP response came, */
    int64_t staple_s; /* for so long */
    struct tls_end client;
    struct tls_end server;
};

static void look_at_certificate(SSL *ssl, struct attempt *a)
{
    X509 *certificate = SSL_get0_peer_certificate(ssl);

    a->site = -1;
    for (int i = 0; i < SITES && certificate != NULL; i++) {
        if (X509_cmp(certificate, site[i].certificate) == 0)
            a->site = i;
    }
}

static void look_at_staple(SSL *ssl, struct attempt *a)
{
    const unsigned char *der = NULL;
    long size = SSL_get_tlsext_status_ocsp_resp(ssl, &der);

    a->has_staple = size > 0 && der != NULL;
    if (!a->has_staple)
        return;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &der, size);
    CU_ASSERT_PTR_NOT_NULL(response);
    OCSP_RESPONSE_free(response);
}

static void shake(struct attempt *a)
{
    static const uint8_t params[] = {1, 2, 3};
    struct mr_tls_context context;
    const struct mr_tls_client_config config = {.is_insecure = true, .has_early_data = true};
    const char *alpn = a->alpn != NULL ? a->alpn : "\002h3";
    const struct mr_tls_client_options options = {.server_name = a->name,
                                                  .alpn = (const uint8_t *)alpn,
                                                  .alpn_size = strlen(alpn),
                                                  .is_insecure = true,
                                                  .ticket = a->ticket,
                                                  .ticket_size = a->ticket_size,
                                                  .wants_early = a->ticket != NULL,
                                                  .params = params,
                                                  .params_size = sizeof(params)};
    struct mr_fault local = {0};

    memset(&a->client, 0, sizeof(a->client));
    memset(&a->server, 0, sizeof(a->server));
    MR_ASSERT(mr_tls_context_client(&context, &config, &local) == 0);
    MR_ASSERT(mr_tls_start_client(&a->client.tls, &context, &options));
    SSL *ssl = a->client.tls.ssl;
    SSL_up_ref(ssl);
    SSL_set_tlsext_status_type(ssl, TLSEXT_STATUSTYPE_ocsp);
    MR_ASSERT(mr_tls_start_server(&a->server.tls, mr_tls_set_context(set), params, sizeof(params)));
    tls_pair_talk(&a->client, &a->server, 100000);
    look_at_certificate(ssl, a);
    look_at_staple(ssl, a);
    SSL_free(ssl);
    tls_pair_free(&a->client, &a->server);
    mr_tls_context_free(&context);
}

static int site_of(const char *name, const char *alpn)
{
    static struct attempt a; /* large */

    a = (struct attempt){.name = name, .alpn = alpn};
    shake(&a);
    return a.site;
}

static bool is_stapled(const char *name)
{
    static struct attempt a;

    a = (struct attempt){.name = name};
    shake(&a);
    CU_ASSERT(a.client.is_complete); /* whatever the response is */
    return a.has_staple;
}

/* ------------------------------------------------------------------ by name and protocol */

static void a_certificate_may_be_for_some_protocols(void)
{
    static const struct {
        const char *name;
        const char *offers;
        int site; /* -1: refused */
    } cases[] = {
        {"a.test", "\002kv", 1},       {"a.test", "\002kv\002h3", 1}, {"a.test", "\002h3", 2},
        {"a.test", "\002hq", 1},       {"x.b.test", "\002kv", 1},     {"x.b.test", "\002h3", 0},
        {"unknown.test", "\002kv", 0}, /* the default takes all */
    };

    prepare();
    add_name(0, "default.test");
    add_name(1, "a.test");
    add_name(1, "*.b.test");
    add_alpn(1, "kv");
    add_alpn(1, "hq");
    add_name(2, "a.test");
    make_set(false);
    for (size_t i = 0; i < MR_COUNT_OF(cases); i++)
        CU_ASSERT_EQUAL(site_of(cases[i].name, cases[i].offers), cases[i].site);
    mr_tls_set_free(set);
    tls.unknown_name = 1;
    make_set(false);
    CU_ASSERT_EQUAL(site_of("x.b.test", "\002kv"), 1);
    static struct attempt a;
    a = (struct attempt){.name = "x.b.test", .alpn = "\002h3"};
    shake(&a);
    CU_ASSERT_EQUAL(a.server.error, MR_CRYPTO_ERROR + 112); /* unrecognized_name */
    finish();
}

/* ------------------------------------------------------------------ 0-RTT */

static enum mr_tls_early resume(const char *first, const char *second)
{
    static struct attempt a;
    static struct attempt b;

    a = (struct attempt){.name = first};
    shake(&a);
    CU_ASSERT(a.client.ticket_size > 0);
    b = (struct attempt){
        .name = second, .ticket = a.client.ticket, .ticket_size = a.client.ticket_size};
    shake(&b);
    CU_ASSERT(b.client.is_complete);
    return b.client.early;
}

static void early_data_is_offered_where_the_table_says_so(void)
{
    prepare();
    add_name(0, "early.test");
    tls.certificates[0].has_early_data = true;
    add_name(1, "late.test");
    make_set(true);
    CU_ASSERT_EQUAL(resume("early.test", "early.test"), MR_EARLY_ACCEPTED);
    CU_ASSERT_EQUAL(resume("late.test", "late.test"), MR_EARLY_NONE);
    CU_ASSERT_NOT_EQUAL(resume("early.test", "late.test"), MR_EARLY_ACCEPTED);
    mr_tls_set_free(set);
    tls.certificates[0].has_early_data = false;
    make_set(true);
    CU_ASSERT_EQUAL(resume("early.test", "early.test"), MR_EARLY_NONE);
    finish();
}

/* ------------------------------------------------------------------ stapling */

static void a_good_response_is_stapled_for_its_certificate(void)
{
    struct answer answer;

    prepare();
    add_name(0, "plain.test");
    add_name(1, "a.test");
    answer = good_answer(1);
    write_answer(1, &answer);
    make_set(false);
    CU_ASSERT(is_stapled("a.test"));
    CU_ASSERT_FALSE(is_stapled("plain.test"));
    finish();
}

static void a_response_that_is_wrong_or_old_is_not_stapled(void)
{
    struct answer answers[7];

    prepare();
    add_name(0, "a.test");
    for (size_t i = 0; i < MR_COUNT_OF(answers); i++)
        answers[i] = good_answer(0);
    answers[1].about = &site[1];
    answers[2].by = &site[0]; /* nobody has charged it with that */
    answers[3].status = V_OCSP_CERTSTATUS_REVOKED;
    answers[4].status = V_OCSP_CERTSTATUS_UNKNOWN;
    answers[5].from_s = -7200;
    answers[5].until_s = -3600;
    answers[6].from_s = 3600;
    answers[6].until_s = 7200;
    for (size_t i = 0; i < MR_COUNT_OF(answers); i++) {
        write_answer(0, &answers[i]);
        make_set(false);
        CU_ASSERT_EQUAL(is_stapled("a.test"), i == 0);
        mr_tls_set_free(set);
    }
    write_answer(0, &answers[0]);
    write_pair(0, false); /* whose issuer nobody knows */
    make_set(false);
    CU_ASSERT_FALSE(is_stapled("a.test"));
    mr_tls_set_free(set);
    write_pair(0, true);
    FILE *file = fopen(tls.certificates[0].ocsp, "w");
    fputs("no response", file);
    fclose(file);
    make_set(false);
    CU_ASSERT_FALSE(is_stapled("a.test"));
    mr_tls_set_free(set);
    unlink(tls.certificates[0].ocsp);
    make_set(false);
    CU_ASSERT_FALSE(is_stapled("a.test"));
    finish();
}

/* What is wrong is named, with what to do. */
static void what_is_wrong_with_a_response_is_named(void)
{
    struct mr_tls_context context;
    struct answer answer;
    int64_t until_s;

    prepare();
    const struct mr_tls_server_config config = {.certificate_path = tls.certificates[0].certificate,
                                                .key_path = tls.certificates[0].key,
                                                .alpn = (const uint8_t *)"\002h3",
                                                .alpn_size = 3};
    CU_ASSERT_EQUAL_FATAL(mr_tls_context_server(&context, &config, &fault), 0);
    answer = good_answer(0);
    write_answer(0, &answer);
    const char *path = tls.certificates[0].ocsp;
    CU_ASSERT_EQUAL(mr_ocsp_staple(&context, path, time(NULL), &until_s, &fault), 0);
    CU_ASSERT(until_s > time(NULL) + 3500 && until_s < time(NULL) + 3700);
    CU_ASSERT_EQUAL(mr_ocsp_staple(&context, path, until_s, &until_s, &fault), -ESTALE);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "too old; fetch a new one"));
    answer.about = &site[2];
    write_answer(0, &answer);
    CU_ASSERT_EQUAL(mr_ocsp_staple(&context, path, time(NULL), &until_s, &fault), -EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "not about the certificate"));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, path));
    CU_ASSERT_EQUAL(mr_ocsp_staple(&context, "/nowhere", time(NULL), &until_s, &fault), -EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "/nowhere"));
    mr_tls_context_free(&context);
    make_set(false);
    finish();
}

static void a_new_response_is_taken_up_with_the_certificates(void)
{
    struct mr_tls_reload result;
    struct answer answer;

    prepare();
    add_name(0, "a.test");
    answer = good_answer(1); /* not of this certificate */
    write_answer(0, &answer);
    make_set(false);
    CU_ASSERT_FALSE(is_stapled("a.test"));
    answer = good_answer(0);
    write_answer(0, &answer);
    CU_ASSERT(mr_tls_set_reload(set, false, &result, &fault));
    CU_ASSERT_EQUAL(result.replaced, 1);
    CU_ASSERT(is_stapled("a.test"));
    CU_ASSERT(mr_tls_set_reload(set, false, &result, &fault));
    CU_ASSERT_EQUAL(result.replaced, 0);
    CU_ASSERT(is_stapled("a.test"));
    finish();
}

static void a_response_that_gets_old_is_not_stapled_any_more(void)
{
    struct answer answer;

    prepare();
    add_name(0, "a.test");
    answer = good_answer(0);
    answer.until_s = 2;
    write_answer(0, &answer);
    make_set(false);
    CU_ASSERT(is_stapled("a.test"));
    sleep(3);
    CU_ASSERT_FALSE(is_stapled("a.test"));
    tls.watch_ns = 1;
    CU_ASSERT(mr_tls_set_poll(set, &fault, time(NULL)));
    finish();
}

static CU_TestInfo tests[] = {
    {"a certificate may be for some protocols", a_certificate_may_be_for_some_protocols},
    {"early data is offered where the table says so",
     early_data_is_offered_where_the_table_says_so},
    {"a good response is stapled for its certificate",
     a_good_response_is_stapled_for_its_certificate},
    {"a response that is wrong or old is not stapled",
     a_response_that_is_wrong_or_old_is_not_stapled},
    {"what is wrong with a response is named", what_is_wrong_with_a_response_is_named},
    {"a new response is taken up with the certificates",
     a_new_response_is_taken_up_with_the_certificates},
    {"a response that gets old is not stapled any more",
     a_response_that_gets_old_is_not_stapled_any_more},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "control/tls policy", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
