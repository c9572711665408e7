/* app/jsonrpc_internal.h - JSON texts, for both ends; see millrace/jsonrpc.h. */
#ifndef MR_APP_JSONRPC_INTERNAL_H
#define MR_APP_JSONRPC_INTERNAL_H

#include <json-c/json.h>

#include "millrace/jsonrpc.h"

/* False: it is no JSON.  *value_out, which may be NULL for null, is to be put. */
bool mr_jsonrpc_parse(const char *text, size_t size, struct json_object **value_out);

/* False: a value has more than `levels` (itself, what is in it, ...), so that the other end, which
 * parses MR_JSONRPC_DEPTH of the whole text, would refuse it. */
bool mr_jsonrpc_is_within(struct json_object *value, uint32_t levels);

/* NULL: there is none. */
struct json_object *mr_jsonrpc_member(struct json_object *object, const char *name);

/* {"jsonrpc": "2.0"} */
struct json_object *mr_jsonrpc_object(void);

#endif /* MR_APP_JSONRPC_INTERNAL_H */
