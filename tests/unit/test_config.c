/* Tests of control/config.h. */
#include "control/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/harness.h"

static struct mr_config config; /* large */
static struct mr_fault fault;

/* Read text as the file "dir/f.yaml" over the defaults. */
static int parse(const char *text)
{
    mr_config_init(&config);
    fault = (struct mr_fault){0};
    return mr_config_parse(&config, "dir/f.yaml", text, strlen(text), &fault);
}

/* The text is refused with a message that is `expected`. */
static void refuses(const char *text, const char *expected)
{
    CU_ASSERT(parse(text) < 0);
    if (strcmp(fault.text, expected) != 0)
        printf("# expected: %s\n# found:    %s\n", expected, fault.text);
    CU_ASSERT_STRING_EQUAL(fault.text, expected);
}

static bool set(const char *option, const char *text)
{
    fault = (struct mr_fault){0};
    return mr_config_set(&config, option, text, &fault);
}

/* ------------------------------------------------------------------ values */

static void an_empty_file_is_the_defaults(void)
{
    static struct mr_config fresh;

    CU_ASSERT_EQUAL(parse(""), 0);
    mr_config_init(&fresh);
    memcpy(fresh.file, config.file, sizeof(fresh.file));
    CU_ASSERT_EQUAL(memcmp(&fresh, &config, sizeof(config)), 0);
    CU_ASSERT_EQUAL(parse("# nothing\n---\n"), 0);
    CU_ASSERT_EQUAL(config.shards, 1);
    CU_ASSERT_EQUAL(config.control.mode, 0660);
    CU_ASSERT_EQUAL(config.tls.watch_ns, UINT64_C(10000000000));
}

static void every_kind_of_value_is_read(void)
{
    CU_ASSERT_EQUAL_FATAL(parse("shards: 3\ncores: 1,3-5\npolling: busy\nhugepages: off\n"
                                "telemetry: yes\nverbose: true\ndrain: 1500ms\n"
                                "keylog: keys.log\n"
                                "control: {socket: /s, mode: 0600, region_bytes: 2M}\n"
                                "limits:\n  idle_timeout: 2m\n  stream_window: 65536\n"
                                "  connections: 10000000\n"),
                          0);
    CU_ASSERT_EQUAL(config.shards, 3);
    CU_ASSERT_STRING_EQUAL(config.cores, "1,3-5");
    CU_ASSERT_EQUAL(config.polling, 1);
    CU_ASSERT_EQUAL(config.hugepages, 2);
    CU_ASSERT(config.has_telemetry && config.is_verbose);
    CU_ASSERT_EQUAL(config.drain_ns, 1500000000);
    CU_ASSERT_STRING_EQUAL(config.keylog, "dir/keys.log");
    CU_ASSERT_STRING_EQUAL(config.control.socket, "/s");
    CU_ASSERT_EQUAL(config.control.mode, 0600);
    CU_ASSERT_EQUAL(config.control.region_bytes, 2 << 20);
    CU_ASSERT_EQUAL(config.limits.idle_timeout_ns, UINT64_C(120000000000));
    CU_ASSERT_EQUAL(config.limits.stream_window_bytes, 65536);
    CU_ASSERT_EQUAL(config.limits.connections, 10000000);
}

