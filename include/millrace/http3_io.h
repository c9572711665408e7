/*
 * millrace/http3_io.h - HTTP/3 without I/O: for a program that has QUIC's streams in its own model.
 *
 *     the program's connections and streams           server or client of millrace/http3.h
 *       accept, stream, feed, reset, stopped, closed ------> io ------> requests, pages
 *       connect, open, send, reset, stop, close, end <------ io <------ answers, requests
 *                          mr_http3_io_next()
 *
 * Rings, non-blocking sockets and coroutines drive HTTP/3 with it: nothing here waits, makes a
 * thread, reads a clock or touches a socket.  The program tells what its streams bring, and does
 * what mr_http3_io_next() wants of them, as far and whenever it can.
 *
 *     wish       what the program does                          and says
 *     CONNECT    begins the connection                          mr_http3_io_connected() or
 * _closed() OPEN       opens a stream of the connection               mr_http3_io_opened() SEND
 * sends some of the bytes, from the first on     mr_http3_io_sent() RESET      abandons sending,
 * with the code                - STOP       asks the peer to stop sending, with the code   - READ
 * feeds again what was not taken                 mr_http3_io_feed() CLOSE      closes the
 * connection, with the code           mr_http3_io_closed() END        forgets the stream or
 * connection, its last     -
 *
 * A wish is told once.  What cannot be done now (the peer allows no more streams, there is no room)
 * is told again after mr_http3_io_retry(); of a stream there is at most one SEND at a time, so that
 * a program that waits in the middle needs no order of its own.
 *
 * Streams keep the order and the numbers of RFC 9000, Section 2.1: the OPENs of a connection, of
 * one kind, are done in the order in which they are told.  What each stream carries is RFC 9114,
 * Section 6: a control stream and QPACK's, one each way, and a bidirectional stream for a request.
 *
 * Owner: the caller; it frees the io before the server or client.  Bytes of a SEND are the
 * application's: look at them until mr_http3_io_sent(), or until another wish about their stream or
 * connection is told, no longer; bytes fed are looked at during the
 * call only.  Handles of objects that have ended are stale, and ignored.
 * Threads: one at a time; no function but those of millrace/http3.h is called in a callback of the
 * application, as the `done` of mr_http3_get() is one.  Errors: 0 or -errno; what a peer does wrong
 * ends its stream or connection with a code of RFC 9114, Section 8.1, as a RESET, STOP or CLOSE.
 * Limits: struct mr_http3_io_config.  Memory is allocated as it is needed: not for use on an lcore.
 * Work that would go to another thread (a server opens and reads files) is done in
 * mr_http3_io_poll(), on the caller's.
 */
#ifndef MILLRACE_HTTP3_IO_H
#define MILLRACE_HTTP3_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/transport.h"

