/* Tests of control/tls_set.h, by handshakes. */
#include "control/tls_set.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/tls_pair.h"
#include "tests/unit/harness.h"

#define SITES 3

/*
 * The thread sanitizer asks for this.  OpenSSL counts an SSL_CTX's references with atomics that it
 * cannot see, OpenSSL not being built with it: that the last one frees looks like a race.
 */
const char *__tsan_default_suppressions(void);

const char *__tsan_default_suppressions(void)
{
    return "race:free_sites\n";
}

/* Certificates in files, and a set of them:  a.test and alias.test | *.b.test | c.b.test */
struct world {
    char folder[64];
    char certificates[SITES][128];
    char keys[SITES][128];
    char key_file[128];
    struct mr_certificate made[SITES];
    struct mr_config_tls tls;
    struct mr_handoff handoff;
    struct mr_tls_set *set;
    int64_t now_s;
};

static struct world w; /* large */
static struct mr_fault fault;

static const char *const site_names[SITES][2] = {
    {"a.test", "alias.test"}, {"*.b.test", NULL}, {"c.b.test", NULL}};

/* A new certificate for a site; written to its files. */
static void renew(int site)
{
    static const char *const names[] = {"a.test", "alias.test", "*.b.test",
                                        "b.test", "c.b.test",   "unknown.test"};
    const struct mr_certificate_options options = {.names = names, .name_count = 6};

    CU_ASSERT_EQUAL_FATAL(mr_certificate_make(&w.made[site], &options, &fault), 0);
    CU_ASSERT_EQUAL_FATAL(
        mr_certificate_write(&w.made[site], w.certificates[site], w.keys[site], &fault), 0);
}

static void add_listener(const char *alpn, const char *server_name)
{
    struct mr_handoff_listener *listener = &w.handoff.listener[w.handoff.listener_count++];

    *listener = (struct mr_handoff_listener){.port = 443};
    memcpy(listener->alpn, alpn, strlen(alpn));
    memcpy(listener->server_name, server_name, strlen(server_name));
}

static struct mr_tls_set_config config_of_world(void)
{
    return (struct mr_tls_set_config){.tls = &w.tls, .handoff = &w.handoff};
}