static void lists_and_items_are_read(void)
{
    CU_ASSERT_EQUAL_FATAL(
        parse("ports:\n  - spec: tap:a\n    addresses: [10.0.0.1/8, fd00::1/64]\n"
              "    gateways: 10.0.0.9\n  - {spec: tap:b, addresses: 11.0.0.1/8}\n"
              "tls:\n  certificates:\n    - {certificate: a.pem, key: /k/a.key}\n"
              "    - names: [A.Test, '*.B.test']\n      certificate: b.pem\n      key: b.key\n"
              "listeners:\n  - {name: one, application: app, alpn: h3}\n"
              "  - {name: two, application: app2, alpn: kv, port: 65535, server_name: X.test,\n"
              "     policy: accept, prefer_node: no, on_death: inherit, refuse_code: 7,\n"
              "     death_code: 4611686018427387903, connections: 9}\n"
              "inline:\n  - {name: in, object: in.so}\n"
              "  - {name: two, object: /lib/two.so, argument: a word}\n"
              "codes: {refuse: 5, death: 6}\n"),
        0);
    CU_ASSERT_EQUAL(config.port_count, 2);
    CU_ASSERT_STRING_EQUAL(config.ports[0].spec, "tap:a");
    CU_ASSERT_EQUAL(config.ports[0].address_count, 2);
    CU_ASSERT_STRING_EQUAL(config.ports[0].addresses[1], "fd00::1/64");
    CU_ASSERT_STRING_EQUAL(config.ports[0].gateways[0], "10.0.0.9");
    CU_ASSERT_STRING_EQUAL(config.ports[1].addresses[0], "11.0.0.1/8");
    CU_ASSERT_EQUAL(config.ports[1].gateway_count, 0);
    CU_ASSERT_EQUAL(config.port_line[1], 5);
    CU_ASSERT_EQUAL(config.tls.certificate_count, 2);
    CU_ASSERT_EQUAL(config.tls.certificates[0].name_count, 0);
    CU_ASSERT_STRING_EQUAL(config.tls.certificates[0].certificate, "dir/a.pem");
    CU_ASSERT_STRING_EQUAL(config.tls.certificates[0].key, "/k/a.key");
    CU_ASSERT_STRING_EQUAL(config.tls.certificates[1].names[0], "a.test");
    CU_ASSERT_STRING_EQUAL(config.tls.certificates[1].names[1], "*.b.test");

    const struct mr_handoff_listener *two = &config.handoff.listener[1];
    CU_ASSERT_EQUAL(config.handoff.listener_count, 2);
    CU_ASSERT(config.handoff.listener[0].prefers_node);
    CU_ASSERT_EQUAL(config.handoff.listener[0].policy, MR_HANDOFF_ROUND_ROBIN);
    CU_ASSERT_STRING_EQUAL(two->name, "two");
    CU_ASSERT_STRING_EQUAL(two->application, "app2");
    CU_ASSERT_STRING_EQUAL(two->alpn, "kv");
    CU_ASSERT_STRING_EQUAL(two->server_name, "x.test");
    CU_ASSERT_EQUAL(two->port, 65535);
    CU_ASSERT_EQUAL(two->policy, MR_HANDOFF_ACCEPT);
    CU_ASSERT_EQUAL(two->death, MR_DEATH_INHERIT);
    CU_ASSERT_FALSE(two->prefers_node);
    CU_ASSERT_EQUAL(two->refuse_code, 7);
    CU_ASSERT_EQUAL(two->death_code, (UINT64_C(1) << 62) - 1);
    CU_ASSERT_EQUAL(two->conns_max, 9);
    CU_ASSERT_EQUAL(config.listener_line[1], 14);
    CU_ASSERT_EQUAL(config.inline_count, 2);
    CU_ASSERT_STRING_EQUAL(config.inline_apps[0].name, "in");
    CU_ASSERT_STRING_EQUAL(config.inline_apps[0].object, "dir/in.so");
    CU_ASSERT_STRING_EQUAL(config.inline_apps[0].argument, "");
    CU_ASSERT_STRING_EQUAL(config.inline_apps[1].object, "/lib/two.so");
    CU_ASSERT_STRING_EQUAL(config.inline_apps[1].argument, "a word");
    CU_ASSERT_EQUAL(config.codes.refuse, 5);
    CU_ASSERT_EQUAL(config.codes.death, 6);
    CU_ASSERT_EQUAL(mr_handoff_find(&config.handoff, 65535, "kv", "x.TEST"), 1);
    CU_ASSERT(mr_config_check(&config, &fault));
}

/* Q12: whoever starts the threads takes their number and their CPUs from here. */
static void threads_come_from_settings(void)
{
    CU_ASSERT_EQUAL(parse("shards: 4\ncores: 0-3\n"), 0);
    CU_ASSERT_EQUAL(config.shards, 4);
    CU_ASSERT_STRING_EQUAL(config.cores, "0-3");
    CU_ASSERT(set("shards", "2") && set("cores", "1,0"));
    CU_ASSERT_EQUAL(config.shards, 2);
    CU_ASSERT_STRING_EQUAL(config.cores, "1,0");
    refuses("shards: 0", "dir/f.yaml:1: shards: 0 is out of range; give 1 to 64");
    refuses("shards: 65", "dir/f.yaml:1: shards: 65 is out of range; give 1 to 64");
}

/* ------------------------------------------------------------------ faults */

static void unknown_keys_name_the_nearest(void)
{
    refuses("shards: 1\nshrads: 2\n", "dir/f.yaml:2: unknown key \"shrads\"; did you mean shards?");
    refuses("control:\n  sokcet: x\n",
            "dir/f.yaml:2: unknown key \"control.sokcet\"; did you mean control.socket?");
    refuses("listener: []", "dir/f.yaml:1: unknown key \"listener\"; did you mean listeners?");
    refuses("listeners:\n  - nam: x\n", "dir/f.yaml:2: unknown key \"nam\"; did you mean name?");
    refuses("<<: {}", "dir/f.yaml:1: unknown key \"<<\"; millrace(1) lists all");
    refuses("control.socket: x",
            "dir/f.yaml:1: unknown key \"control.socket\"; did you mean control?");
    refuses("\"\": 1", "dir/f.yaml:1: unknown key \"\"; millrace(1) lists all");
    refuses("limits: {connec: 1}",
            "dir/f.yaml:1: unknown key \"limits.connec\"; did you mean limits.connects?");
}

static void duplicates_are_refused(void)
{
    refuses("shards: 1\ncores: 1\nshards: 2\n",
            "dir/f.yaml:3: shards is there twice, first on line 1; remove one");
    refuses("limits:\n  streams: 3\n  streams: 3\n",
            "dir/f.yaml:3: streams is there twice, first on line 2; remove one");
    refuses("listeners:\n  - name: a\n    name: b\n",
            "dir/f.yaml:3: name is there twice, first on line 2; remove one");
}

/* `count` times `text` after `begin`: what libyaml would take a minute for. */
static void refuses_many(const char *begin, const char *text, size_t count, const char *expected)
{
    size_t size = strlen(text);
    char *file = malloc(strlen(begin) + size * count + 1);

    CU_ASSERT_FATAL(file != NULL);
    strcpy(file, begin);
    for (size_t i = 0; i < count; i++)
        memcpy(file + strlen(begin) + i * size, text, size + 1);
    refuses(file, expected);
    free(file);
}

