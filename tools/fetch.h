/*
 * tools/fetch.h - files over one HTTP/3 connection, written by a helper thread: the lcore's side of
 * `millrace get`.
 *
 *     stream --on_data()--> 256 KiB buffers --work--> helper: write() --> buffers
 *
 * Data is copied out of the port's buffers at once, so that a slow disk or pipe holds the server
 * back by flow control and not by taking the port's buffers.  Writes of one file happen in order.
 *
 * Owner: the command fills the struct, launches the shard, polls mr_fetcher_is_over(), and reads
 * the results afterwards.  Threads: the control thread reads what is _Atomic; all else is the
 * lcore's between launch and the end.
 * Limits: MR_FETCHES_MAX files, MR_FETCHES_AT_ONCE of them under way.
 */
#ifndef MR_TOOLS_FETCH_H
#define MR_TOOLS_FETCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "http3/client.h"

#define MR_FETCHES_MAX      4096
#define MR_FETCHES_AT_ONCE  64
#define MR_FETCH_BUFFERS    (MR_FETCHES_AT_ONCE + 16) /* each file fills one */
#define MR_FETCH_BUFFER     262144                    /* bytes */
#define MR_FETCH_TEXT       128                       /* bytes of a header's value that are kept */
#define MR_FETCH_REASON     160
#define MR_FETCH_PATHS      7    /* further paths of a connection */
#define MR_FETCH_TICKET_MAX 4096 /* bytes of a ticket to resume the connection with */

enum mr_fetch_end {
    MR_FETCH_PENDING, /* not under way, or not ended */
    MR_FETCH_DONE,
    MR_FETCH_STATUS,    /* the server answered, but not with the file: `status` */
    MR_FETCH_WRITE,     /* the file could not be written: `error` */
    MR_FETCH_RESET,     /* by the server: `reason` */
    MR_FETCH_MALFORMED, /* the server's answer breaks the protocol: `reason` */
    MR_FETCH_CONN_LOST, /* the connection ended first: see struct mr_fetcher */
};

/* One file. */
struct mr_fetch {
    /* filled by the command */
    const char *authority;
    const char *path;            /* of the URL */
    int fd;                      /* where content goes; -1: nowhere */
    bool is_stream;              /* a pipe or the like: a write to it may block for long */
    struct mr_priority priority; /* that the server is told */
    /* results */
    enum mr_fetch_end end;
    int error; /* errno */
    uint32_t status;
    uint64_t content_length; /* UINT64_MAX: not told */
    uint64_t sent_ns;
    uint64_t first_byte_ns;
    uint64_t done_ns;
    char reason[MR_FETCH_REASON];
    char content_type[MR_FETCH_TEXT];
    char etag[MR_FETCH_TEXT];
    char last_modified[MR_FETCH_TEXT];
    char location[MR_FETCH_TEXT];
    char server[MR_FETCH_TEXT];
    /* the lcore's */
    mr_h3_client_request request;
    bool is_open;   /* a request is under way */
    bool is_paused; /* content waits for a buffer */
    bool is_received;
    uint32_t filling; /* buffer index; MR_NONE: none */
    uint32_t writes_out;
    _Atomic uint64_t received; /* bytes of content */
    _Atomic uint64_t expected; /* likewise in all; UINT64_MAX: not known */
};

/* Why all of it ended. */
enum mr_fetcher_end {
    MR_FETCHER_RUNNING,
    MR_FETCHER_DONE,      /* each fetch has its own end */
    MR_FETCHER_SILENT,    /* no connection within the time given */
    MR_FETCHER_REFUSED,   /* no connection, and that is final: code, reason */
    MR_FETCHER_LOST,      /* the connection ended: code, reason */
    MR_FETCHER_STALLED,   /* no byte for the time given */
    MR_FETCHER_CANCELLED, /* by mr_fetcher_cancel() */
    MR_FETCHER_NO_ROUTE,  /* no address of ours, or no gateway, for the server's address */
};

struct mr_fetch_buffer {
    uint32_t fetch; /* index */
    uint32_t size;
    uint64_t offset; /* in the file */
    uint8_t *data;
    struct mr_fetcher *fetcher;
};

struct mr_fetcher {
    /* filled by the command */
    struct mr_connect_options connect;
    uint64_t timeout_ns;
    uint32_t at_once; /* 1..MR_FETCHES_AT_ONCE */
    bool is_head;
    bool is_hq;                /* HTTP/0.9 */
    uint64_t migrate_after_ns; /* after connecting; UINT64_MAX: never */
    uint32_t path_count;       /* further paths, from these addresses of ours */
    struct mr_address paths[MR_FETCH_PATHS];
    uint8_t *ticket; /* MR_FETCH_TICKET_MAX bytes for the newest one; NULL: not wanted */
    uint32_t fetch_count;
    struct mr_fetch *fetches;
    /* results */
    enum mr_fetcher_end end;
    uint64_t code;
    bool is_application; /* `code` is HTTP/3's */
    bool is_remote;
    char reason[MR_FETCH_REASON];
    size_t ticket_size;       /* 0: none came */
    struct mr_conn_info info; /* as the connection was near its end */
    uint32_t path_info_count; /* paths that there were near its end */
    struct mr_path_info path_info[MR_FETCH_PATHS + 1];
    int path_error;      /* why one was not opened; 0 */
    uint16_t first_port; /* ours, before it migrated; 0: it has not tried */
    /* the lcore's */
    struct mr_h3_client *client;
    mr_h3_client_conn conn; /* 0: none */
    uint32_t next;          /* fetch to begin */
    uint32_t active;        /* begun and not ended */
    uint32_t writes_out;
    uint32_t buffer_free_count;
    uint32_t buffer_free[MR_FETCH_BUFFERS];
    struct mr_fetch_buffer buffers[MR_FETCH_BUFFERS];
    uint8_t *memory;
    uint64_t begun_ns;
    uint64_t progress_ns;
    uint64_t migrate_at_ns;
    uint32_t paths_opened;    /* or refused */
    uint64_t ticket_until_ns; /* all is fetched, only a ticket is waited for; 0: not so */
    /* between the threads */
    _Atomic bool wants_cancel;
    _Atomic bool is_connected;
    _Atomic bool is_over;
};

/* Buffers and the HTTP/3 client, for a fetcher whose first part is filled.  False with `fault` set.
 */
bool mr_fetcher_make(struct mr_fetcher *fetcher, struct mr_fault *fault);
void mr_fetcher_free(struct mr_fetcher *fetcher);

/* For the shard. */
const struct mr_application *mr_fetcher_application(struct mr_fetcher *fetcher);

/* Give up, from any thread. */
void mr_fetcher_cancel(struct mr_fetcher *fetcher);

/* Acquires the results. */
bool mr_fetcher_is_over(const struct mr_fetcher *fetcher);

#endif /* MR_TOOLS_FETCH_H */
