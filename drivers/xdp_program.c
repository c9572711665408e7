/* drivers/xdp_program.c - see xdp_program.h. */
#include "drivers/xdp_program.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/fault.h"
#include "drivers/port.h"
#include "drivers/xdp_object.h" /* written by scripts/embed */

#define PROGRAM "mr_xdp" /* its name, in the kernel too */

struct mr_xdp_program {
    struct bpf_object *object;
    int link; /* descriptor; -1: not attached */
    unsigned index;
    int sockets; /* maps' descriptors, the object's */
    int addresses;
    int self;
    int ports;
    int counts;
    bool is_native;
    uint32_t address_count;
    uint8_t address[MR_XDP_ADDRESSES_MAX][16]; /* in the map */
};

/* ---- what libbpf says ---- */

static char said[160]; /* its last warning: the control thread's */

static int keep_words(enum libbpf_print_level level, const char *format, va_list arguments)
{
    if (level == LIBBPF_WARN) {
        vsnprintf(said, sizeof(said), format, arguments);
        said[strcspn(said, "\n")] = '\0';
    }
    return 0;
}

static bool fail(struct mr_fault *fault, int error, const char *name, const char *step)
{
    mr_fault_set(fault, error, "the kernel does not %s on interface %s: %s%s%s%s", step, name,
                 strerror(error), said[0] != '\0' ? " (" : "", said, said[0] != '\0' ? ")" : "");
    return false;
}

/* ---- load ---- */

static bool find_maps(struct mr_xdp_program *p)
{
    p->sockets = bpf_object__find_map_fd_by_name(p->object, "xsks_map");
    p->addresses = bpf_object__find_map_fd_by_name(p->object, "mr_addresses");
    p->self = bpf_object__find_map_fd_by_name(p->object, "mr_self");
    p->ports = bpf_object__find_map_fd_by_name(p->object, "mr_ports");
    p->counts = bpf_object__find_map_fd_by_name(p->object, "mr_counts");
    return p->sockets >= 0 && p->addresses >= 0 && p->self >= 0 && p->ports >= 0 && p->counts >= 0;
}

static bool load(struct mr_xdp_program *p, const char *name, struct mr_fault *fault)
{
    struct bpf_object_open_opts options = {.sz = sizeof(options), .object_name = PROGRAM};

    said[0] = '\0';
    libbpf_set_print(keep_words);
    p->object = bpf_object__open_mem(mr_xdp_object, sizeof(mr_xdp_object), &options);
    if (p->object == NULL)
        return fail(fault, errno, name, "read the XDP program");
    int error = bpf_object__load(p->object);
    if (error != 0)
        return fail(fault, -error, name, "load the XDP program");
    return find_maps(p) || fail(fault, ENOENT, name, "have the XDP program's maps");
}

/* ---- attach ---- */

/* The name of a program; "" if it is not to be known. */
static void name_of_program(uint32_t id, char name_out[BPF_OBJ_NAME_LEN])
{
    struct bpf_prog_info info = {0};
    uint32_t size = sizeof(info);
    int fd = bpf_prog_get_fd_by_id(id);

    name_out[0] = '\0';
    if (fd < 0)
        return;
    if (bpf_obj_get_info_by_fd(fd, &info, &size) == 0)
        snprintf(name_out, BPF_OBJ_NAME_LEN, "%s", info.name);
    close(fd);
}

static bool say_occupied(unsigned index, const char *interface, struct mr_fault *fault)
{
    char name[BPF_OBJ_NAME_LEN] = "";
    uint32_t id = 0;

    if (bpf_xdp_query_id((int)index, 0, &id) == 0 && id != 0)
        name_of_program(id, name);
    if (strcmp(name, PROGRAM) == 0)
        mr_fault_set(fault, EBUSY,
                     "interface %s is another millrace's already; end that, or take another "
                     "interface",
                     interface);
    else
        mr_fault_set(fault, EBUSY,
                     "interface %s has another XDP program, number %u%s%s: end what has put it "
                     "there, or `ip link set dev %s xdp off`; or take af_packet:%s",
                     interface, id, name[0] != '\0' ? ", " : "", name, interface, interface);
    return false;
}

static int try_attach(struct mr_xdp_program *p, uint32_t flags)
{
    struct bpf_link_create_opts options = {.sz = sizeof(options), .flags = flags};
    const struct bpf_program *program = bpf_object__find_program_by_name(p->object, PROGRAM);

    if (program == NULL)
        return -ENOENT;
    p->link = bpf_link_create(bpf_program__fd(program), (int)p->index, BPF_XDP, &options);
    return p->link >= 0 ? 0 : p->link;
}

/* In the driver, if it can; some cannot for this MTU or so many queues, and all can before the
 * stack. */
static bool attach(struct mr_xdp_program *p, const char *name, struct mr_fault *fault)
{
    struct bpf_xdp_query_opts query = {.sz = sizeof(query)};
    int error = try_attach(p, XDP_FLAGS_DRV_MODE);

    if (error != 0 && error != -EBUSY && error != -EEXIST && error != -EPERM)
        error = try_attach(p, XDP_FLAGS_SKB_MODE);
    if (error == -EBUSY || error == -EEXIST)
        return say_occupied(p->index, name, fault);
    if (error == -EINVAL)
        return fail(fault, EINVAL, name,
                    "attach a program by a link, Linux 5.9 does; not this one");
    if (error != 0)
        return fail(fault, -error, name, "attach the XDP program");
    p->is_native =
        bpf_xdp_query((int)p->index, 0, &query) == 0 && query.attach_mode != XDP_ATTACHED_SKB;
    return true;
}

