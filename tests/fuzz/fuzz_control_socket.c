/*
 * fuzz/fuzz_control_socket.c - property test of control/control_socket.h: programs that connect,
 * talk sense and nonsense, pass descriptors, listen or do not, half close and go, and a handler
 * that answers little or much, refuses, attaches and closes, while time passes.
 *
 *     input -> operations on SIDES programs, on the handler and on the clock -> poll
 *
 * A program's messages say who it is, which of its lives it is in, and their number.  Properties:
 *   1. the handler hears a client's messages once each, in order, and none that follows nonsense,
 *      a refusal, its own close or on_gone;
 *   2. on_gone comes once for each client that the handler knows and did not close;
 *   3. the handler never knows more clients than clients_max;
 *   4. in the end nobody is connected, and every descriptor is closed.
 *
 * Links with --wrap=clock_gettime: the clock moves on as the input says, within a run.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "control/control_socket.h"
#include "quic/wire_fields.h"
#include "tests/support/control_side.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int __real_clock_gettime(clockid_t clock, struct timespec *out);
int __wrap_clock_gettime(clockid_t clock, struct timespec *out);

enum {
    SIDES = 5,
    CLIENTS_MAX = 3,
    DESCRIPTORS = 256, /* looked at, at the end */
    POLLS_MAX = 200,
    OPERATIONS_MAX = 600,
};

#define SILENCE_NS UINT64_C(4000000000)

/* A program. */
static struct program {
    struct control_side side;
    bool is_connected;
    uint32_t life;    /* which of its connections */
    uint32_t said;    /* messages of it that make sense */
    uint32_t spoiled; /* how many of them came before nonsense; more must not be heard */
} programs[SIDES];

/* What the handler knows. */
static struct known {
    struct mr_client *client; /* NULL: nobody */
    uint32_t who;
    uint32_t life;
    uint32_t heard; /* messages of it */
} known[CLIENTS_MAX];

/* What the handler does next. */
static struct {
    uint32_t reply_count;
    uint32_t reply_bytes;
    bool refuses;
    bool attaches;
    bool closes;
} manner;

static uint64_t ahead_ns; /* of the real clock */
static struct mr_control_socket *server;

int __wrap_clock_gettime(clockid_t clock, struct timespec *out)
{
    int result = __real_clock_gettime(clock, out);
    uint64_t ns = (uint64_t)out->tv_nsec + ahead_ns % 1000000000;

    out->tv_sec += (time_t)(ahead_ns / 1000000000 + ns / 1000000000);
    out->tv_nsec = (long)(ns % 1000000000);
    return result;
}

/* ------------------------------------------------------------------ the handler */

static struct known *find(const struct mr_client *client)
{
    for (uint32_t i = 0; i < CLIENTS_MAX; i++)
        if (known[i].client == client)
            return &known[i];
    return NULL;
}

/* The handler meets a client with its first message: one that it has forgotten would come with a
 * later one. */
static struct known *meet(struct mr_client *client, uint32_t who, uint32_t life)
{
    struct known *place = find(NULL);

    MR_ASSERT(place != NULL); /* no more than clients_max */
    *place = (struct known){.client = client, .who = who, .life = life};
    mr_client_set_context(client, place);
    return place;
}

static void check_message(struct known *k, uint32_t who, uint32_t life, uint32_t number)
{
    MR_ASSERT(k->who == who && k->life == life);
    MR_ASSERT(mr_client_context(k->client) == k);
    MR_ASSERT(number == k->heard);
    k->heard++;
    if (life == programs[who].life)
        MR_ASSERT(number < programs[who].spoiled);
}

