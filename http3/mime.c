/* http3/mime.c - see mime.h. */
#include "http3/mime.h"

#include <string.h>
#include <strings.h>

#include "base/compiler.h"

/* clang-format off */
static const struct {
    const char *ending;
    const char *type;
} types[] = { /* by ending, in order: searched by halving */
    {"7z",          "application/x-7z-compressed"},
    {"aac",         "audio/aac"},
    {"apng",        "image/apng"},
    {"atom",        "application/atom+xml"},
    {"avif",        "image/avif"},
    {"bin",         "application/octet-stream"},
    {"bmp",         "image/bmp"},
    {"br",          "application/octet-stream"},
    {"bz2",         "application/x-bzip2"},
    {"c",           "text/plain; charset=utf-8"},
    {"cjs",         "text/javascript; charset=utf-8"},
    {"css",         "text/css; charset=utf-8"},
    {"csv",         "text/csv; charset=utf-8"},
    {"deb",         "application/vnd.debian.binary-package"},
    {"epub",        "application/epub+zip"},
    {"flac",        "audio/flac"},
    {"gif",         "image/gif"},
    {"gz",          "application/gzip"},
    {"h",           "text/plain; charset=utf-8"},
    {"htm",         "text/html; charset=utf-8"},
    {"html",        "text/html; charset=utf-8"},
    {"ico",         "image/vnd.microsoft.icon"},
    {"ics",         "text/calendar; charset=utf-8"},
    {"iso",         "application/octet-stream"},
    {"jar",         "application/java-archive"},
    {"jpeg",        "image/jpeg"},
    {"jpg",         "image/jpeg"},
    {"js",          "text/javascript; charset=utf-8"},
    {"json",        "application/json"},
    {"jsonld",      "application/ld+json"},
    {"jxl",         "image/jxl"},
    {"log",         "text/plain; charset=utf-8"},
    {"m3u8",        "application/vnd.apple.mpegurl"},
    {"m4a",         "audio/mp4"},
    {"m4s",         "video/iso.segment"},
    {"m4v",         "video/mp4"},
    {"map",         "application/json"},
    {"md",          "text/markdown; charset=utf-8"},
    {"mjs",         "text/javascript; charset=utf-8"},
    {"mkv",         "video/matroska"},
    {"mp3",         "audio/mpeg"},
    {"mp4",         "video/mp4"},
    {"mpd",         "application/dash+xml"},
    {"mpeg",        "video/mpeg"},
    {"mpg",         "video/mpeg"},
    {"oga",         "audio/ogg"},
    {"ogg",         "audio/ogg"},
    {"ogv",         "video/ogg"},
    {"opus",        "audio/ogg"},
    {"otf",         "font/otf"},
    {"pcap",        "application/vnd.tcpdump.pcap"},
    {"pdf",         "application/pdf"},
    {"png",         "image/png"},
    {"py",          "text/x-python; charset=utf-8"},
    {"rss",         "application/rss+xml"},
    {"rst",         "text/x-rst; charset=utf-8"},
    {"rtf",         "application/rtf"},
    {"sh",          "application/x-sh"},
    {"svg",         "image/svg+xml"},
    {"tar",         "application/x-tar"},
    {"tif",         "image/tiff"},
    {"tiff",        "image/tiff"},
    {"toml",        "application/toml"},
    {"ts",          "video/mp2t"},
    {"ttf",         "font/ttf"},
    {"txt",         "text/plain; charset=utf-8"},
    {"vtt",         "text/vtt; charset=utf-8"},
    {"wasm",        "application/wasm"},
    {"wav",         "audio/wav"},
    {"weba",        "audio/webm"},
    {"webm",        "video/webm"},
    {"webmanifest", "application/manifest+json"},
    {"webp",        "image/webp"},
    {"woff",        "font/woff"},
    {"woff2",       "font/woff2"},
    {"xhtml",       "application/xhtml+xml"},
    {"xml",         "application/xml"},
    {"xz",          "application/x-xz"},
    {"yaml",        "application/yaml"},
    {"yml",         "application/yaml"},
    {"zip",         "application/zip"},
    {"zst",         "application/zstd"},
};
/* clang-format on */

const char *mr_mime_type(const char *name)
{
    const char *slash = strrchr(name, '/');
    const char *base = slash == NULL ? name : slash + 1;
    const char *dot = strrchr(base, '.');
    size_t begin = 0;
    size_t end = dot == NULL || dot == base ? 0 : MR_COUNT_OF(types);

    while (begin < end) {
        size_t middle = begin + (end - begin) / 2;
        int order = strcasecmp(dot + 1, types[middle].ending);
        if (order == 0)
            return types[middle].type;
        if (order < 0)
            end = middle;
        else
            begin = middle + 1;
    }
    return "application/octet-stream";
}
