/*
 * examples/echo_ending.h - how `echo` (echo.h) ends, and what it says then: an answer, or why there
 * is none and what to do about it.
 *
 *     the datapath says that the client's connection is over --> echo_lose() --+
 *     the datapath itself has let go of the program --> its state -------------+--> echo_end()
 *     the answer is all there -------------------------------------------------+
 *
 * For C and C++.
 */
#ifndef EXAMPLES_ECHO_ENDING_H
#define EXAMPLES_ECHO_ENDING_H

#include <millrace/ring.h>

#include "examples/echo_args.h"
#include "examples/parting.h"

#define ECHO_LISTENER "--listener name=echo,alpn=echo,port=4433,application=echo"

/* Codes by which QUIC passes on alerts of TLS: RFC 9001, Section 4.8. */
enum {
    ECHO_ALERTS = 0x100, /* + the alert */
    ECHO_ALERT_MAX = 0xff,
    ECHO_BAD_CERTIFICATE = 42, /* to ... */
    ECHO_UNKNOWN_CA = 48,
    ECHO_NO_PROTOCOL = 120
};

/* Why the client's connection is over, as the datapath has told it; {0}: it has not. */
struct echo_loss {
    bool is_told;
    bool is_application; /* the code is an application's, else QUIC's */
    uint64_t code;
    char reason[160]; /* for people; "": none */
};

/* The connection is over. */
static inline void echo_lose(struct echo_loss *loss, uint64_t code, bool is_application,
                             const char *reason)
{
    loss->is_told = true;
    loss->is_application = is_application;
    loss->code = code;
    snprintf(loss->reason, sizeof(loss->reason), "%s", reason);
}

static inline int echo_fail_listener(void)
{
    return echo_fail("the datapath has no listener for us; start it with " ECHO_LISTENER);
}
/* What an alert of TLS is about, and what to do. */
static inline void echo_explain_alert(uint64_t alert, char *text, size_t room)
{
    unsigned number = (unsigned)alert;

    if (alert >= ECHO_BAD_CERTIFICATE && alert <= ECHO_UNKNOWN_CA)
        snprintf(text, room,
                 "the certificate is not accepted (TLS alert %u); start millrace host without "
                 "--cert, or with one for localhost whose authority is in its SSL_CERT_FILE",
                 number);
    else if (alert == ECHO_NO_PROTOCOL)
        snprintf(text, room,
                 "nobody there speaks echo (TLS alert %u); start millrace host with " ECHO_LISTENER,
                 number);
    else
        snprintf(text, room, "the handshake failed (TLS alert %u)", number);
}

/* There is no answer: the status. */
static inline int echo_fail_early(const struct echo_loss *loss)
{
    char text[400] = "";
    bool has_no_server = loss->is_application && loss->code == 0; /* the datapath's, for nobody */
    bool is_alert = !loss->is_application && loss->code >= ECHO_ALERTS &&
                    loss->code <= ECHO_ALERTS + ECHO_ALERT_MAX;

    if (is_alert)
        echo_explain_alert(loss->code - ECHO_ALERTS, text, sizeof(text));
    else if (loss->reason[0] != '\0')
        snprintf(text, sizeof(text), "%s%s", loss->reason,
                 has_no_server ? "; start one there: PROGRAM SOCKET server" : "");
    else if (loss->is_told)
        snprintf(text, sizeof(text), "code %llu", (unsigned long long)loss->code);
    fprintf(stderr, "echo: the connection ended before the answer%s%s\n",
            text[0] != '\0' ? ": " : "", text);
    return 1;
}

/* All of it was printed: the status. */
static inline int echo_answered(const struct echo_task *task)
{
    if (task->is_line)
        putchar('\n');
    return fflush(stdout) == 0 ? 0 : 1;
}

/* The end: an answer, or why there is none; of a server, for which `loss` is nothing, why it serves
 * no more.  The status. */
static inline int echo_end(const struct echo_task *task, bool is_answered,
                           const struct echo_loss *loss, enum mr_datapath_state state,
                           const struct mr_error *why)
{
    bool is_server = task->address == NULL;

    if (is_answered)
        return echo_answered(task);
    return is_server || state >= MR_DATAPATH_DRAINED ? part("echo", is_server, state, why)
                                                     : echo_fail_early(loss);
}

#endif /* EXAMPLES_ECHO_ENDING_H */
