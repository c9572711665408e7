/*
 * drivers/pci.h - network cards by their PCI address: is one there, and may DPDK have it?
 *
 *     pci:0000:3b:00.0 --mr_pci_of_spec()--> "0000:3b:00.0" --mr_pci_check()--> EAL takes it
 *
 * DPDK drives a card that is bound to vfio-pci or one of the uio drivers; those of Mellanox it
 * shares with their kernel driver.
 *
 * Owner: none.  Threads: the control thread; reads a few files of /sys.
 */
#ifndef MR_DRIVERS_PCI_H
#define MR_DRIVERS_PCI_H

#include <stdbool.h>
#include <stddef.h>

struct mr_fault;

#define MR_PCI_ADDRESS 13 /* bytes of "0000:3b:00.0" with its end */
#define MR_PCI_DEVICES "/sys/bus/pci/devices"

/* Read "0000:3b:00.0" or "3b:00.0", of `size` bytes, as the kernel writes it.  False: it is none.
 */
bool mr_pci_address_parse(const char *text, size_t size, char address_out[MR_PCI_ADDRESS]);

/* The address in a port's spec, as in drivers/port.h; false: the port is no card, or malformed. */
bool mr_pci_of_spec(const char *spec, char address_out[MR_PCI_ADDRESS]);

/*
 * Can DPDK take the card at `address`?  `devices` is MR_PCI_DEVICES, or a test's folder.  False
 * with `fault` set: there is no such card; it is the kernel's; its group of the IOMMU is another
 * user's.
 */
bool mr_pci_check(const char *devices, const char *address, struct mr_fault *fault);

#endif /* MR_DRIVERS_PCI_H */
