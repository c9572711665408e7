/* drivers/xdp_absent.c - see xdp_port.h: a build without clang, which compiles for BPF, or libbpf.
 */
#include <errno.h>
#include <stddef.h>

#include "base/fault.h"
#include "drivers/xdp_port.h"

bool mr_xdp_port_check(const char *rest, struct mr_fault *fault)
{
    mr_fault_set(fault, ENOTSUP,
                 "this millrace was built without af_xdp: build it where clang and libbpf-dev are, "
                 "or take af_packet:%s",
                 rest);
    return false;
}

struct mr_port *mr_xdp_port_open(const struct mr_port_config *config, struct mr_fault *fault)
{
    (void)config;
    mr_xdp_port_check("IFACE", fault);
    return NULL;
}