/* Everything but the set. */
static void prepare(void)
{
    memset(&w, 0, sizeof(w));
    snprintf(w.folder, sizeof(w.folder), "/tmp/mr-set-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(w.folder));
    snprintf(w.key_file, sizeof(w.key_file), "%s/tickets", w.folder);
    w.now_s = time(NULL);
    w.tls.certificate_count = SITES;
    w.tls.tickets = 1;
    w.tls.ticket_keys_kept = 2;
    for (int i = 0; i < SITES; i++) {
        struct mr_config_certificate *c = &w.tls.certificates[i];

        snprintf(w.certificates[i], sizeof(w.certificates[i]), "%s/%d.pem", w.folder, i);
        snprintf(w.keys[i], sizeof(w.keys[i]), "%s/%d.key", w.folder, i);
        renew(i);
        memcpy(c->certificate, w.certificates[i], sizeof(w.certificates[i]));
        memcpy(c->key, w.keys[i], sizeof(w.keys[i]));
        for (int n = 0; n < 2 && site_names[i][n] != NULL; n++)
            memcpy(c->names[c->name_count++], site_names[i][n], strlen(site_names[i][n]));
    }
    add_listener("h3", "");
}

static void make_set(void)
{
    const struct mr_tls_set_config config = config_of_world();

    w.set = mr_tls_set_make(&config, &fault, w.now_s);
    CU_ASSERT_PTR_NOT_NULL_FATAL(w.set);
}

static void finish(void)
{
    char lock[160];

    mr_tls_set_free(w.set);
    snprintf(lock, sizeof(lock), "%s.lock", w.key_file);
    for (int i = 0; i < SITES; i++) {
        unlink(w.certificates[i]);
        unlink(w.keys[i]);
    }
    unlink(w.key_file);
    unlink(lock);
    CU_ASSERT_EQUAL(rmdir(w.folder), 0);
}

/* What one handshake is to be, and was. */
struct attempt {
    const struct mr_certificate *trusted; /* NULL: any */
    const char *name;
    const char *alpn; /* wire form */
    const uint8_t *ticket;
    size_t ticket_size;
    struct tls_end client;
    struct tls_end server;
};

static void shake(struct attempt *a, struct mr_tls_set *set)
{
    static const uint8_t params[] = {1, 2, 3};
    struct mr_tls_context context;
    const struct mr_tls_client_config config = {
        .ca_pem = a->trusted != NULL ? a->trusted->certificate_pem : NULL,
        .is_insecure = a->trusted == NULL};
    const char *alpn = a->alpn != NULL ? a->alpn : "\002h3";
    const struct mr_tls_client_options options = {.server_name = a->name,
                                                  .alpn = (const uint8_t *)alpn,
                                                  .alpn_size = strlen(alpn),
                                                  .is_insecure = a->trusted == NULL,
                                                  .ticket = a->ticket,
                                                  .ticket_size = a->ticket_size,
                                                  .params = params,
                                                  .params_size = sizeof(params)};
    struct mr_fault local = {0};

    memset(&a->client, 0, sizeof(a->client));
    memset(&a->server, 0, sizeof(a->server));
    MR_ASSERT(mr_tls_context_client(&context, &config, &local) == 0);
    MR_ASSERT(mr_tls_start_client(&a->client.tls, &context, &options));
    MR_ASSERT(mr_tls_start_server(&a->server.tls, mr_tls_set_context(set), params, sizeof(params)));
    tls_pair_talk(&a->client, &a->server, 100000);
    tls_pair_free(&a->client, &a->server);
    mr_tls_context_free(&context);
}

/* Does a client that trusts only this site's certificate get through? */
static bool serves(int site, const char *name)
{
    static struct attempt a; /* large */

    a = (struct attempt){.trusted = &w.made[site], .name = name};
    shake(&a, w.set);
    return a.client.is_complete && a.server.is_complete;
}

/* ------------------------------------------------------------------ names */

static void each_name_gets_its_certificate(void)
{
    prepare();
    make_set();
    CU_ASSERT_EQUAL(mr_tls_set_count(w.set), SITES);
    CU_ASSERT(serves(0, "a.test"));
    CU_ASSERT(serves(0, "alias.test"));
    CU_ASSERT(serves(1, "x.b.test"));
    CU_ASSERT(serves(1, "X.B.Test"));
    CU_ASSERT(serves(2, "c.b.test")); /* exact, though the wildcard comes first */
    CU_ASSERT_FALSE(serves(1, "c.b.test"));
    CU_ASSERT_FALSE(serves(0, "x.b.test"));
    CU_ASSERT(serves(0, "b.test")); /* a wildcard is for a label */
    finish();
}

static void unknown_names_get_the_first_or_are_refused(void)
{
    static struct attempt a;

    prepare();
    make_set();
    CU_ASSERT(serves(0, "unknown.test"));
    CU_ASSERT(serves(0, "127.0.0.1")); /* no SNI */
    mr_tls_set_free(w.set);
    w.tls.unknown_name = 1;
    make_set();
    CU_ASSERT(serves(0, "a.test"));
    a = (struct attempt){.name = "unknown.test"};
    shake(&a, w.set);
    CU_ASSERT(a.server.is_failed);
    CU_ASSERT_EQUAL(a.server.error, MR_CRYPTO_ERROR + 112); /* unrecognized_name */
    CU_ASSERT_STRING_EQUAL(a.server.reason, "no certificate for the server name \"unknown.test\"");
    a = (struct attempt){.name = "127.0.0.1"};
    shake(&a, w.set);
    CU_ASSERT(a.server.is_failed);
    finish();
}

static void protocols_are_those_of_the_listeners(void)
{
    static const struct {
        const char *name;
        const char *offers;
        const char *chosen; /* NULL: refused */
    } cases[] = {
        {"a.test", "\002h3", "h3"},
        {"a.test", "\002kv", NULL},
        {"c.b.test", "\002kv", "kv"},
        {"c.b.test", "\002h3\002kv", "kv"}, /* the listeners' order counts */
        {"c.b.test", "\002wt", "wt"},
        {"x.b.test", "\002wt", "wt"},
        {"x.b.test", "\002kv", NULL},
        {"unknown.test", "\002wt\002h3", "h3"},
        {"127.0.0.1", "\002h3", "h3"},
        {"a.test", "\001h", NULL},
    };
    static struct attempt a;

    prepare();
    w.handoff.listener_count = 0;
    add_listener("kv", "c.b.test");
    add_listener("wt", "*.b.test");
    add_listener("h3", "");
    make_set();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        a = (struct attempt){.name = cases[i].name, .alpn = cases[i].offers};
        shake(&a, w.set);
        CU_ASSERT_EQUAL(a.server.is_complete, cases[i].chosen != NULL);
        CU_ASSERT_STRING_EQUAL(a.server.alpn, cases[i].chosen != NULL ? cases[i].chosen : "");
        CU_ASSERT_EQUAL(a.server.error, cases[i].chosen != NULL
                                            ? 0
                                            : MR_CRYPTO_ERROR + MR_ALERT_NO_APPLICATION_PROTOCOL);
        if (cases[i].chosen != NULL && strcmp(cases[i].name, "127.0.0.1") != 0) {
            CU_ASSERT_STRING_EQUAL(a.server.server_name, cases[i].name);
        }
    }
    finish();
}

