/*
 * Tests of control/tls_context.h and control/certificate.h: what is built, and that every mistake
 * of a user is answered with its cause and a remedy.
 */
#include "control/tls_context.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/tls_pair.h"
#include "tests/unit/harness.h"

static const uint8_t h3[] = {2, 'h', '3'};
static const struct mr_certificate_options plain;

/* Files of one test, in a folder of their own. */
struct files {
    char folder[64];
    char certificate[128];
    char key[128];
    char other[128];
};

static void files_make(struct files *files)
{
    snprintf(files->folder, sizeof(files->folder), "/tmp/millrace-test-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(files->folder));
    snprintf(files->certificate, sizeof(files->certificate), "%s/cert.pem", files->folder);
    snprintf(files->key, sizeof(files->key), "%s/key.pem", files->folder);
    snprintf(files->other, sizeof(files->other), "%s/other.pem", files->folder);
}

static void files_remove(struct files *files)
{
    unlink(files->certificate);
    unlink(files->key);
    unlink(files->other);
    rmdir(files->folder);
}

static void make(struct mr_certificate *certificate, const struct mr_certificate_options *options)
{
    struct mr_fault fault = {{0}};

    CU_ASSERT_EQUAL_FATAL(mr_certificate_make(certificate, options, &fault), 0);
}

static void put_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT(fputs(text, file) >= 0);
    fclose(file);
}

static void check_fault(const struct mr_fault *fault, int result, int expected, const char *words)
{
    CU_ASSERT_EQUAL(result, expected);
    if (strstr(fault->text, words) == NULL)
        CU_FAIL(fault->text);
}

/* Build a server from `config` and expect it to be refused. */
static void refuse_server(struct mr_tls_server_config config, int expected, const char *words)
{
    struct mr_tls_context context;
    struct mr_fault fault = {{0}};

    if (config.alpn == NULL) {
        config.alpn = h3;
        config.alpn_size = sizeof(h3);
    }
    int result = mr_tls_context_server(&context, &config, &fault);
    check_fault(&fault, result, expected, words);
    CU_ASSERT_PTR_NULL(context.ssl_ctx);
}

static void refuse_client(struct mr_tls_client_config config, int expected, const char *words)
{
    struct mr_tls_context context;
    struct mr_fault fault = {{0}};
    int result = mr_tls_context_client(&context, &config, &fault);

    check_fault(&fault, result, expected, words);
    CU_ASSERT_PTR_NULL(context.ssl_ctx);
}

/* ------------------------------------------------------------------ tests */

static void the_library_is_new_enough(void)
{
    struct mr_fault fault = {{0}};

    CU_ASSERT_EQUAL(mr_tls_library_check(&fault), 0);
    CU_ASSERT_STRING_EQUAL(fault.text, "");
}

static void certificate_files_serve_a_client_that_trusts_them(void)
{
    static struct mr_certificate certificate;
    static struct tls_end client;
    static struct tls_end server;
    struct mr_tls_context contexts[2];
    struct files files;
    struct stat info;
    struct mr_fault fault = {{0}};

    files_make(&files);
    make(&certificate, &plain);
    put_text(files.key, "was there before, readable by all\n");
    CU_ASSERT_EQUAL(chmod(files.key, 0644), 0);
    CU_ASSERT_EQUAL(mr_certificate_write(&certificate, files.certificate, files.key, &fault), 0);
    CU_ASSERT_EQUAL(stat(files.key, &info), 0);
    CU_ASSERT_EQUAL(info.st_mode & 0777, 0600);

    const struct mr_tls_server_config server_config = {.certificate_path = files.certificate,
                                                       .key_path = files.key,
                                                       .alpn = h3,
                                                       .alpn_size = sizeof(h3)};
    const struct mr_tls_client_config client_config = {.ca_path = files.certificate};
    CU_ASSERT_EQUAL_FATAL(mr_tls_context_server(&contexts[MR_SERVER], &server_config, &fault), 0);
    CU_ASSERT_EQUAL_FATAL(mr_tls_context_client(&contexts[MR_CLIENT], &client_config, &fault), 0);
    const struct mr_tls_client_options options = {.server_name = "localhost",
                                                  .alpn = h3,
                                                  .alpn_size = sizeof(h3),
                                                  .params = h3,
                                                  .params_size = sizeof(h3)};
    CU_ASSERT(mr_tls_start_client(&client.tls, &contexts[MR_CLIENT], &options));
    CU_ASSERT(mr_tls_start_server(&server.tls, &contexts[MR_SERVER], h3, sizeof(h3)));
    tls_pair_talk(&client, &server, MR_TLS_INPUT_MAX);
    CU_ASSERT(client.is_complete);
    CU_ASSERT(server.is_complete);
    tls_pair_free(&client, &server);
    mr_tls_context_free(&contexts[0]);
    mr_tls_context_free(&contexts[1]);
    files_remove(&files);
}

