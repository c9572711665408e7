/* tools/config_options.c - see config_options.h. */
#include "tools/config_options.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

/* What --help says, with the default in parentheses as options have it. */
static void write_help(const struct mr_setting *row, const struct mr_config *defaults, char *help,
                       size_t room)
{
    char value[MR_SETTING_TEXT_MAX] = "";

    if (row->count_max == 0 && row->kind != MR_SETTING_FLAG && defaults != NULL)
        mr_setting_format(row, defaults, 0, value);
    if (value[0] != '\0')
        snprintf(help, room, "%s (%.60s)", row->help, value);
    else
        snprintf(help, room, "%s", row->help);
}

/* To the parser all values are lists: mr_config_set() knows which may come again. */
static void add_row(struct mr_config_options *options, uint32_t number,
                    const struct mr_setting *row, const struct mr_config *defaults)
{
    bool is_flag = row->kind == MR_SETTING_FLAG;

    MR_ASSERT(number < MR_CONFIG_OPTION_ROWS - 1);
    write_help(row, defaults, options->help[number], sizeof(options->help[number]));
    options->rows[number] = (struct mr_option){
        .name = row->option,
        .kind = is_flag ? MR_OPTION_FLAG : MR_OPTION_LIST,
        .to = is_flag ? (void *)&options->flags[number] : (void *)&options->texts[number],
        .argument = is_flag ? NULL : row->argument,
        .help = options->help[number],
    };
}

void mr_config_options_init(struct mr_config_options *options)
{
    static struct mr_config defaults; /* large */
    uint32_t count = 1;

    memset(options, 0, sizeof(*options));
    mr_config_init(&defaults);
    options->rows[0] = (struct mr_option){.name = "config",
                                          .kind = MR_OPTION_TEXT,
                                          .to = &options->file,
                                          .argument = "FILE",
                                          .help = "a file of settings; options go before it"};
    for (const struct mr_setting *row = mr_config_settings; row->path != NULL; row++) {
        if (row->option != NULL)
            add_row(options, count++, row, &defaults);
        for (const struct mr_setting *item = row->items; item != NULL && item->path != NULL; item++)
            if (item->option != NULL)
                add_row(options, count++, item, NULL);
    }
}

/* Of a value given twice, the last counts, as everywhere. */
static bool apply_row(const struct mr_config_options *options, uint32_t number,
                      struct mr_config *config, struct mr_fault *fault)
{
    const char *option = options->rows[number].name;
    const struct mr_option_list *texts = &options->texts[number];

    if (options->flags[number])
        return mr_config_set(config, option, "yes", fault);
    for (uint32_t i = 0; i < texts->count; i++)
        if (!mr_config_set(config, option, texts->text[i], fault))
            return false;
    return true;
}

bool mr_config_options_apply(const struct mr_config_options *options, struct mr_config *config,
                             struct mr_fault *fault)
{
    mr_config_init(config);
    if (options->file != NULL && mr_config_read(config, options->file, fault) != 0)
        return false;
    for (uint32_t i = 1; options->rows[i].name != NULL; i++)
        if (!apply_row(options, i, config, fault))
            return false;
    return mr_config_check(config, fault);
}