#ifdef __cplusplus
extern "C" {
#endif

struct mr_http3_io;

/* 0: as it suits most. */
struct mr_http3_io_config {
    bool is_client;           /* its requests have a client's stream numbers */
    uint32_t connections_max; /* 0: 1,000; more are refused */
    uint32_t streams_max;     /* of all connections; 0: 16 for each of them; more are refused */
    size_t queue_bytes;       /* of a stream, not sent yet; 0: 256 KiB; more wait in the server */
};

/* Let `application` (mr_http3_server_application(), mr_http3_client_application()) live on it, from
 * here to mr_http3_io_free().  `now_ns`: of any clock that never goes back; as in
 * mr_http3_io_poll().  0; -ENOMEM. */
int mr_http3_io_new(const struct mr_http3_io_config *config,
                    const struct mr_application *application, uint64_t now_ns,
                    struct mr_http3_io **io_out);

/* End it without another word: no END is told.  NULL: no effect. */
void mr_http3_io_free(struct mr_http3_io *io);

/* ------------------------------------------------------------------ what the program tells */

/* A connection was accepted, and its handshake is complete.  `user` comes back with every wish. Its
 * handle; MR_HANDLE_NONE: there is no room, close it with 0x107 (H3_EXCESSIVE_LOAD). */
mr_handle mr_http3_io_accept(struct mr_http3_io *io, void *user);

/* A CONNECT has come about. */
void mr_http3_io_connected(struct mr_http3_io *io, mr_handle conn);

/* The peer has opened a stream, with this ID on the wire.  Its handle; MR_HANDLE_NONE: there is no
 * room, or no such connection any more: reset and stop it with 0x10b (H3_REQUEST_REJECTED). */
mr_handle mr_http3_io_stream(struct mr_http3_io *io, mr_handle conn, uint64_t id, void *user);

/*
 * A stream has brought `size` bytes, and with `is_fin` its end behind them.  Bytes that were taken:
 * if not all, the rest waits for the application, and READ asks for it, the end included.   A
 * stream that is not read from any more takes everything.
 */
size_t mr_http3_io_feed(struct mr_http3_io *io, mr_handle stream, const void *bytes, size_t size,
                        bool is_fin);

/* The peer reset a stream; it asked us to stop sending on it. */
void mr_http3_io_reset(struct mr_http3_io *io, mr_handle stream, uint64_t code);
void mr_http3_io_stopped(struct mr_http3_io *io, mr_handle stream, uint64_t code);

/* An OPEN is done: `user` comes back with the stream's wishes. */
void mr_http3_io_opened(struct mr_http3_io *io, mr_handle stream, void *user);

/* Of a SEND `size` bytes are sent, or copied for it: the application may use their memory again.
 * The end that `is_fin` announced counts as sent with the last of them. */
void mr_http3_io_sent(struct mr_http3_io *io, mr_handle stream, size_t size);

/* What was not done of an OPEN, a SEND or a CONNECT may be possible now: it is told again; of a
 * connection that is there, its OPENs. */
void mr_http3_io_retry(struct mr_http3_io *io, mr_handle object);

/* How a connection ended. */
struct mr_http3_io_end {
    uint64_t code;
    bool is_application; /* the code is HTTP/3's (RFC 9114, Section 8.1), not QUIC's */
    bool is_remote;      /* the peer closed it */
    const char *reason;  /* for people; NULL: none */
};

/* A connection is over, whoever closed it; what it had ends with it.  A CONNECT that has failed,
 * too. */
void mr_http3_io_closed(struct mr_http3_io *io, mr_handle conn, const struct mr_http3_io_end *end);

/* Make no new requests, and finish those that are under way (RFC 9114, Section 5.2). */
void mr_http3_io_go_away(struct mr_http3_io *io);

/* It is `now_ns`: do what is due, and work.  What is told until the next call is told at this time.
 */
void mr_http3_io_poll(struct mr_http3_io *io, uint64_t now_ns);

/* When to poll at the latest, if nothing is told meanwhile; UINT64_MAX: no need. */
uint64_t mr_http3_io_deadline(const struct mr_http3_io *io);

/* ------------------------------------------------------------------ what HTTP/3 wants */

enum mr_http3_io_kind {
    MR_HTTP3_IO_CONNECT,
    MR_HTTP3_IO_OPEN,
    MR_HTTP3_IO_SEND,
    MR_HTTP3_IO_RESET,
    MR_HTTP3_IO_STOP,
    MR_HTTP3_IO_READ,
    MR_HTTP3_IO_CLOSE,
    MR_HTTP3_IO_END
};

struct mr_http3_io_wish {
    enum mr_http3_io_kind kind;
    mr_handle object; /* CONNECT, CLOSE, and END of a connection: the connection; else the stream */
    mr_handle conn;   /* of both */
    void *user;       /* of the object; NULL: none was given, or yet */
    void *conn_user;
    const struct mr_connect_options
        *options;        /* CONNECT; valid until the next call of any function */
    const uint8_t *data; /* SEND, `size` bytes; may be none, for the end */
    size_t size;
    bool is_fin;                 /* SEND: the stream ends behind them */
    struct mr_priority priority; /* SEND: when, among its connection's (RFC 9218), if the program
                                    has a choice */
    bool is_uni;                 /* OPEN */
    uint64_t code;               /* RESET, STOP, CLOSE */
    const char *reason;          /* CLOSE; valid until the next call of any function */
};

/* The next wish.  False: there is none, now. */
bool mr_http3_io_next(struct mr_http3_io *io, struct mr_http3_io_wish *wish_out);

/* Give a connection of a CONNECT its word. */
void mr_http3_io_set_user(struct mr_http3_io *io, mr_handle conn, void *user);

#ifdef __cplusplus
}
#endif

#endif /* MILLRACE_HTTP3_IO_H */