static void missing_and_unreadable_files_are_named(void)
{
    static struct mr_certificate certificate;
    struct files files;
    struct mr_fault fault = {{0}};

    files_make(&files);
    make(&certificate, &plain);
    CU_ASSERT_EQUAL(mr_certificate_write(&certificate, files.certificate, files.key, &fault), 0);
    refuse_server((struct mr_tls_server_config){.key_path = files.key}, -EINVAL,
                  "no certificate given");
    refuse_server((struct mr_tls_server_config){.certificate_path = files.certificate}, -EINVAL,
                  "no private key given");
    refuse_server((struct mr_tls_server_config){.certificate_path = "/nowhere/cert.pem",
                                                .key_path = files.key},
                  -ENOENT, "/nowhere/cert.pem: No such file or directory; check the path");
    refuse_server((struct mr_tls_server_config){.certificate_path = files.certificate,
                                                .key_path = files.folder},
                  -EISDIR, "must be a PEM file");
    CU_ASSERT_EQUAL_FATAL(mkfifo(files.other, 0600), 0); /* with nobody to write: no waiting */
    refuse_server((struct mr_tls_server_config){.certificate_path = files.certificate,
                                                .key_path = files.other},
                  -ESPIPE, "no regular file; it must be a PEM file");
    refuse_server(
        (struct mr_tls_server_config){.certificate_path = files.other, .key_path = files.key},
        -ESPIPE, "no regular file; it must be a PEM file");
    refuse_client((struct mr_tls_client_config){.ca_path = files.other}, -ESPIPE,
                  "no regular file; it must be a PEM file");
    unlink(files.other);
    refuse_client((struct mr_tls_client_config){.ca_path = "/nowhere/ca.pem"}, -ENOENT,
                  "/nowhere/ca.pem");
    if (geteuid() != 0) {
        CU_ASSERT_EQUAL(chmod(files.key, 0), 0);
        refuse_server((struct mr_tls_server_config){.certificate_path = files.certificate,
                                                    .key_path = files.key},
                      -EACCES, "give this user the right");
    }
    files_remove(&files);
    CU_ASSERT_EQUAL(mr_certificate_write(&certificate, "/nowhere/c", "/nowhere/k", &fault),
                    -ENOENT);
}

