/*
 * tools/json_table.h - JSON as lines for people.
 *
 *     [{"shard":0,"conns":12},{"shard":1,"conns":7}]      shard  conns
 *                                                             0     12
 *                                                             1      7
 *     {"version":"1.0","pid":12}                          version  1.0
 *                                                         pid      12
 *
 * A list inside of a row is printed below it, indented.
 * Threads: none of its own.
 */
#ifndef MR_TOOLS_JSON_TABLE_H
#define MR_TOOLS_JSON_TABLE_H

#include <stdio.h>

struct json_object; /* of json-c */

void mr_json_table_print(FILE *to, struct json_object *value);

#endif /* MR_TOOLS_JSON_TABLE_H */
