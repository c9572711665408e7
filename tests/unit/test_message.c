/* Tests of millrace/message.h and millrace/channel.h. */
#include "millrace/message.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "millrace/channel.h"
#include "tests/unit/fiber_world.h"

enum {
    LARGEST = 20000
};

static const struct mr_message_format varint = {MR_PREFIX_VARINT, LARGEST};
static const struct mr_message_format u32 = {MR_PREFIX_U32, LARGEST};

/* ------------------------------------------------------------------ the parser */

/* Messages of all these sizes, one after the other: what comes in pieces of `piece` is the same. */
static void cut_into(const struct mr_message_format *format, size_t piece)
{
    static const size_t sizes[] = {0, 1, 63, 64, 65, 0, 16383, 16384, LARGEST};
    static uint8_t stream[80000], body[LARGEST];
    struct mr_message_parser parser;
    size_t end = 0, message = 0;

    for (size_t i = 0; i < MR_COUNT_OF(sizes); i++) {
        end += mr_message_prefix(format, sizes[i], stream + end);
        memset(stream + end, (int)('a' + i), sizes[i]);
        end += sizes[i];
    }
    mr_message_parser_init(&parser, format, body);
    for (size_t at = 0; at < end;) {
        size_t used;
        size_t give = MR_MIN(piece, end - at);
        if (mr_message_parse(&parser, stream + at, give, &used) == MR_MESSAGE_WHOLE) {
            CU_ASSERT_EQUAL_FATAL(parser.size, sizes[message]);
            for (uint32_t i = 0; i < parser.size; i++)
                if (body[i] != 'a' + message)
                    CU_FAIL("a byte of another message");
            message++;
            CU_ASSERT_FALSE(mr_message_parser_is_inside(&parser));
        }
        at += used;
    }
    CU_ASSERT_EQUAL(message, MR_COUNT_OF(sizes));
}

static void messages_are_cut_and_merged(void)
{
    static const size_t pieces[] = {1, 2, 3, 7, 64, 1000, 80000};

    for (size_t i = 0; i < MR_COUNT_OF(pieces); i++) {
        cut_into(&varint, pieces[i]);
        cut_into(&u32, pieces[i]);
    }
}

static void prefixes_are_as_documented(void)
{
    static const struct {
        const struct mr_message_format *format;
        size_t size, prefix_size;
        uint8_t prefix[4];
    } rows[] = {
        {&varint, 0, 1, {0}},
        {&varint, 63, 1, {63}},
        {&varint, 64, 2, {0x40, 64}},
        {&varint, 16383, 2, {0x7f, 0xff}},
        {&varint, 16384, 4, {0x80, 0, 0x40, 0}},
        {&varint, LARGEST, 4, {0x80, 0, 0x4e, 0x20}},
        {&varint, LARGEST + 1, 0, {0}},
        {&u32, 0, 4, {0}},
        {&u32, 258, 4, {0, 0, 1, 2}},
        {&u32, LARGEST + 1, 0, {0}},
    };

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        uint8_t prefix[MR_PREFIX_MAX] = {0};

        CU_ASSERT_EQUAL(mr_message_prefix(rows[i].format, rows[i].size, prefix),
                        rows[i].prefix_size);
        CU_ASSERT_EQUAL(memcmp(prefix, rows[i].prefix, rows[i].prefix_size), 0);
    }
}

static void larger_messages_are_refused_for_ever(void)
{
    static const struct {
        const struct mr_message_format *format;
        uint8_t bytes[8];
        size_t size;
    } rows[] = {
        {&varint, {0x80, 0, 0x4e, 0x21}, 4},
        {&varint, {0xc0, 0, 0, 1, 0, 0, 0, 0}, 8}, /* 2^32: not cut to 32 bits */
        {&u32, {0, 0, 0x4e, 0x21}, 4},
        {&u32, {0xff, 0xff, 0xff, 0xff}, 4},
    };
    uint8_t body[1];
    size_t used;

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct mr_message_parser parser;

        mr_message_parser_init(&parser, rows[i].format, body);
        CU_ASSERT_EQUAL(mr_message_parse(&parser, rows[i].bytes, rows[i].size - 1, &used),
                        MR_MESSAGE_PARTIAL);
        CU_ASSERT_EQUAL(mr_message_parse(&parser, rows[i].bytes + used, 1, &used),
                        MR_MESSAGE_TOO_LARGE);
        CU_ASSERT_EQUAL(mr_message_parse(&parser, "\0", 1, &used), MR_MESSAGE_TOO_LARGE);
        CU_ASSERT_EQUAL(used, 0);
    }
}

