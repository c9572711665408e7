/*
 * tools/datapath.c - `millrace host`: a datapath for applications that attach.
 *
 *     options and file -> datapath -> one line: ready
 *     control socket until SIGINT, SIGTERM or SIGHUP, or `millrace ctl drain` -> drain -> totals
 */
#include <stdio.h>
#include <stdlib.h>

#include "control/control_socket.h"
#include "control/datapath.h"
#include "tools/config_options.h"
#include "tools/host.h"
#include "tools/report.h"
#include "tools/tools.h"

#define POLL_NS (100 * MR_MS)

static void say_ready(const struct mr_datapath *dp, const struct mr_config *config)
{
    char fingerprint[MR_FINGERPRINT_TEXT];
    bool is_self_signed;

    mr_datapath_fingerprint(dp, fingerprint, &is_self_signed);
    printf("host: applications attach to %s;", config->control.socket);
    for (uint32_t i = 0; i < mr_datapath_port_count(dp); i++)
        printf(" %s", mr_datapath_group(dp, i)->port->spec);
    for (uint32_t i = 0; i < config->handoff.listener_count; i++) {
        const struct mr_handoff_listener *listener = &config->handoff.listener[i];

        printf("%s %s (%s, UDP %u) for %s", i > 0 ? "," : " listens for", listener->name,
               listener->alpn, listener->port, listener->application);
    }
    if (fingerprint[0] != '\0')
        printf("; certificate sha256 %s%s", fingerprint, is_self_signed ? " (self-signed)" : "");
    printf("\n");
    fflush(stdout);
}

/* Until a signal, or a drain was asked for over the socket: a signal behind that ends the drain. */
static void serve(struct mr_datapath *dp)
{
    while (!mr_datapath_is_draining(dp) && !mr_signal_wait(0))
        (void)mr_datapath_poll(dp, POLL_NS);
}

/* Let applications finish what is under way; a second signal ends that. */
static void drain(struct mr_datapath *dp, uint64_t patience_ns)
{
    uint64_t end = mr_control_now() + patience_ns;

    mr_datapath_drain(dp);
    for (uint64_t now; mr_datapath_conn_count(dp) > 0 && (now = mr_control_now()) < end;) {
        if (mr_signal_wait(0))
            return;
        (void)mr_datapath_poll(dp, MR_MIN(end - now, (uint64_t)POLL_NS));
    }
}

static int run(const struct mr_config *config, struct mr_fault *fault)
{
    struct mr_datapath *dp = mr_datapath_open(config, fault);

    if (dp == NULL) {
        mr_tool_complain("host", fault);
        return MR_EXIT_FAILED;
    }
    mr_datapath_launch(dp);
    say_ready(dp, config);
    serve(dp);
    drain(dp, config->drain_ns);
    mr_datapath_stop(dp);
    struct mr_report report;
    mr_report_read(&report, mr_datapath_group(dp, 0));
    uint32_t lost = mr_datapath_close(dp);
    mr_report_totals(stdout, "host", &report, lost);
    return lost == 0 ? MR_EXIT_OK : MR_EXIT_FAILED;
}

int mr_tool_host(int argc, char **argv)
{
    static struct mr_config_options options; /* large */
    static struct mr_config config;
    struct mr_fault fault = {0};

    mr_config_options_init(&options);
    struct mr_command_line line = {
        .usage = "millrace host [--config FILE] [options]",
        .about = "Run a datapath that applications attach to, until SIGINT, SIGTERM or SIGHUP.\n"
                 "With --port loopback it needs no network, and no root.",
        .options = options.rows,
    };
    switch (mr_options_parse(&line, argc, argv, &fault)) {
    case MR_PARSE_HELP:
        return MR_EXIT_OK;
    case MR_PARSE_ERROR:
        mr_tool_complain("host", &fault);
        return MR_EXIT_USAGE;
    case MR_PARSE_OK:
        break;
    }
    if (!mr_config_options_apply(&options, &config, &fault)) {
        mr_tool_complain("host", &fault);
        return MR_EXIT_USAGE;
    }
    mr_signal_block();
    return run(&config, &fault);
}