static int on_message(void *context, struct mr_client *client,
                      const struct mr_client_message *message, struct mr_fault *fault)
{
    static uint8_t text[MR_ATTACH_REPLY_MAX];
    struct mr_message head = {.magic = MR_ATTACH_MAGIC,
                              .version = MR_ATTACH_VERSION,
                              .type = MR_MESSAGE_RESULT,
                              .size = (uint32_t)sizeof(head) + manner.reply_bytes};
    bool is_command = message->type == MR_MESSAGE_COMMAND;
    unsigned who;
    unsigned life;
    unsigned number;

    (void)context;
    MR_ASSERT(sscanf(is_command ? message->text : message->attach.name, "%u.%u.%u", &who, &life,
                     &number) == 3);
    MR_ASSERT(who < SIDES);
    struct known *k = find(client);
    if (k == NULL)
        k = meet(client, who, life);
    check_message(k, who, life, number);
    if (manner.refuses)
        return mr_fault_set(fault, EPERM, "not now");
    if (manner.attaches) {
        mr_client_attach(client);
        manner.attaches = false;
    }
    for (uint32_t i = 0; i < manner.reply_count; i++)
        if (mr_client_send(client, &head, text, manner.reply_bytes, -1) != 0)
            break;
    if (manner.closes) {
        k->client = NULL;
        mr_client_close(client);
    }
    return 0;
}

static void on_gone(void *context, struct mr_client *client)
{
    struct known *k = find(client);

    (void)context;
    MR_ASSERT(mr_client_context(client) == k); /* both NULL: it said nothing that was heard */
    if (k != NULL)
        k->client = NULL;
}

static uint64_t on_time(void *context, uint64_t now_ns)
{
    (void)context;
    (void)now_ns;
    return MR_CONTROL_NEVER;
}

/* ------------------------------------------------------------------ the programs */

static const char *directory(void)
{
    static char name[] = "/tmp/mr-fuzz-control-XXXXXX";
    static bool is_made;

    if (!is_made)
        MR_ASSERT(mkdtemp(name) != NULL);
    is_made = true;
    return name;
}

static void remove_directory(void)
{
    rmdir(directory());
}

static void come(struct program *p, const char *path)
{
    if (p->is_connected || control_side_connect(&p->side, path) != 0)
        return;
    p->is_connected = true;
    p->life++;
    p->said = 0;
    p->spoiled = UINT32_MAX;
}

static void go(struct program *p)
{
    if (!p->is_connected)
        return;
    control_side_close(&p->side);
    p->is_connected = false;
}

static void name_message(const struct program *p, char *text, size_t room)
{
    snprintf(text, room, "%u.%u.%u", (unsigned)(p - programs), p->life, p->said);
}

static void say_command(struct program *p)
{
    char text[64];

    name_message(p, text, sizeof(text));
    p->said += control_side_command(&p->side, text);
}

static void say_wish(struct program *p)
{
    char name[MR_ATTACH_NAME];

    name_message(p, name, sizeof(name));
    struct mr_message_attach wish = control_side_wish(name);
    p->said += control_side_say(&p->side, &wish, sizeof(wish));
}

/* Bytes that are no message: the magic number is not ours. */
static void say_nonsense(struct program *p, struct mr_reader *input)
{
    uint8_t bytes[MR_CLIENT_MESSAGE_MAX + 64] = {0};
    size_t size = 1 + mr_read_u8(input) % 64u;

    if (size == 64)
        size = sizeof(bytes); /* too long, too */
    for (size_t i = 4; i < size && i < 64; i++)
        bytes[i] = mr_read_u8(input);
    if (control_side_say(&p->side, bytes, size))
        p->spoiled = MR_MIN(p->spoiled, p->said);
}

