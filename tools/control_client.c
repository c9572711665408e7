/* tools/control_client.c - see control_client.h. */
#include "tools/control_client.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/compiler.h"
#include "millrace/attach_layout.h"

#define DEFAULT_PATH "/run/millrace.sock"

/* Large: a whole message. */
struct reply {
    union {
        struct mr_message head;
        struct mr_message_refused refused;
        char bytes[MR_ATTACH_REPLY_MAX];
    };
    size_t size;
};

const char *mr_control_client_path(const char *given)
{
    const char *set = getenv("MILLRACE_CONTROL");

    if (given != NULL)
        return given;
    return set != NULL && set[0] != '\0' ? set : DEFAULT_PATH;
}

/* ------------------------------------------------------------------ connecting */

static const struct {
    int error;
    const char *why;
} connect_faults[] = {
    {ENOENT, "no datapath runs there; start one with --control, or name its socket with --control "
             "PATH or in MILLRACE_CONTROL"},
    {ECONNREFUSED, "nobody listens there: the datapath that made it is gone, or it is no socket; "
                   "start a datapath with --control, or name its socket with --control PATH"},
    {EACCES, "this user may not; become a member of the socket's group, or run as root"},
    {EPROTOTYPE, "it is a socket of another kind, no datapath's; name that with --control PATH"},
    {ENOTSOCK, "it is no socket; name the datapath's with --control PATH"},
    {EAGAIN, "the datapath takes no connection; its control thread hangs"},
};

static int say_connect_fault(const char *path, int error, struct mr_fault *fault)
{
    for (size_t i = 0; i < MR_COUNT_OF(connect_faults); i++) {
        if (connect_faults[i].error == error)
            return mr_fault_set(fault, error, "cannot connect to %s: %s", path,
                                connect_faults[i].why);
    }
    return mr_fault_set(fault, error, "cannot connect to %s: %s", path, strerror(error));
}

int mr_control_client_connect(const char *path, struct mr_fault *fault)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = MR_CONTROL_PATIENCE_S};

    if (strlen(path) >= sizeof(address.sun_path))
        return mr_fault_set(fault, ENAMETOOLONG,
                            "the path of a Unix socket has at most %zu bytes, this has %zu",
                            sizeof(address.sun_path) - 1, strlen(path));
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return mr_fault_set(fault, errno, "cannot make a socket: %s", strerror(errno));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    int error = errno;
    close(fd);
    return say_connect_fault(path, error, fault);
}

/* ------------------------------------------------------------------ a command */

static int say_lost(int error, struct mr_fault *fault)
{
    if (error == EAGAIN)
        return mr_fault_set(fault, ETIMEDOUT,
                            "the datapath does not answer within %d s; its control thread hangs or "
                            "is very busy",
                            MR_CONTROL_PATIENCE_S);
    if (error == 0 || error == ECONNRESET || error == EPIPE)
        return mr_fault_set(fault, ECONNRESET,
                            "the datapath closed the connection; see what it says itself");
    return mr_fault_set(fault, error, "the control socket failed: %s", strerror(error));
}

static int send_command(int fd, const char *text, struct mr_fault *fault)
{
    struct mr_message head = {.magic = MR_ATTACH_MAGIC,
                              .version = MR_ATTACH_VERSION,
                              .type = MR_MESSAGE_COMMAND,
                              .size = (uint32_t)(sizeof(head) + strlen(text))};
    struct iovec parts[2] = {{.iov_base = &head, .iov_len = sizeof(head)},
                             {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};

    if (strlen(text) > MR_ATTACH_TEXT_MAX)
        return mr_fault_set(fault, EINVAL, "a command has at most %d characters",
                            MR_ATTACH_TEXT_MAX);
    if (sendmsg(fd, &message, MSG_NOSIGNAL) >= 0 || errno == EPIPE)
        return 0; /* it may have said why it closed */
    return say_lost(errno, fault);
}

static int receive(int fd, struct reply *reply, struct mr_fault *fault)
{
    ssize_t size = recv(fd, reply->bytes, sizeof(reply->bytes), 0);

    if (size <= 0)
        return say_lost(size < 0 ? errno : 0, fault);
    reply->size = (size_t)size;
    if (reply->size < sizeof(reply->head) || reply->head.magic != MR_ATTACH_MAGIC ||
        reply->head.version != MR_ATTACH_VERSION || reply->head.size != reply->size)
        return mr_fault_set(fault, EPROTO,
                            "the datapath's answer is not understood; use the `millrace` that came "
                            "with it");
    if (reply->head.type == MR_MESSAGE_REFUSED && reply->size == sizeof(reply->refused))
        return mr_fault_set(fault, reply->refused.error, "%.*s", (int)sizeof(reply->refused.why),
                            reply->refused.why);
    if (reply->head.type != MR_MESSAGE_RESULT)
        return mr_fault_set(fault, EPROTO, "the datapath answers with a message of type %u",
                            reply->head.type);
    return 0;
}

/* Parse the result out of its parts. */
static int collect(int fd, struct json_tokener *tokener, struct reply *reply,
                   struct json_object **result_out, struct mr_fault *fault)
{
    do {
        int result = receive(fd, reply, fault);

        if (result != 0)
            return result;
        *result_out = json_tokener_parse_ex(tokener, reply->bytes + sizeof(reply->head),
                                            (int)(reply->size - sizeof(reply->head)));
    } while ((reply->head.flags & 1) != 0);
    if (*result_out != NULL)
        return 0;
    return mr_fault_set(fault, EPROTO, "the datapath's answer is no JSON: %s",
                        json_tokener_error_desc(json_tokener_get_error(tokener)));
}

int mr_control_client_run(int fd, const char *text, struct json_object **result_out,
                          struct mr_fault *fault)
{
    struct json_tokener *tokener = json_tokener_new();
    struct reply *reply = malloc(sizeof(*reply));
    int result = -ENOMEM;

    *result_out = NULL;
    if (tokener == NULL || reply == NULL)
        mr_fault_set(fault, ENOMEM, "no memory for an answer");
    else
        result = send_command(fd, text, fault);
    if (result == 0)
        result = collect(fd, tokener, reply, result_out, fault);
    free(reply);
    if (tokener != NULL)
        json_tokener_free(tokener);
    return result;
}
