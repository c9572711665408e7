/*
 * app/fiber_socket.h - fibers that wait for sockets; see millrace/fiber_socket.h.
 *
 * The token of a wait is its fiber: it waits for one thing at a time.
 */
#ifndef MR_APP_FIBER_SOCKET_H
#define MR_APP_FIBER_SOCKET_H

#include "app/socket_host.h"
#include "millrace/fiber_socket.h"

/* Let blocking calls on the host's sockets switch; the hub's event source moves the host. */
void mr_hub_serve_host(struct mr_hub *hub, struct mr_sock_host *host);

/* Who waits for the sockets of `hub`. */
struct mr_sock_waiter mr_hub_sock_waiter(struct mr_hub *hub);

#endif /* MR_APP_FIBER_SOCKET_H */
