/* control/control.c - see control.h. */
#include "control/control.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "control/control_internal.h"

#define PART_MAX (MR_ATTACH_REPLY_MAX - sizeof(struct mr_message)) /* of a result's text */

/* ------------------------------------------------------------------ what clients say */

/* A result in as many messages as it takes; what fails breaks the client. */
static void send_result(struct mr_client *client, struct json_object *result)
{
    size_t left;
    const char *text = json_object_to_json_string_length(
        result, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &left);

    do {
        size_t part = MR_MIN(left, PART_MAX);
        struct mr_message head = {.magic = MR_ATTACH_MAGIC,
                                  .version = MR_ATTACH_VERSION,
                                  .type = MR_MESSAGE_RESULT,
                                  .size = (uint32_t)(sizeof(head) + part),
                                  .flags = left > part};

        if (mr_client_send(client, &head, text, part, -1) != 0)
            break;
        text += part;
        left -= part;
    } while (left > 0);
}

static int on_command(struct mr_control *control, struct mr_client *client, const char *text,
                      struct mr_fault *fault)
{
    struct json_object *result;
    int error = mr_command_run(control->tables, MR_CONTROL_TABLES, text, &result, fault);

    if (error != 0)
        return error;
    send_result(client, result);
    json_object_put(result);
    return 0;
}

static int on_message(void *context, struct mr_client *client,
                      const struct mr_client_message *message, struct mr_fault *fault)
{
    struct mr_control *control = context;

    if (message->type == MR_MESSAGE_COMMAND)
        return on_command(control, client, message->text, fault);
    if (message->type == MR_MESSAGE_MAPPED)
        return mr_attachments_mapped(control->attachments, client, fault);
    return mr_attach_waits_attach(&control->waits, client, &message->attach, fault);
}

static void on_gone(void *context, struct mr_client *client)
{
    struct mr_control *control = context;

    mr_attach_waits_client_gone(&control->waits, client);
    mr_attachments_client_gone(control->attachments, client);
}

static uint64_t on_time(void *context, uint64_t now)
{
    struct mr_control *control = context;

    uint64_t next = mr_attachments_look(control->attachments, now);
    uint64_t waits = mr_attach_waits_look(&control->waits, now); /* for what was just let go of */

    return MR_MIN(next, waits);
}

/* ------------------------------------------------------------------ running */

int mr_control_poll(struct mr_control *control, uint64_t timeout_ns)
{
    return mr_control_socket_poll(control->socket, timeout_ns);
}

int mr_control_fd(const struct mr_control *control)
{
    return mr_control_socket_fd(control->socket);
}

int mr_control_set_policy(struct mr_control *control, const struct mr_handoff *policy,
                          struct mr_fault *fault)
{
    int result = mr_attachments_set_policy(control->attachments, policy, fault);

    mr_control_socket_hurry(control->socket);
    return result;
}

void mr_control_drain(struct mr_control *control)
{
    control->is_draining = true;
    mr_attachments_drain(control->attachments);
}

void mr_control_detach_all(struct mr_control *control, uint64_t patience_ns)
{
    uint64_t end = mr_control_now() + patience_ns;

    mr_control_drain(control);
    mr_attachments_detach_all(control->attachments);
    for (;;) {
        uint64_t now = mr_control_now();

        mr_control_poll(control, 0);
        if (now >= end || mr_attachments_stats(control->attachments).attachments == 0)
            return;
        mr_control_poll(control, end - now);
    }
}

bool mr_control_next_attachment(const struct mr_control *control, uint64_t number,
                                struct mr_attachment_info *info_out)
{
    return mr_attachments_next(control->attachments, number, info_out);
}

struct mr_attachments_stats mr_control_attachments_stats(const struct mr_control *control)
{
    return mr_attachments_stats(control->attachments);
}

/* ------------------------------------------------------------------ life */

struct mr_control *mr_control_open(const struct mr_control_config *config, struct mr_fault *fault)
{
    struct mr_control *control = calloc(1, sizeof(*control));

    if (control != NULL)
        control->attachments = mr_attachments_new(&config->attach);
    if (control == NULL || control->attachments == NULL) {
        free(control);
        mr_fault_set(fault, ENOMEM, "no memory for the control socket");
        return NULL;
    }
    control->config = *config;
    control->waits.attachments = control->attachments;
    control->tables[0] = mr_control_commands(control);
    control->tables[1] = config->more;
    control->socket = mr_control_socket_open(
        &config->socket,
        &(struct mr_control_handler){
            .context = control, .on_message = on_message, .on_gone = on_gone, .on_time = on_time},
        fault);
    if (control->socket != NULL)
        return control;
    mr_control_close(control);
    return NULL;
}

void mr_control_close(struct mr_control *control)
{
    if (control == NULL)
        return;
    mr_control_socket_close(control->socket);
    mr_attach_waits_free(&control->waits);
    mr_attachments_free(control->attachments);
    free(control);
}