/* A key of another kind than the certificate's. */
static const char ed25519_key[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g\n"
    "-----END PRIVATE KEY-----\n";

static void files_with_the_wrong_content_are_explained(void)
{
    static struct mr_certificate one;
    static struct mr_certificate two;
    struct files files;
    struct mr_fault fault = {{0}};
    struct mr_tls_server_config config = {.certificate_path = NULL};

    files_make(&files);
    make(&one, &plain);
    make(&two, &plain);
    CU_ASSERT_EQUAL(mr_certificate_write(&one, files.certificate, files.key, &fault), 0);
    config.certificate_path = files.key;
    config.key_path = files.key;
    refuse_server(config, -EINVAL, "holds no certificate in PEM form");
    config.certificate_path = files.certificate;
    config.key_path = files.certificate;
    refuse_server(config, -EINVAL, "holds no private key in PEM form");
    put_text(files.other, two.key_pem);
    config.key_path = files.other;
    refuse_server(config, -EINVAL, "the key does not belong to the certificate");
    put_text(files.other, ed25519_key);
    refuse_server(config, -EINVAL, "the key does not belong to the certificate");
    put_text(files.other, "");
    refuse_server(config, -EINVAL, "holds no private key");
    refuse_client((struct mr_tls_client_config){.ca_path = files.key}, -EINVAL,
                  "holds no certificate");
    refuse_client((struct mr_tls_client_config){.ca_pem = "nothing"}, -EINVAL,
                  "holds no certificate");
    files_remove(&files);
}

/* The shape of an encrypted key is enough: the passphrase is asked for before anything is
 * decrypted. */
static void a_key_with_a_passphrase_is_explained(void)
{
    static const char locked[] =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
        "MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgAAAAAAAAAAAICCAAw\n"
        "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEAQIEEAAAAAAAAAAAAAAAAAAAAAAEQAAA\n"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
        "AAAAAAAAAAAAAAAAAAA=\n"
        "-----END ENCRYPTED PRIVATE KEY-----\n";
    static struct mr_certificate certificate;

    make(&certificate, &plain);
    memcpy(certificate.key_pem, locked, sizeof(locked));
    refuse_server((struct mr_tls_server_config){.certificate = &certificate}, -EINVAL,
                  "protected by a passphrase");
}

static void a_curve_that_tls_has_no_signatures_for_is_refused(void)
{
    static const char pem[] = /* secp256k1, until 2126 */
        "-----BEGIN CERTIFICATE-----\n"
        "MIIBazCCARKgAwIBAgIUN66h9nlCe5wUFj77Qs79ckU+HWQwCgYIKoZIzj0EAwIw\n"
        "DDEKMAgGA1UEAwwBazAgFw0yNjExMjkwMzE0MDlaGA8yMTI2MTEwNTAzMTQwOVow\n"
        "DDEKMAgGA1UEAwwBazBWMBAGByqGSM49AgEGBSuBBAAKA0IABF3NCfTwjfQXUx70\n"
        "4UWMpRIDgYtxDOAbO2bo/9XwaF9E041jxPI+7YkXLYiJQmCIAVMb7x+N+c3hKlEK\n"
        "saEfcMqjUzBRMB0GA1UdDgQWBBSfGIA9pjTaub4JCjJBKySvrrWPpzAfBgNVHSME\n"
        "GDAWgBSfGIA9pjTaub4JCjJBKySvrrWPpzAPBgNVHRMBAf8EBTADAQH/MAoGCCqG\n"
        "SM49BAMCA0cAMEQCIHg8n6eaoys+94RQVh+mZKbZMHYmaw+coDJG8W83cHTuAiA0\n"
        "1mwoJ8JBY24CcLLTNoe3yiUWknzcBHIbX1y9JRTK1A==\n"
        "-----END CERTIFICATE-----\n";
    static const char key[] = "-----BEGIN PRIVATE KEY-----\n"
                              "MIGEAgEAMBAGByqGSM49AgEGBSuBBAAKBG0wawIBAQQgKvn0m1ttAOVJPsqfFM4O\n"
                              "6yLAJjq79a0N58/WErHI6S+hRANCAARdzQn08I30F1Me9OFFjKUSA4GLcQzgGztm\n"
                              "6P/V8GhfRNONY8TyPu2JFy2IiUJgiAFTG+8fjfnN4SpRCrGhH3DK\n"
                              "-----END PRIVATE KEY-----\n";
    static struct mr_certificate certificate;

    memcpy(certificate.certificate_pem, pem, sizeof(pem));
    memcpy(certificate.key_pem, key, sizeof(key));
    refuse_server((struct mr_tls_server_config){.certificate = &certificate}, -EINVAL,
                  "no signatures with a key on the curve secp256k1; use ECDSA P-256");
}

/* Cut by a copy that was interrupted, say. */
static void a_damaged_certificate_is_told_from_one_that_is_not_there(void)
{
    static struct mr_certificate certificate;
    struct mr_tls_server_config config = {.certificate_path = NULL};
    struct files files;
    struct mr_fault fault = {{0}};
    char whole[sizeof(certificate.certificate_pem)];

    files_make(&files);
    make(&certificate, &plain);
    CU_ASSERT_EQUAL(mr_certificate_write(&certificate, files.certificate, files.key, &fault), 0);
    config.certificate_path = files.other;
    config.key_path = files.key;
    memcpy(whole, certificate.certificate_pem, sizeof(whole));
    certificate.certificate_pem[strlen(whole) / 2] = '\0';
    put_text(files.other, certificate.certificate_pem);
    refuse_server(config, -EINVAL, "the certificate is damaged");
    FILE *file = fopen(files.other, "we");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fprintf(file, "%s%s", whole, certificate.certificate_pem);
    fclose(file);
    refuse_server(config, -EINVAL, "the chain behind the first certificate is damaged");
    put_text(files.other, whole);
    config.alpn = h3;
    config.alpn_size = sizeof(h3);
    struct mr_tls_context context;
    CU_ASSERT_EQUAL(mr_tls_context_server(&context, &config, &fault), 0);
    mr_tls_context_free(&context);
    files_remove(&files);
}

static void certificates_out_of_date_are_refused_with_their_date(void)
{
    static struct mr_certificate certificate;
    struct mr_tls_server_config config = {
        .certificate = &certificate, .alpn = h3, .alpn_size = sizeof(h3)};
    struct mr_tls_context context;
    struct mr_fault fault = {{0}};

    make(&certificate,
         &(struct mr_certificate_options){.begins_in_seconds = -7200, .ends_in_seconds = -3600});
    refuse_server(config, -EINVAL, "the certificate expired on 20");
    config.allows_expired = true;
    CU_ASSERT_EQUAL(mr_tls_context_server(&context, &config, &fault), 0);
    mr_tls_context_free(&context);
    make(&certificate, &(struct mr_certificate_options){.begins_in_seconds = 3600});
    config.allows_expired = false;
    refuse_server(config, -EINVAL, "check this machine's clock");
}

static void unknown_groups_ciphers_and_protocols_are_refused(void)
{
    static struct mr_certificate certificate;
    static const uint8_t cut[] = {3, 'h', '3'};
    static const uint8_t empty[] = {0};

    make(&certificate, &plain);
    refuse_server((struct mr_tls_server_config){.certificate = &certificate, .groups = "X25520"},
                  -EINVAL, "X25520");
    refuse_server((struct mr_tls_server_config){.certificate = &certificate, .ciphers = "ROT13"},
                  -EINVAL, "ROT13");
    refuse_server((struct mr_tls_server_config){.certificate = &certificate,
                                                .alpn = cut,
                                                .alpn_size = sizeof(cut)},
                  -EINVAL, "ALPN");
    refuse_server((struct mr_tls_server_config){.certificate = &certificate,
                                                .alpn = empty,
                                                .alpn_size = sizeof(empty)},
                  -EINVAL, "ALPN");
    refuse_server(
        (struct mr_tls_server_config){.certificate = &certificate, .alpn = cut, .alpn_size = 0},
        -EINVAL, "ALPN");
    refuse_server((struct mr_tls_server_config){.certificate = &certificate, .tickets = 5}, -EINVAL,
                  "too many");
    refuse_client((struct mr_tls_client_config){.is_insecure = true, .groups = "nope"}, -EINVAL,
                  "nope");
}

/* A chain that would not fit into one job's output is found at start, not at the first client. */
static void a_chain_too_long_for_a_flight_is_refused(void)
{
    static struct mr_certificate certificate;
    struct mr_tls_server_config config = {.alpn = h3, .alpn_size = sizeof(h3)};
    struct files files;
    struct mr_fault fault = {{0}};

    files_make(&files);
    make(&certificate, &plain);
    CU_ASSERT_EQUAL(mr_certificate_write(&certificate, files.certificate, files.key, &fault), 0);
    FILE *file = fopen(files.certificate, "we");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    for (int i = 0; i < 100; i++)
        CU_ASSERT(fputs(certificate.certificate_pem, file) >= 0);
    fclose(file);
    config.certificate_path = files.certificate;
    config.key_path = files.key;
    refuse_server(config, -EINVAL, "leave the root certificate out");
    files_remove(&files);
}

static void a_client_may_trust_the_system_or_nothing(void)
{
    struct mr_tls_context context;
    struct mr_fault fault = {{0}};
    const struct mr_tls_client_config insecure = {.is_insecure = true};
    const struct mr_tls_client_config system_wide = {.ca_path = NULL};

    CU_ASSERT_EQUAL(mr_tls_context_client(&context, &insecure, &fault), 0);
    mr_tls_context_free(&context);
    if (access("/etc/ssl/certs/ca-certificates.crt", R_OK) != 0)
        return;
    CU_ASSERT_EQUAL(mr_tls_context_client(&context, &system_wide, &fault), 0);
    mr_tls_context_free(&context);
    refuse_client((struct mr_tls_client_config){.ca_path = "/etc/ssl/certs/../certs/none"}, -ENOENT,
                  "none");
    CU_ASSERT_EQUAL(
        mr_tls_context_client(&context, &(struct mr_tls_client_config){.ca_path = "/etc/ssl/certs"},
                              &fault),
        0);
    mr_tls_context_free(&context);
}

static void names_that_are_none_get_no_certificate(void)
{
    static struct mr_certificate certificate;
    static const char *const bad[] = {"a,DNS:b", "", "with space", "new\nline", "a/b"};
    const char *many[MR_CERTIFICATE_NAMES_MAX + 1];

    for (size_t i = 0; i < MR_COUNT_OF(bad); i++) {
        struct mr_fault fault = {{0}};
        int result = mr_certificate_make(
            &certificate, &(struct mr_certificate_options){.names = &bad[i], .name_count = 1},
            &fault);

        check_fault(&fault, result, -EINVAL, "neither a DNS name nor an IP address");
    }
    for (size_t i = 0; i < MR_COUNT_OF(many); i++)
        many[i] = "a-name-of-some-length.example.com";
    struct mr_fault fault = {{0}};
    CU_ASSERT_EQUAL(mr_certificate_make(&certificate,
                                        &(struct mr_certificate_options){
                                            .names = many, .name_count = MR_COUNT_OF(many)},
                                        &fault),
                    -EINVAL);
    make(&certificate,
         &(struct mr_certificate_options){.names = many, .name_count = MR_CERTIFICATE_NAMES_MAX});
}

static void a_wiped_certificate_holds_no_key(void)
{
    static struct mr_certificate certificate;

    make(&certificate, &plain);
    CU_ASSERT(strlen(certificate.key_pem) > 100);
    mr_certificate_wipe(&certificate);
    for (size_t i = 0; i < sizeof(certificate.key_pem); i++)
        CU_ASSERT_EQUAL(certificate.key_pem[i], 0);
}

static CU_TestInfo tests[] = {
    {"the library is new enough", the_library_is_new_enough},
    {"certificate files serve a client that trusts them",
     certificate_files_serve_a_client_that_trusts_them},
    {"missing and unreadable files are named", missing_and_unreadable_files_are_named},
    {"files with the wrong content are explained", files_with_the_wrong_content_are_explained},
    {"a key with a passphrase is explained", a_key_with_a_passphrase_is_explained},
    {"a curve that TLS has no signatures for is refused",
     a_curve_that_tls_has_no_signatures_for_is_refused},
    {"a damaged certificate is told from one that is not there",
     a_damaged_certificate_is_told_from_one_that_is_not_there},
    {"certificates out of date are refused with their date",
     certificates_out_of_date_are_refused_with_their_date},
    {"unknown groups, ciphers and protocols are refused",
     unknown_groups_ciphers_and_protocols_are_refused},
    {"a chain too long for a flight is refused", a_chain_too_long_for_a_flight_is_refused},
    {"a client may trust the system or nothing", a_client_may_trust_the_system_or_nothing},
    {"names that are none get no certificate", names_that_are_none_get_no_certificate},
    {"a wiped certificate holds no key", a_wiped_certificate_holds_no_key},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "control/tls_context", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
