/* examples/kv/kv_client.c - see kv_client.h. */
#include "examples/kv/kv_client.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "examples/kv/kv_node.h"

#define MS        UINT64_C(1000000)
#define REACH_NS  (3000 * MS) /* for a node to be there */
#define AGAIN_NS  (20 * MS)
#define ANSWER_NS (10000 * MS)

enum {
    WORDS_MAX = 4,
    RAW_MAX = 32768
};

enum extra {
    COUNT = 100,
    RAW
};

struct command {
    struct command *next;
    uint8_t word; /* enum kv_word, enum extra */
    uint32_t times;
    const char *key;
    const char *value;
    const char *old;
    char *text; /* in which the others point; NULL: they are the caller's */
};

struct kv_client {
    struct kv_speakers *speakers;
    struct command *commands; /* those that are left */
    struct kv_peer *peer;
    uint64_t now;
    uint64_t again_at;
    uint64_t give_up_at; /* reaching, or waiting for an answer */
    uint64_t tag;
    uint32_t address_count;
    uint32_t address;
    bool is_being_reached;
    bool is_asked; /* the first command, and not answered */
    bool is_over;
    int status;
};

/* ------------------------------------------------------------------ commands */

static const struct {
    const char *name;
    uint8_t word;
    int words;
} kinds[] = {
    {"get", KV_GET, 2},       {"peek", KV_PEEK, 2}, {"put", KV_PUT, 3},
    {"update", KV_UPDATE, 4}, {"count", COUNT, 3},  {"raw", RAW, 2},
};

/* A whole number from 1 on; false: it is none. */
static bool read_times(const char *text, uint32_t *times_out)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);

    *times_out = (uint32_t)number;
    return *text >= '0' && *text <= '9' && *end == '\0' && number > 0 && number <= UINT32_MAX;
}

/* NULL: none. */
static struct command *make_command(char *const words[], int count)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (count != kinds[i].words || strcmp(words[0], kinds[i].name) != 0)
            continue;
        struct command *c = calloc(1, sizeof(*c));
        if (c == NULL)
            return NULL;
        c->word = kinds[i].word;
        c->key = words[1];
        c->value = count > 2 ? words[count - 1] : "";
        c->old = count > 3 ? words[2] : "";
        c->times = 1;
        if (c->word != COUNT || read_times(c->value, &c->times))
            return c;
        free(c);
        return NULL;
    }
    return NULL;
}

/* A line of a file. */
static struct command *make_line(char *line)
{
    char *words[WORDS_MAX + 1];
    int count = 0;
    char *rest = NULL;

    for (char *word = strtok_r(line, " \n", &rest); word != NULL && count <= WORDS_MAX;
         word = strtok_r(NULL, " \n", &rest))
        words[count++] = word;
    struct command *c = count == 0 ? NULL : make_command(words, count);
    if (c != NULL)
        c->text = line;
    return c;
}

/* False: a line is no command. */
static bool read_commands(struct kv_client *client, const char *path)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    struct command **place = &client->commands;
    char *line = NULL;
    size_t room = 0;
    bool is_right = file != NULL;

    while (is_right && getline(&line, &room, file) > 0) {
        char *kept = strdup(line);
        *place = kept == NULL ? NULL : make_line(kept);
        is_right = *place != NULL;
        if (is_right)
            place = &(*place)->next;
        else
            free(kept);
    }
    free(line);
    if (file != NULL && file != stdin)
        fclose(file);
    return is_right;
}

static void drop_command(struct kv_client *client)
{
    struct command *c = client->commands;

    client->commands = c->next;
    client->is_asked = false;
    free(c->text);
    free(c);
}

struct kv_client *kv_client_new(char *const words[], int count, uint32_t address_count,
                                struct kv_speakers *speakers, const char **why_out)
{
    struct kv_client *client = calloc(1, sizeof(*client));
    bool is_file = count == 2 && strcmp(words[0], "run") == 0;

    *why_out = "no memory";
    if (client == NULL)
        return NULL;
    *client = (struct kv_client){.speakers = speakers, .address_count = address_count};
    bool is_right = is_file ? read_commands(client, words[1])
                            : (client->commands = make_command(words, count)) != NULL;
    if (!is_right) {
        *why_out = is_file ? "the file cannot be read, or a line of it is no command"
                           : "no such command, or not its arguments";
        kv_client_free(client);
        return NULL;
    }
    client->is_over = client->commands == NULL;
    return client;
}

void kv_client_free(struct kv_client *client)
{
    while (client->commands != NULL)
        drop_command(client);
    free(client);
}

/* ------------------------------------------------------------------ asking */

static struct mr_view view_of(const char *text)
{
    return (struct mr_view){(const uint8_t *)text, strlen(text)};
}

static void say_raw(struct kv_client *client, const char *hex)
{
    static uint8_t bytes[RAW_MAX];
    size_t size = 0;
    unsigned byte;

    for (; size < RAW_MAX && sscanf(hex + 2 * size, "%2x", &byte) == 1; size++)
        bytes[size] = (uint8_t)byte;
    kv_peer_say_bytes(client->peer, bytes, size);
}

