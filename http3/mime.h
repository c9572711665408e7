/*
 * http3/mime.h - the content type of a file, by the ending of its name.  Pure.
 */
#ifndef MR_HTTP3_MIME_H
#define MR_HTTP3_MIME_H

/* The content type for `name` (a path will do); "application/octet-stream" if the ending is not
 * known.  Static. */
const char *mr_mime_type(const char *name);

#endif /* MR_HTTP3_MIME_H */
