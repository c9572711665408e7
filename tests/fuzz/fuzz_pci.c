/*
 * tests/fuzz/fuzz_pci.c - property test of the parser in drivers/pci.h.
 *
 * The input is a text: as it is, and in the alphabet of addresses, of the right length more often.
 * Properties:
 *   1. what is taken has the kernel's form, and is itself when it is read again;
 *   2. it is what was given, in lower case, with the first domain if there was none;
 *   3. what has that form is taken;
 *   4. a spec has the address that stands behind "pci:", up to a comma.
 */
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "drivers/pci.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    TEXT_MAX = 32
};

/* Another way to say what an address is. */
static bool is_address(const char *text)
{
    static const char hex[] = "0123456789abcdefABCDEF";
    const size_t parts[] = {4, 2, 2, 1};
    const char *ends = ":::";
    size_t first = strlen(text) > 7 ? 0 : 1;

    for (size_t i = first; i < 4; i++) {
        if (strspn(text, hex) != parts[i])
            return false;
        text += parts[i];
        if (i < 3 && *text++ != (i == 2 ? '.' : ends[i]))
            return false;
    }
    return *text == '\0';
}

static void check_text(const char *text)
{
    char address[MR_PCI_ADDRESS] = "";
    char again[MR_PCI_ADDRESS];
    char spec[TEXT_MAX + 16];
    size_t size = strlen(text);
    bool is_taken = mr_pci_address_parse(text, size, address);

    MR_ASSERT(is_taken == is_address(text));
    snprintf(spec, sizeof(spec), "pci:%s,mac=x", text);
    MR_ASSERT(strchr(text, ',') != NULL || mr_pci_of_spec(spec, again) == is_taken);
    if (!is_taken)
        return;
    MR_ASSERT(strcmp(again, address) == 0);
    MR_ASSERT(strlen(address) == MR_PCI_ADDRESS - 1);
    MR_ASSERT(mr_pci_address_parse(address, MR_PCI_ADDRESS - 1, again));
    MR_ASSERT(strcmp(again, address) == 0);
    MR_ASSERT(size == MR_PCI_ADDRESS - 1 || strncmp(address, "0000:", 5) == 0);
    for (size_t i = 0; i < size; i++)
        MR_ASSERT(address[MR_PCI_ADDRESS - 1 - size + i] == tolower((unsigned char)text[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char alphabet[] = "0123456789abcdefABCDEF::..,g";
    static const char shapes[][MR_PCI_ADDRESS] = {"0000:3b:00.0", "3b:00.0"};
    char text[TEXT_MAX + 1];
    size_t count = size < TEXT_MAX ? size : TEXT_MAX;

    memcpy(text, data, count);
    text[count] = '\0';
    check_text(text);
    for (size_t i = 0; i < count; i++)
        text[i] = alphabet[data[i] % (sizeof(alphabet) - 1)];
    check_text(text);
    for (size_t i = 0; i + 2 < count; i += 3) { /* an address with one character changed */
        snprintf(text, sizeof(text), "%s", shapes[data[i] % 2]);
        text[data[i + 1] % strlen(text)] = alphabet[data[i + 2] % (sizeof(alphabet) - 1)];
        check_text(text);
    }
    return 0;
}
