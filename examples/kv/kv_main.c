/* examples/kv/kv_main.c - see kv_main.h. */
#include "examples/kv/kv_main.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

int kv_end(struct kv_app *app, int error, const struct kv_ending *ending)
{
    int status = 1;

    if (app == NULL)
        return 2;
    if (error >= 0)
        status = kv_app_status(app);
    else if (ending->state >= MR_DATAPATH_DRAINED)
        status = part("kv", kv_app_serves(app), ending->state, &ending->why);
    else
        fprintf(stderr, "kv: %s\n",
                ending->why.text[0] != '\0' ? ending->why.text : strerror(-error));
    kv_app_free(app);
    return status;
}

int kv_main(int argc, char **argv, int (*run)(struct kv_app *app, struct mr_loop *loop))
{
    struct kv_app *app = kv_app_new(argc, argv);
    struct kv_ending ending = {.state = MR_DATAPATH_THERE};
    struct mr_loop *loop;

    if (app == NULL)
        return kv_end(app, 0, &ending);
    struct mr_loop_config config = {
        .attach = {.control = kv_app_control(app), .name = kv_app_name(app)}};
    int error = mr_loop_new(&config, &loop, &ending.why);
    if (error == 0) {
        error = run(app, loop);
        ending.state = mr_loop_state(loop, &ending.why);
        mr_loop_free(loop);
    }
    return kv_end(app, error, &ending);
}

int kv_ring_main(int argc, char **argv,
                 int (*run)(struct kv_app *app, struct mr_attachment *attachment))
{
    struct kv_app *app = kv_app_new(argc, argv);
    struct kv_ending ending = {.state = MR_DATAPATH_THERE};
    struct mr_attachment *attachment;

    if (app == NULL)
        return kv_end(app, 0, &ending);
    struct mr_attach_config config = {.control = kv_app_control(app), .name = kv_app_name(app)};
    int error = mr_attach(&config, &attachment, &ending.why);
    if (error == 0) {
        error = run(app, attachment);
        ending.state = mr_attach_state(attachment, &ending.why);
        mr_detach(attachment);
    }
    return kv_end(app, error, &ending);
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

size_t kv_talk_words(const struct kv_talk *talk, uint8_t bytes_out[KV_PIECE])
{
    size_t size;
    const uint8_t *words = kv_peer_words(talk->peer, &size);

    if (words == NULL)
        return 0;
    size = size < KV_PIECE ? size : KV_PIECE;
    memcpy(bytes_out, words, size);
    kv_peer_said(talk->peer, size);
    return size;
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
