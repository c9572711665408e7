/* tests/support/move_app.h - the applications of move_world.h: patterns both ways, every event
 * judged. */
#ifndef MR_TESTS_SUPPORT_MOVE_APP_H
#define MR_TESTS_SUPPORT_MOVE_APP_H

#include "tests/support/move_world.h"

/* An event of `node`'s endpoint. */
void move_app_event(struct move_world *w, struct move_app *app, uint32_t node,
                    const struct mr_event *event);

/* Open, send, read, give up, as far as it is due. */
void move_app_act(struct move_world *w, struct move_app *app);

/* Bytes of datagram `number`, and what is in it, from the side of `role`. */
size_t move_app_datagram(enum mr_role role, uint32_t number, uint8_t *dst);

/* Send the next datagram of a side.  False: its queue is full. */
bool move_app_send_datagram(struct move_world *w, struct move_app *app);

/* MR_EVENT_MOVED was told: nothing may follow until MOVED_IN. */
void move_app_leave(struct move_app *app);

#endif /* MR_TESTS_SUPPORT_MOVE_APP_H */
