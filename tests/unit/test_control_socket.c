/* Tests of control/control_socket.h: the socket's file, and clients that come, talk nonsense, say
 * nothing, do not listen, and go. */
#include "control/control_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/control_side.h"
#include "tests/unit/harness.h"

#define MS     UINT64_C(1000000)
#define NOBODY 65534

static char directory[] = "/tmp/mr-control-XXXXXX";
static char path[64];
static struct mr_control_socket *server;
static struct mr_fault fault;
static struct control_side sides[4];
static struct control_message heard; /* large */

/* What the handler saw, and does. */
static struct {
    uint32_t messages;
    uint32_t gone;
    struct mr_client_peer peer;
    size_t reply_bytes; /* of a RESULT; 0: none */
    uint32_t reply_count;
    int refuses; /* -errno */
    bool attaches;
    bool closes;
    uint64_t next_ns;
} seen;

static int on_message(void *context, struct mr_client *client,
                      const struct mr_client_message *message, struct mr_fault *why)
{
    static uint8_t text[MR_ATTACH_REPLY_MAX];
    struct mr_message head = {.magic = MR_ATTACH_MAGIC,
                              .version = MR_ATTACH_VERSION,
                              .type = MR_MESSAGE_RESULT,
                              .size = (uint32_t)(sizeof(head) + seen.reply_bytes)};

    (void)context;
    seen.messages++;
    seen.peer = *mr_client_peer(client);
    if (seen.refuses != 0)
        return mr_fault_set(why, -seen.refuses, "refused %s", message->text);
    if (seen.attaches) {
        mr_client_set_context(client, &seen);
        mr_client_attach(client);
    }
    for (uint32_t i = 0; i < seen.reply_count; i++)
        if (mr_client_send(client, &head, text, seen.reply_bytes, -1) != 0)
            break;
    if (seen.closes)
        mr_client_close(client);
    return 0;
}

static void on_gone(void *context, struct mr_client *client)
{
    (void)context;
    (void)client;
    seen.gone++;
}

static uint64_t on_time(void *context, uint64_t now)
{
    (void)context;
    (void)now;
    return seen.next_ns;
}

static struct mr_control_socket *open_with(struct mr_control_socket_config config)
{
    static const struct mr_control_handler handler = {
        .on_message = on_message, .on_gone = on_gone, .on_time = on_time};

    memset(&seen, 0, sizeof(seen));
    fault.text[0] = '\0';
    seen.next_ns = MR_CONTROL_NEVER;
    if (config.path == NULL)
        config.path = path;
    return mr_control_socket_open(&config, &handler, &fault);
}

static void start(uint64_t silence_ns, uint32_t clients_max)
{
    server = open_with(
        (struct mr_control_socket_config){.silence_ns = silence_ns, .clients_max = clients_max});
    CU_ASSERT_PTR_NOT_NULL_FATAL(server);
    for (size_t i = 0; i < MR_COUNT_OF(sides); i++)
        sides[i] = (struct control_side){.fd = -1, .wake_fd = -1};
}

static void stop(void)
{
    for (size_t i = 0; i < MR_COUNT_OF(sides); i++)
        if (sides[i].fd >= 0)
            close(sides[i].fd);
    mr_control_socket_close(server);
    server = NULL;
}

static void pump(void)
{
    for (int i = 0; i < 4; i++)
        mr_control_socket_poll(server, 0);
}

static void pump_for(uint64_t ns)
{
    uint64_t end = mr_control_now() + ns;

    for (uint64_t now = 0; (now = mr_control_now()) < end;)
        mr_control_socket_poll(server, end - now);
}

static void join(int index)
{
    CU_ASSERT_EQUAL_FATAL(control_side_connect(&sides[index], path), 0);
    pump();
}

