/* examples/kv/kv_client.c - commands that wait, and the connection on which they are asked; see
 * kv_client.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "examples/kv/kv_client_internal.h"
#include "examples/kv/kv_node.h"

#define REACH_NS (3000 * MS) /* for a node to be there */
#define AGAIN_NS (20 * MS)

void kv_client_drop(struct kv_client *client)
{
    struct kv_command *c = client->commands;

    client->commands = c->next;
    client->is_asked = false;
    kv_command_free(c);
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
    bool is_right = is_file ? kv_commands_read(words[1], &client->commands)
                            : (client->commands = kv_command_make(words, count)) != NULL;
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
        kv_client_drop(client);
    free(client);
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
        bool is_raw = client->commands->word == KV_RAW;
        snprintf(text, sizeof(text), is_raw ? "closed with code %" PRIu64 : "lost", code);
        kv_client_print(client, is_raw && code != 0, text, (struct mr_view){0});
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
                                          .take = kv_client_take,
                                          .left = left,
                                          .owner = client,
                                          .context = context};

    client->is_being_reached = false;
    client->peer = kv_peer_new(&config, client->speakers);
    if (client->peer != NULL)
        kv_client_begin(client);
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
