/*
 * drivers/interface.h - interfaces of the kernel, as ports use them: their names in a spec, what
 * may be done with them, what they are.
 *
 * Owner: none.  Threads: the control thread; system calls.
 */
#ifndef MR_DRIVERS_INTERFACE_H
#define MR_DRIVERS_INTERFACE_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

struct mr_fault;
struct mr_options;

enum mr_capability { /* bits of CapEff, capabilities(7) */
    MR_CAPABILITY_NET_ADMIN = 12,
    MR_CAPABILITY_NET_RAW = 13,
    MR_CAPABILITY_SYS_ADMIN = 21,
    MR_CAPABILITY_BPF = 39
};

struct mr_interface {
    unsigned index;
    int mtu;
    uint8_t mac[6];
};

/* May this process do it? */
bool mr_interface_may(enum mr_capability capability);

/* Parse the address of one station, "02:00:00:00:00:01"; not all zero.  False if malformed. */
bool mr_interface_parse_mac(const char *text, uint8_t mac_out[6]);

/* The option just read is an interface's name, and nothing else.  False with `fault` set. */
bool mr_interface_parse_name(const struct mr_options *options, char name_out[IFNAMSIZ],
                             struct mr_fault *fault);

/* Nothing stands between two commas, or behind the last. */
bool mr_interface_has_gap(const char *rest);

/* The options of `rest` are all read.  False with `fault` set: one was too long, or there is a gap,
 * where `hint` can stand. */
bool mr_interface_check_end(const struct mr_options *options, const char *rest, const char *hint,
                            struct mr_fault *fault);

/* Read an interface through any socket `fd`.  False with `fault` set: there is none, it is the
 * loopback, down, or no Ethernet. */
bool mr_interface_read(int fd, const char *name, struct mr_interface *interface_out,
                       struct mr_fault *fault);

/* Let the interface take groups' frames (neighbour discovery), and others' if our MAC is not its
 * own, while the packet socket `fd` is open. */
void mr_interface_join_groups(int fd, unsigned index, bool takes_others);

#endif /* MR_DRIVERS_INTERFACE_H */
