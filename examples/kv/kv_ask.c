/* examples/kv/kv_ask.c - the first command of a client: asked, answered, printed; see kv_client.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "examples/kv/kv_client_internal.h"

#define ANSWER_NS (10000 * MS)

enum {
    RAW_MAX = 32768
};

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

void kv_client_begin(struct kv_client *client)
{
    const struct kv_command *c = client->commands;

    if (c == NULL) {
        kv_peer_end(client->peer, KV_CODE_DONE);
        return;
    }
    client->is_asked = true;
    client->give_up_at = client->now + ANSWER_NS;
    if (c->word == KV_RAW)
        say_raw(client, c->key);
    else
        ask(client, c->word == KV_COUNT ? KV_GET : (enum kv_word)c->word, view_of(c->value),
            view_of(c->old));
}

/* ------------------------------------------------------------------ answers */

void kv_client_print(struct kv_client *client, bool is_right, const char *text,
                     struct mr_view value)
{
    printf("%s%s%.*s\n", text, *text != '\0' && value.size > 0 ? " " : "", (int)value.size,
           value.size > 0 ? (const char *)value.data : "");
    fflush(stdout);
    client->status |= !is_right;
    kv_client_drop(client);
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
    struct kv_command *c = client->commands;

    if (m->word != KV_OK && m->word != KV_CONFLICT)
        return false;
    /* The answer to an update has its new value, or the one that was in the way. */
    if (m->word == KV_OK && kv_peer_config(client->peer)->number++ > 0 && --c->times == 0)
        return false;
    count_on(client, m->value);
    return true;
}

void kv_client_take(struct kv_peer *peer, const struct kv_message *m, uint64_t now)
{
    struct kv_client *client = kv_peer_config(peer)->owner;
    const struct kv_command *c = client->commands;
    bool shows = c != NULL && c->word != KV_PUT && (c->word != KV_UPDATE || m->word == KV_CONFLICT);

    client->now = now;
    if (!client->is_asked || (c->word != KV_RAW && m->tag != client->tag))
        return;
    if (c->word == KV_COUNT && take_count(client, m))
        return;
    kv_peer_config(peer)->number = 0;
    kv_client_print(client, m->word == KV_OK,
                    shows && m->word == KV_OK ? "" : kv_status_text(m->word),
                    shows ? m->value : (struct mr_view){0});
    kv_client_begin(client);
}
