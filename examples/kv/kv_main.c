/* examples/kv/kv_main.c - see kv_main.h. */
#include "examples/kv/kv_main.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* It was there. */
static bool is_gone(int error)
{
    return error == -ENOTCONN || error == -ESHUTDOWN || error == -ECONNRESET || error == -ENOENT ||
           error == -ECONNREFUSED;
}

int kv_end(struct kv_app *app, int error, const char *why)
{
    if (app == NULL)
        return 2;
    if (error < 0 && why != NULL && *why != '\0')
        fprintf(stderr, "kv: %s\n", why);
    else if (error < 0)
        fprintf(stderr, "kv: %s\n", is_gone(error) ? "the datapath is gone" : strerror(-error));
    int status = error < 0 ? 1 : kv_app_status(app);
    kv_app_free(app);
    return status;
}

int kv_main(int argc, char **argv, int (*run)(struct kv_app *app, struct mr_loop *loop))
{
    struct kv_app *app = kv_app_new(argc, argv);
    struct mr_error why = {0};
    struct mr_loop *loop;

    if (app == NULL)
        return kv_end(app, 0, NULL);
    struct mr_loop_config config = {
        .attach = {.control = kv_app_control(app), .name = kv_app_name(app)}};
    int error = mr_loop_new(&config, &loop, &why);
    if (error == 0) {
        error = run(app, loop);
        mr_loop_free(loop);
    }
    return kv_end(app, error, why.text);
}

int kv_ring_main(int argc, char **argv,
                 int (*run)(struct kv_app *app, struct mr_attachment *attachment))
{
    struct kv_app *app = kv_app_new(argc, argv);
    struct mr_attachment *attachment;
    struct mr_error why = {0};

    if (app == NULL)
        return kv_end(app, 0, NULL);
    struct mr_attach_config config = {.control = kv_app_control(app), .name = kv_app_name(app)};
    int error = mr_attach(&config, &attachment, &why);
    if (error == 0) {
        error = run(app, attachment);
        mr_detach(attachment);
    }
    return kv_end(app, error, why.text);
}

int kv_loop_open(const struct kv_app *app, struct mr_loop **loop_out, struct mr_error *why)
{
    struct mr_loop_config config = {.attach = {.control = kv_app_control(app),
                                               .name = kv_app_name(app),
                                               .submit_count = 64,
                                               .complete_count = 256,
                                               .slot_count = 64,
                                               .send_bytes = 1 << 18},
                                    .objects_max = 64,
                                    .timers_max = 64};

    return mr_loop_new(&config, loop_out, why);
}

bool kv_talk_begin(struct kv_app *app, struct kv_talk *talk, void *context)
{
    talk->peer =
        talk->is_ours ? kv_app_reached(app, &talk->way, context) : kv_app_accepted(app, context);
    return talk->peer != NULL;
}

void kv_talk_end(struct kv_app *app, struct kv_talk *talk, uint64_t code)
{
    uint64_t theirs = 0;

    if (talk->conn == NULL)
        return;
    (void)mr_sock_error(talk->conn, &theirs, NULL);
    if (talk->peer != NULL)
        kv_peer_leave(talk->peer, theirs);
    else if (talk->is_ours)
        kv_app_failed(app, &talk->way);
    if (talk->stream != NULL)
        (void)mr_sock_close(talk->stream, code);
    (void)mr_sock_close(talk->conn, code);
    talk->peer = NULL;
    talk->conn = talk->stream = NULL;
}

void kv_wait(pthread_cond_t *condition, pthread_mutex_t *lock, uint64_t wait_ns)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    wait_ns += (uint64_t)until.tv_nsec;
    until.tv_sec += (time_t)(wait_ns / 1000000000);
    until.tv_nsec = (long)(wait_ns % 1000000000);
    pthread_cond_timedwait(condition, lock, &until);
}