static void what_takes_long_to_read_is_refused_at_once(void)
{
    static const char deep[] = "dir/f.yaml:1: more than 16 lists and groups in each other; check "
                               "brackets and indentation";

    refuses_many("", "[", 200000, deep);
    refuses_many("", "{a: ", 100000, deep);
    refuses_many("", "- ", 100000, deep);
    refuses_many("shards: [", "&a x, ", 100000,
                 "dir/f.yaml:1: more than 64 anchors (&name); write values out");
    refuses_many("# first\n", "%TAG !a! b\n", 60000,
                 "dir/f.yaml:2: a %TAG directive is of no use; leave it out");
    CU_ASSERT_EQUAL(parse("ports: [{spec: 'tap:%TAG', addresses: &a [10.0.0.1/8]}]"), 0);
}

static void types_are_checked(void)
{
    refuses("shards: two", "dir/f.yaml:1: shards: \"two\" is no whole number; write one");
    refuses("shards: 1.5", "dir/f.yaml:1: shards: \"1.5\" is no whole number; write one");
    refuses("shards: -1", "dir/f.yaml:1: shards: \"-1\" is no whole number; write one");
    refuses("shards: 2K", "dir/f.yaml:1: shards: \"2K\" is no whole number; write one");
    refuses("shards:", "dir/f.yaml:1: shards: has no value; give one, or remove the line");
    refuses("shards: ~", "dir/f.yaml:1: shards: has no value; give one, or remove the line");
    refuses("shards: [1]", "dir/f.yaml:1: shards: is a list; write a single value");
    refuses("shards: {a: b}", "dir/f.yaml:1: shards: is a group of keys; write a single value");
    refuses("shards: !!int 1",
            "dir/f.yaml:1: shards: has the tag tag:yaml.org,2002:int; leave it out");
    refuses("control: /run/x",
            "dir/f.yaml:1: control: is a single value; write its keys below it, indented");
    refuses("listeners: {name: a}", "dir/f.yaml:1: listeners: is a group of keys; write a list, "
                                    "each item beginning with `- `");
    refuses("listeners: [a]", "dir/f.yaml:1: listeners: is a single value; write `- name: ...`");
    refuses("polling: lazy", "dir/f.yaml:1: polling: \"lazy\" is no choice; give one of adaptive, "
                             "busy");
    refuses("telemetry: maybe",
            "dir/f.yaml:1: telemetry: \"maybe\" is neither yes nor no; write one of them");
    refuses("- a", "dir/f.yaml:1: the file is a list; write keys and values, like `shards: 2`");
    refuses("[a]: 1", "dir/f.yaml:1: a key: is a list; write a single value");
    refuses("keylog: \"\"", "dir/f.yaml:1: keylog: is empty; give a value, or leave it out");
    refuses("keylog: \"a\\nb\"", "dir/f.yaml:1: keylog: holds a control character; leave it out");
    refuses("keylog: \"a\\0b\"", "dir/f.yaml:1: keylog: holds a control character; leave it out");
}

/* RFC 9114, Section 6.2: "Therefore, the transport parameters sent by both clients and servers MUST
 * allow the peer to create at least three unidirectional streams." */
static void http3_has_its_unidirectional_streams(void)
{
    refuses("limits: {streams: 2}",
            "dir/f.yaml:1: limits.streams: 2 is out of range; give 3 to 65536");
    CU_ASSERT_EQUAL(parse("limits: {streams: 3}"), 0);
}

static void ranges_are_checked(void)
{
    refuses("control: {mode: 01777}",
            "dir/f.yaml:1: control.mode: 01777 is out of range; give 0 to 0777");
    refuses("control: {mode: 8}",
            "dir/f.yaml:1: control.mode: \"8\" is no mode in octal, like 0660; write one");
    refuses("limits: {idle_timeout: 25h}",
            "dir/f.yaml:1: limits.idle_timeout: 25h is out of range; give 1s to 1d");
    refuses("limits: {idle_timeout: 999ms}",
            "dir/f.yaml:1: limits.idle_timeout: 999ms is out of range; give 1s to 1d");
    refuses("limits: {stream_window: 99999999999999999999}",
            "dir/f.yaml:1: limits.stream_window: 99999999999999999999 is out of range; give 4K to "
            "1T");
    refuses("limits: {stream_window: 18446744073709551615T}",
            "dir/f.yaml:1: limits.stream_window: 18446744073709551615T is out of range; give 4K to "
            "1T");
    refuses("drain: 5 minutes",
            "dir/f.yaml:1: drain: \"5 minutes\" is no time, like 30s or 12h; write one");
    CU_ASSERT_EQUAL(parse("limits: {idle_timeout: 1}"), 0);
    CU_ASSERT_EQUAL(config.limits.idle_timeout_ns, 1000000000);
    CU_ASSERT_EQUAL(parse("limits: {idle_timeout: 1d}"), 0);
}