static void a_certificate_in_memory_is_enough(void)
{
    struct mr_tls_set_config config;
    struct mr_tls_reload result;

    prepare();
    w.tls.certificate_count = 0;
    config = config_of_world();
    config.made = &w.made[1];
    w.set = mr_tls_set_make(&config, &fault, w.now_s);
    CU_ASSERT_PTR_NOT_NULL_FATAL(w.set);
    CU_ASSERT(serves(1, "a.test"));
    CU_ASSERT(mr_tls_set_reload(w.set, true, &result, &fault));
    CU_ASSERT_EQUAL(result.replaced + result.failed, 0);
    finish();
}

static void what_cannot_work_is_refused(void)
{
    struct mr_tls_set_config config;

    prepare();
    config = config_of_world();
    w.handoff.listener_count = 0;
    CU_ASSERT_PTR_NULL(mr_tls_set_make(&config, &fault, w.now_s));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "no listener names a protocol"));
    add_listener("h3", "");
    unlink(w.keys[2]);
    CU_ASSERT_PTR_NULL(mr_tls_set_make(&config, &fault, w.now_s));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, w.keys[2]));
    finish();
}

/* ------------------------------------------------------------------ reload */

static void changed_files_are_read_again(void)
{
    char before[MR_FINGERPRINT_TEXT];
    char after[MR_FINGERPRINT_TEXT];
    struct mr_tls_reload result;

    prepare();
    make_set();
    CU_ASSERT(mr_tls_set_reload(w.set, false, &result, &fault));
    CU_ASSERT_EQUAL(result.replaced, 0);
    mr_tls_set_fingerprint(w.set, 1, before);
    renew(1);
    CU_ASSERT_FALSE(serves(1, "x.b.test"));
    CU_ASSERT(mr_tls_set_reload(w.set, false, &result, &fault));
    CU_ASSERT_EQUAL(result.replaced, 1);
    mr_tls_set_fingerprint(w.set, 1, after);
    CU_ASSERT_STRING_NOT_EQUAL(before, after);
    CU_ASSERT(serves(1, "x.b.test"));
    CU_ASSERT(serves(0, "a.test"));
    CU_ASSERT_EQUAL(mr_tls_set_retired_count(w.set), 0);
    CU_ASSERT(mr_tls_set_reload(w.set, true, &result, &fault));
    CU_ASSERT_EQUAL(result.replaced, SITES);
    CU_ASSERT(serves(2, "c.b.test"));
    finish();
}

