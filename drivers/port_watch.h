/*
 * drivers/port_watch.h - what became of the interface under a port while it is open.
 *
 *     tap, af_packet, af_xdp   the kernel's interface: up, down, without a carrier, gone
 *     a card                   its link: up, or without a carrier
 *     other kinds              always up
 *
 * A TAP interface that was moved to another namespace is still there; one that was deleted is gone,
 * as is an interface of other kinds that left the namespace.
 *
 * Owner: whoever watches.  Threads: the control thread; a few system calls per look.
 */
#ifndef MR_DRIVERS_PORT_WATCH_H
#define MR_DRIVERS_PORT_WATCH_H

#include <net/if.h>
#include <stdbool.h>

struct mr_port;

enum mr_port_health {
    MR_PORT_UP,
    MR_PORT_DOWN,       /* by an administrator */
    MR_PORT_NO_CARRIER, /* nothing is connected, or the other end is down */
    MR_PORT_GONE        /* for good: the port must be opened anew */
};

struct mr_port_watch {
    char name[IFNAMSIZ]; /* "": there is no interface */
    unsigned index;      /* 0: likewise */
    bool is_tap;
    const struct mr_port *card; /* borrowed; NULL: it is none */
};

/* Begin to watch an open port, for as long as it is open. */
struct mr_port_watch mr_port_watch_of(const struct mr_port *port);

enum mr_port_health mr_port_watch_look(const struct mr_port_watch *watch);

/* Does the kernel's network stack have an interface under the port, that addresses must not be
 * shared with?  (Those of af_xdp may.)  `spec` as in drivers/port.h. */
bool mr_port_is_kernels(const char *spec);

#endif /* MR_DRIVERS_PORT_WATCH_H */