static void texts_are_checked(void)
{
    static char text[600];

    refuses("cores: 3-2",
            "dir/f.yaml:1: cores: malformed list of cores \"3-2\": it looks like 2,3 or 2-5");
    refuses("ports:\n  - spec: tap:x\n    addresses:\n      - 10.0.0.1/8\n      - 10.0.0.1\n",
            "dir/f.yaml:5: addresses: \"10.0.0.1\" is no address with its network's prefix; write "
            "one like 198.18.0.2/24 or fd00::2/64");
    refuses("ports: [{addresses: 224.0.0.1/8}]", "dir/f.yaml:1: addresses: 224.0.0.1/8 is not the "
                                                 "address of one host; choose another");
    refuses("ports: [{gateways: gw}]", "dir/f.yaml:1: gateways: \"gw\" is no address; write one "
                                       "like 198.18.0.1");
    refuses("tls: {certificates: [{names: '*.*.x'}]}",
            "dir/f.yaml:1: names: \"*.*.x\" is no server's name; write one like www.example.com or "
            "*.example.com");
    refuses("listeners: [{server_name: a..b}]",
            "dir/f.yaml:1: server_name: \"a..b\" is no server's name; write one like "
            "www.example.com or *.example.com");
    refuses("listeners: [{name: a b}]", "dir/f.yaml:1: name: \"a b\" is no name; use letters, "
                                        "digits, '.', '_' and '-'");
    refuses("listeners: [{alpn: a b}]",
            "dir/f.yaml:1: alpn: is no protocol's name (ALPN); write one like h3");
    snprintf(text, sizeof(text), "listeners: [{name: %032d}]", 0);
    refuses(text, "dir/f.yaml:1: name: \"00000000000000000000...\" is 32 bytes long; at most 31");
    snprintf(text, sizeof(text), "keylog: %0300d", 0);
    refuses(text, "dir/f.yaml:1: keylog: \"dir/0000000000000000...\" is 304 bytes long; at most "
                  "255");
}

static void too_many_items_are_refused(void)
{
    static char text[8192];
    size_t used = (size_t)snprintf(text, sizeof(text), "listeners:\n");

    for (int i = 0; i < MR_LISTENERS_MAX; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used,
                                 "  - {name: l%d, application: a, alpn: p%d}\n", i, i);
    CU_ASSERT_EQUAL(parse(text), 0);
    CU_ASSERT_EQUAL(config.handoff.listener_count, MR_LISTENERS_MAX);
    snprintf(text + used, sizeof(text) - used, "  - {name: x, application: a, alpn: b}\n");
    refuses(text, "dir/f.yaml:66: listeners: there are more than 64; leave some out");
    refuses("ports: [{gateways: [10.0.0.1, 10.0.0.2,\n  10.0.0.3]}]",
            "dir/f.yaml:2: gateways: there are more than 2; leave some out");
}

static void items_must_be_complete(void)
{
    CU_ASSERT_EQUAL(parse("ports:\n  - spec: loopback\n"), 0); /* needs no address */
    CU_ASSERT_EQUAL(config.ports[0].address_count, 0);
    refuses("listeners:\n  - name: a\n    alpn: b\n",
            "dir/f.yaml:2: listeners: has no application; add it: who serves it: rings of that "
            "name, or the inline application");
    refuses("ports:\n  - spec: tap:a\n", "dir/f.yaml:2: ports: has no addresses; add it: our "
                                         "addresses, each with its network's prefix");
    refuses("tls:\n  certificates:\n    - names: a\n      certificate: x\n",
            "dir/f.yaml:3: tls.certificates: has no key; add it: file of its private key");
}

static void broken_yaml_names_its_line(void)
{
    CU_ASSERT(parse("shards: 1\ncores: [1\n") < 0);
    CU_ASSERT_EQUAL(strncmp(fault.text, "dir/f.yaml:3: no YAML: while parsing a flow sequence", 50),
                    0);
    CU_ASSERT(parse("shards: 1\n\tcores: 1\n") < 0);
    CU_ASSERT_EQUAL(strncmp(fault.text, "dir/f.yaml:2: no YAML: ", 23), 0);
    CU_ASSERT(parse("shards: 1\n\ncores: \xff\n") < 0);
    CU_ASSERT_EQUAL(strncmp(fault.text, "dir/f.yaml:3: ", 14), 0);
    CU_ASSERT(strstr(fault.text, "; write plain text in UTF-8") != NULL);
    refuses("shards: 1\n---\nshards: 2\n", "dir/f.yaml:3: a second document begins; leave one");
    CU_ASSERT(parse("shards: *a\n") < 0);
    CU_ASSERT_EQUAL(strncmp(fault.text, "dir/f.yaml:1: ", 14), 0);
}

/* An alias is another name for a node; one within itself must not make us run in circles. */
static void aliases_are_harmless(void)
{
    CU_ASSERT_EQUAL(parse("shards: &n 3\nlimits: {streams: *n}\n"), 0);
    CU_ASSERT_EQUAL(config.limits.streams, 3);
    refuses("control: &c\n  control: *c\n",
            "dir/f.yaml:2: unknown key \"control.control\"; millrace(1) lists all");
    CU_ASSERT(parse("ports: &p [*p]") < 0);
}

/* ------------------------------------------------------------------ files */

static void only_small_regular_files_are_read(void)
{
    char path[] = "/tmp/mr-config-XXXXXX";
    int fd = mkstemp(path);

    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_EQUAL(write(fd, "shards: 5\n", 10), 10);
    mr_config_init(&config);
    CU_ASSERT_EQUAL(mr_config_read(&config, path, &fault), 0);
    CU_ASSERT_EQUAL(config.shards, 5);
    CU_ASSERT_EQUAL(ftruncate(fd, MR_CONFIG_FILE_MAX + 1), 0);
    CU_ASSERT(mr_config_read(&config, path, &fault) < 0);
    CU_ASSERT(strstr(fault.text, "more than 1048576 bytes") != NULL);
    close(fd);
    unlink(path);
    CU_ASSERT(mr_config_read(&config, path, &fault) < 0);
    CU_ASSERT(strstr(fault.text, "No such file or directory; check the path") != NULL);
    CU_ASSERT_EQUAL(mkfifo(path, 0600), 0);
    CU_ASSERT(mr_config_read(&config, path, &fault) < 0);
    CU_ASSERT(strstr(fault.text, "no regular file; check the path") != NULL);
    unlink(path);
    CU_ASSERT(mr_config_read(&config, "/", &fault) < 0);
}

