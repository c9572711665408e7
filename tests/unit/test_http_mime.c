/* Tests of http3/mime.h. */
#include "http3/mime.h"

#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "tests/unit/harness.h"

static void knows_types_by_the_ending_of_the_name(void)
{
    static const struct {
        const char *name;
        const char *type;
    } cases[] = {
        {"index.html", "text/html; charset=utf-8"},
        {"a/b.c/x.HTML", "text/html; charset=utf-8"},
        {"a.7z", "application/x-7z-compressed"}, /* the table's first */
        {"a.zst", "application/zstd"},           /* and last */
        {"style.css", "text/css; charset=utf-8"},
        {"app.mjs", "text/javascript; charset=utf-8"},
        {"a.json", "application/json"},
        {"a.png", "image/png"},
        {"a.JPG", "image/jpeg"},
        {"a.svg", "image/svg+xml"},
        {"a.wasm", "application/wasm"},
        {"a.woff2", "font/woff2"},
        {"a.mp4", "video/mp4"},
        {"a.tar.gz", "application/gzip"},
        {"notes.txt", "text/plain; charset=utf-8"},
        {"a.unknown", "application/octet-stream"},
        {"a.htmlx", "application/octet-stream"},
        {"README", "application/octet-stream"},
        {"dir.html/README", "application/octet-stream"},
        {".html", "application/octet-stream"},
        {"a.", "application/octet-stream"},
        {"", "application/octet-stream"},
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++)
        CU_ASSERT_STRING_EQUAL(mr_mime_type(cases[i].name), cases[i].type);
}

/* The table is searched by halving: an entry out of order would not be found. */
static void finds_every_entry_of_its_table(void)
{
    static const char *const endings[] = {
        "7z",   "aac",         "apng", "atom", "avif",  "bin",   "bmp", "br",   "bz2",  "c",
        "cjs",  "css",         "csv",  "deb",  "epub",  "flac",  "gif", "gz",   "h",    "htm",
        "html", "ico",         "ics",  "iso",  "jar",   "jpeg",  "jpg", "js",   "json", "jsonld",
        "jxl",  "log",         "m3u8", "m4a",  "m4s",   "m4v",   "map", "md",   "mjs",  "mkv",
        "mp3",  "mp4",         "mpd",  "mpeg", "mpg",   "oga",   "ogg", "ogv",  "opus", "otf",
        "pcap", "pdf",         "png",  "py",   "rss",   "rst",   "rtf", "sh",   "svg",  "tar",
        "tif",  "tiff",        "toml", "ts",   "ttf",   "txt",   "vtt", "wasm", "wav",  "weba",
        "webm", "webmanifest", "webp", "woff", "woff2", "xhtml", "xml", "xz",   "yaml", "yml",
        "zip",  "zst",
    };
    uint32_t plain = 0;

    for (size_t i = 0; i < MR_COUNT_OF(endings); i++) {
        char name[32] = "x.";
        strcat(name, endings[i]);
        plain += strcmp(mr_mime_type(name), "application/octet-stream") == 0;
    }
    CU_ASSERT_EQUAL(plain, 3); /* bin, br, iso */
}

CU_TestInfo http_mime_tests[] = {
    {"knows types by the ending of the name", knows_types_by_the_ending_of_the_name},
    {"finds every entry of its table", finds_every_entry_of_its_table},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "http3/mime", .pTests = http_mime_tests},
    CU_SUITE_INFO_NULL,
};