static void broken_files_keep_what_was(void)
{
    struct mr_certificate old;
    struct mr_tls_reload result;

    prepare();
    make_set();
    old = w.made[1];
    renew(1);
    renew(2);
    CU_ASSERT_EQUAL(truncate(w.certificates[1], 100), 0);
    CU_ASSERT_FALSE(mr_tls_set_reload(w.set, false, &result, &fault));
    CU_ASSERT_EQUAL(result.failed, 1);
    CU_ASSERT_EQUAL(result.replaced, 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "1.pem stays as it was: "));
    CU_ASSERT(serves(2, "c.b.test"));                            /* the other one is new */
    CU_ASSERT(mr_tls_set_reload(w.set, false, &result, &fault)); /* complained of once */
    w.made[1] = old;
    CU_ASSERT(serves(1, "x.b.test"));

    renew(1); /* mended */
    CU_ASSERT_FALSE(serves(1, "x.b.test"));
    CU_ASSERT(mr_tls_set_reload(w.set, false, &result, &fault));
    CU_ASSERT_EQUAL(result.replaced, 1);
    CU_ASSERT(serves(1, "x.b.test"));

    old = w.made[0]; /* a key that is not the certificate's */
    CU_ASSERT_EQUAL(mr_certificate_write(&w.made[2], w.certificates[1], w.keys[0], &fault), 0);
    CU_ASSERT_FALSE(mr_tls_set_reload(w.set, false, &result, &fault));
    CU_ASSERT_EQUAL(result.failed, 2);
    CU_ASSERT(serves(0, "a.test"));
    finish();
}

static void the_watch_looks_at_its_interval(void)
{
    prepare();
    w.tls.watch_ns = UINT64_C(10000000000);
    make_set();
    renew(0);
    CU_ASSERT(mr_tls_set_poll(w.set, &fault, w.now_s + 9));
    CU_ASSERT_FALSE(serves(0, "a.test"));
    CU_ASSERT(mr_tls_set_poll(w.set, &fault, w.now_s + 10));
    CU_ASSERT(serves(0, "a.test"));
    CU_ASSERT_EQUAL(truncate(w.keys[0], 0), 0);
    CU_ASSERT(mr_tls_set_poll(w.set, &fault, w.now_s + 19));
    CU_ASSERT_FALSE(mr_tls_set_poll(w.set, &fault, w.now_s + 20));
    CU_ASSERT(serves(0, "a.test"));
    finish();
}

static void another_configuration_is_taken_whole(void)
{
    struct mr_tls_set_config config;

    prepare();
    make_set();
    memcpy(w.tls.certificates[0].names[0], "n.test", 7);
    w.handoff.listener_count = 0;
    add_listener("kv", "");
    config = config_of_world();
    memcpy(w.tls.certificates[2].key, "/nowhere", 9);
    CU_ASSERT_FALSE(mr_tls_set_update(w.set, &config, &fault));
    CU_ASSERT(serves(0, "a.test")); /* still speaks h3 */
    memcpy(w.tls.certificates[2].key, w.keys[2], sizeof(w.keys[2]));
    CU_ASSERT(mr_tls_set_update(w.set, &config, &fault));
    CU_ASSERT_FALSE(serves(0, "a.test"));
    static struct attempt a;
    a = (struct attempt){.trusted = &w.made[0], .name = "a.test", .alpn = "\002kv"};
    shake(&a, w.set);
    CU_ASSERT(a.server.is_complete);
    finish();
}

/* A handshake that has begun goes on with the certificate that it began with. */
static void a_handshake_keeps_its_certificate(void)
{
    static const uint8_t params[] = {1, 2, 3};
    static struct tls_end client;
    static struct tls_end server;
    struct mr_tls_context context;
    struct mr_tls_reload result;

    prepare();
    make_set();
    const struct mr_tls_client_config config = {.ca_pem = w.made[0].certificate_pem};
    const struct mr_tls_client_options options = {.server_name = "a.test",
                                                  .alpn = (const uint8_t *)"\002h3",
                                                  .alpn_size = 3,
                                                  .params = params,
                                                  .params_size = sizeof(params)};
    CU_ASSERT_EQUAL_FATAL(mr_tls_context_client(&context, &config, &fault), 0);
    CU_ASSERT(mr_tls_start_client(&client.tls, &context, &options));
    CU_ASSERT(mr_tls_start_server(&server.tls, mr_tls_set_context(w.set), params, sizeof(params)));
    tls_end_run(&client, MR_LEVEL_INITIAL, NULL, 0);
    CU_ASSERT(tls_deliver(&client, &server, 100000));
    for (int i = 0; i < 3; i++) {
        CU_ASSERT(mr_tls_set_reload(w.set, true, &result, &fault));
        CU_ASSERT(mr_tls_set_rotate(w.set, &fault, w.now_s));
    }
    CU_ASSERT_EQUAL(mr_tls_set_retired_count(w.set), 0);
    for (int turn = 0; turn < 5; turn++) {
        tls_deliver(&server, &client, 100000);
        tls_deliver(&client, &server, 100000);
    }
    CU_ASSERT(client.is_complete && server.is_complete);
    tls_pair_free(&client, &server);
    mr_tls_context_free(&context);
    finish();
}