/* ------------------------------------------------------------------ schemas */

struct example {
    struct mr_view key;
    uint64_t version;
    uint32_t number;
    uint8_t kind;
};

static const struct mr_field fields[] = {
    MR_FIELD(struct example, kind, U8, 2, 2),
    MR_FIELD(struct example, number, U32, 1, 1000),
    MR_FIELD(struct example, version, U64, 0, 0),
    MR_FIELD(struct example, key, BYTES, 1, 4),
};
static const struct mr_schema schema = {"example", fields, MR_COUNT_OF(fields)};

static const uint8_t encoded[] = {2, 0, 0, 3, 0xe8, 1, 2, 3,   4,   5,
                                  6, 7, 8, 0, 0,    0, 3, 'k', 'e', 'y'};

static void structs_are_messages(void)
{
    struct example example = {{(const uint8_t *)"key", 3}, UINT64_C(0x0102030405060708), 1000, 2};
    struct example back = {0};
    uint8_t out[64];

    CU_ASSERT_EQUAL(mr_schema_encode(&schema, &example, out, sizeof(out)), sizeof(encoded));
    CU_ASSERT_EQUAL(memcmp(out, encoded, sizeof(encoded)), 0);
    for (size_t room = 0; room < sizeof(encoded); room++)
        CU_ASSERT_EQUAL(mr_schema_encode(&schema, &example, out, room), -ENOSPC);
    CU_ASSERT_EQUAL(mr_schema_decode(&schema, encoded, sizeof(encoded), &back), 0);
    CU_ASSERT_EQUAL(back.version, example.version);
    CU_ASSERT_EQUAL(back.number, 1000);
    CU_ASSERT_EQUAL(back.kind, 2);
    CU_ASSERT_EQUAL(back.key.size, 3);
    CU_ASSERT_PTR_EQUAL(back.key.data, encoded + 17);
    for (size_t size = 0; size < sizeof(encoded); size++)
        CU_ASSERT_EQUAL(mr_schema_decode(&schema, encoded, size, &back), -EBADMSG);
}

static void fields_keep_their_bounds(void)
{
    static const struct {
        size_t at;
        uint8_t value;
        int status;
    } rows[] = {{0, 1, -ERANGE},  {0, 3, -ERANGE},   {4, 0xe9, -ERANGE}, {16, 0, -ERANGE},
                {16, 5, -ERANGE}, {16, 2, -EBADMSG}, {16, 4, -EBADMSG},  {13, 0x80, -ERANGE}};
    struct example example;
    uint8_t out[64];

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        uint8_t bad[sizeof(encoded)];

        memcpy(bad, encoded, sizeof(bad));
        bad[rows[i].at] = rows[i].value;
        CU_ASSERT_EQUAL(mr_schema_decode(&schema, bad, sizeof(bad), &example), rows[i].status);
    }
    example = (struct example){{(const uint8_t *)"key", 3}, 0, 1000, 2};
    example.number = 1001;
    CU_ASSERT_EQUAL(mr_schema_encode(&schema, &example, out, sizeof(out)), -ERANGE);
    example.number = 0;
    CU_ASSERT_EQUAL(mr_schema_encode(&schema, &example, out, sizeof(out)), -ERANGE);
    example.number = 1;
    example.key.size = 0;
    CU_ASSERT_EQUAL(mr_schema_encode(&schema, &example, out, sizeof(out)), -ERANGE);
}

/* ------------------------------------------------------------------ channels */

enum {
    ROUNDS = 20
};

/* Sends back what it reads, until the end. */
static int64_t echo(void *argument)
{
    struct mr_message_stream *stream = mr_message_stream_new(argument, &varint);
    const uint8_t *data;
    ssize_t size;

    while ((size = mr_message_read(stream, &data)) >= 0)
        CU_ASSERT_EQUAL(mr_message_write(stream, data, (size_t)size), 0);
    mr_message_stream_free(stream);
    return size;
}