/* ------------------------------------------------------------------ the command line */

static void options_replace_what_the_file_says(void)
{
    CU_ASSERT_EQUAL(parse("shards: 2\nlimits: {connections: 5}\n"
                          "ports: [{spec: tap:f, addresses: [10.0.0.1/8, 10.0.0.2/8]}]\n"
                          "listeners: [{name: f, application: f, alpn: f}]\n"),
                    0);
    CU_ASSERT(set("shards", "3"));
    CU_ASSERT(set("telemetry", "yes"));
    CU_ASSERT(set("control-mode", "0666"));
    CU_ASSERT(set("keylog", "relative"));
    CU_ASSERT(set("port", "tap:c"));
    CU_ASSERT(set("addr", "11.0.0.1/8"));
    CU_ASSERT(set("addr", "11.0.0.2/8"));
    CU_ASSERT(set("listener", "name=a,application=b,alpn=c,port=44,policy=least-loaded"));
    CU_ASSERT(set("listener", "name=d,application=e,alpn=f"));
    CU_ASSERT(set("certificate", "names=x.test:*.y.test,certificate=c.pem,key=k.pem"));
    CU_ASSERT_EQUAL(config.shards, 3);
    CU_ASSERT_EQUAL(config.limits.connections, 5);
    CU_ASSERT(config.has_telemetry);
    CU_ASSERT_EQUAL(config.control.mode, 0666);
    CU_ASSERT_STRING_EQUAL(config.keylog, "relative");
    CU_ASSERT_EQUAL(config.port_count, 1);
    CU_ASSERT_STRING_EQUAL(config.ports[0].spec, "tap:c");
    CU_ASSERT_EQUAL(config.ports[0].address_count, 2);
    CU_ASSERT_STRING_EQUAL(config.ports[0].addresses[0], "11.0.0.1/8");
    CU_ASSERT_EQUAL(config.handoff.listener_count, 2);
    CU_ASSERT_STRING_EQUAL(config.handoff.listener[0].name, "a");
    CU_ASSERT_EQUAL(config.handoff.listener[0].port, 44);
    CU_ASSERT(config.handoff.listener[1].prefers_node);
    CU_ASSERT_EQUAL(config.tls.certificates[0].name_count, 2);
    CU_ASSERT_STRING_EQUAL(config.tls.certificates[0].names[1], "*.y.test");
    CU_ASSERT(mr_config_check(&config, &fault));
}

static void option_faults_name_the_option(void)
{
    static const struct {
        const char *option;
        const char *text;
        const char *expected;
    } cases[] = {
        {"shards", "x", "--shards: \"x\" is no whole number; write one"},
        {"addr", "x",
         "--addr: \"x\" is no address with its network's prefix; write one like 198.18.0.2/24 or "
         "fd00::2/64"},
        {"listener", "name=a",
         "--listener: has no application; add it: who serves it: rings of that name, or the inline "
         "application"},
        {"listener", "nmae=a", "--listener: unknown key \"nmae\"; did you mean name?"},
        {"listener", "name", "--listener: \"name\" is no key=value; write name=..."},
        {"listener", "name=a,name=b", "--listener: name is there twice; leave one out"},
        {"listener", "port=65536", "--listener: port: 65536 is out of range; give 0 to 65535"},
        {"nothing", "1", "unknown option --nothing; see --help"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        mr_config_init(&config);
        CU_ASSERT_FALSE(set(cases[i].option, cases[i].text));
        CU_ASSERT_STRING_EQUAL(fault.text, cases[i].expected);
        CU_ASSERT_EQUAL(config.handoff.listener_count, 0);
    }
}

/* ------------------------------------------------------------------ the whole */

#define PORT     "ports: [{spec: tap:a, addresses: 10.0.0.1/24}]\n"
#define LISTENER "listeners: [{name: a, application: a, alpn: a}]\n"

struct whole {
    const char *text;
    const char *expected; /* NULL: it is right */
};

static void check_wholes(const struct whole *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CU_ASSERT_EQUAL_FATAL(parse(cases[i].text), 0);
        CU_ASSERT_EQUAL(mr_config_check(&config, &fault), cases[i].expected == NULL);
        CU_ASSERT_STRING_EQUAL(fault.text, cases[i].expected != NULL ? cases[i].expected : "");
    }
}

