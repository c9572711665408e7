/*
 * examples/kv/kv_command.h - what a client can be told to do (kv_client.h), from words or from a
 * file.
 *
 * Owner: the caller.  Threads: any, one at a time.
 */
#ifndef KV_COMMAND_H
#define KV_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

/* Commands that are not one request of the protocol (enum kv_word). */
enum kv_extra {
    KV_COUNT = 100,
    KV_RAW
};

struct kv_command {
    struct kv_command *next;
    uint8_t word; /* enum kv_word, enum kv_extra */
    uint32_t times;
    const char *key;
    const char *value;
    const char *old;
    char *text; /* in which the others point; NULL: they are the caller's */
};

/* From its words.  NULL: it is none, or there is no memory. */
struct kv_command *kv_command_make(char *const words[], int count);

/* A file's commands, a line each; "-": standard input.  False: it cannot be read, or a line is
 * none; those before it are in the list. */
bool kv_commands_read(const char *path, struct kv_command **commands_out);

void kv_command_free(struct kv_command *command);

#endif /* KV_COMMAND_H */