/* The same with every kind of channel: messages of all sizes come back. */
static void talk(struct mr_channel *channel)
{
    static uint8_t out[LARGEST + 1];
    struct mr_message_stream *stream = mr_message_stream_new(channel, &varint);
    const uint8_t *data;

    CU_ASSERT_EQUAL(mr_message_write(stream, out, LARGEST + 1), -EMSGSIZE);
    for (uint32_t i = 0; i <= ROUNDS; i++) {
        size_t size = (size_t)i * (LARGEST / ROUNDS);

        memset(out, (int)i, size);
        CU_ASSERT_EQUAL(mr_message_write(stream, out, size), 0);
        CU_ASSERT_EQUAL(mr_message_read(stream, &data), (ssize_t)size);
        CU_ASSERT_EQUAL(memcmp(data, out, size), 0);
    }
    mr_message_stream_free(stream);
}

static int64_t talk_over_memory(void *argument)
{
    struct mr_memory_pair *pair = mr_memory_pair_new(100);
    struct mr_channel ends[2] = {mr_memory_pair_end(pair, 0), mr_memory_pair_end(pair, 1)};
    struct mr_fiber *other = spawn(echo, &ends[1], "echo");
    char byte;

    (void)argument;
    talk(&ends[0]);
    mr_memory_pair_close(pair, 0);
    CU_ASSERT_EQUAL(join(other), -ENODATA);
    CU_ASSERT_EQUAL(ends[1].write(ends[1].context, "x", 1), -EPIPE);
    CU_ASSERT_EQUAL(ends[0].read(ends[0].context, &byte, 1), -EBADF);
    mr_memory_pair_free(pair);
    return 0;
}

static int64_t talk_over_pipes(void *argument)
{
    int there[2], back[2];

    CU_ASSERT_EQUAL_FATAL(pipe2(there, O_NONBLOCK), 0);
    CU_ASSERT_EQUAL_FATAL(pipe2(back, O_NONBLOCK), 0);
    struct mr_fd_pair ours = {argument, back[0], there[1]};
    struct mr_fd_pair theirs = {argument, there[0], back[1]};
    struct mr_channel ends[2] = {mr_channel_of_fds(&ours), mr_channel_of_fds(&theirs)};
    struct mr_fiber *other = spawn(echo, &ends[1], "echo");

    talk(&ends[0]);
    CU_ASSERT_EQUAL(write(there[1], "\x05half", 5), 5); /* the end comes within a message */
    close(there[1]);
    CU_ASSERT_EQUAL(join(other), -EBADMSG);
    close(there[0]);
    close(back[0]);
    close(back[1]);
    return 0;
}

static int64_t talk_over_quic(void *argument)
{
    struct mr_sock **ends = argument;
    struct mr_channel channels[2] = {mr_channel_of_sock(ends[0]), mr_channel_of_sock(ends[1])};
    struct mr_fiber *other = spawn(echo, &channels[1], "echo");

    talk(&channels[0]);
    mr_sock_shutdown(ends[0]);
    CU_ASSERT_EQUAL(join(other), -ENODATA);
    return 0;
}

/* function(loop), with a loop for descriptors. */
static void run_in_loop(mr_fiber_function function)
{
    struct mr_loop_config config = {.is_detached = true};
    struct mr_fiber_options detached = {.is_detached = true};
    struct mr_hub *hub = mr_hub_new(NULL, NULL);
    struct mr_loop *loop;

    CU_ASSERT_EQUAL_FATAL(mr_loop_new(&config, &loop, NULL), 0);
    CU_ASSERT_EQUAL(mr_hub_serve_loop(hub, loop), 0);
    CU_ASSERT_EQUAL(mr_fiber_spawn(function, loop, "main", &detached, NULL), 0);
    CU_ASSERT_EQUAL(mr_hub_run(hub), 0);
    CU_ASSERT_EQUAL(mr_hub_close_loop(hub, loop, NULL), 0);
    mr_loop_free(loop);
}

/* function(ends), of a stream. */
static void run_over_quic(mr_fiber_function function)
{
    struct mr_sock *ends[2];

    world_connect(1);
    world_stream(&ends[0], &ends[1]);
    for (int i = 0; i < 2; i++)
        mr_sock_set(ends[i], MR_SOCK_NONBLOCK, 0);
    run_in_world(function, ends);
    for (int i = 0; i < 2; i++)
        mr_sock_close(ends[i], 0);
    world_end();
}

static void one_interface_serves_quic_pipes_and_memory(void)
{
    run_in_hub(talk_over_memory, NULL, NULL);
    run_in_loop(talk_over_pipes);
    run_over_quic(talk_over_quic);
}

/* ------------------------------------------------------------------ half a message */

enum {
    HUGE = 1 << 24 /* more than any of the channels holds */
};

static const struct mr_message_format huge = {MR_PREFIX_VARINT, HUGE};