static void the_whole_is_checked(void)
{
    static const struct whole cases[] = {
        {PORT LISTENER, NULL},
        {LISTENER, "no port; give one, like --port tap:mr0 (root) or --port af_packet:eth0"},
        {PORT, "no listener; give one, like --listener name=kv,application=kv,alpn=kv"},
        {LISTENER "ports:\n  - {spec: tap:a, addresses: [10.0.0.1/24]}\n"
                  "  - {spec: tap:b, addresses: [10.0.0.2/24, 10.0.0.1/8]}\n",
         "dir/f.yaml:4: ports: address 10.0.0.1/8 is there twice; leave one out"},
        {LISTENER "ports: [{spec: tap:a, addresses: [10.0.0.1/24, 10.0.0.2/24, 10.0.0.1/8]}]",
         "dir/f.yaml:2: ports: address 10.0.0.1/8 is there twice; leave one out"},
        {LISTENER "ports: [{spec: a, addresses: 10.0.0.1/24, gateways: 10.0.1.1}]",
         "dir/f.yaml:2: ports: gateway 10.0.1.1 is in no network of its port; check both"},
        {LISTENER "ports: [{spec: a, addresses: 10.0.0.1/24, gateways: 10.0.0.1}]",
         "dir/f.yaml:2: ports: gateway 10.0.0.1 is our own address; name the router's"},
        {LISTENER "ports: [{spec: a, addresses: 10.0.0.1/24, gateways: [10.0.0.2, 10.0.0.3]}]",
         "dir/f.yaml:2: ports: gateway 10.0.0.3 is a second one of its family; leave one out"},
        {LISTENER "ports: [{spec: a, addresses: [10.0.0.1/24, fd00::1/64], gateways: [10.0.0.2, "
                  "fe80::1]}]",
         NULL},
        {LISTENER
         "ports: [{spec: a, addresses: [10.0.0.1/24, fd00::1/64], preferred: [10.0.0.1:44, "
         "'[fd00::1]:44']}]",
         NULL},
        {LISTENER "ports: [{spec: a, addresses: 10.0.0.1/24, preferred: 10.0.0.2}]",
         "dir/f.yaml:2: ports: 10.0.0.2 is not an address of this port; name one of its addresses"},
        {LISTENER "ports: [{spec: a, addresses: 10.0.0.1/24, preferred: [10.0.0.1, 10.0.0.1:5]}]",
         "dir/f.yaml:2: ports: two addresses of IPv4; leave one out"},
        {PORT LISTENER "tls:\n  certificates:\n    - {names: a.b, certificate: c, key: k}\n"
                       "    - {certificate: c, key: k}\n",
         "dir/f.yaml:6: tls.certificates: has no names; only the first certificate may do without"},
        {PORT LISTENER "tls:\n  certificates:\n    - {names: a.b, certificate: c, key: k}\n"
                       "    - {names: [b.b, A.b], certificate: c, key: k}\n",
         "dir/f.yaml:6: tls.certificates: the name a.b is there twice; leave one out"},
        {PORT LISTENER
         "tls:\n  certificates:\n    - {names: a.b, certificate: c, key: k, alpn: kv}\n"
         "    - {names: [b.b, A.b], certificate: c, key: k}\n",
         NULL},
        {PORT "listeners:\n  - {name: a, application: a, alpn: a}\n"
              "  - {name: a, application: a, alpn: b}\n",
         "dir/f.yaml:4: listeners: a second listener is called a; rename one"},
        {PORT LISTENER "inline:\n  - {name: a, object: a}\n  - {name: a, object: b}\n",
         "dir/f.yaml:5: inline: a second inline application is called a; rename one"},
        {PORT "listeners:\n  - {name: a, application: a, alpn: a}\n"
              "  - {name: b, application: a, alpn: a}\n",
         "dir/f.yaml:4: listeners: b gets no connection, a is for the same ones; give them "
         "different ports, protocols or server names"},
    };

    check_wholes(cases, sizeof(cases) / sizeof(cases[0]));
}

static void parts_are_no_more_than_the_whole(void)
{
    static const struct whole cases[] = {
        {PORT LISTENER "control:\n  region_bytes: 64K\n",
         "dir/f.yaml:4: control.region_bytes: 64K is less than one ring takes, 8388K; raise it, or "
         "make rings smaller"},
        {PORT LISTENER "control: {total_bytes: 64K}",
         "dir/f.yaml:3: control.total_bytes: 64K is less than one ring takes, 8388K; raise it, or "
         "make rings smaller"},
        {PORT LISTENER "control: {total_bytes: 9M}", NULL},
        {PORT LISTENER "control:\n  total_bytes: 9M\n  region_bytes: 10M\n",
         "dir/f.yaml:5: control.region_bytes: 10M is more than all attachments may have, 9M; lower "
         "it, or raise control.total_bytes"},
        {PORT LISTENER "control: {user_bytes: 9M}", NULL},
        {PORT LISTENER "control: {user_bytes: 300M, total_bytes: 256M}",
         "dir/f.yaml:3: control.user_bytes: 300M is more than all attachments may have, 256M; "
         "lower it, or raise control.total_bytes"},
        {PORT LISTENER "control: {user_bytes: 9M, region_bytes: 10M}",
         "dir/f.yaml:3: control.region_bytes: 10M is more than one user's attachments may have, "
         "9M; lower it, or raise control.user_bytes"},
    };

    check_wholes(cases, sizeof(cases) / sizeof(cases[0]));
}

