/*
 * examples/echo_args.h - what `echo` (echo.h) is to do, from its command line.
 *
 * For C and C++.
 */
#ifndef EXAMPLES_ECHO_ARGS_H
#define EXAMPLES_ECHO_ARGS_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <millrace/transport.h>

/* What is to be done, from the command line. */
struct echo_task {
    const char *control; /* the datapath's socket */
    const char *address; /* NULL: be the server */
    struct mr_address remote;
    const uint8_t *text;
    size_t size;
    bool is_line; /* the answer gets a newline for who reads it */
};

/* Why it does not work: the status. */
static inline int echo_fail(const char *why)
{
    fprintf(stderr, "echo: %s\n", why);
    return 1;
}

/* All of standard input; false: it cannot be read, or there is no memory for it. */
static inline bool echo_read_input(struct echo_task *task)
{
    uint8_t *text = NULL;
    size_t room = 0;

    do {
        if (task->size == room) {
            room = room == 0 ? 65536 : 2 * room;
            uint8_t *larger = (uint8_t *)realloc(text, room);
            if (larger == NULL)
                break;
            text = larger;
        }
        task->size += fread(text + task->size, 1, room - task->size, stdin);
    } while (!feof(stdin) && !ferror(stdin));
    task->text = text;
    return feof(stdin);
}

/* A whole number from 1 to `max`; false: it is none. */
static inline bool echo_read_number(const char *text, unsigned long max, unsigned long *number_out)
{
    char *end;

    *number_out = strtoul(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && *number_out > 0 && *number_out <= max;
}

/* 0, or the status to exit with: it said why. */
static inline int echo_read_task(int argc, char **argv, struct echo_task *task)
{
    if (!(argc == 3 && strcmp(argv[2], "server") == 0) &&
        !(argc == 6 && strcmp(argv[2], "client") == 0)) {
        fprintf(stderr, "usage: %s SOCKET server | SOCKET client ADDRESS PORT TEXT\n", argv[0]);
        return 2;
    }
    task->control = argv[1];
    if (argc == 3)
        return 0;
    unsigned long port;
    if (!echo_read_number(argv[4], 65535, &port)) {
        fprintf(stderr, "echo: %s is no port; give 1 to 65535\n", argv[4]);
        return 2;
    }
    task->address = argv[3];
    task->remote.port = (uint16_t)port;
    task->remote.ip[10] = task->remote.ip[11] = 0xff; /* IPv4 is mapped */
    if (inet_pton(AF_INET, argv[3], &task->remote.ip[12]) != 1 &&
        inet_pton(AF_INET6, argv[3], task->remote.ip) != 1) {
        fprintf(stderr, "echo: %s is no address\n", argv[3]);
        return 2;
    }
    task->is_line = strcmp(argv[5], "-") != 0;
    task->text = task->is_line ? (const uint8_t *)argv[5] : NULL;
    task->size = task->is_line ? strlen(argv[5]) : 0;
    return task->is_line || echo_read_input(task) ? 0 : echo_fail("standard input cannot be read");
}

static inline void echo_free_task(struct echo_task *task)
{
    if (!task->is_line)
        free((void *)(uintptr_t)task->text);
}

/* What main() does: `run` serves, or asks, and returns the status. */
static inline int echo_main(int argc, char **argv, int (*run)(const struct echo_task *task))
{
    struct echo_task task;

    memset(&task, 0, sizeof(task));
    int status = echo_read_task(argc, argv, &task);
    if (status == 0)
        status = run(&task);
    echo_free_task(&task);
    return status;
}

#endif /* EXAMPLES_ECHO_ARGS_H */