static int64_t write_huge(void *argument)
{
    uint8_t *data = calloc(1, HUGE);
    int result = mr_message_write(argument, data, HUGE);

    free(data);
    return result;
}

static int64_t read_one(void *argument)
{
    const uint8_t *data;

    return mr_message_read(argument, &data);
}

/* A writer that is cancelled half way, beside a reader.  `told`: what the other end reads; 0: it
 * cannot be told. */
static void break_off(const struct mr_channel *channel, const struct mr_channel *other, int told)
{
    struct mr_message_stream *near = mr_message_stream_new(channel, &huge);
    struct mr_message_stream *far = mr_message_stream_new(other, &huge);
    struct mr_fiber *writer = spawn(write_huge, near, "writer");
    struct mr_fiber *reader = spawn(read_one, near, "reader");

    mr_fiber_sleep(20 * MS);
    mr_fiber_cancel(writer);
    CU_ASSERT_EQUAL(join(writer), -EPIPE);
    CU_ASSERT_TRUE(mr_message_is_aborted(near));
    CU_ASSERT_EQUAL(mr_message_write(near, "next", 4), -EPIPE);
    if (told != 0) {
        CU_ASSERT_EQUAL(read_one(far), told);
    } else {
        mr_fiber_cancel(reader);
    }
    CU_ASSERT_EQUAL(join(reader), -EPIPE);
    CU_ASSERT_EQUAL(read_one(near), -EPIPE);
    mr_message_stream_free(near);
    mr_message_stream_free(far);
}

/* Cancelled before a byte was taken, nothing is broken. */
static int64_t break_off_memory(void *argument)
{
    struct mr_memory_pair *pair = mr_memory_pair_new(100);
    struct mr_channel ends[2] = {mr_memory_pair_end(pair, 0), mr_memory_pair_end(pair, 1)};
    struct mr_message_stream *near = mr_message_stream_new(&ends[0], &huge);
    struct mr_message_stream *far = mr_message_stream_new(&ends[1], &huge);
    uint8_t full[98] = {0}; /* a prefix of 2 */

    (void)argument;
    CU_ASSERT_EQUAL(mr_message_write(near, full, sizeof(full)), 0);
    struct mr_fiber *writer = spawn(write_huge, near, "writer");
    mr_fiber_yield();
    mr_fiber_cancel(writer);
    CU_ASSERT_EQUAL(join(writer), -ECANCELED);
    CU_ASSERT_FALSE(mr_message_is_aborted(near));
    CU_ASSERT_EQUAL(read_one(far), sizeof(full));
    CU_ASSERT_EQUAL(mr_message_write(near, "next", 4), 0);
    CU_ASSERT_EQUAL(read_one(far), 4);
    mr_message_stream_free(near);
    mr_message_stream_free(far);

    break_off(&ends[0], &ends[1], -EBADMSG);
    CU_ASSERT_EQUAL(ends[1].write(ends[1].context, "x", 1), -EPIPE);
    mr_memory_pair_free(pair);
    return 0;
}

static int64_t break_off_fds(void *argument)
{
    int there[2], back[2], sockets[2];

    CU_ASSERT_EQUAL_FATAL(pipe2(there, O_NONBLOCK), 0);
    CU_ASSERT_EQUAL_FATAL(pipe2(back, O_NONBLOCK), 0);
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets), 0);
    struct mr_fd_pair pipes[2] = {{argument, back[0], there[1]}, {argument, there[0], back[1]}};
    struct mr_fd_pair ends[2] = {{argument, sockets[0], dup(sockets[0])},
                                 {argument, sockets[1], dup(sockets[1])}};

    for (int i = 0; i < 2; i++) {
        struct mr_fd_pair *pair = i == 0 ? pipes : ends;
        struct mr_channel channels[2] = {mr_channel_of_fds(&pair[0]), mr_channel_of_fds(&pair[1])};

        break_off(&channels[0], &channels[1], i == 0 ? 0 : -EBADMSG);
        for (int j = 0; j < 2; j++) {
            close(pair[j].in);
            close(pair[j].out);
        }
    }
    return 0;
}

static int64_t break_off_quic(void *argument)
{
    struct mr_sock **ends = argument;
    struct mr_channel channels[2] = {mr_channel_of_sock(ends[0]), mr_channel_of_sock(ends[1])};

    break_off(&channels[0], &channels[1], -ECONNRESET);
    return 0;
}

static void a_message_written_half_way_is_the_last(void)
{
    run_in_hub(break_off_memory, NULL, NULL);
    run_in_loop(break_off_fds);
    run_over_quic(break_off_quic);
}