static void ask(struct kv_client *client, enum kv_word word, struct mr_view value,
                struct mr_view old)
{
    const struct kv_message request = {.word = (uint8_t)word,
                                       .tag = ++client->tag,
                                       .key = view_of(client->commands->key),
                                       .value = value,
                                       .old = old};

    client->give_up_at = client->now + ANSWER_NS;
    kv_peer_say(client->peer, &request);
}

/* Begin the first command; when there is none, part. */
static void begin(struct kv_client *client)
{
    const struct command *c = client->commands;

    if (c == NULL) {
        kv_peer_end(client->peer, KV_CODE_DONE);
        return;
    }
    client->is_asked = true;
    client->give_up_at = client->now + ANSWER_NS;
    if (c->word == RAW)
        say_raw(client, c->key);
    else
        ask(client, c->word == COUNT ? KV_GET : (enum kv_word)c->word, view_of(c->value),
            view_of(c->old));
}

/* ------------------------------------------------------------------ answers */

static void print(struct kv_client *client, bool is_right, const char *text, struct mr_view value)
{
    printf("%s%s%.*s\n", text, *text != '\0' && value.size > 0 ? " " : "", (int)value.size,
           value.size > 0 ? (const char *)value.data : "");
    fflush(stdout);
    client->status |= !is_right;
    drop_command(client);
}

/* One more. */
static void count_on(struct kv_client *client, struct mr_view number)
{
    char text[24] = "", next[24];

    memcpy(text, number.size > 0 ? (const char *)number.data : "",
           number.size < sizeof(text) ? number.size : 0);
    int size = snprintf(next, sizeof(next), "%" PRIu64, (uint64_t)strtoull(text, NULL, 10) + 1);
    ask(client, KV_UPDATE, (struct mr_view){(const uint8_t *)next, (size_t)size}, number);
}

/* True: the command goes on. */
static bool take_count(struct kv_client *client, const struct kv_message *m)
{
    struct command *c = client->commands;

    if (m->word != KV_OK && m->word != KV_CONFLICT)
        return false;
    /* The answer to an update has its new value, or the one that was in the way. */
    if (m->word == KV_OK && kv_peer_config(client->peer)->number++ > 0 && --c->times == 0)
        return false;
    count_on(client, m->value);
    return true;
}

static void take(struct kv_peer *peer, const struct kv_message *m, uint64_t now)
{
    struct kv_client *client = kv_peer_config(peer)->owner;
    const struct command *c = client->commands;
    bool shows = c != NULL && c->word != KV_PUT && (c->word != KV_UPDATE || m->word == KV_CONFLICT);

    client->now = now;
    if (!client->is_asked || (c->word != RAW && m->tag != client->tag))
        return;
    if (c->word == COUNT && take_count(client, m))
        return;
    kv_peer_config(peer)->number = 0;
    print(client, m->word == KV_OK, shows && m->word == KV_OK ? "" : kv_status_text(m->word),
          shows ? m->value : (struct mr_view){0});
    begin(client);
}

/* ------------------------------------------------------------------ the connection */

static void left(struct kv_peer *peer, uint64_t code)
{
    struct kv_client *client = kv_peer_config(peer)->owner;
    char text[64];

    client->peer = NULL;
    client->again_at = client->now + AGAIN_NS;
    client->give_up_at = client->now + REACH_NS;
    if (client->is_asked && code != KV_CODE_AGAIN) {
        bool is_raw = client->commands->word == RAW;
        snprintf(text, sizeof(text), is_raw ? "closed with code %" PRIu64 : "lost", code);
        print(client, is_raw && code != 0, text, (struct mr_view){0});
        client->address = (client->address + 1) % client->address_count;
    }
    client->is_asked = false;
    client->is_over |= client->commands == NULL;
}

uint32_t kv_client_next_way(struct kv_client *client)
{
    if (client->is_over || client->peer != NULL || client->is_being_reached ||
        client->now < client->again_at)
        return KV_NOBODY;
    client->is_being_reached = true;
    return client->address;
}

struct kv_peer *kv_client_reached(struct kv_client *client, void *context)
{
    const struct kv_peer_config config = {.hears = &kv_answer_schema,
                                          .says = &kv_request_schema,
                                          .take = take,
                                          .left = left,
                                          .owner = client,
                                          .context = context};

    client->is_being_reached = false;
    client->peer = kv_peer_new(&config, client->speakers);
    if (client->peer != NULL)
        begin(client);
    return client->peer;
}

void kv_client_failed(struct kv_client *client)
{
    client->is_being_reached = false;
    client->again_at = client->now + AGAIN_NS;
    client->address = (client->address + 1) % client->address_count;
}

uint64_t kv_client_tick(struct kv_client *client, uint64_t now)
{
    client->now = now;
    if (client->give_up_at == 0)
        client->give_up_at = now + REACH_NS;
    if (!client->is_over && now >= client->give_up_at) {
        fprintf(stderr, "kv: %s\n", client->peer == NULL ? "no node can be reached" : "no answer");
        client->status = 1;
        client->is_over = true;
    }
    return client->peer == NULL && !client->is_being_reached ? client->again_at
                                                             : client->give_up_at;
}

bool kv_client_is_over(const struct kv_client *client)
{
    return client->is_over;
}

int kv_client_status(const struct kv_client *client)
{
    return client->status;
}