/* The client hears REFUSED with `error` and these words, then the end. */
static void check_refused(int index, int error, const char *words)
{
    CU_ASSERT_EQUAL_FATAL(control_side_hear(&sides[index], &heard, 0), 1);
    CU_ASSERT_EQUAL(heard.head.type, MR_MESSAGE_REFUSED);
    CU_ASSERT_EQUAL(heard.refused.error, error);
    CU_ASSERT_PTR_NOT_NULL(strstr(heard.refused.why, words));
    CU_ASSERT_EQUAL(control_side_hear(&sides[index], &heard, 0), 0);
}

/* ------------------------------------------------------------------ the file */

static void check_fault(const char *where, const char *words)
{
    CU_ASSERT_PTR_NULL(open_with((struct mr_control_socket_config){.path = where}));
    if (strstr(fault.text, words) == NULL)
        printf("# %s: %s\n", where, fault.text);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, words));
}

static mode_t mode_of(const char *name)
{
    struct stat file;

    return lstat(name, &file) == 0 ? file.st_mode & 07777 : 0;
}

static void the_file_has_the_rights_that_were_asked_for(void)
{
    struct stat file;
    mode_t before = umask(0077); /* must not matter */

    server = open_with((struct mr_control_socket_config){0});
    CU_ASSERT_PTR_NOT_NULL_FATAL(server);
    CU_ASSERT_EQUAL(mode_of(path), 0660);
    stop();
    CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
    server = open_with((struct mr_control_socket_config){.mode = 0606, .group = "0"});
    if (server != NULL) { /* root, or a member */
        CU_ASSERT_EQUAL(mode_of(path), 0606);
        CU_ASSERT_EQUAL(lstat(path, &file), 0);
        CU_ASSERT_EQUAL(file.st_gid, 0);
        CU_ASSERT_EQUAL(file.st_uid, geteuid());
    } else {
        CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "be a member of it"));
    }
    stop();
    if (geteuid() == 0) {
        server = open_with((struct mr_control_socket_config){.group = "65534"});
        CU_ASSERT_PTR_NOT_NULL_FATAL(server);
        CU_ASSERT_EQUAL(lstat(path, &file), 0);
        CU_ASSERT_EQUAL(file.st_gid, 65534);
        stop();
    }
    umask(before);
}

static void a_group_that_is_not_there_is_named(void)
{
    CU_ASSERT_PTR_NULL(open_with((struct mr_control_socket_config){.group = "mr-no-such-group"}));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "no group mr-no-such-group"));
    CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0); /* nothing is left */
}

