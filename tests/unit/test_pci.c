/* Tests of drivers/pci.h: cards in a folder that looks like /sys/bus/pci/devices. */
#include "drivers/pci.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "tests/unit/harness.h"

/* ---- a folder of devices ---- */

static char folder[64];

static void make_path(char path[256], const char *address, const char *name)
{
    snprintf(path, 256, "%s/%s%s%s", folder, address, name[0] != '\0' ? "/" : "", name);
}

/* A device of that class; `driver` NULL: it has none. */
static void add_device(const char *address, const char *class, const char *driver)
{
    char path[256];
    char target[256];

    make_path(path, address, "");
    CU_ASSERT_EQUAL_FATAL(mkdir(path, 0755), 0);
    make_path(path, address, "class");
    FILE *file = fopen(path, "we");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fprintf(file, "%s\n", class);
    fclose(file);
    if (driver == NULL)
        return;
    make_path(path, address, "driver");
    snprintf(target, sizeof(target), "../../drivers/%s", driver);
    CU_ASSERT_EQUAL(symlink(target, path), 0);
}

static void make_folder(void)
{
    snprintf(folder, sizeof(folder), "/tmp/mr-test-pci-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
    add_device("0000:00:1f.0", "0x060100", NULL);
    add_device("0000:03:00.0", "0x020000", "igb");
    add_device("0000:03:00.1", "0x020000", "vfio-pci");
    add_device("0000:04:00.0", "0x020000", NULL);
    add_device("0000:05:00.0", "0x020700", "mlx5_core");
    add_device("0000:06:00.0", "0x020000", "uio_pci_generic");
}

static void remove_folder(void)
{
    char command[96];

    snprintf(command, sizeof(command), "rm -rf %s", folder);
    CU_ASSERT_EQUAL(system(command), 0);
}

/* It is refused, with `words` in the reason. */
static void refuses(const char *address, const char *words)
{
    struct mr_fault fault = {0};

    CU_ASSERT_FALSE(mr_pci_check(folder, address, &fault));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, words));
    if (strstr(fault.text, words) == NULL)
        printf("# %s\n", fault.text);
}

/* ---- tests ---- */

static void addresses_are_written_as_the_kernel_does(void)
{
    static const struct {
        const char *text;
        const char *address; /* NULL: it is none */
    } cases[] = {
        {"0000:3b:00.0", "0000:3b:00.0"},
        {"3b:00.0", "0000:3b:00.0"},
        {"3B:00.1", "0000:3b:00.1"},
        {"ABCD:EF:1f.7", "abcd:ef:1f.7"},
        {"", NULL},
        {"3b:00", NULL},
        {"3b:00.", NULL},
        {"3b:00.0 ", NULL},
        {"3b-00.0", NULL},
        {"3b:00:0", NULL},
        {"3b.00.0", NULL},
        {"3g:00.0", NULL},
        {"0000:3b:00.00", NULL},
        {"00003b:00.0", NULL},
        {":3b:00.0", NULL},
        {"0000:3b:000.", NULL},
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        char address[MR_PCI_ADDRESS];
        bool is_one = mr_pci_address_parse(cases[i].text, strlen(cases[i].text), address);

        CU_ASSERT_EQUAL(is_one, cases[i].address != NULL);
        if (is_one && cases[i].address != NULL)
            CU_ASSERT_STRING_EQUAL(address, cases[i].address);
    }
}

static void only_specs_of_cards_have_an_address(void)
{
    char address[MR_PCI_ADDRESS];

    CU_ASSERT(mr_pci_of_spec("pci:3b:00.0", address));
    CU_ASSERT_STRING_EQUAL(address, "0000:3b:00.0");
    CU_ASSERT(mr_pci_of_spec("pci:0001:3b:00.0,mac=02:00:00:00:00:01", address));
    CU_ASSERT_STRING_EQUAL(address, "0001:3b:00.0");
    CU_ASSERT_FALSE(mr_pci_of_spec("pci:", address));
    CU_ASSERT_FALSE(mr_pci_of_spec("pci", address));
    CU_ASSERT_FALSE(mr_pci_of_spec("tap:3b:00.0", address));
    CU_ASSERT_FALSE(mr_pci_of_spec("", address));
}

static void a_card_of_dpdks_is_taken(void)
{
    struct mr_fault fault = {0};

    CU_ASSERT(mr_pci_check(folder, "0000:03:00.1", &fault));
    CU_ASSERT(mr_pci_check(folder, "0000:05:00.0", &fault));
    CU_ASSERT(mr_pci_check(folder, "0000:06:00.0", &fault));
}

static void a_card_of_the_kernels_is_refused_with_the_way_to_get_it(void)
{
    refuses("0000:03:00.0",
            "card 0000:03:00.0 belongs to the kernel's driver igb: give it to DPDK with "
            "`dpdk-devbind.py --bind=vfio-pci 0000:03:00.0`");
    refuses("0000:04:00.0", "card 0000:04:00.0 has no driver: give it to DPDK");
}

static void where_there_is_no_card_those_there_are_are_named(void)
{
    refuses("0000:99:00.0", "no network card at 0000:99:00.0; there are: ");
    refuses("0000:00:1f.0", "no network card at 0000:00:1f.0");
    refuses("0000:99:00.0", "0000:03:00.0 (igb)");
    refuses("0000:99:00.0", "0000:04:00.0 (-)");
}

static void a_list_of_more_cards_than_fit_is_cut_between_two(void)
{
    struct mr_fault fault = {0};

    for (int i = 0; i < 20; i++) {
        char address[MR_PCI_ADDRESS];

        snprintf(address, sizeof(address), "0000:10:%02x.0", i);
        add_device(address, "0x020000", "vfio-pci");
    }
    CU_ASSERT_FALSE(mr_pci_check(folder, "0000:99:00.0", &fault));
    CU_ASSERT_EQUAL(fault.text[strlen(fault.text) - 1], ')');
}

static void without_pci_there_are_no_cards(void)
{
    struct mr_fault fault = {0};

    CU_ASSERT_FALSE(mr_pci_check("/nonexistent", "0000:03:00.0", &fault));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "there are: none"));
}

static CU_TestInfo tests[] = {
    {"addresses are written as the kernel does", addresses_are_written_as_the_kernel_does},
    {"only specs of cards have an address", only_specs_of_cards_have_an_address},
    {"a card of DPDK's is taken", a_card_of_dpdks_is_taken},
    {"a card of the kernel's is refused with the way to get it",
     a_card_of_the_kernels_is_refused_with_the_way_to_get_it},
    {"where there is no card those there are are named",
     where_there_is_no_card_those_there_are_are_named},
    {"a list of more cards than fit is cut between two",
     a_list_of_more_cards_than_fit_is_cut_between_two},
    {"without PCI there are no cards", without_pci_there_are_no_cards},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "drivers/pci",
     .pTests = tests,
     .pSetUpFunc = make_folder,
     .pTearDownFunc = remove_folder},
    CU_SUITE_INFO_NULL,
};
