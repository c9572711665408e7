/* drivers/pci.c - see pci.h. */
#include "drivers/pci.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/fault.h"

enum {
    PATH_BYTES = 192,
    NAME_BYTES = 64, /* of a driver, a group, a class */
    LIST_BYTES = 160 /* of the cards in a message */
};

#define CLASS_NETWORK "0x02" /* what `class` begins with */

/* ---- addresses ---- */

bool mr_pci_address_parse(const char *text, size_t size, char address[MR_PCI_ADDRESS])
{
    static const char shape[] = "xxxx:xx:xx.x";
    const size_t whole = sizeof(shape) - 1;
    const size_t domain = 5; /* with its colon */

    if (size != whole && size != whole - domain)
        return false;
    memcpy(address, "0000:", domain);
    memcpy(address + whole - size, text, size);
    for (size_t i = 0; i < whole; i++) {
        if (shape[i] == 'x' ? !isxdigit((unsigned char)address[i]) : address[i] != shape[i])
            return false;
        address[i] = (char)tolower((unsigned char)address[i]);
    }
    address[whole] = '\0';
    return true;
}

bool mr_pci_of_spec(const char *spec, char address[MR_PCI_ADDRESS])
{
    static const char kind[] = "pci:";
    const size_t size = sizeof(kind) - 1;

    return strncmp(spec, kind, size) == 0 &&
           mr_pci_address_parse(spec + size, strcspn(spec + size, ","), address);
}

/* ---- what the kernel says ---- */

/* The first line of a file of the device; "": there is none. */
static void read_line(const char *devices, const char *address, const char *file,
                      char line[NAME_BYTES])
{
    char path[PATH_BYTES];

    line[0] = '\0';
    snprintf(path, sizeof(path), "%s/%s/%s", devices, address, file);
    FILE *from = fopen(path, "re");
    if (from == NULL)
        return;
    if (fgets(line, NAME_BYTES, from) != NULL)
        line[strcspn(line, "\n")] = '\0';
    fclose(from);
}

/* What a link of the device's leads to: the last part of its path; "": there is none. */
static void read_name(const char *devices, const char *address, const char *link,
                      char name[NAME_BYTES])
{
    char path[PATH_BYTES];
    char target[PATH_BYTES];

    name[0] = '\0';
    snprintf(path, sizeof(path), "%s/%s/%s", devices, address, link);
    ssize_t size = readlink(path, target, sizeof(target) - 1);
    if (size <= 0)
        return;
    target[size] = '\0';
    const char *last = strrchr(target, '/');
    snprintf(name, NAME_BYTES, "%.*s", NAME_BYTES - 1, last != NULL ? last + 1 : target);
}

static bool is_network(const char *devices, const char *address)
{
    char class[NAME_BYTES];

    read_line(devices, address, "class", class);
    return strncmp(class, CLASS_NETWORK, strlen(CLASS_NETWORK)) == 0;
}

/* "0000:00:03.0 (igb)", ... of those that fit; "none": there are none. */
static void list_cards(const char *devices, char list[LIST_BYTES])
{
    DIR *folder = opendir(devices);
    const struct dirent *entry;
    size_t used = 0;

    snprintf(list, LIST_BYTES, "none");
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        char driver[NAME_BYTES];

        if (strlen(entry->d_name) != MR_PCI_ADDRESS - 1 || !is_network(devices, entry->d_name))
            continue;
        read_name(devices, entry->d_name, "driver", driver);
        int more = snprintf(list + used, LIST_BYTES - used, "%s%.*s (%s)", used > 0 ? ", " : "",
                            MR_PCI_ADDRESS - 1, entry->d_name, driver[0] != '\0' ? driver : "-");
        if (more < 0 || (size_t)more >= LIST_BYTES - used) {
            list[used] = '\0';
            break; /* the rest is left out */
        }
        used += (size_t)more;
    }
    if (folder != NULL)
        closedir(folder);
}

/* ---- may DPDK have it? ---- */

static bool is_for_dpdk(const char *driver)
{
    static const char *const names[] = {"vfio-pci", "uio_pci_generic", "igb_uio", "mlx5_core",
                                        "mlx4_core"};

    for (size_t i = 0; i < MR_COUNT_OF(names); i++) {
        if (strcmp(driver, names[i]) == 0)
            return true;
    }
    return false;
}

/* Who opens the group gets the card. */
static bool check_group(const char *devices, const char *address, struct mr_fault *fault)
{
    char group[NAME_BYTES];
    char path[PATH_BYTES];

    read_name(devices, address, "iommu_group", group);
    snprintf(path, sizeof(path), "/dev/vfio/%s", group);
    if (group[0] == '\0' || access(path, R_OK | W_OK) == 0 || errno != EACCES)
        return true; /* the rest is for DPDK to say */
    mr_fault_set(fault, EACCES, "%s cannot be opened: run with sudo, or `chown` it", path);
    return false;
}

bool mr_pci_check(const char *devices, const char *address, struct mr_fault *fault)
{
    char driver[NAME_BYTES];

    if (!is_network(devices, address)) {
        char list[LIST_BYTES];

        list_cards(devices, list);
        mr_fault_set(fault, ENODEV, "no network card at %s; there are: %s", address, list);
        return false;
    }
    read_name(devices, address, "driver", driver);
    if (!is_for_dpdk(driver)) {
        mr_fault_set(fault, EBUSY,
                     "card %s %s%s: give it to DPDK with `dpdk-devbind.py --bind=vfio-pci %s`; the "
                     "kernel's interface on it is gone then",
                     address,
                     driver[0] != '\0' ? "belongs to the kernel's driver " : "has no driver",
                     driver, address);
        return false;
    }
    return strcmp(driver, "vfio-pci") != 0 || check_group(devices, address, fault);
}