static void a_path_that_cannot_be_says_why(void)
{
    char name[200];
    char other[100];

    check_fault("", "needs a path");
    check_fault("@abstract", "needs a path");
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    check_fault(name, "at most 107 bytes");
    name[108] = '\0';
    check_fault(name, "has 108");
    snprintf(other, sizeof(other), "%s/none/socket", directory);
    snprintf(name, sizeof(name), "`mkdir -p %s/none`", directory);
    check_fault(other, name);
    snprintf(other, sizeof(other), "%s/file", directory);
    close(open(other, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    check_fault(other, "is a regular file, no socket");
    CU_ASSERT_EQUAL(access(other, F_OK), 0);
    unlink(other);
    CU_ASSERT_EQUAL(symlink("/nowhere", other), 0);
    check_fault(other, "is a symbolic link");
    unlink(other);
}

/* Without the rights of root. */
static void a_directory_that_is_not_ours_is_named(void)
{
    pid_t child = fork();
    int status = 1;

    if (child == 0) {
        if (geteuid() == 0 && (setgid(NOBODY) != 0 || setuid(NOBODY) != 0))
            _exit(2);
        _exit(open_with((struct mr_control_socket_config){.path = "/etc/mr-test.sock"}) == NULL &&
                      strstr(fault.text, "/etc is no directory to write to") != NULL
                  ? 0
                  : 1);
    }
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    CU_ASSERT_EQUAL(status, 0);
}

static void somebody_who_listens_is_left_alone(void)
{
    struct stat before;
    struct stat after;

    start(0, 0);
    CU_ASSERT_EQUAL(lstat(path, &before), 0);
    check_fault(path, "another program serves at");
    CU_ASSERT_EQUAL(lstat(path, &after), 0);
    CU_ASSERT_EQUAL(before.st_ino, after.st_ino);
    pump();
    CU_ASSERT_EQUAL(mr_control_socket_client_count(server), 0); /* and noticed nothing */
    stop();
}

static void a_socket_left_over_is_removed(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    CU_ASSERT_EQUAL_FATAL(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    close(fd);
    start(0, 0);
    join(0);
    CU_ASSERT_EQUAL(mr_control_socket_client_count(server), 1);
    stop();
}

static void another_ones_file_is_not_removed_at_the_end(void)
{
    start(0, 0);
    unlink(path);
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    stop();
    CU_ASSERT_EQUAL(access(path, F_OK), 0);
    unlink(path);
}

/* ------------------------------------------------------------------ clients */

static void who_speaks_is_known(void)
{
    start(0, 0);
    join(0);
    CU_ASSERT(control_side_command(&sides[0], "hello"));
    pump();
    CU_ASSERT_EQUAL(seen.messages, 1);
    CU_ASSERT_EQUAL(seen.peer.pid, getpid());
    CU_ASSERT_EQUAL(seen.peer.uid, geteuid());
    CU_ASSERT_EQUAL(seen.peer.gid, getegid());
    close(sides[0].fd);
    sides[0].fd = -1;
    pump();
    CU_ASSERT_EQUAL(seen.gone, 1);
    CU_ASSERT_EQUAL(mr_control_socket_client_count(server), 0);
    stop();
}

static void one_too_many_is_told_so(void)
{
    start(0, 2);
    for (int i = 0; i < 3; i++)
        join(i);
    CU_ASSERT(control_side_command(&sides[2], "let me in")); /* must not hide the answer */
    pump();
    check_refused(2, EUSERS, "2 programs are connected");
    CU_ASSERT_EQUAL(seen.messages, 0);
    close(sides[0].fd);
    sides[0].fd = -1;
    pump();
    join(3);
    CU_ASSERT(control_side_command(&sides[3], "now?"));
    pump();
    CU_ASSERT_EQUAL(seen.messages, 1);
    stop();
}

static void who_says_nothing_is_closed(void)
{
    start(40 * MS, 0);
    join(0);
    join(1);
    CU_ASSERT(control_side_command(&sides[1], "hello"));
    pump();
    uint64_t begin = mr_control_now();
    while (seen.gone == 0 && mr_control_now() < begin + 2000 * MS)
        mr_control_socket_poll(server, UINT64_MAX); /* the timer ends the wait */
    CU_ASSERT(mr_control_now() - begin >= 30 * MS);
    CU_ASSERT_EQUAL(control_side_hear(&sides[0], &heard, 0), 0);
    CU_ASSERT_EQUAL(control_side_hear(&sides[1], &heard, 0), -EAGAIN);
    CU_ASSERT(control_side_command(&sides[1], "still here"));
    pump();
    CU_ASSERT_EQUAL(seen.messages, 2);
    while (seen.gone == 1 && mr_control_now() < begin + 3000 * MS)
        mr_control_socket_poll(server, 100 * MS); /* not for ever, either */
    CU_ASSERT_EQUAL(seen.gone, 2);
    stop();
}

static void who_is_attached_may_be_silent(void)
{
    start(5 * MS, 0);
    seen.attaches = true;
    join(0);
    CU_ASSERT(control_side_command(&sides[0], "attach"));
    pump();
    pump_for(100 * MS);
    CU_ASSERT_EQUAL(seen.gone, 0);
    CU_ASSERT_EQUAL(control_side_hear(&sides[0], &heard, 0), -EAGAIN);
    CU_ASSERT(control_side_command(&sides[0], "more"));
    pump();
    check_refused(0, EISCONN, "nothing to say");
    CU_ASSERT_EQUAL(seen.messages, 1);
    CU_ASSERT_EQUAL(seen.gone, 1);
    stop();
}

/* The connection lives on in a child: the process that attached is what counts. */
static void a_child_does_not_keep_its_parents_attachment(void)
{
    int go[2];

    start(0, 0);
    seen.attaches = true;
    CU_ASSERT_EQUAL_FATAL(pipe(go), 0);
    pid_t parent = fork();
    if (parent == 0) {
        if (control_side_connect(&sides[0], path) != 0)
            _exit(1);
        control_side_command(&sides[0], "attach");
        close(go[1]);
        if (fork() == 0) { /* until the test ends */
            char byte;
            _exit((int)read(go[0], &byte, 1));
        }
        pause();
    }
    close(go[0]);
    for (int i = 0; i < 200 && seen.messages == 0; i++)
        pump_for(10 * MS);
    CU_ASSERT_EQUAL(seen.messages, 1);
    CU_ASSERT_EQUAL(seen.peer.pid, parent);
    pump_for(50 * MS);
    CU_ASSERT_EQUAL(seen.gone, 0);
    kill(parent, SIGKILL);
    for (int i = 0; i < 100 && seen.gone == 0; i++)
        pump_for(10 * MS);
    CU_ASSERT_EQUAL(seen.gone, 1);
    waitpid(parent, NULL, 0);
    close(go[1]);
    stop();
}

/* ------------------------------------------------------------------ nonsense */

static void check_nonsense(const void *bytes, size_t size, const char *words)
{
    join(1);
    CU_ASSERT(control_side_say(&sides[1], bytes, size));
    pump();
    check_refused(1, EPROTO, words);
    close(sides[1].fd);
    sides[1].fd = -1;
    pump();
}

static void nonsense_is_answered_and_ends_the_connection(void)
{
    static uint8_t large[MR_CLIENT_MESSAGE_MAX + 1];
    struct mr_message_attach wish = control_side_wish("app");

    start(0, 0);
    join(0); /* a bystander */
    check_nonsense("x", 1, "too short");
    check_nonsense("0123456789abcdef", 16, "does not begin like one");
    wish.head.version++;
    check_nonsense(&wish, sizeof(wish), "version 3, this datapath knows 2");
    wish.head.version--;
    check_nonsense(&wish, sizeof(wish) - 1, "says that it has 88");
    wish.head.type = MR_MESSAGE_ATTACHED;
    check_nonsense(&wish, sizeof(wish), "sends no message of type 2");
    wish.head.type = MR_MESSAGE_ATTACH;
    wish.head.flags = 1;
    check_nonsense(&wish, sizeof(wish), "flags 0x1");
    wish.head.flags = 0;
    wish.flags = 12;
    check_nonsense(&wish, sizeof(wish), "flags 0xc");
    wish.flags = 0;
    memset(wish.name, 'n', sizeof(wish.name));
    check_nonsense(&wish, sizeof(wish), "1 to 31 characters");
    wish.name[0] = '\0';
    check_nonsense(&wish, sizeof(wish), "1 to 31 characters");
    memcpy(wish.name, "a\nb", 4);
    check_nonsense(&wish, sizeof(wish), "printable ASCII without spaces");
    memcpy(wish.name, "a b", 4);
    check_nonsense(&wish, sizeof(wish), "printable ASCII without spaces");
    memcpy(large, &wish, sizeof(wish));
    check_nonsense(large, sizeof(large), "has at most 4112 bytes");
    wish.head.type = MR_MESSAGE_COMMAND;
    wish.head.size = sizeof(wish.head);
    check_nonsense(&wish, sizeof(wish.head), "1 to 4096 characters");
    wish.head.size = sizeof(wish);
    check_nonsense(&wish, sizeof(wish), "printable ASCII");
    wish.head.type = MR_MESSAGE_MAPPED;
    check_nonsense(&wish, sizeof(wish), "MAPPED has 88 bytes, not 16");
    CU_ASSERT_EQUAL(seen.messages, 0);
    CU_ASSERT(control_side_command(&sides[0], "still here"));
    pump();
    CU_ASSERT_EQUAL(seen.messages, 1);
    stop();
}

static void descriptors_are_not_taken(void)
{
    struct mr_message_attach wish = control_side_wish("app");
    struct iovec part = {.iov_base = &wish, .iov_len = sizeof(wish)};
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};

    start(0, 0);
    join(0);
    control.align = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
    memcpy(CMSG_DATA(&control.align), &sides[0].fd, sizeof(int));
    CU_ASSERT_EQUAL(sendmsg(sides[0].fd, &message, 0), sizeof(wish));
    pump();
    check_refused(0, EPROTO, "no descriptors");
    stop();
}

static void a_command_that_is_refused_may_be_followed_by_another(void)
{
    start(0, 0);
    join(0);
    seen.refuses = -ENOENT;
    CU_ASSERT(control_side_command(&sides[0], "first"));
    pump();
    CU_ASSERT_EQUAL(control_side_hear(&sides[0], &heard, 0), 1);
    CU_ASSERT_EQUAL(heard.refused.error, ENOENT);
    CU_ASSERT_STRING_EQUAL(heard.refused.why, "refused first");
    CU_ASSERT(control_side_command(&sides[0], "second"));
    pump();
    CU_ASSERT_EQUAL(seen.messages, 2);
    CU_ASSERT_EQUAL(seen.gone, 0);
    stop();
}

/* ------------------------------------------------------------------ answers */

static void what_a_client_does_not_take_at_once_waits_for_it(void)
{
    uint32_t count = 0;

    start(0, 0);
    seen.reply_bytes = MR_ATTACH_REPLY_MAX - sizeof(struct mr_message);
    seen.reply_count = 30; /* more than the socket holds */
    join(0);
    CU_ASSERT(control_side_command(&sides[0], "all"));
    pump();
    CU_ASSERT_EQUAL(seen.gone, 0);
    for (int result = 1; result == 1; pump()) {
        result = control_side_hear(&sides[0], &heard, 0);
        count += result == 1 && heard.head.type == MR_MESSAGE_RESULT;
    }
    CU_ASSERT_EQUAL(count, 30);
    stop();
}

static void who_asks_and_never_listens_is_closed(void)
{
    start(30 * MS, 0);
    seen.reply_bytes = MR_ATTACH_REPLY_MAX - sizeof(struct mr_message);
    seen.reply_count = 30;
    join(0);
    CU_ASSERT(control_side_command(&sides[0], "all"));
    pump_for(100 * MS);
    CU_ASSERT_EQUAL(seen.gone, 1);
    stop();
    start(0, 0);
    seen.reply_bytes = MR_ATTACH_REPLY_MAX - sizeof(struct mr_message);
    seen.reply_count = 100; /* more than is kept for anybody */
    join(0);
    CU_ASSERT(control_side_command(&sides[0], "all"));
    pump();
    CU_ASSERT_EQUAL(seen.gone, 1);
    stop();
}

static void what_was_said_last_arrives_before_the_end(void)
{
    start(0, 0);
    seen.reply_bytes = 5;
    seen.reply_count = 1;
    seen.closes = true;
    join(0);
    CU_ASSERT(control_side_command(&sides[0], "bye"));
    CU_ASSERT(control_side_command(&sides[0], "not heard any more"));
    pump();
    CU_ASSERT_EQUAL(control_side_hear(&sides[0], &heard, 0), 1);
    CU_ASSERT_EQUAL(heard.size, sizeof(struct mr_message) + 5);
    CU_ASSERT_EQUAL(control_side_hear(&sides[0], &heard, 0), 0);
    CU_ASSERT_EQUAL(seen.messages, 1);
    CU_ASSERT_EQUAL(seen.gone, 0);
    stop();
}

/* ------------------------------------------------------------------ waiting */

static bool is_ready(int timeout_ms)
{
    struct pollfd fd = {.fd = mr_control_socket_fd(server), .events = POLLIN};

    return poll(&fd, 1, timeout_ms) == 1;
}

static void its_descriptor_says_when_there_is_something_to_do(void)
{
    start(30 * MS, 0);
    pump();
    CU_ASSERT(!is_ready(0));
    CU_ASSERT_EQUAL(control_side_connect(&sides[0], path), 0);
    CU_ASSERT(is_ready(0));
    pump();
    CU_ASSERT(!is_ready(0));
    CU_ASSERT(is_ready(1000)); /* it was silent too long */
    pump();
    CU_ASSERT_EQUAL(seen.gone, 1);
    CU_ASSERT(!is_ready(0));
    seen.next_ns = mr_control_now() + 20 * MS;
    mr_control_socket_hurry(server);
    CU_ASSERT(is_ready(0));
    pump();
    CU_ASSERT(!is_ready(0));
    CU_ASSERT(is_ready(1000)); /* the handler's own time */
    seen.next_ns = MR_CONTROL_NEVER;
    pump();
    CU_ASSERT(!is_ready(0));
    uint64_t begin = mr_control_now();
    CU_ASSERT_EQUAL(mr_control_socket_poll(server, 20 * MS), 0);
    CU_ASSERT(mr_control_now() - begin >= 20 * MS);
    stop();
}

/* With no descriptor left, a client is turned away, and does not make the loop spin. */
static void without_descriptors_a_client_is_turned_away(void)
{
    struct rlimit old;

    start(0, 0);
    CU_ASSERT_EQUAL(control_side_connect(&sides[0], path), 0);
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &old), 0);
    struct rlimit none = {.rlim_cur = (rlim_t)sides[0].fd + 1, .rlim_max = old.rlim_max};
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &none), 0);
    pump();
    CU_ASSERT(!is_ready(0));
    setrlimit(RLIMIT_NOFILE, &old);
    CU_ASSERT_EQUAL(control_side_hear(&sides[0], &heard, 0), 0);
    join(1);
    CU_ASSERT_EQUAL(mr_control_socket_client_count(server), 1);
    stop();
}