static void sizes_that_do_not_fit_are_refused(void)
{
    static const struct whole cases[] = {
        {PORT LISTENER "rings: {slots: 1000}",
         "dir/f.yaml:3: rings.slots: 1000 is no power of two; give one"},
        {PORT LISTENER "rings: {send_bytes: 5000}",
         "dir/f.yaml:3: rings.send_bytes: 5000 bytes are no whole pages; give a multiple of 4K"},
        {PORT LISTENER "rings:\n  slots: 65536\n  slot_bytes: 8K\n",
         "dir/f.yaml:4: rings.slots: one ring takes 528580K with it, an attachment may have 256M; "
         "lower it, or raise control.region_bytes"},
        {PORT LISTENER "control: {attachments: 2}", NULL},
        {PORT LISTENER "control:\n  attachments: 2\n  attachments_per_user: 3",
         "dir/f.yaml:5: control.attachments_per_user: 3 is more than all attachments, 2; lower it, "
         "or raise control.attachments"},
        {PORT LISTENER "control: {mode: 0444}",
         "dir/f.yaml:3: control.mode: 0444 lets nobody connect, who needs the right to write; give "
         "one like 0660"},
        {PORT LISTENER "rings: {objects: 65537}",
         "dir/f.yaml:3: rings.objects: 65537 is more than a shard has for all its rings, 65536; "
         "lower it, or raise limits.connections to 16385"},
        {PORT LISTENER "rings: {objects: 65537}\nlimits: {connections: 16385}", NULL},
        {PORT LISTENER "rings: {sends: 100000}\nshards: 2\n",
         "dir/f.yaml:3: rings.sends: 100000 is more than a shard has for all its rings, 65536; "
         "lower it, or raise limits.connections to 50000"},
        {PORT LISTENER "limits:\n  connections: 5\n  connects: 6\n",
         "dir/f.yaml:5: limits.connects: 6 is more than a shard may have, 5; lower it, or raise "
         "limits.connections to 6"},
        {PORT LISTENER "limits: {connections: 5, connects: 5}", NULL},
        {PORT LISTENER "limits: {connections: 5, connects: 5}\nshards: 2",
         "dir/f.yaml:3: limits.connects: 5 is more than a shard may have, 2; lower it, or raise "
         "limits.connections to 10"},
        {PORT LISTENER "limits: {awake: 255}",
         "dir/f.yaml:3: limits.awake: 255 is too few for 1 shard; give 256 or more, or 0: all"},
        {PORT LISTENER "limits: {awake: 511}\nshards: 2",
         "dir/f.yaml:3: limits.awake: 511 is too few for 2 shards; give 512 or more, or 0: all"},
        {PORT LISTENER "limits: {connections: 1}", NULL},
        {PORT LISTENER "limits: {connections: 1}\nshards: 2",
         "dir/f.yaml:3: limits.connections: 1 is too few for 2 shards; give 2 or more"},
        {LISTENER "ports: [{spec: loopback}]\nlimits: {connections: 1}",
         "dir/f.yaml:3: limits.connections: 1 is too few for 1 shard; give 2 or more, both ends of "
         "a "
         "connection over a loopback are here"},
        {LISTENER "ports: [{spec: loopback}, {spec: tap:b, addresses: 10.0.0.1/24}]\nshards: 33\n",
         "dir/f.yaml:3: shards: 33 for each of 2 ports are more than 64; lower it"},
        {LISTENER "ports: [{spec: loopback, addresses: 10.0.0.1/24}]\nbalance: load\n", NULL},
        {PORT LISTENER "balance: rss", NULL},
        {LISTENER "ports: [{spec: loopback, addresses: 10.0.0.1/24}]\nbalance: rss\n",
         "dir/f.yaml:3: balance: rss is of no use on a loopback, where datagrams arrive at the "
         "shard that sends them; choose load"},
        {PORT LISTENER "limits: {connection_window: 4K}",
         "dir/f.yaml:3: limits.connection_window: 4K is less than one stream may have, 1M; raise "
         "it, or lower limits.stream_window"},
        {PORT LISTENER "limits: {stream_window: 8M}",
         "dir/f.yaml:3: limits.stream_window: 8M is more than all streams of a connection may "
         "have, "
         "4M; lower it, or raise limits.connection_window"},
    };

    check_wholes(cases, sizeof(cases) / sizeof(cases[0]));
}