/* Everything was taken, but is not handed over yet: the message is whole. */
static int64_t be_late(void *argument)
{
    struct mr_sock **ends = argument;
    struct mr_channel channels[2] = {mr_channel_of_sock(ends[0]), mr_channel_of_sock(ends[1])};
    struct mr_message_stream *near = mr_message_stream_new(&channels[0], &varint);
    struct mr_message_stream *far = mr_message_stream_new(&channels[1], &varint);

    mr_sock_set(ends[0], MR_SOCK_WRITE_ACKED, 1);
    mr_sock_set(ends[0], MR_SOCK_WRITE_TIMEOUT, 5 * MS);
    loop_hold_acks(world.loop, CLIENT, true);
    CU_ASSERT_EQUAL(mr_message_write(near, "late", 4), -EINPROGRESS);
    loop_hold_acks(world.loop, CLIENT, false);
    mr_sock_set(ends[0], MR_SOCK_WRITE_TIMEOUT, 0);
    CU_ASSERT_EQUAL(mr_message_write(near, "next!", 5), 0);
    CU_ASSERT_EQUAL(read_one(far), 4);
    CU_ASSERT_EQUAL(read_one(far), 5);
    mr_message_stream_free(near);
    mr_message_stream_free(far);
    return 0;
}

static void a_message_that_is_on_its_way_is_whole(void)
{
    run_over_quic(be_late);
}

/* ------------------------------------------------------------------ ends that nobody reads */

static int64_t write_to_nobody(void *argument)
{
    int ends[2];

    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL_FATAL(i == 0 ? pipe2(ends, O_NONBLOCK)
                                     : socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends),
                              0);
        struct mr_fd_pair pair = {argument, -1, ends[1]};
        struct mr_channel channel = mr_channel_of_fds(&pair);

        CU_ASSERT_EQUAL(channel.write(channel.context, "x", 1), 1);
        close(ends[0]);
        CU_ASSERT_EQUAL(channel.write(channel.context, "x", 1), -EPIPE);
        close(ends[1]);
    }
    return 0;
}

static void write_in_child(void *argument)
{
    sigset_t set;

    (void)argument;
    run_in_loop(write_to_nobody); /* SIGPIPE kills, as it does by default */
    sigemptyset(&set);
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    if (sigismember(&set, SIGPIPE))
        abort(); /* it is as it was */
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    raise(SIGPIPE);
    run_in_loop(write_to_nobody);
    sigpending(&set);
    if (!sigismember(&set, SIGPIPE))
        abort(); /* the application's own still waits */
}

static void an_end_that_nobody_reads_raises_no_signal(void)
{
    char text[2048];
    int status = run_child(write_in_child, NULL, text, sizeof(text));

    CU_ASSERT_TRUE(WIFEXITED(status));
}

static void memory_has_room_or_is_refused(void)
{
    CU_ASSERT_PTR_NULL(mr_memory_pair_new(0));
    CU_ASSERT_PTR_NULL(mr_memory_pair_new(SIZE_MAX));
    CU_ASSERT_PTR_NULL(mr_memory_pair_new(SIZE_MAX / 2));
    CU_ASSERT_PTR_NULL(mr_memory_pair_new(SIZE_MAX / 2 + 1));
    struct mr_memory_pair *pair = mr_memory_pair_new(1);
    CU_ASSERT_PTR_NOT_NULL(pair);
    mr_memory_pair_free(pair);
}

static CU_TestInfo messages[] = {
    {"B2 T2 messages are cut and merged", messages_are_cut_and_merged},
    {"B2 prefixes are as documented", prefixes_are_as_documented},
    {"B2 larger messages are refused for ever", larger_messages_are_refused_for_ever},
    {"B5 structs are messages", structs_are_messages},
    {"B5 fields keep their bounds", fields_keep_their_bounds},
    {"G17 B2 one interface serves QUIC, pipes and memory",
     one_interface_serves_quic_pipes_and_memory},
    {"G26 B2 a message written half way is the last", a_message_written_half_way_is_the_last},
    {"B2 a message that is on its way is whole", a_message_that_is_on_its_way_is_whole},
    {"G17 an end that nobody reads raises no signal", an_end_that_nobody_reads_raises_no_signal},
    {"G17 memory has room or is refused", memory_has_room_or_is_refused},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "app/message", .pTests = messages},
    CU_SUITE_INFO_NULL,
};