static int make_directory(void)
{
    if (mkdtemp(directory) == NULL)
        return 1;
    snprintf(path, sizeof(path), "%s/control", directory);
    return 0;
}

static int remove_directory(void)
{
    return rmdir(directory);
}

static CU_TestInfo tests[] = {
    {"the file has the rights that were asked for", the_file_has_the_rights_that_were_asked_for},
    {"a group that is not there is named", a_group_that_is_not_there_is_named},
    {"a path that cannot be says why", a_path_that_cannot_be_says_why},
    {"a directory that is not ours is named", a_directory_that_is_not_ours_is_named},
    {"somebody who listens is left alone", somebody_who_listens_is_left_alone},
    {"a socket left over is removed", a_socket_left_over_is_removed},
    {"another one's file is not removed at the end", another_ones_file_is_not_removed_at_the_end},
    {"who speaks is known", who_speaks_is_known},
    {"one too many is told so", one_too_many_is_told_so},
    {"who says nothing is closed", who_says_nothing_is_closed},
    {"who is attached may be silent", who_is_attached_may_be_silent},
    {"a child does not keep its parent's attachment", a_child_does_not_keep_its_parents_attachment},
    {"nonsense is answered, and ends the connection", nonsense_is_answered_and_ends_the_connection},
    {"descriptors are not taken", descriptors_are_not_taken},
    {"a command that is refused may be followed by another",
     a_command_that_is_refused_may_be_followed_by_another},
    {"what a client does not take at once waits for it",
     what_a_client_does_not_take_at_once_waits_for_it},
    {"who asks and never listens is closed", who_asks_and_never_listens_is_closed},
    {"what was said last arrives before the end", what_was_said_last_arrives_before_the_end},
    {"its descriptor says when there is something to do",
     its_descriptor_says_when_there_is_something_to_do},
    {"without descriptors a client is turned away", without_descriptors_a_client_is_turned_away},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "control/control_socket",
     .pInitFunc = make_directory,
     .pCleanupFunc = remove_directory,
     .pTests = tests},
    CU_SUITE_INFO_NULL,
};