/* ------------------------------------------------------------------ reload under handshakes */

struct shaker {
    pthread_t thread;
    struct attempt attempt;
    atomic_bool *is_over;
    uint32_t completed;
    uint32_t failed;
};

static void *run_shaker(void *argument)
{
    struct shaker *shaker = argument;

    while (!atomic_load(shaker->is_over)) {
        shake(&shaker->attempt, w.set);
        if (shaker->attempt.client.is_complete && shaker->attempt.server.is_complete)
            shaker->completed++;
        else
            shaker->failed++;
    }
    return NULL;
}

static void reloads_under_handshakes_fail_none(void)
{
    static struct shaker shakers[2]; /* large */
    atomic_bool is_over = false;
    uint32_t reloads = 0;

    prepare();
    make_set();
    for (int i = 0; i < 2; i++) {
        shakers[i] = (struct shaker){.is_over = &is_over};
        shakers[i].attempt =
            (struct attempt){.trusted = &w.made[i], .name = i == 0 ? "a.test" : "x.b.test"};
        CU_ASSERT_EQUAL_FATAL(pthread_create(&shakers[i].thread, NULL, run_shaker, &shakers[i]), 0);
    }
    for (; reloads < 60; reloads++) {
        struct mr_tls_reload result;

        CU_ASSERT(mr_tls_set_reload(w.set, true, &result, &fault));
        if (reloads % 4 == 0)
            CU_ASSERT(mr_tls_set_rotate(w.set, &fault, w.now_s));
        CU_ASSERT(mr_tls_set_poll(w.set, &fault, w.now_s));
        CU_ASSERT(mr_tls_set_retired_count(w.set) <= 3);
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    atomic_store(&is_over, true);
    for (int i = 0; i < 2; i++) {
        pthread_join(shakers[i].thread, NULL);
        CU_ASSERT(shakers[i].completed > 0);
        CU_ASSERT_EQUAL(shakers[i].failed, 0);
    }
    CU_ASSERT(mr_tls_set_poll(w.set, &fault, w.now_s));
    CU_ASSERT_EQUAL(mr_tls_set_retired_count(w.set), 0);
    finish();
}

/* ------------------------------------------------------------------ tickets */

static uint8_t ticket[MR_TLS_TICKET_MAX];
static size_t ticket_size;

static void take_ticket(const char *name)
{
    static struct attempt a;

    a = (struct attempt){.name = name};
    shake(&a, w.set);
    CU_ASSERT(a.client.is_complete && !a.client.is_resumed);
    CU_ASSERT_FATAL(a.client.ticket_size > 0);
    memcpy(ticket, a.client.ticket, a.client.ticket_size);
    ticket_size = a.client.ticket_size;
}

static bool resumes(struct mr_tls_set *set, const char *name)
{
    static struct attempt a;

    a = (struct attempt){.name = name, .ticket = ticket, .ticket_size = ticket_size};
    shake(&a, set);
    CU_ASSERT(a.client.is_complete && a.server.is_complete);
    return a.client.is_resumed && a.server.is_resumed;
}

static void tickets_outlive_as_many_rotations_as_keys_are_kept(void)
{
    prepare();
    make_set();
    take_ticket("x.b.test");
    CU_ASSERT(resumes(w.set, "x.b.test"));
    for (int i = 0; i < 2; i++) {
        CU_ASSERT(mr_tls_set_rotate(w.set, &fault, w.now_s));
        CU_ASSERT(resumes(w.set, "x.b.test"));
    }
    CU_ASSERT(mr_tls_set_rotate(w.set, &fault, w.now_s));
    CU_ASSERT_FALSE(resumes(w.set, "x.b.test"));
    take_ticket("x.b.test");
    CU_ASSERT(resumes(w.set, "x.b.test"));
    finish();
}

static void tickets_outlive_a_reload(void)
{
    struct mr_tls_reload result;

    prepare();
    make_set();
    take_ticket("a.test");
    renew(0);
    CU_ASSERT(mr_tls_set_reload(w.set, true, &result, &fault));
    CU_ASSERT(resumes(w.set, "a.test"));
    finish();
}

static void keys_rotate_at_their_interval(void)
{
    prepare();
    w.tls.ticket_rotation_ns = UINT64_C(3600000000000);
    w.tls.ticket_keys_kept = 0;
    make_set();
    take_ticket("a.test");
    CU_ASSERT(mr_tls_set_poll(w.set, &fault, w.now_s + 3599));
    CU_ASSERT(resumes(w.set, "a.test"));
    CU_ASSERT(mr_tls_set_poll(w.set, &fault, w.now_s + 3600));
    CU_ASSERT_FALSE(resumes(w.set, "a.test"));
    take_ticket("a.test");
    CU_ASSERT(mr_tls_set_poll(w.set, &fault, w.now_s + 7199));
    CU_ASSERT(resumes(w.set, "a.test"));
    finish();
}

static void processes_share_keys_by_a_file(void)
{
    struct mr_tls_set_config config;
    struct mr_tls_set *other;
    struct timespec old[2] = {{0}, {0}};

    prepare();
    memcpy(w.tls.ticket_key_file, w.key_file, sizeof(w.key_file));
    w.tls.ticket_rotation_ns = UINT64_C(3600000000000);
    make_set();
    config = config_of_world();
    other = mr_tls_set_make(&config, &fault, w.now_s);
    CU_ASSERT_PTR_NOT_NULL_FATAL(other);
    take_ticket("a.test");
    CU_ASSERT(resumes(other, "a.test"));

    old[0].tv_sec = old[1].tv_sec = w.now_s - 3600; /* the file is due: one of them does it */
    CU_ASSERT_EQUAL(utimensat(AT_FDCWD, w.key_file, old, 0), 0);
    CU_ASSERT(mr_tls_set_poll(other, &fault, w.now_s));
    CU_ASSERT(mr_tls_set_poll(w.set, &fault, w.now_s));
    struct stat info;
    CU_ASSERT_EQUAL(stat(w.key_file, &info), 0);
    CU_ASSERT_EQUAL(info.st_size, 2 * MR_TICKET_KEYS_SIZE);
    CU_ASSERT(resumes(w.set, "a.test"));
    take_ticket("a.test");
    CU_ASSERT(resumes(other, "a.test"));

    CU_ASSERT_EQUAL(truncate(w.key_file, 5), 0); /* broken: said once, the keys stay */
    CU_ASSERT_FALSE(mr_tls_set_poll(w.set, &fault, w.now_s));
    CU_ASSERT(mr_tls_set_poll(w.set, &fault, w.now_s));
    CU_ASSERT(resumes(w.set, "a.test"));
    mr_tls_set_free(other);
    finish();
}

static CU_TestInfo tests[] = {
    {"each name gets its certificate", each_name_gets_its_certificate},
    {"unknown names get the first, or are refused", unknown_names_get_the_first_or_are_refused},
    {"protocols are those of the listeners", protocols_are_those_of_the_listeners},
    {"a certificate in memory is enough", a_certificate_in_memory_is_enough},
    {"what cannot work is refused", what_cannot_work_is_refused},
    {"changed files are read again", changed_files_are_read_again},
    {"broken files keep what was", broken_files_keep_what_was},
    {"the watch looks at its interval", the_watch_looks_at_its_interval},
    {"another configuration is taken whole", another_configuration_is_taken_whole},
    {"a handshake keeps its certificate", a_handshake_keeps_its_certificate},
    {"reloads under handshakes fail none", reloads_under_handshakes_fail_none},
    {"tickets outlive as many rotations as keys are kept",
     tickets_outlive_as_many_rotations_as_keys_are_kept},
    {"tickets outlive a reload", tickets_outlive_a_reload},
    {"keys rotate at their interval", keys_rotate_at_their_interval},
    {"processes share keys by a file", processes_share_keys_by_a_file},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "control/tls_set", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