struct mr_xdp_program *mr_xdp_program_attach(unsigned index, const char *name,
                                             struct mr_fault *fault)
{
    struct mr_xdp_program *p = calloc(1, sizeof(*p));

    if (p == NULL) {
        mr_fault_set(fault, ENOMEM, "not enough memory");
        return NULL;
    }
    p->link = -1;
    p->index = index;
    if (load(p, name, fault) && attach(p, name, fault))
        return p;
    mr_xdp_program_free(p);
    return NULL;
}

void mr_xdp_program_free(struct mr_xdp_program *p)
{
    if (p == NULL)
        return;
    if (p->link >= 0)
        close(p->link);
    bpf_object__close(p->object);
    free(p);
}

bool mr_xdp_program_is_native(const struct mr_xdp_program *p)
{
    return p->is_native;
}

/* ---- rules ---- */

bool mr_xdp_program_add_socket(struct mr_xdp_program *p, uint32_t queue, int fd,
                               struct mr_fault *fault)
{
    int error = bpf_map_update_elem(p->sockets, &queue, &fd, BPF_ANY);

    if (error != 0)
        mr_fault_set(fault, -error, "the kernel does not give queue %u to a socket: %s", queue,
                     strerror(-error));
    return error == 0;
}

static bool is_admitted(const struct mr_port_admission *admission, const uint8_t ip[16])
{
    for (uint32_t i = 0; i < admission->address_count; i++) {
        if (memcmp(admission->address[i].ip, ip, 16) == 0)
            return true;
    }
    return false;
}

/* Addresses that are not ours any more. */
static void remove_addresses(struct mr_xdp_program *p, const struct mr_port_admission *admission)
{
    for (uint32_t i = 0; i < p->address_count; i++) {
        if (!is_admitted(admission, p->address[i]))
            bpf_map_delete_elem(p->addresses, p->address[i]);
    }
    p->address_count = 0;
}

static int add_addresses(struct mr_xdp_program *p, const struct mr_port_admission *admission)
{
    int error = 0;

    for (uint32_t i = 0; i < admission->address_count && error == 0; i++) {
        uint32_t standing = admission->address[i].is_shared ? MR_XDP_SHARED : MR_XDP_OWN;

        memcpy(p->address[i], admission->address[i].ip, 16);
        p->address_count = i + 1;
        error = bpf_map_update_elem(p->addresses, p->address[i], &standing, BPF_ANY);
    }
    return error;
}

static int set_ports(struct mr_xdp_program *p, const struct mr_port_admission *admission)
{
    int error = 0;

    for (uint32_t word = 0; word < MR_XDP_PORT_WORDS && error == 0; word++)
        error = bpf_map_update_elem(p->ports, &word, &admission->open_ports[word], BPF_ANY);
    return error;
}

static int set_self(struct mr_xdp_program *p, const uint8_t mac[6],
                    const struct mr_port_admission *admission)
{
    struct mr_xdp_self self = {.vlan = admission->vlan, .asks_aside = admission->asks_aside};
    uint32_t zero = 0;

    memcpy(self.mac, mac, sizeof(self.mac));
    return bpf_map_update_elem(p->self, &zero, &self, BPF_ANY);
}

int mr_xdp_program_admit(struct mr_xdp_program *p, const uint8_t mac[6],
                         const struct mr_port_admission *admission, struct mr_fault *fault)
{
    static const struct mr_port_admission nothing;

    if (admission->address_count > MR_XDP_ADDRESSES_MAX)
        return mr_fault_set(fault, E2BIG, "%u addresses are too many for a port: at most %d",
                            admission->address_count, MR_XDP_ADDRESSES_MAX);
    remove_addresses(p, admission);
    int error = set_self(p, mac, admission);
    if (error == 0)
        error = set_ports(p, admission);
    if (error == 0)
        error = add_addresses(p, admission);
    if (error == 0)
        return 0;
    remove_addresses(p, &nothing);
    return mr_fault_set(fault, -error, "the kernel does not take what is ours of the interface: %s",
                        strerror(-error));
}

/* ---- counts ---- */

void mr_xdp_program_counts(const struct mr_xdp_program *p,
                           uint64_t counts_out[MR_XDP_OUTCOME_COUNT])
{
    int cpus = libbpf_num_possible_cpus();
    uint64_t *of_cpu = cpus > 0 ? calloc((size_t)cpus, sizeof(*of_cpu)) : NULL;

    memset(counts_out, 0, MR_XDP_OUTCOME_COUNT * sizeof(*counts_out));
    for (uint32_t i = 0; i < MR_XDP_OUTCOME_COUNT && of_cpu != NULL; i++) {
        if (bpf_map_lookup_elem(p->counts, &i, of_cpu) != 0)
            continue;
        for (int cpu = 0; cpu < cpus; cpu++)
            counts_out[i] += of_cpu[cpu];
    }
    free(of_cpu);
}
