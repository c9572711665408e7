/*
 * tools/config_options.h - the settings of control/config.h as options of a command.
 *
 *     mr_config_options_init()   rows for struct mr_command_line
 *     mr_options_parse()         collects texts
 *     mr_config_options_apply()  defaults, then --config FILE, then the options; checked as a whole
 *
 * Owner: the command.  Threads: none of its own.
 * Limits: an option of a list can be given MR_OPTION_LIST_MAX times; the file may have more.
 */
#ifndef MR_TOOLS_CONFIG_OPTIONS_H
#define MR_TOOLS_CONFIG_OPTIONS_H

#include <stdbool.h>

#include "base/fault.h"
#include "control/config.h"
#include "tools/options.h"

#define MR_CONFIG_OPTION_ROWS 96 /* options of all settings, --config and the end included */

/* Large; refers to itself: not to be copied or moved. */
struct mr_config_options {
    const char *file; /* --config; NULL: none */
    struct mr_option rows[MR_CONFIG_OPTION_ROWS];
    struct mr_option_list texts[MR_CONFIG_OPTION_ROWS]; /* of row i */
    bool flags[MR_CONFIG_OPTION_ROWS];
    char help[MR_CONFIG_OPTION_ROWS][160]; /* with the default */
};

void mr_config_options_init(struct mr_config_options *options);

/* After the parsing.  False with `fault` set: the file or an option is wrong. */
bool mr_config_options_apply(const struct mr_config_options *options, struct mr_config *config,
                             struct mr_fault *fault);

#endif /* MR_TOOLS_CONFIG_OPTIONS_H */