/* What the user wrote is named as the user wrote it. */
static void options_that_do_not_fit_are_named(void)
{
    static const struct {
        const char *option[3][2];
        const char *expected; /* NULL: it is right */
    } cases[] = {
        {{{"port", "loopback"}}, NULL},
        {{{"port", "tap:a"}},
         "--addr: no address of our own; give one that is free on the port's network, like "
         "198.18.0.2/24"},
        {{{"addr", "10.0.0.1/24"}}, "--port: no port; give one, like tap:mr0 or af_packet:eth0"},
        {{{"port", "tap:a"}, {"addr", "10.0.0.1/24"}, {"gateway", "10.0.1.1"}},
         "--gateway: gateway 10.0.1.1 is in no network of its port; check both"},
        {{{"ports", "spec=tap:a,addresses=10.0.0.1/24:10.0.0.1/8"}},
         "--ports: address 10.0.0.1/8 is there twice; leave one out"},
        {{{"port", "loopback"}, {"cert", "a.pem"}},
         "--key: a certificate and its key go together; give both, or none for a self-signed "
         "certificate"},
        {{{"port", "loopback"}, {"ring-objects", "1000000"}},
         "--ring-objects: 1000000 is more than a shard has for all its rings, 65536; lower it, or "
         "raise --connections to 250000"},
        {{{"port", "loopback"}, {"ring-sends", "1000000"}},
         "--ring-sends: 1000000 is more than a shard has for all its rings, 65536; lower it, or "
         "raise --connections to 250000"},
        {{{"port", "loopback"}, {"ring-send-bytes", "1G"}},
         "--ring-send-bytes: one ring takes 1052868K with it, an attachment may have 256M; lower "
         "it, or raise --region-bytes"},
        {{{"port", "loopback"}, {"connections", "1"}},
         "--connections: 1 is too few for 1 shard; give 2 or more, both ends of a connection over "
         "a loopback are here"},
        {{{"port", "loopback"}, {"connections", "2"}}, NULL},
        {{{"port", "loopback"}, {"connects", "1001"}},
         "--connects: 1001 is more than a shard may have, 1000; lower it, or raise --connections "
         "to 1001"},
        {{{"port", "loopback"}, {"attachments", "1"}}, NULL},
        {{{"port", "loopback"}, {"attachments-per-user", "65"}},
         "--attachments-per-user: 65 is more than all attachments, 64; lower it, or raise "
         "--attachments"},
        {{{"port", "loopback"}, {"region-bytes", "2G"}},
         "--region-bytes: 2G is more than all attachments may have, 1G; lower it, or raise "
         "--total-bytes"},
        {{{"port", "loopback"}, {"stream-window", "5M"}},
         "--stream-window: 5M is more than all streams of a connection may have, 4M; lower it, or "
         "raise --connection-window"},
        {{{"port", "loopback"}, {"control-mode", "0"}},
         "--control-mode: 0000 lets nobody connect, who needs the right to write; give one like "
         "0660"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        mr_config_init(&config);
        CU_ASSERT(set("listener", "name=a,application=a,alpn=a"));
        for (size_t k = 0; k < 3 && cases[i].option[k][0] != NULL; k++)
            CU_ASSERT(set(cases[i].option[k][0], cases[i].option[k][1]));
        fault.text[0] = '\0';
        CU_ASSERT_EQUAL(mr_config_check(&config, &fault), cases[i].expected == NULL);
        CU_ASSERT_STRING_EQUAL(fault.text, cases[i].expected != NULL ? cases[i].expected : "");
    }
    mr_config_init(&config);
    CU_ASSERT_FALSE(set("ring-objects", "1")); /* a connection, and no stream of it */
    CU_ASSERT_STRING_EQUAL(fault.text, "--ring-objects: 1 is out of range; give 2 to 1048576");
    CU_ASSERT_FALSE(set("cores", "0,0"));
    CU_ASSERT_STRING_EQUAL(fault.text, "--cores: core 0 is there twice in \"0,0\"; a thread polls "
                                       "on each, leave one out");
}

/* A lower limit that was given lowers what nobody gave. */
static void defaults_give_way(void)
{
    CU_ASSERT_EQUAL(parse(PORT LISTENER "control: {attachments: 3, total_bytes: 20M}"), 0);
    CU_ASSERT_EQUAL(mr_config_quota(&config).attachments_per_user, 3);
    CU_ASSERT_EQUAL(mr_config_quota(&config).region_bytes, 20 << 20);
    CU_ASSERT_EQUAL(mr_config_quota(&config).user_bytes, 20 << 20);
    CU_ASSERT_EQUAL(parse(PORT LISTENER), 0);
    CU_ASSERT_EQUAL(mr_config_quota(&config).attachments_per_user, 16);
    CU_ASSERT_EQUAL(mr_config_quota(&config).region_bytes, 256 << 20);
    CU_ASSERT_EQUAL(mr_config_quota(&config).user_bytes, 512 << 20);
    CU_ASSERT_EQUAL(mr_config_share(&config).connects, 250);
}

static void later_faults_can_be_blamed(void)
{
    CU_ASSERT_EQUAL(parse("shards: 2\ncores: 1\n"), 0);
    mr_fault_set(&fault, EINVAL, "too few");
    CU_ASSERT_FALSE(mr_config_blame(&config, "cores", &fault));
    CU_ASSERT_STRING_EQUAL(fault.text, "dir/f.yaml:2: cores: too few");
    CU_ASSERT(set("cores", "2"));
    mr_fault_set(&fault, EINVAL, "too few");
    CU_ASSERT_FALSE(mr_config_blame(&config, "cores", &fault));
    CU_ASSERT_STRING_EQUAL(fault.text, "--cores: too few");
    CU_ASSERT(set("port", "tap:x"));
    mr_fault_set(&fault, EINVAL, "no root");
    CU_ASSERT_FALSE(mr_config_blame(&config, "ports.spec", &fault));
    CU_ASSERT_STRING_EQUAL(fault.text, "--port: no root");
}

static CU_TestInfo tests[] = {
    {"an empty file is the defaults", an_empty_file_is_the_defaults},
    {"every kind of value is read", every_kind_of_value_is_read},
    {"lists and items are read", lists_and_items_are_read},
    {"Q12 threads and their CPUs come from settings", threads_come_from_settings},
    {"unknown keys name the nearest", unknown_keys_name_the_nearest},
    {"duplicates are refused", duplicates_are_refused},
    {"what takes long to read is refused at once", what_takes_long_to_read_is_refused_at_once},
    {"types are checked", types_are_checked},
    {"ranges are checked", ranges_are_checked},
    {"HTTP/3 has its unidirectional streams", http3_has_its_unidirectional_streams},
    {"texts are checked", texts_are_checked},
    {"too many items are refused", too_many_items_are_refused},
    {"items must be complete", items_must_be_complete},
    {"broken YAML names its line", broken_yaml_names_its_line},
    {"aliases are harmless", aliases_are_harmless},
    {"only small regular files are read", only_small_regular_files_are_read},
    {"options replace what the file says", options_replace_what_the_file_says},
    {"option faults name the option", option_faults_name_the_option},
    {"the whole is checked", the_whole_is_checked},
    {"sizes that do not fit are refused", sizes_that_do_not_fit_are_refused},
    {"parts are no more than the whole", parts_are_no_more_than_the_whole},
    {"options that do not fit are named", options_that_do_not_fit_are_named},
    {"defaults give way to a lower limit that was given", defaults_give_way},
    {"later faults can be blamed", later_faults_can_be_blamed},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "control/config", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