/* A message with a descriptor, which nobody may send. */
static void pass_descriptor(struct program *p)
{
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = {0}};
    struct mr_message head = {.magic = MR_ATTACH_MAGIC,
                              .version = MR_ATTACH_VERSION,
                              .type = MR_MESSAGE_COMMAND,
                              .size = sizeof(head)};
    struct iovec part = {.iov_base = &head, .iov_len = sizeof(head)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);

    *rights = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
    memcpy(CMSG_DATA(rights), &(int){STDERR_FILENO}, sizeof(int));
    if (sendmsg(p->side.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        p->spoiled = MR_MIN(p->spoiled, p->said);
}

static void listen_to(struct program *p, uint32_t count)
{
    static struct control_message message;

    while (count-- > 0) {
        int result = control_side_hear(&p->side, &message, 0);

        MR_ASSERT(result != -EBADMSG);
        if (result == 1 && message.fd >= 0)
            close(message.fd);
        if (result != 1)
            return;
    }
}

/* ------------------------------------------------------------------ a run */

static void choose_manner(struct mr_reader *input)
{
    uint8_t how = mr_read_u8(input);

    manner.refuses = how % 8 == 1;
    manner.attaches = how % 8 == 2;
    manner.closes = how % 8 == 3;
    manner.reply_count = mr_read_u8(input) % 4u == 0 ? 80 : 1;
    manner.reply_bytes = mr_read_u8(input) % 4u == 0 ? MR_ATTACH_REPLY_MAX - 64 : 100;
}

static void run(struct mr_reader *input, const char *path)
{
    for (uint32_t i = 0; i < OPERATIONS_MAX && mr_reader_left(input) > 0; i++) {
        uint8_t op = mr_read_u8(input);
        struct program *p = &programs[op / 16 % SIDES];

        switch (op % 16) {
        case 0:
        case 1:
            come(p, path);
            break;
        case 2:
            go(p);
            break;
        case 3:
            choose_manner(input);
            break;
        case 4: /* more often none or little: silences add up */
            ahead_ns += SILENCE_NS / 16 * (mr_read_u8(input) % 24u);
            break;
        case 5:
        case 6:
        case 7:
        case 8:
            (void)mr_control_socket_poll(server, 0);
            break;
        default:
            if (!p->is_connected)
                break;
            if (op % 16 == 9)
                say_nonsense(p, input);
            else if (op % 16 == 10)
                pass_descriptor(p);
            else if (op % 16 == 11)
                say_wish(p);
            else if (op % 16 == 12)
                (void)shutdown(p->side.fd, SHUT_WR);
            else if (op % 16 == 13)
                listen_to(p, 1 + mr_read_u8(input) % 64u);
            else
                say_command(p);
        }
    }
}

static uint32_t count_descriptors(void)
{
    uint32_t count = 0;

    for (int fd = 0; fd < DESCRIPTORS; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void check_that_all_are_gone(void)
{
    for (uint32_t i = 0; i < SIDES; i++)
        go(&programs[i]);
    for (uint32_t i = 0; i < POLLS_MAX && mr_control_socket_client_count(server) > 0; i++)
        (void)mr_control_socket_poll(server, 0);
    MR_ASSERT(mr_control_socket_client_count(server) == 0);
    for (uint32_t i = 0; i < CLIENTS_MAX; i++)
        MR_ASSERT(known[i].client == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct mr_control_handler handler = {
        .on_message = on_message, .on_gone = on_gone, .on_time = on_time};
    struct mr_reader input = mr_reader(data, size);
    static bool has_exit;
    char path[64];
    struct mr_fault fault;

    if (!has_exit)
        atexit(remove_directory);
    has_exit = true;
    snprintf(path, sizeof(path), "%s/s", directory());
    memset(programs, 0, sizeof(programs));
    memset(known, 0, sizeof(known));
    memset(&manner, 0, sizeof(manner));
    ahead_ns = 0;
    uint32_t before = count_descriptors();
    struct mr_control_socket_config config = {
        .path = path, .clients_max = CLIENTS_MAX, .silence_ns = SILENCE_NS};
    server = mr_control_socket_open(&config, &handler, &fault);
    MR_ASSERT(server != NULL);
    run(&input, path);
    if (mr_read_u8(&input) % 2 == 0 || size % 2 == 0)
        check_that_all_are_gone();
    mr_control_socket_close(server);
    for (uint32_t i = 0; i < SIDES; i++)
        go(&programs[i]);
    for (uint32_t i = 0; i < CLIENTS_MAX; i++)
        MR_ASSERT(known[i].client == NULL);
    MR_ASSERT(count_descriptors() == before);
    ahead_ns = 0;
    return 0;
}
